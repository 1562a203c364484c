//! The plan of a restore that a person asks for, outside of an upgrade.
//!
//! It is asked for when the stack is broken, so nothing that an upgrade insists on stands in its
//! way: half-applied schemas, mixed versions, components and datastores that cannot be observed.
//! Only what would make the restore itself impossible is an [`Obstacle`].
//!
//! Order: the set is proven, writers stop, what is there is kept as far as it can be read, the
//! release that the data belongs to is put in place, the data is restored beside and switched in,
//! and only then does anything start. What could not be kept is set aside and never removed.

use std::collections::{BTreeMap, BTreeSet};

use model::Name;
use model::contract::{Presence, Target, Traffic};
use model::stack::Stack;

use crate::act::{Act, Purpose};
use crate::obstacle::Obstacle;
use crate::plan::{DatastorePlan, Estimate, Intent, PLAN_FORMAT, Plan, Preconditions, Step};
use crate::planner::{estimate, withins};
use crate::snapshot::Snapshot;
use crate::way_back::step;

/// What stands for a version that nobody can tell.
pub const UNKNOWN_VERSION: &str = "unknown";

/// What a plan of a restore is made from.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// The set that is restored.
    pub set: SetFacts,
    /// What could be observed.
    pub snapshot: Snapshot,
    /// What must still be so when the plan is run.
    pub preconditions: Preconditions,
    /// What earlier runs saw of the components.
    pub known: &'a BTreeMap<Name, Known>,
    /// Components that a run which holds has stopped.
    pub stopped: &'a BTreeSet<Name>,
    /// Components to which it holds requests back.
    pub held: &'a BTreeSet<Name>,
}

/// What is known of the set that is restored.
#[derive(Clone, Debug)]
pub struct SetFacts {
    /// Its id.
    pub id: String,
    /// The stack that it was taken of.
    pub stack: String,
    /// The release that its data belongs to.
    pub release: String,
    /// Its datastores.
    pub datastores: Vec<Name>,
}

/// What earlier runs saw of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The revision at which it ran the release that the set's data belongs to.
    pub revision: Option<String>,
    /// How many instances it had when it last had any.
    pub instances: u32,
}

/// Makes a plan.
///
/// # Errors
/// Every obstacle that was found.
pub fn plan(question: Question<'_>) -> Result<Plan, Vec<Obstacle>> {
    let obstacles = obstacles(&question);
    let (stopped, held) = (question.stopped, question.held);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let Question { stack, set, snapshot, preconditions, known, .. } = question;
    let unknown = || UNKNOWN_VERSION.to_owned();
    let datastores = set.datastores.iter().filter_map(|name| {
        let its = stack.datastores.get(name)?;
        let plan = DatastorePlan {
            written_by: its.written_by.clone(),
            migrated_at_start_by: None,
            proof_required: its.proof,
            expected: None,
            declared_compatible: false,
            rehearsed_compatible: false,
            restorable: true,
            lives_in: crate::writers::home(stack, its),
            held: None,
        };
        Some((name.clone(), plan))
    });
    let mut plan = Plan {
        format: PLAN_FORMAT,
        stack: stack.name.clone(),
        intent: Intent::Restore,
        from: snapshot.version().map_or_else(unknown, str::to_owned),
        to: set.release.clone(),
        preconditions,
        datastores: datastores.collect(),
        snapshot,
        order: stack.order(),
        within: withins(stack),
        smoke: Vec::new(),
        steps: Vec::new(),
        point_of_no_return: None,
        estimate: Estimate::default(),
        restore_from: Some(set.id),
        loss_budget: stack.policy.loss_budget,
        hold_on_failure: true,
    };
    plan.steps = steps(&plan, known, stopped, held);
    plan.point_of_no_return = plan.steps.iter().position(|s| matches!(s.act, Act::Switch(_)));
    plan.estimate = estimate(&plan);
    Ok(plan)
}

/// The components that a plan of a restore puts another release in place of, with the revision.
pub fn redeployed(plan: &Plan) -> impl Iterator<Item = (&Name, &str)> {
    plan.steps.iter().filter_map(|step| match &step.act {
        Act::Revert(name, revision, _) => Some((name, revision.as_str())),
        _ => None,
    })
}

