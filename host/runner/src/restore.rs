//! The plan of a restore, made from whatever can still be seen.
//!
//! What an upgrade takes for granted may be gone: nothing here fails because a component or a
//! datastore cannot be observed, or because the file of a release is missing.

use std::collections::{BTreeMap, BTreeSet};

use engine::machine::Ending;
use engine::plan::Plan;
use engine::restore::{Known, Question, SetFacts, plan};
use engine::snapshot::{ComponentSnapshot, DatastoreSnapshot, Snapshot};
use journal::Journal;
use model::Name;
use model::contract::{Consistency, Interface, Running, Schema, Target, Traffic, WayBack};
use model::release::Release;
use vault::{BackupSet, SetId, Vault};

use crate::carry_out::{state_directory, take_up};
use crate::error::Error;
use crate::observe::OBSERVE_WITHIN;
use crate::operation::{Call, Releases};
use crate::platform::{Platform, bare_release};
use crate::record::{Run, runs_newest_first, standing_run};

/// What a restore is made from, for whoever shows it.
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// The set.
    pub set: BackupSet,
    /// The run that was interrupted and must be brought to rest before, if there is one.
    pub interrupted: Option<String>,
}

/// Brings a run that was interrupted to rest, so that a restore may follow: what was under way is
/// found out, and nothing else is begun.
///
/// # Errors
/// As [`crate::carry_out::Carrier::carry_out`].
pub async fn bring_to_rest(platform: Platform, vault: Vault) -> Result<(), Error> {
    let mut carrier = take_up(platform, vault).await?;
    if let Err(error) = carrier.settle().await {
        carrier.give_up().await;
        return Err(error);
    }
    carrier.carry_out().await.map(drop)
}

impl Platform {
    /// Plans to restore a set over what is there. Changes nothing.
    ///
    /// # Errors
    /// [`Error::Vault`] when there is no such set; [`Error::NoPlan`] when it cannot be restored
    /// into this stack; [`Error::Journal`].
    pub async fn restore_plan(&mut self, vault: &Vault, id: &SetId) -> Result<Prepared, Error> {
        let set = vault.set(id)?;
        let header = set.header();
        let release = match self.project.release(&header.release) {
            Err(Error::ReleaseNotFound { .. }) => bare_release(&header.release),
            other => Some(other?),
        };
        let history = History::of(self, &header.release)?;
        let mut known = history.known;
        let snapshot = self.whatever_is_seen(&set, release.as_ref()).await?;
        for (name, seen) in &snapshot.components {
            if seen.running.version.is_none() {
                let revision = &mut known.entry(name.clone()).or_default().revision;
                *revision = revision.take().or_else(|| seen.way_back.revision.clone());
            }
        }
        let datastores = set.record().datastores.keys();
        let question = Question {
            stack: &self.project.stack,
            set: SetFacts {
                id: id.to_string(),
                stack: header.stack.clone(),
                release: header.release.clone(),
                datastores: datastores.filter_map(|name| Name::parse(name).ok()).collect(),
            },
            snapshot,
            preconditions: self.preconditions()?,
            known: &known,
            stopped: &history.stopped,
            held: &history.held,
        };
        let again = format!("`vaultup restore {id}`");
        let plan = plan(question).map_err(|obstacles| self.project.no_plan(obstacles, again))?;
        Ok(Prepared { plan, set, interrupted: history.interrupted })
    }

    /// Everything that can be observed, and why the rest cannot.
    async fn whatever_is_seen(
        &self,
        set: &BackupSet,
        release: Option<&Release>,
    ) -> Result<Snapshot, Error> {
        let releases = Releases { previous: release, next: release, version: None };
        let mut snapshot = Snapshot::default();
        for name in self.project.stack.components.keys() {
            let seen = match self.component_as_it_is(name, releases).await {
                Ok(seen) => seen,
                Err(error) => {
                    snapshot.unseen.insert(name.clone(), told(&error));
                    unseen_component()
                }
            };
            snapshot.components.insert(name.clone(), seen);
        }
        for (text, record) in &set.record().datastores {
            let Ok(name) = Name::parse(text) else { continue };
            if !self.project.stack.datastores.contains_key(&name) {
                continue;
            }
            let schema = match self.datastore_as_it_is(&name, releases).await {
                Ok(schema) => schema,
                Err(error) => {
                    snapshot.unseen.insert(name.clone(), told(&error));
                    None
                }
            };
            let bytes_free = self.room_to_restore(&name, &record.state, releases).await;
            let seen = DatastoreSnapshot {
                schema,
                pending: None,
                bytes: record.artifacts.iter().map(|artifact| artifact.bytes).sum(),
                bytes_free,
                consistency: Consistency::None,
                backup_commands: Vec::new(),
                restorable: self.exports(&name, Interface::Restore),
                last: None,
            };
            snapshot.datastores.insert(name, seen);
        }
        Ok(snapshot)
    }

