//! A plan, made from what is there; a saved plan, read back and held against what is there.

use std::collections::BTreeSet;
use std::path::Path;

use engine::obstacle::Obstacle;
use engine::plan::{Intent, PLAN_FORMAT, Plan, Preconditions};
use engine::planner::{Question, plan};
use engine::snapshot::{LastBackup, Snapshot};
use model::Name;
use model::contract::DeployChange;
use model::release::Release;
use vault::{ArtifactRecord, Vault};

use crate::carry_out::state_directory;
use crate::error::Error;
use crate::observe::{OBSERVE_WITHIN, is_unsupported};
use crate::operation::{Call, Releases};
use crate::platform::Platform;
use crate::project::{Origin, Project};
use crate::record::{Rehearsed, body};
use crate::shipped;

impl Platform {
    /// Makes a plan of an upgrade, or of its rehearsal. Changes nothing.
    ///
    /// # Errors
    /// [`Error::NoPlan`] with every obstacle; what cannot be observed.
    pub async fn plan(&mut self, vault: &Vault, to: &str, intent: Intent) -> Result<Plan, Error> {
        let next = self.project.release(to)?;
        let releases = Releases { next: Some(&next), ..Releases::default() };
        let mut before = self.snapshot(releases).await?;
        last_backups(vault, &mut before)?;
        let previous = match before.version().map(|version| self.project.release(version)) {
            Some(Ok(release)) => Some(release),
            Some(Err(Error::ReleaseNotFound { .. })) | None => None,
            Some(Err(error)) => return Err(error),
        };
        let rehearsed = self.rehearsed(previous.as_ref(), &next)?;
        if intent == Intent::Rehearsal {
            let releases =
                Releases { previous: previous.as_ref(), next: Some(&next), ..Releases::default() };
            self.copies_can_be_made(releases).await?;
        }
        let found = shipped::edited(&self.project, previous.as_ref(), &next, &before)?;
        let question = Question {
            stack: &self.project.stack,
            next: &next,
            snapshot: before,
            preconditions: self.preconditions()?,
            rehearsed: &rehearsed,
            intent,
            found,
        };
        let again = match question.intent {
            Intent::Rehearsal => format!("`vaultup rehearse --to {to}`"),
            Intent::Upgrade | Intent::Restore => format!("`vaultup check --to {to}`"),
        };
        plan(question).map_err(|obstacles| self.project.no_plan(obstacles, again))
    }

