//! A copy for a rehearsal: a namespace of its own, made for it and removed with all that is in it.
//!
//! # Invariants
//! - A copy's namespace is never the live one, whatever cluster it is in.
//! - Only a namespace that this very rehearsal made is used or removed: it carries the copy's name
//!   and the run's id as labels.
//! - It is created before anything else, so that whatever a crash leaves lies in it.

use std::time::Duration;

use serde_json::{Value, json};
use vaultup_sdk::clock::{Deadline, Wait, wait_until};
use vaultup_sdk::{Case, Error, Observation, Operation, Target, log};

use crate::access::{Access, Kubectl};
use crate::digest;

/// Label of a namespace with the name of the copy that it was made for.
pub const COPY: &str = "vaultup.dev/copy";
/// Label of a namespace with the run that made it.
pub const RUN: &str = "vaultup.dev/run";
/// Annotation of a namespace with the namespace that it is a copy of.
const COPY_OF: &str = "vaultup.dev/copy-of";
/// The longest name of a namespace.
const NAMESPACE_BYTES_MAX: usize = 63;
/// Hexadecimal digits of a digest that stand for what is cut off.
const DIGEST_DIGITS: usize = 8;
/// Between two looks at a namespace that goes.
const INTERVAL: Duration = Duration::from_millis(300);
/// The rights that a namespace of its own needs.
const RIGHTS: [(&str, &str); 3] =
    [("get", "namespaces"), ("create", "namespaces"), ("delete", "namespaces")];

/// The namespace of a copy.
#[derive(Debug)]
pub struct Scratch {
    kubectl: Kubectl,
    copy: String,
    live_namespace: String,
    /// The run that the operation belongs to; none if it only observes.
    run: Option<String>,
}

/// Whose a namespace is.
enum Found {
    Nobody,
    This,
    /// This rehearsal's, and it is on its way out.
    Going,
    Other(String),
}

/// Where the target of an operation is: for a copy a namespace of its own, by default the live
/// one's name followed by the copy's.
#[must_use]
pub fn access<Settings>(
    operation: &Operation<Settings>,
    of: impl Fn(&Settings) -> &Access,
) -> Access {
    let said = of(&operation.settings).clone();
    let (Target::Copy(copy), Some(copied)) = (&operation.target, &operation.copied) else {
        return said;
    };
    match copied.differs["namespace"].is_string() {
        true => said,
        false => Access { namespace: derived(&of(&copied.live).namespace, copy), ..said },
    }
}

impl Scratch {
    /// The namespace of the copy that an operation acts on.
    ///
    /// # Errors
    /// [`Case::InvalidSettings`] if it would be the live one, or if the operation is on what is
    /// live.
    pub fn of<Settings>(
        operation: &Operation<Settings>,
        of: impl Fn(&Settings) -> &Access,
    ) -> Result<Self, Error> {
        let (Target::Copy(copy), Some(copied)) = (&operation.target, &operation.copied) else {
            let message = format!("{} is live, and has no copy's namespace", operation.subject);
            return Err(Error::invalid_settings(message));
        };
        let (access, live) = (access(operation, &of), of(&copied.live));
        if access.namespace == live.namespace {
            let message = format!(
                "the copy of {} would be in the live namespace `{}`: name another one under its \
                 `rehearsal.settings`, or none",
                operation.subject, live.namespace
            );
            return Err(Error::invalid_settings(message));
        }
        Ok(Self {
            kubectl: Kubectl::new(&access),
            copy: copy.clone(),
            live_namespace: live.namespace.clone(),
            run: operation.key.split_once('.').map(|(run, _)| run.to_owned()),
        })
    }