    async fn component_as_it_is(
        &self,
        name: &Name,
        releases: Releases<'_>,
    ) -> Result<ComponentSnapshot, Error> {
        let session = self.looking();
        let running = self.running(&session, name, &Target::Live, releases).await?;
        let operation = self.operation(&looking(name, releases))?;
        let asked = self.plugin(name)?.deploy_way_back(&session, &operation).await;
        let way_back = asked.unwrap_or_else(|error| no_way_back(error.to_string()));
        Ok(ComponentSnapshot { running, way_back, preview: None })
    }

    /// The schema of a datastore that is there: a schema command may answer for one that is not.
    async fn datastore_as_it_is(
        &self,
        name: &Name,
        releases: Releases<'_>,
    ) -> Result<Option<Schema>, Error> {
        let operation = self.operation(&looking(name, releases))?;
        let session = self.looking();
        self.plugin(name)?.backup_estimate(&session, &operation).await?;
        self.schema(&session, name, &Target::Live, releases).await
    }

    /// Bytes free where a restore goes; nothing if that cannot be told.
    async fn room_to_restore(
        &self,
        name: &Name,
        state: &serde_json::Value,
        releases: Releases<'_>,
    ) -> Option<u64> {
        let operation = self.operation(&looking(name, releases)).ok()?;
        let plugin = self.plugin(name).ok()?;
        plugin.restore_estimate(&self.quiet(), &operation, state).await.ok()?.bytes_free
    }
}

/// What the journal knows that helps a restore.
#[derive(Default)]
struct History {
    known: BTreeMap<Name, Known>,
    stopped: BTreeSet<Name>,
    held: BTreeSet<Name>,
    interrupted: Option<String>,
}

impl History {
    fn of(platform: &Platform, release: &str) -> Result<Self, Error> {
        let directory = state_directory(&platform.machinery, &platform.project.stack.name);
        let journal = match Journal::open_read_only(&directory) {
            Err(journal::Error::Missing { .. }) => return Ok(Self::default()),
            other => other?,
        };
        let mut history = Self::default();
        for run in runs_newest_first(&journal) {
            history.learn(&run?, release);
        }
        if let Some(run) = standing_run(&journal)? {
            let open = matches!(run.machine.ending(), None | Some(Ending::Held(_)));
            history.interrupted = run.machine.ending().is_none().then(|| run.id.clone());
            if open {
                history.stopped.clone_from(&run.machine.facts().stopped);
                history.held.clone_from(&run.machine.facts().holding);
            }
        }
        Ok(history)
    }

    fn learn(&mut self, run: &Run, release: &str) {
        for (name, seen) in &run.machine.plan().snapshot.components {
            let known = self.known.entry(name.clone()).or_default();
            if known.instances == 0 {
                known.instances = seen.running.instances_wanted;
            }
            if known.revision.is_none() && seen.running.version.as_deref() == Some(release) {
                let revision = seen.way_back.revision.as_ref().or(seen.running.revision.as_ref());
                known.revision = revision.cloned();
            }
        }
    }
}

fn looking<'a>(name: &'a Name, releases: Releases<'a>) -> Call<'a> {
    Call { subject: name, target: &Target::Live, key: "observe", within: OBSERVE_WITHIN, releases }
}

fn unseen_component() -> ComponentSnapshot {
    let running = Running {
        version: None,
        revision: None,
        artifacts: Vec::new(),
        instances_wanted: 0,
        instances: Vec::new(),
        traffic: Traffic::Unknown,
        configuration_digest: None,
        busy: None,
    };
    let way_back = no_way_back("it could not be observed".to_owned());
    ComponentSnapshot { running, way_back, preview: None }
}

fn no_way_back(reason: String) -> WayBack {
    WayBack { available: false, revision: None, reason }
}

/// The innermost reason, in one line.
fn told(error: &Error) -> String {
    let text = match error {
        Error::Call(error) => error.plugin_error().map(|said| said.said().message),
        _ => None,
    };
    text.unwrap_or_else(|| error.to_string()).lines().collect::<Vec<_>>().join(" ")
}
