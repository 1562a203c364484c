//! What a run has learnt so far, from the outcomes of its acts.
//!
//! Derived from events only, so that replaying a journal gives the same facts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use model::Name;
use model::contract::{Presence, ProofLevel};
use serde::{Deserialize, Serialize};

use crate::act::{Act, Answer, Purpose, Survey};
use crate::decision::{Input, MigrationState, PreviousRuns, schema_state};
use crate::plan::Plan;

/// What a run has learnt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Facts {
    /// This run's published backup set.
    pub set: Option<String>,
    /// The set that keeps what was there before it was replaced.
    pub kept: Option<String>,
    /// The datastores that it holds.
    pub kept_of: BTreeSet<Name>,
    /// The proof that each datastore's backup has reached.
    pub proofs: BTreeMap<Name, ProofLevel>,
    /// Components whose instances are known to be stopped.
    pub stopped: BTreeSet<Name>,
    /// Components to which requests are held.
    pub held: BTreeSet<Name>,
    /// Components of which stopping or holding requests was begun.
    pub disturbed: BTreeSet<Name>,
    /// Components to which holding requests was begun.
    pub holding: BTreeSet<Name>,
    /// Components of which the next release was begun to be deployed, and since when it may run.
    pub applied: BTreeMap<Name, Timestamp>,
    /// Datastores whose migration was begun.
    pub migrations: BTreeMap<Name, MigrationState>,
    /// The effect that last filled a target beside each datastore.
    pub filled: BTreeMap<Name, u32>,
    /// Where a restore set aside what was live of each datastore, until that is removed.
    pub aside: BTreeMap<Name, String>,
    /// Since when writers of each datastore could write that its backup does not have.
    pub exposed: BTreeMap<Name, Exposure>,
    /// Whether anything was begun that people can notice.
    pub changed: bool,
    /// Components in whose rehearsal the previous release did not run on the migrated schema.
    pub previous_failed: BTreeSet<Name>,
}

/// How long a datastore's backup has fallen behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exposure {
    /// Since when writers can write now; absent: they cannot.
    pub since: Option<Timestamp>,
    /// How long they could before that.
    pub before: Duration,
}

impl Exposure {
    fn open(&mut self, at: Timestamp) {
        self.since = Some(self.since.map_or(at, |since| since.min(at)));
    }

    fn close(&mut self, at: Timestamp) {
        if let Some(since) = self.since.take() {
            self.before += elapsed(since, at);
        }
    }

    /// How long in all, as of now.
    #[must_use]
    pub fn total(&self, now: Timestamp) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| elapsed(since, now))
    }
}

impl Facts {
    /// An act was begun: what must be assumed from now on, even if nothing more is heard of it.
    pub fn begun(&mut self, plan: &Plan, effect: u32, act: &Act, at: Timestamp) {
        self.changed |= act.changes_the_stack();
        match act {
            Act::Migrate(migrate) => {
                self.migrations.insert(migrate.datastore.clone(), MigrationState::Unresolved);
            }
            Act::Apply(name, _) => {
                if self.stopped.remove(name) {
                    self.applied.insert(name.clone(), at);
                }
                self.applied.entry(name.clone()).or_insert(at);
                for datastore in plan.migrated_at_start_by(name) {
                    self.migrations.insert(datastore, MigrationState::Unresolved);
                }
            }
            Act::BackUp(Purpose::BeforeUpgrade, datastores) => {
                for name in datastores {
                    let since = self.has_open_writer(plan, name).then_some(at);
                    let exposure = Exposure { since, before: Duration::ZERO };
                    self.exposed.insert(name.clone(), exposure);
                }
            }
            Act::Start(name, _) | Act::Revert(name, _, Presence::Running) => {
                if self.stopped.remove(name)
                    && let Some(since) = self.applied.get_mut(name)
                {
                    *since = at;
                }
            }
            Act::Stop(name) => {
                self.disturbed.insert(name.clone());
            }
            Act::HoldTraffic(name) => {
                self.disturbed.insert(name.clone());
                self.holding.insert(name.clone());
            }
            Act::ReleaseTraffic(name) => {
                self.held.remove(name);
            }
            Act::Fill(name) => {
                self.filled.insert(name.clone(), effect);
            }
            _ => {}
        }
    }