    /// Asks the plugins of components about their copies, of which there are none yet: settings
    /// that cannot be used, or a place of somebody else's, are told before anything is begun.
    async fn copies_can_be_made(&self, releases: Releases<'_>) -> Result<(), Error> {
        let target = Intent::Rehearsal.target();
        for name in self.project.stack.components.keys() {
            let its = self.project.stack.components.get(name);
            if its.is_none_or(|its| its.rehearsal.is_none()) {
                // The planner says so, with everything else that is missing.
                continue;
            }
            let (key, within) = ("observe", OBSERVE_WITHIN);
            let call = Call { subject: name, target: &target, key, within, releases };
            let operation = self.operation(&call)?;
            let plugin = self.plugin(name)?;
            let change = DeployChange::Discard;
            match plugin.deploy_status(&self.quiet(), &operation, &change).await {
                Err(error) if !is_unsupported(&error) => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// What must still be so when a plan made now is run.
    ///
    /// # Errors
    /// [`Error::System`] when a tool cannot be read.
    pub fn preconditions(&self) -> Result<Preconditions, Error> {
        Ok(Preconditions {
            files: self.project.files.clone(),
            plugins: self.digests(),
            tools: self.tools()?,
        })
    }

    /// Holds a saved plan against what is there now: files, plugins, tools, and everything that
    /// was observed.
    ///
    /// # Errors
    /// [`Error::PlanChanged`] with all that is different.
    pub async fn still_fits(&mut self, vault: &Vault, saved: &Plan) -> Result<(), Error> {
        drop(crate::platform::releases_of(&mut self.project, saved)?);
        let mut changed = self.changed_since(saved)?;
        if changed.is_empty() {
            match self.plan(vault, &saved.to, saved.intent.clone()).await {
                Ok(now) => changed.extend(differences(saved, &now)),
                Err(Error::NoPlan { obstacles, .. }) => {
                    changed.extend(obstacles.iter().map(ToString::to_string));
                }
                Err(error) => return Err(error),
            }
        }
        if changed.is_empty() { Ok(()) } else { Err(Error::PlanChanged(changed)) }
    }

    /// Datastores on whose migrated schema a rehearsal showed the previous release to run.
    fn rehearsed(
        &self,
        previous: Option<&Release>,
        next: &Release,
    ) -> Result<BTreeSet<Name>, Error> {
        let directory = state_directory(&self.machinery, &self.project.stack.name);
        let Some(previous) = previous else { return Ok(BTreeSet::new()) };
        let journal = match journal::Journal::open_read_only(&directory) {
            Err(journal::Error::Missing { .. }) => return Ok(BTreeSet::new()),
            other => other?,
        };
        let (from, to) = (previous.version.to_string(), next.version.to_string());
        let mut found = BTreeSet::new();
        for record in journal.records(None)?.iter().filter(|its| its.kind == "rehearsed") {
            let rehearsed: Rehearsed = body(record)?;
            if rehearsed.from == from && rehearsed.to == to {
                found = rehearsed.previous_runs_on.into_iter().collect();
            }
        }
        Ok(found)
    }
}

impl Project {
    /// Why there is no plan, at the place of what the gravest obstacle is about.
    pub(crate) fn no_plan(&self, obstacles: Vec<Obstacle>, again: String) -> Error {
        let subject = obstacles.first().and_then(Obstacle::subject);
        let place = subject.filter(|_| self.origin == Origin::File).map(|name| {
            let is_component = self.stack.components.contains_key(name);
            let section = if is_component { "components" } else { "datastores" };
            self.places.key(&[section, name.as_str()])
        });
        Error::NoPlan { obstacles, again, place }
    }
}

/// Notes what the last whole backup of each datastore took, and the room where backups go.
fn last_backups(vault: &Vault, snapshot: &mut Snapshot) -> Result<(), Error> {
    snapshot.backup_bytes_free = Some(vault.available_bytes()?);
    for listed in vault.sets()? {
        let Some(set) = listed.whole() else { continue };
        for (name, record) in &set.record().datastores {
            let known = Name::parse(name).ok().and_then(|name| snapshot.datastores.get_mut(&name));
            let Some(seen) = known.filter(|seen| seen.last.is_none()) else { continue };
            let milliseconds = record.meanwhile.milliseconds;
            let sum = |bytes: fn(&ArtifactRecord) -> u64| record.artifacts.iter().map(bytes).sum();
            seen.last = (milliseconds > 0).then(|| LastBackup {
                set: set.id().to_string(),
                bytes: sum(|artifact| artifact.bytes),
                bytes_stored: sum(|artifact| artifact.bytes_stored),
                milliseconds,
            });
        }
    }
    Ok(())
}

/// Reads a plan from a file.
///
/// # Errors
/// [`Error::Unreadable`], [`Error::PlanUnreadable`].
pub fn read_plan(path: &Path) -> Result<Plan, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    let unreadable = |reason| Error::PlanUnreadable { path: path.to_owned(), reason };
    let plan: Plan = serde_json::from_str(&text).map_err(|e| unreadable(e.to_string()))?;
    if plan.format != PLAN_FORMAT {
        return Err(unreadable(format!("it has format {}, not {PLAN_FORMAT}", plan.format)));
    }
    Ok(plan)
}

/// Writes a plan to a file.
///
/// # Errors
/// [`Error::Unwritable`].
pub fn save_plan(plan: &Plan, path: &Path) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(plan).map_err(|error| Error::PlanUnreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    std::fs::write(path, text + "\n")
        .map_err(|source| Error::Unwritable { path: path.to_owned(), source })
}

fn differences(saved: &Plan, now: &Plan) -> Vec<String> {
    let mut found = Vec::new();
    if saved.from != now.from {
        found.push(format!("release {} runs, not {}", now.from, saved.from));
    }
    for (name, seen) in &now.snapshot.components {
        let was = saved.snapshot.components.get(name);
        let same = was.is_some_and(|was| {
            was.running.revision == seen.running.revision
                && was.running.instances_wanted == seen.running.instances_wanted
                && was.running.configuration_digest == seen.running.configuration_digest
                && was.way_back == seen.way_back
        });
        if !same {
            found.push(format!("component `{name}` is not as it was"));
        }
    }
    for (name, seen) in &now.snapshot.datastores {
        let was = saved.snapshot.datastores.get(name);
        if was.is_none_or(|was| was.schema != seen.schema || was.pending != seen.pending) {
            found.push(format!("the schema of `{name}` is not as it was"));
        }
    }
    let acts = |plan: &Plan| plan.steps.iter().map(|s| s.act.clone()).collect::<Vec<_>>();
    if found.is_empty() && acts(saved) != acts(now) {
        found.push("its steps are not those that would be planned now".to_owned());
    }
    found
}