    /// The commands that are put to it.
    #[must_use]
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// Makes the namespace if it is not there.
    ///
    /// # Errors
    /// [`Case::Conflict`] if there is one that this rehearsal did not make.
    pub fn ensure(&self, deadline: Deadline) -> Result<(), Error> {
        loop {
            match self.find()? {
                Found::This => return Ok(()),
                Found::Other(whose) => return Err(self.taken(&whose)),
                Found::Going => self.until_gone(deadline)?,
                Found::Nobody => {
                    let words = ["create", "--filename=-", "--output=name"];
                    match self.kubectl.feed(&words, self.manifest().to_string()) {
                        // Somebody came first: it is looked at whose it is.
                        Err(error) if error.case() == &Case::Conflict => {}
                        other => {
                            other?;
                            let name = self.kubectl.namespace();
                            log::info(format!("made namespace `{name}` for the copy"));
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Removes the namespace with all that is in it, and waits until it is gone.
    ///
    /// # Errors
    /// [`Case::TimedOut`] if it does not go in time.
    pub fn discard(&self, deadline: Deadline) -> Result<(), Error> {
        let name = self.kubectl.namespace();
        match self.find()? {
            Found::Nobody => return Ok(()),
            Found::Other(whose) => {
                log::warning(format!("namespace `{name}` is left alone: {whose}"));
                return Ok(());
            }
            Found::This => {
                self.kubectl.text(&["delete", "namespace", name, "--wait=false"])?;
            }
            Found::Going => {}
        }
        self.until_gone(deadline)
    }

    /// What there is of the copy, as the twin of [`Scratch::discard`] tells it.
    ///
    /// # Errors
    /// [`Case::Conflict`] if the namespace is somebody else's; [`Case::Refused`] with the rights
    /// that are missing, while no run has begun.
    pub fn left(&self, in_it: &[(&str, &str)]) -> Result<Observation, Error> {
        let name = self.kubectl.namespace();
        match self.find()? {
            Found::Nobody => {
                if self.run.is_none() {
                    self.require_rights(in_it)?;
                }
                Ok(Observation::done(format!("there is no namespace `{name}`")))
            }
            Found::This => Ok(Observation::NotStarted),
            Found::Going => Ok(Observation::in_progress(format!("namespace `{name}` goes"))),
            Found::Other(whose) if self.run.is_none() => Err(self.taken(&whose)),
            Found::Other(whose) => {
                Ok(Observation::done(format!("namespace `{name}` is another's: {whose}")))
            }
        }
    }

    fn find(&self) -> Result<Found, Error> {
        let object = format!("namespace/{}", self.kubectl.namespace());
        let text = self.kubectl.text(&["get", &object, "--ignore-not-found", "--output=json"])?;
        if text.trim().is_empty() {
            return Ok(Found::Nobody);
        }
        let seen: Value = crate::access::read_json(&text, "`kubectl get namespace`")?;
        let label = |name: &str| seen["metadata"]["labels"][name].as_str();
        Ok(match (label(COPY), label(RUN)) {
            (Some(copy), Some(run)) if copy == self.copy && Some(run) == self.run.as_deref() => {
                match seen["metadata"]["deletionTimestamp"].is_string() {
                    true => Found::Going,
                    false => Found::This,
                }
            }
            (Some(copy), Some(run)) => Found::Other(format!("run {run} made it for copy {copy}")),
            _ => Found::Other("no rehearsal made it".to_owned()),
        })
    }

    fn until_gone(&self, deadline: Deadline) -> Result<(), Error> {
        wait_until(deadline, INTERVAL, || {
            Ok(match self.find()? {
                Found::This | Found::Going => {
                    let name = self.kubectl.namespace();
                    Wait::NotYet(format!("namespace `{name}` is not gone yet"))
                }
                Found::Nobody | Found::Other(_) => Wait::Over(()),
            })
        })
    }

    fn require_rights(&self, in_it: &[(&str, &str)]) -> Result<(), Error> {
        let missing = self.kubectl.missing(&[&RIGHTS[..], in_it].concat())?;
        if missing.is_empty() {
            return Ok(());
        }
        let named: Vec<String> =
            missing.iter().map(|(verb, resource)| format!("{verb} {resource}")).collect();
        let role = crate::rights::cluster_role(&missing);
        Err(Error::refused(format!("a copy needs a namespace of its own: {}", named.join(", ")))
            .with_platform(format!("this ClusterRole would do: {role}")))
    }

    fn taken(&self, whose: &str) -> Error {
        let name = self.kubectl.namespace();
        Error::conflict(format!("namespace `{name}`, where the copy would be, exists: {whose}"))
            .with_platform(format!("if nobody needs it: `kubectl delete namespace {name}`"))
    }

    fn manifest(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": self.kubectl.namespace(),
                "labels": {
                    "app.kubernetes.io/managed-by": "vaultup",
                    COPY: self.copy,
                    RUN: self.run.as_deref().unwrap_or_default(),
                },
                "annotations": {COPY_OF: self.live_namespace},
            },
        })
    }
}

/// The name of a copy's namespace; of one that would be too long, a digest stands for the end of
/// the live one's name.
fn derived(live: &str, copy: &str) -> String {
    let plain = format!("{live}-{copy}");
    if plain.len() <= NAMESPACE_BYTES_MAX {
        return plain;
    }
    let digest = digest::of([live]);
    let digits = digest.trim_start_matches("sha256:").get(..DIGEST_DIGITS).unwrap_or_default();
    let kept = NAMESPACE_BYTES_MAX.saturating_sub(copy.len() + DIGEST_DIGITS + 2);
    let start = live.get(..kept).unwrap_or(live).trim_end_matches('-');
    format!("{start}-{digits}-{copy}").trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