    /// An act is done.
    pub fn done(&mut self, plan: &Plan, act: &Act, answer: &Answer, at: Timestamp) {
        match (act, answer) {
            (Act::BackUp(Purpose::BeforeUpgrade, _), Answer::BackedUp { set, .. }) => {
                self.set = Some(set.clone());
            }
            (Act::BackUp(_, names), Answer::BackedUp { set, left_out, .. }) => {
                self.kept = Some(set.clone());
                let kept = names.iter().filter(|name| !left_out.contains_key(*name));
                self.kept_of.extend(kept.cloned());
            }
            (Act::Prove(name, _), Answer::Proven { level, .. }) => {
                self.proofs.insert(name.clone(), *level);
            }
            (Act::Stop(name) | Act::Revert(name, _, Presence::Stopped), _) => {
                self.stopped.insert(name.clone());
                self.follow_writers(plan, at);
            }
            (Act::HoldTraffic(name), _) => {
                self.held.insert(name.clone());
                self.follow_writers(plan, at);
            }
            (Act::ReleaseTraffic(name), _) => {
                self.holding.remove(name);
                self.follow_writers(plan, at);
            }
            (Act::Apply(..) | Act::Start(..) | Act::Revert(_, _, Presence::Running), _) => {
                self.follow_writers(plan, at);
            }
            (Act::Switch(name), answer) => {
                self.exposed.insert(name.clone(), Exposure::default());
                if let Answer::Text(place) = answer {
                    self.aside.insert(name.clone(), place.clone());
                }
            }
            (Act::DiscardAside(name), _) => {
                self.aside.remove(name);
            }
            _ => {}
        }
        self.ended(plan, act);
    }

    /// An act has ended, well or badly: a migration of it is no longer going on.
    pub fn ended(&mut self, plan: &Plan, act: &Act) {
        match act {
            Act::Migrate(migrate) => {
                self.migrations.insert(migrate.datastore.clone(), MigrationState::Ended);
            }
            Act::Apply(name, _) => {
                for datastore in plan.migrated_at_start_by(name) {
                    self.migrations.insert(datastore, MigrationState::Ended);
                }
            }
            _ => {}
        }
    }

    /// What the decision is made of.
    #[must_use]
    pub fn inputs(&self, plan: &Plan, survey: &Survey, now: Timestamp) -> BTreeMap<Name, Input> {
        let input = |(name, its): (&Name, &crate::plan::DatastorePlan)| {
            let before = plan.snapshot.datastores.get(name).and_then(|seen| seen.schema.as_ref());
            let unread = || Err("it was not observed".to_owned());
            let after = survey.schemas.get(name).cloned().unwrap_or_else(unread);
            let migration = self.migrations.get(name).copied().unwrap_or(MigrationState::NotBegun);
            let input = Input {
                schema: schema_state(before, &after, its.expected.as_deref(), migration),
                migration,
                previous_runs: match (its.declared_compatible, its.rehearsed_compatible) {
                    (true, true) => PreviousRuns::Rehearsed,
                    (true, false) => PreviousRuns::Declared,
                    (false, _) => PreviousRuns::NotDeclared,
                },
                proof: self.set.as_ref().and_then(|_| self.proofs.get(name).copied()),
                proof_required: its.proof_required,
                loss: self.exposed.get(name).map_or(Duration::ZERO, |its| its.total(now)),
                loss_budget: plan.loss_budget,
                restorable: its.restorable,
            };
            (name.clone(), input)
        };
        plan.datastores.iter().map(input).collect()
    }

    /// Takes in what a survey shows, so that it counts even when what was seen is stopped later:
    /// a deployment that failed may have been written through from its beginning if one of its
    /// instances is ready (or nobody can tell).
    pub fn surveyed(&mut self, plan: &Plan, survey: &Survey) {
        for (datastore, its) in &plan.datastores {
            let open = its.written_by.iter().filter(|name| self.may_write(name, survey));
            let since = open.filter_map(|name| self.applied.get(name)).min().copied();
            if let Some(since) = since {
                self.exposed.entry(datastore.clone()).or_default().open(since);
            }
        }
    }

    fn may_write(&self, component: &Name, survey: &Survey) -> bool {
        let quiet = match survey.running.get(component) {
            Some(Ok(running)) => running.instances.iter().all(|instance| !instance.ready),
            Some(Err(_)) | None => false,
        };
        !quiet && !self.held.contains(component) && !self.stopped.contains(component)
    }

    fn has_open_writer(&self, plan: &Plan, datastore: &Name) -> bool {
        // A datastore that names no writer may have any.
        self.open_writers(plan, datastore).is_none_or(|writers| !writers.is_empty())
    }

    /// The components that can write to a datastore now; nothing if nobody says who writes to it.
    #[must_use]
    pub fn open_writers(&self, plan: &Plan, datastore: &Name) -> Option<Vec<Name>> {
        let writers = plan.datastores.get(datastore).map_or(&[][..], |its| &its.written_by);
        let runs = |name: &&Name| {
            let seen = plan.snapshot.components.get(*name);
            let was_there = seen.is_none_or(|its| its.running.instances_wanted > 0);
            was_there && !self.stopped.contains(*name) && !self.held.contains(*name)
        };
        (!writers.is_empty()).then(|| writers.iter().filter(runs).cloned().collect())
    }

    fn follow_writers(&mut self, plan: &Plan, at: Timestamp) {
        for name in self.exposed.keys().cloned().collect::<Vec<_>>() {
            let open = self.has_open_writer(plan, &name);
            if let Some(exposure) = self.exposed.get_mut(&name) {
                if open { exposure.open(at) } else { exposure.close(at) }
            }
        }
    }
}

/// Time from one moment to a later one; zero if a clock went backwards in between.
fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}
