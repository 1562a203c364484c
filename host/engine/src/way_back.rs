//! The steps of the way back that was chosen.
//!
//! With a restore, the order is the only one that is safe for every runbook: writers stop, what
//! the upgrade left is kept, the previous release is put in place without an instance running, the
//! data is restored beside and switched in, and only then does anything start. Requests come last.
//!
//! Where no way back may be taken without a person, what was deployed is stopped and requests are
//! held back: whatever the next release wrote from then on might have to be thrown away.

use model::Name;
use model::contract::{Presence, Target, Traffic};

use crate::act::{Act, Purpose};
use crate::decision::{Decision, MigrationState};
use crate::facts::Facts;
use crate::plan::{Plan, Step};

/// The steps that a decision leads to; none if nothing was disturbed.
#[must_use]
pub fn steps(plan: &Plan, facts: &Facts, decision: &Decision) -> Vec<Step> {
    let restored = decision.restored();
    let touched = touched(plan, facts, &restored);
    let mut acts = Vec::new();
    if restored.is_empty() {
        acts.extend(touched.iter().map(|name| back_in_service(plan, facts, name)));
    } else {
        restore(plan, facts, &restored, &touched, &mut acts);
    }
    acts.extend(touched.iter().map(|name| Act::Verify(name.clone(), Some(plan.from.clone()))));
    let smoke = touched.iter().filter(|name| plan.smoke.contains(name));
    acts.extend(smoke.map(|name| Act::Smoke(name.clone())));
    let held = |name: &&Name| facts.holding.contains(*name) || facts.held.contains(*name);
    let closed = touched.iter().filter(held);
    acts.extend(closed.map(|name| Act::ReleaseTraffic(name.clone())));
    acts.extend(restored.into_iter().map(Act::DiscardAside));
    acts.into_iter().map(|act| step(plan, act, Target::Live)).collect()
}

/// The steps after which nothing of the next release runs, in the order of stopping.
///
/// A component that may be migrating a datastore at this moment is left running: stopping it could
/// leave the migration half-way. Requests to it are held back all the same.
#[must_use]
pub fn stand_still(plan: &Plan, facts: &Facts) -> Vec<Step> {
    let applied = || plan.components().rev().filter(|name| facts.applied.contains_key(*name));
    let closable = |name: &Name| {
        let seen = plan.snapshot.components.get(name);
        seen.is_some_and(|its| its.running.traffic != Traffic::NotApplicable)
    };
    let migrating = |name: &Name| {
        let mut migrated = plan.migrated_at_start_by(name).into_iter();
        migrated.any(|store| facts.migrations.get(&store) == Some(&MigrationState::Unresolved))
    };
    let open = applied().filter(|name| closable(name) && !facts.held.contains(*name));
    // A database server writes nothing by itself, and what comes next has to ask it.
    let stays = |name: &Name| facts.stopped.contains(name) || migrating(name) || plan.is_home(name);
    let running = applied().filter(|name| !stays(name));
    let acts = open.cloned().map(Act::HoldTraffic).chain(running.cloned().map(Act::Stop));
    acts.map(|act| step(plan, act, Target::Live)).collect()
}

/// The steps that undo [`stand_still`] before a plan is taken up at a step: what that step or a
/// later one deploys is not started here.
#[must_use]
pub fn start_again(plan: &Plan, stilled: &[Step], at: usize) -> Vec<Step> {
    let rest = plan.steps.get(at..).unwrap_or(&[]);
    let later = |name: &Name| {
        rest.iter().any(|step| matches!(&step.act, Act::Apply(other, _) if other == name))
    };
    let was = |wanted: Act| stilled.iter().any(|step| step.act == wanted);
    let stopped = plan.components().filter(|name| was(Act::Stop((*name).clone())) && !later(name));
    let starts = stopped.map(|name| Act::Start(name.clone(), instances(plan, name)));
    let closed = plan.components().filter(|name| was(Act::HoldTraffic((*name).clone())));
    let acts = starts.chain(closed.cloned().map(Act::ReleaseTraffic));
    acts.map(|act| step(plan, act, Target::Live)).collect()
}

