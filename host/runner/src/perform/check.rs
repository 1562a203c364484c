//! Preflights: that the plan's preconditions still hold, and that everything is well before
//! anything is touched.

use engine::act::{Answer, Failure};
use engine::plan::{Intent, Plan};
use model::contract::{Measured, Measurement, Target, Verdict};
use serde::Serialize;
use vault::Vault;

use super::{Trouble, Worker, error_of};
use crate::error::{Error, failures};
use crate::health::illness;
use crate::operation::Releases;
use crate::platform::Platform;

/// One thing that must be so before a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preflight {
    /// What is looked at.
    pub name: String,
    /// Why it does not pass; absent if it does.
    pub fault: Option<String>,
    /// What was seen.
    pub detail: String,
}

impl Worker {
    /// Runs every preflight, and fails with all that do not pass.
    pub(super) async fn check(&self, plan: &Plan) -> Result<Answer, Trouble> {
        let preflights = self.platform.preflights(&self.vault, plan).await?;
        if let Some(failure) = refused(&preflights) {
            return Err(Trouble::Failed(failure));
        }
        Ok(Answer::Measured(preflights.into_iter().map(measurement).collect()))
    }
}

/// The failure that preflights amount to; nothing if all pass.
#[must_use]
pub fn refused(preflights: &[Preflight]) -> Option<Failure> {
    let fault = |its: &Preflight| its.fault.as_ref().map(|fault| format!("{}: {fault}", its.name));
    let causes: Vec<String> = preflights.iter().filter_map(fault).collect();
    (!causes.is_empty()).then(|| Failure {
        code: failures::PREFLIGHT,
        message: format!("{} of {} preflights failed", causes.len(), preflights.len()),
        causes,
        unknown: false,
    })
}

impl Platform {
    /// Every preflight of a plan, with what each has to say. Changes nothing.
    ///
    /// # Errors
    /// What is no answer of a plugin or of the vault.
    pub async fn preflights(&self, vault: &Vault, plan: &Plan) -> Result<Vec<Preflight>, Error> {
        let mut preflights = vec![self.unchanged(plan)?, space(vault, plan)?];
        if plan.intent != Intent::Restore {
            preflights.extend(self.health_before(plan).await?);
        }
        Ok(preflights)
    }

    fn unchanged(&self, plan: &Plan) -> Result<Preflight, Error> {
        let changed = self.changed_since(plan)?;
        Ok(Preflight {
            name: "plan".to_owned(),
            fault: (!changed.is_empty()).then(|| changed.join("; ")),
            detail: "stack file, releases, plugins and tools are those of the plan".to_owned(),
        })
    }

    /// Everything healthy before (R13): an upgrade of something ill cannot be judged afterwards.
    async fn health_before(&self, plan: &Plan) -> Result<Vec<Preflight>, Error> {
        let (session, version) = (self.looking(), Some(plan.from.as_str()));
        let mut preflights = Vec::new();
        for name in plan.components() {
            let looked = self.look(&session, name, &Target::Live, version, Releases::default());
            let seen = looked.await.map_err(error_of)?;
            preflights.push(Preflight {
                name: format!("health of {name}"),
                fault: illness(name, version, &seen).map(|failure| failure.causes.join("; ")),
                detail: format!("well at release {}", plan.from),
            });
        }
        Ok(preflights)
    }

    /// What of a plan's preconditions is no longer so, each a sentence.
    ///
    /// # Errors
    /// [`Error::System`] when a tool cannot be read.
    pub fn changed_since(&self, plan: &Plan) -> Result<Vec<String>, Error> {
        let mut changed = Vec::new();
        let kept = &plan.preconditions;
        for (file, digest) in &kept.files {
            if self.project.files.get(file) != Some(digest) {
                changed.push(format!("`{file}` has changed"));
            }
        }
        let plugins = self.digests();
        for (plugin, digest) in &kept.plugins {
            if plugins.get(plugin) != Some(digest) {
                changed.push(format!("plugin `{plugin}` is another"));
            }
        }
        let tools = self.tools()?;
        for (tool, digest) in &kept.tools {
            if tools.get(tool) != Some(digest) {
                changed.push(format!("tool `{tool}` is another"));
            }
        }
        Ok(changed)
    }
}

/// Room for the backup: as if nothing could be compressed, which is what a full disk needs.
fn space(vault: &Vault, plan: &Plan) -> Result<Preflight, Error> {
    let needed = plan.snapshot.datastores.values().map(|its| its.bytes).sum();
    let free = vault.available_bytes()?;
    Ok(Preflight {
        name: "room for the backup".to_owned(),
        fault: vault.require_space(needed).err().map(|error| error.to_string()),
        detail: format!("{needed} bytes needed, {free} free"),
    })
}

fn measurement(preflight: Preflight) -> Measurement {
    Measurement {
        name: preflight.name,
        value: Measured::Truth(true),
        unit: String::new(),
        verdict: Verdict::Healthy,
        detail: preflight.detail,
    }
}
