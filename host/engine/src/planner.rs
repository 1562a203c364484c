//! Makes the plan of an upgrade from the stack, the release and what was observed.
//!
//! Writers are stopped before the backup when they must not write in between: for a migration that
//! the previous release may not survive, and for a datastore that cannot be copied at one moment
//! while they write. Otherwise the release is rolled out in waves while people work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::Name;
use model::contract::{MigrateRequest, Target, Traffic, Wave};
use model::release::{MigrateBy, MigrationClass, Release};
use model::stack::{OnFailure, Stack, WaveSize};

use crate::act::{Act, Migrate, Purpose};
use crate::obstacle::{Obstacle, obstacles};
use crate::plan::{DatastorePlan, Estimate, Intent, PLAN_FORMAT, Plan, Preconditions, Step};
use crate::snapshot::Snapshot;
use crate::writers;

/// Bytes a second that estimates assume for taking, proving and restoring a backup until a run
/// has measured it: what one core compresses and encrypts with room to spare.
const BACKUP_BYTES_PER_SECOND: u64 = 100 * 1024 * 1024;

/// Seconds that estimates assume for an act that its plugin says nothing of.
const ACT_SECONDS: u64 = 5;

/// What a plan is made from.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// The release that is to run.
    pub next: &'a Release,
    /// What was observed.
    pub snapshot: Snapshot,
    /// What must still be so when the plan is run.
    pub preconditions: Preconditions,
    /// Datastores on whose migrated schema a rehearsal showed the previous release to run.
    pub rehearsed: &'a BTreeSet<Name>,
    /// Whether to plan a rehearsal of the upgrade instead.
    pub intent: Intent,
    /// What else was found to be in the way.
    pub found: Vec<Obstacle>,
}

/// Makes a plan.
///
/// # Errors
/// Every obstacle that was found, gravest first.
pub fn plan(question: Question<'_>) -> Result<Plan, Vec<Obstacle>> {
    let from = running_version(&question.snapshot).map_err(|obstacle| vec![obstacle])?;
    let obstacles = obstacles(&question, &from);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    let Question { stack, next, snapshot, preconditions, rehearsed, intent, found: _ } = question;
    let order = stack.order();
    let target = intent.target();
    let smoke = stack.components.iter().filter(|(_, its)| !its.smoke_on(&target).is_empty());
    let mut plan = Plan {
        format: PLAN_FORMAT,
        stack: stack.name.clone(),
        intent,
        from,
        to: next.version.to_string(),
        preconditions,
        datastores: datastores(stack, next, &snapshot, rehearsed),
        snapshot,
        order,
        within: withins(stack),
        smoke: smoke.map(|(name, _)| name.clone()).collect(),
        steps: Vec::new(),
        point_of_no_return: None,
        estimate: Estimate::default(),
        restore_from: None,
        loss_budget: stack.policy.loss_budget,
        hold_on_failure: stack.policy.on_failure == OnFailure::Hold,
    };
    plan.steps = match plan.intent {
        Intent::Rehearsal => crate::rehearsal::steps(&plan, stack, next),
        Intent::Upgrade | Intent::Restore => steps(&plan, stack, next),
    };
    plan.point_of_no_return = plan.steps.iter().position(|step| changes_data(&plan, step));
    plan.estimate = estimate(&plan);
    Ok(plan)
}

/// The migrations that run as commands before the deployment, in the stack's order.
pub(crate) fn commanded_migrations(plan: &Plan, next: &Release) -> Vec<Migrate> {
    let migrate = |name: &Name| {
        let its = next.datastores.get(name)?;
        let MigrateBy::Command { with, command } = its.migrate.as_ref()? else { return None };
        writers::is_due_in(plan, name, next).then(|| Migrate {
            datastore: name.clone(),
            with: with.clone(),
            request: MigrateRequest {
                datastore: name.to_string(),
                command: command.clone(),
                expected: its.schema.clone(),
            },
        })
    };
    plan.order.iter().filter_map(migrate).collect()
}

/// The waves of a component, each larger than the one before, the last with every instance.
pub(crate) fn waves(sizes: &[WaveSize], wanted: u32) -> Vec<Wave> {
    let wanted = wanted.max(1);
    let mut counts: Vec<u32> = sizes
        .iter()
        .map(|size| match size {
            WaveSize::Instances(instances) => *instances,
            WaveSize::Percent(percent) => {
                let exact = u64::from(wanted) * u64::from(*percent);
                u32::try_from(exact.div_ceil(100)).unwrap_or(wanted)
            }
        })
        .map(|count| count.clamp(1, wanted))
        .chain([wanted])
        .collect();
    counts.dedup();
    let of = u32::try_from(counts.len()).unwrap_or(u32::MAX);
    let numbered = (1..=of).zip(counts);
    numbered.map(|(number, instances)| Wave { number, of, instances }).collect()
}