/// The components that some of these steps are about, for a sentence.
#[must_use]
pub fn components_of(steps: &[Step], wanted: impl Fn(&Act) -> bool) -> String {
    let named = steps.iter().filter(|step| wanted(&step.act));
    let names: Vec<&str> = named.filter_map(|step| Some(step.act.subject()?.as_str())).collect();
    names.join(", ")
}

/// The steps that remove a rehearsal's copy, whatever became of it.
#[must_use]
pub fn clean_up(plan: &Plan) -> Vec<Step> {
    let target = plan.intent.target();
    let components = plan.components().rev().map(|name| Act::DiscardCopy(name.clone()));
    let datastores = plan.datastores.keys().map(|name| Act::DiscardAside(name.clone()));
    components.chain(datastores).map(|act| step(plan, act, target.clone())).collect()
}

/// A step for an act, with the deadline of its subject.
#[must_use]
pub fn step(plan: &Plan, act: Act, target: Target) -> Step {
    let within = match (&act, act.subject()) {
        (_, Some(name)) => plan.within(name),
        (Act::BackUp(_, names), None) => names.iter().map(|name| plan.within(name)).sum(),
        (_, None) => plan.survey_within(),
    };
    Step { target, ..Step::plain(act, within) }
}

fn restore(plan: &Plan, facts: &Facts, restored: &[Name], touched: &[Name], acts: &mut Vec<Act>) {
    // What a datastore lives in has to run while that is kept and restored.
    let (homes, others): (Vec<&Name>, Vec<&Name>) =
        touched.iter().partition(|name| plan.is_home(name));
    let running = others.iter().rev().filter(|name| !facts.stopped.contains(**name));
    acts.extend(running.map(|name| Act::Stop((*name).clone())));
    acts.extend(homes.iter().map(|name| back_in_service(plan, facts, name)));
    acts.push(Act::BackUp(Purpose::FailedState, restored.to_vec()));
    let applied = others.iter().filter(|name| facts.applied.contains_key(**name));
    acts.extend(applied.filter_map(|name| {
        Some(Act::Revert((*name).clone(), revision(plan, name)?, Presence::Stopped))
    }));
    acts.extend(restored.iter().map(|name| Act::Fill(name.clone())));
    acts.extend(restored.iter().map(|name| Act::Switch(name.clone())));
    acts.extend(restored.iter().map(|name| Act::CheckSchema(name.clone(), before(plan, name))));
    acts.extend(others.iter().map(|name| Act::Start((*name).clone(), instances(plan, name))));
}

/// Components that were disturbed or that write to what is restored, in the order of start.
fn touched(plan: &Plan, facts: &Facts, restored: &[Name]) -> Vec<Name> {
    let writes = |name: &Name| {
        let mut stores = restored.iter().filter_map(|store| plan.datastores.get(store));
        stores.any(|store| store.written_by.contains(name))
    };
    let touched = |name: &&Name| {
        facts.applied.contains_key(*name) || facts.disturbed.contains(*name) || writes(name)
    };
    plan.components().filter(touched).cloned().collect()
}

fn back_in_service(plan: &Plan, facts: &Facts, name: &Name) -> Act {
    match revision(plan, name) {
        Some(revision) if facts.applied.contains_key(name) => {
            Act::Revert(name.clone(), revision, Presence::Running)
        }
        _ => Act::Start(name.clone(), instances(plan, name)),
    }
}

fn revision(plan: &Plan, name: &Name) -> Option<String> {
    let seen = plan.snapshot.components.get(name)?;
    seen.way_back.revision.clone().or_else(|| seen.running.revision.clone())
}

fn instances(plan: &Plan, name: &Name) -> u32 {
    plan.snapshot.components.get(name).map_or(1, |seen| seen.running.instances_wanted)
}

fn before(plan: &Plan, name: &Name) -> Option<String> {
    plan.snapshot.datastores.get(name)?.schema.as_ref()?.version.clone()
}
