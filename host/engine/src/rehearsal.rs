//! The steps of a rehearsal: the whole upgrade and its way back, on a copy.
//!
//! The copy is filled from a proven backup of the live stack, so that the rehearsal also shows
//! that the backup can be restored. Nothing of the live stack is changed: every step that changes
//! something acts on the copy, and the copy is removed on every path.

use model::Name;
use model::contract::{Presence, Target};
use model::release::Release;
use model::stack::Stack;

use crate::act::Act;
use crate::plan::{Plan, Step};
use crate::planner::{back_up, commanded_migrations, deploy};
use crate::way_back::{clean_up, step};

/// The steps of a rehearsal of this plan.
pub(crate) fn steps(plan: &Plan, stack: &Stack, next: &Release) -> Vec<Step> {
    let live = std::iter::once(Act::Check).chain(back_up(plan));
    let mut steps: Vec<Step> = live.map(|act| step(plan, act, Target::Live)).collect();
    let mut copy = |acts: Vec<Act>, may_fail: bool| {
        let on_copy = |act| Step { may_fail, ..step(plan, act, plan.intent.target()) };
        steps.extend(acts.into_iter().map(on_copy));
    };
    copy(fill(plan), false);
    copy(previous(plan, Presence::Running), false);
    copy(stop(plan), false);
    let migrations = commanded_migrations(plan, next);
    if !migrations.is_empty() {
        copy(migrations.into_iter().map(Act::Migrate).collect(), false);
        // Does the previous release run on the migrated schema? The answer is what matters.
        copy(previous(plan, Presence::Running), true);
        copy(stop(plan), false);
    }
    copy(plan.components().flat_map(|name| deploy(plan, stack, name)).collect(), false);
    copy(verify(plan, &plan.to), false);
    copy(plan.smoke.iter().cloned().map(Act::Smoke).collect(), false);
    copy(stop(plan), false);
    if plan.datastores.values().any(|its| its.migrated_at_start_by.is_some()) {
        // What a component migrates when it is deployed is migrated now: the same question.
        copy(previous(plan, Presence::Running), true);
        copy(stop(plan), false);
    }
    copy(fill(plan), false);
    copy(previous(plan, Presence::Running), false);
    steps.extend(clean_up(plan));
    steps
}

fn fill(plan: &Plan) -> Vec<Act> {
    let filled = plan.datastores.keys().cloned().map(Act::Fill);
    filled.chain(plan.datastores.keys().cloned().map(Act::Switch)).collect()
}

fn previous(plan: &Plan, presence: Presence) -> Vec<Act> {
    let revert = |name: &Name| {
        let seen = plan.snapshot.components.get(name)?;
        let revision = seen.way_back.revision.clone().or_else(|| seen.running.revision.clone())?;
        Some(Act::Revert(name.clone(), revision, presence))
    };
    plan.components().filter_map(revert).chain(verify(plan, &plan.from)).collect()
}

fn stop(plan: &Plan) -> Vec<Act> {
    plan.components().rev().cloned().map(Act::Stop).collect()
}

fn verify(plan: &Plan, version: &str) -> Vec<Act> {
    plan.components().map(|name| Act::Verify(name.clone(), Some(version.to_owned()))).collect()
}