fn running_version(snapshot: &Snapshot) -> Result<String, Obstacle> {
    snapshot.version().map(str::to_owned).ok_or_else(|| {
        let each = snapshot.components.iter().map(|(name, its)| {
            format!("{name} {}", its.running.version.as_deref().unwrap_or("not deployed"))
        });
        Obstacle::MixedVersions(each.collect::<Vec<_>>().join(", "))
    })
}

fn datastores(
    stack: &Stack,
    next: &Release,
    snapshot: &Snapshot,
    rehearsed: &BTreeSet<Name>,
) -> BTreeMap<Name, DatastorePlan> {
    let one = |(name, its): (&Name, &model::stack::Datastore)| {
        let release = next.datastores.get(name);
        let at_start = release.and_then(|release| match &release.migrate {
            Some(MigrateBy::AtStart { with }) => Some(with.clone()),
            _ => None,
        });
        let plan = DatastorePlan {
            written_by: its.written_by.clone(),
            migrated_at_start_by: at_start,
            proof_required: its.proof,
            expected: release.and_then(|release| release.schema.clone()),
            declared_compatible: release
                .is_some_and(|release| release.migration == MigrationClass::Compatible),
            rehearsed_compatible: rehearsed.contains(name),
            restorable: snapshot.datastores.get(name).is_some_and(|seen| seen.restorable),
            lives_in: writers::home(stack, its),
            held: writers::why_held(&stack.policy, snapshot.datastores.get(name), release),
        };
        (name.clone(), plan)
    };
    stack.datastores.iter().map(one).collect()
}

pub(crate) fn withins(stack: &Stack) -> BTreeMap<Name, Duration> {
    let components = stack.components.iter().map(|(name, its)| (name.clone(), its.within));
    let datastores = stack.datastores.iter().map(|(name, its)| (name.clone(), its.within));
    components.chain(datastores).collect()
}

fn steps(plan: &Plan, stack: &Stack, next: &Release) -> Vec<Step> {
    let mut acts = vec![Act::Check];
    acts.extend(plan.components().map(|name| Act::Fetch(name.clone())));
    let stopped = writers::to_stop(plan);
    let closable = |name: &&Name| {
        let seen = plan.snapshot.components.get(*name);
        stopped.contains(*name)
            && seen.is_some_and(|its| its.running.traffic != Traffic::NotApplicable)
    };
    let closed: Vec<Name> = plan.components().filter(closable).cloned().collect();
    acts.extend(closed.iter().rev().map(|name| Act::HoldTraffic(name.clone())));
    let reversed = plan.components().rev().filter(|name| stopped.contains(*name));
    acts.extend(reversed.map(|name| Act::Stop(name.clone())));
    acts.extend(back_up(plan));
    acts.extend(commanded_migrations(plan, next).into_iter().map(Act::Migrate));
    for name in plan.components() {
        acts.extend(deploy(plan, stack, name));
    }
    acts.extend(plan.components().map(|name| Act::Verify(name.clone(), Some(plan.to.clone()))));
    acts.extend(plan.smoke.iter().map(|name| Act::Smoke(name.clone())));
    acts.extend(closed.into_iter().map(Act::ReleaseTraffic));
    acts.into_iter().map(|act| described(plan, act)).collect()
}

/// The backup of everything that holds state, and its proof.
pub(crate) fn back_up(plan: &Plan) -> Vec<Act> {
    if plan.datastores.is_empty() {
        return Vec::new();
    }
    let names = plan.datastores.keys().cloned().collect();
    let proofs = plan.datastores.iter();
    let proofs = proofs.map(|(name, its)| Act::Prove(name.clone(), its.proof_required));
    std::iter::once(Act::BackUp(Purpose::BeforeUpgrade, names)).chain(proofs).collect()
}

/// The deployment of one component, and the check of what it migrates when it starts.
pub(crate) fn deploy(plan: &Plan, stack: &Stack, name: &Name) -> Vec<Act> {
    let sizes = stack.components.get(name).map_or(&[][..], |its| &its.waves);
    let seen = plan.snapshot.components.get(name);
    let wanted = seen.map_or(1, |its| its.running.instances_wanted);
    let waves = waves(sizes, wanted).into_iter().map(|wave| Act::Apply(name.clone(), wave));
    let migrated = plan.migrated_at_start_by(name).into_iter().map(|datastore| {
        let expected = plan.datastores.get(&datastore).and_then(|its| its.expected.clone());
        Act::CheckSchema(datastore, expected)
    });
    waves.chain(migrated).collect()
}