fn obstacles(question: &Question<'_>) -> Vec<Obstacle> {
    let Question { stack, set, snapshot, .. } = question;
    if set.stack != stack.name.as_str() {
        return vec![Obstacle::OtherStack { set: set.id.clone(), stack: set.stack.clone() }];
    }
    let mut found = Vec::new();
    for name in &set.datastores {
        match snapshot.datastores.get(name) {
            _ if !stack.datastores.contains_key(name) => {
                found.push(Obstacle::NotInStack(name.clone()));
            }
            Some(seen) if !seen.restorable => found.push(Obstacle::CannotRestore(name.clone())),
            Some(seen) => {
                if let Some(free) = seen.bytes_free
                    && free < seen.bytes
                {
                    let (datastore, needed) = (name.clone(), seen.bytes);
                    found.push(Obstacle::NoRoom { datastore, needed, free });
                }
            }
            None => {}
        }
    }
    found
}

fn steps(
    plan: &Plan,
    known: &BTreeMap<Name, Known>,
    stopped: &BTreeSet<Name>,
    held: &BTreeSet<Name>,
) -> Vec<Step> {
    let restored = || plan.datastores.keys().cloned();
    let reverts: Vec<Act> = plan.components().filter_map(|n| revert(plan, known, n)).collect();
    let reverted = |name: &Name| reverts.iter().any(|act| act.subject() == Some(name));
    let affected = |name: &&Name| {
        let disturbed = stopped.contains(*name) || held.contains(*name);
        reverted(name) || disturbed || may_write_to_what_is_restored(plan, name)
    };
    let affected: Vec<Name> = plan.components().filter(affected).cloned().collect();
    let mut acts = vec![Act::Check];
    let proofs = plan.datastores.iter();
    acts.extend(proofs.map(|(name, its)| Act::Prove(name.clone(), its.proof_required)));
    let is_home = |act: &&Act| act.subject().is_some_and(|name| plan.is_home(name));
    let others = affected.iter().rev().filter(|name| !plan.is_home(name));
    acts.extend(others.cloned().map(Act::Stop));
    // What a datastore lives in has to run while that is kept and restored.
    acts.extend(reverts.iter().filter(is_home).cloned().map(running));
    acts.push(Act::BackUp(Purpose::BeforeRestore, restored().collect()));
    acts.extend(reverts.iter().filter(|act| !is_home(act)).cloned());
    acts.extend(restored().map(Act::Fill));
    acts.extend(restored().map(Act::Switch));
    let stopped_here = affected.iter().filter(|name| !plan.is_home(name));
    acts.extend(stopped_here.map(|name| {
        let seen = plan.snapshot.components.get(name).map_or(0, |its| its.running.instances_wanted);
        let before = known.get(name).map_or(1, |its| its.instances.max(1));
        Act::Start(name.clone(), if seen == 0 { before } else { seen })
    }));
    acts.extend(affected.iter().map(|name| {
        let seen = plan.snapshot.components.get(name);
        let version = seen.and_then(|its| its.running.version.clone());
        Act::Verify(name.clone(), if reverted(name) { Some(plan.to.clone()) } else { version })
    }));
    let closed = affected.iter().filter(|name| {
        let seen = plan.snapshot.components.get(*name);
        held.contains(*name) || seen.is_some_and(|its| its.running.traffic == Traffic::Held)
    });
    acts.extend(closed.cloned().map(Act::ReleaseTraffic));
    acts.extend(restored().map(Act::DiscardAside));
    acts.into_iter().map(|act| described(plan, act)).collect()
}

/// A component gets the release back that the data belongs to, if it is known how.
fn revert(plan: &Plan, known: &BTreeMap<Name, Known>, name: &Name) -> Option<Act> {
    let seen = plan.snapshot.components.get(name)?;
    let there = seen.running.version.as_ref() == Some(&plan.to);
    let revision = known.get(name)?.revision.clone()?;
    (!there).then(|| Act::Revert(name.clone(), revision, Presence::Stopped))
}

fn running(act: Act) -> Act {
    match act {
        Act::Revert(name, revision, _) => Act::Revert(name, revision, Presence::Running),
        other => other,
    }
}

/// A datastore that names no writer may have any.
fn may_write_to_what_is_restored(plan: &Plan, component: &Name) -> bool {
    let mut stores = plan.datastores.values();
    stores.any(|its| its.written_by.is_empty() || its.written_by.contains(component))
}

fn described(plan: &Plan, act: Act) -> Step {
    let way_back = match &act {
        Act::Stop(_) => "start it again",
        Act::Switch(_) => "what was there is set aside",
        _ => "",
    };
    // What cannot be kept must not keep anybody from restoring: it is set aside instead.
    let may_fail = matches!(act, Act::BackUp(..));
    Step { way_back: way_back.to_owned(), may_fail, ..step(plan, act, Target::Live) }
}

#[cfg(test)]
mod tests;