fn changes_data(plan: &Plan, step: &Step) -> bool {
    step.target == Target::Live
        && match &step.act {
            Act::Migrate(_) => true,
            Act::Apply(name, _) => !plan.migrated_at_start_by(name).is_empty(),
            _ => false,
        }
}

/// A step with its commands and its way back in words.
fn described(plan: &Plan, act: Act) -> Step {
    let commands = match &act {
        Act::Apply(name, _) => {
            let preview = plan.snapshot.components.get(name).and_then(|its| its.preview.as_ref());
            preview.map(|preview| preview.commands.clone()).unwrap_or_default()
        }
        Act::BackUp(_, names) => {
            let seen = names.iter().filter_map(|name| plan.snapshot.datastores.get(name));
            seen.flat_map(|its| its.backup_commands.clone()).collect()
        }
        Act::Migrate(migrate) => vec![migrate.request.command.clone()],
        _ => Vec::new(),
    };
    let way_back = match &act {
        Act::HoldTraffic(_) => "let them in again".to_owned(),
        Act::Stop(name) => {
            let seen = plan.snapshot.components.get(name);
            format!("start {}", seen.map_or(1, |its| its.running.instances_wanted))
        }
        Act::Migrate(migrate) => way_back_of_migration(plan, &migrate.datastore),
        Act::Apply(name, _) => {
            let seen = plan.snapshot.components.get(name);
            let revision = seen.and_then(|its| its.way_back.revision.as_deref());
            format!("revision {}", revision.unwrap_or("unknown"))
        }
        _ => String::new(),
    };
    let plain = crate::way_back::step(plan, act, Target::Live);
    Step { commands, way_back, ..plain }
}

fn way_back_of_migration(plan: &Plan, name: &Name) -> String {
    let its = plan.datastores.get(name);
    if its.is_some_and(|its| its.declared_compatible && its.rehearsed_compatible) {
        return format!("none needed: {} was rehearsed to run on it", plan.from);
    }
    let held = writers::to_stop(plan);
    let writers = its.map_or(&[][..], |its| &its.written_by);
    let quiet = !writers.is_empty() && writers.iter().all(|name| held.contains(name));
    let loses = if quiet { "nothing: writers are stopped" } else { "what is written meanwhile" };
    format!("restore into an empty target, about {} s; loses {loses}", seconds_of(plan, name))
}

/// As long as the last backup took for each byte, if there was one.
fn seconds_of(plan: &Plan, name: &Name) -> u64 {
    let Some(its) = plan.snapshot.datastores.get(name) else { return 1 };
    match &its.last {
        Some(last) if last.bytes > 0 => {
            let bytes = u128::from(its.bytes.max(last.bytes));
            let milliseconds = u128::from(last.milliseconds) * bytes / u128::from(last.bytes);
            1 + u64::try_from(milliseconds / 1000).unwrap_or(u64::MAX / 1000)
        }
        _ => 1 + its.bytes / BACKUP_BYTES_PER_SECOND,
    }
}

pub(crate) fn estimate(plan: &Plan) -> Estimate {
    let seconds = |step: &Step| match &step.act {
        Act::BackUp(_, names) => names.iter().map(|name| seconds_of(plan, name)).sum(),
        Act::Prove(name, _) | Act::Fill(name) => seconds_of(plan, name),
        Act::Apply(name, wave) => {
            let preview = plan.snapshot.components.get(name).and_then(|its| its.preview.as_ref());
            let said = preview.and_then(|preview| preview.seconds).map(u64::from);
            said.unwrap_or(ACT_SECONDS) / u64::from(wave.of.max(1))
        }
        Act::Migrate(_) | Act::Stop(_) | Act::Fetch(_) => ACT_SECONDS,
        _ => 1,
    };
    let held_from =
        plan.steps.iter().position(|step| matches!(step.act, Act::Stop(_) | Act::HoldTraffic(_)));
    let held = held_from.and_then(|from| plan.steps.get(from..)).unwrap_or(&[]);
    let until_verified = held.iter().take_while(|step| !matches!(step.act, Act::Smoke(_)));
    let restores = plan.datastores.keys().map(|name| 2 * seconds_of(plan, name)).sum::<u64>();
    let redeploys = plan.components().count() as u64 * 2 * ACT_SECONDS;
    Estimate {
        total_seconds: plan.steps.iter().map(seconds).sum(),
        held_seconds: until_verified.map(seconds).sum(),
        way_back_seconds: restores + redeploys,
    }
}
