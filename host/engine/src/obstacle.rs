//! Why there is no plan: everything that was found to be in the way, told at once.

use model::Name;
use model::contract::Severity;
use model::release::MigrateBy;
use model::stack::Component;

use crate::plan::{Intent, WhyHeld};
use crate::planner::Question;
use crate::snapshot::ComponentSnapshot;
use crate::writers;

/// Why there is no plan. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The components do not agree on a version.
    #[error("it cannot be told which release runs: {0}")]
    MixedVersions(String),
    /// It runs already.
    #[error("release {0} runs already")]
    AlreadyThere(String),
    /// The release cannot be reached in one step.
    #[error("release {to} cannot be reached from {from}: it can from {allowed}")]
    NotFrom {
        /// The version that runs.
        from: String,
        /// The version asked for.
        to: String,
        /// The versions that it can be reached from.
        allowed: String,
    },
    /// There would be no way back for a component.
    #[error("there is no way back for component `{component}`: {reason}")]
    NoWayBack {
        /// The component.
        component: Name,
        /// What is missing.
        reason: String,
    },
    /// The stack file does not say who writes to a datastore, and they have to be stopped.
    #[error("nobody knows who writes to datastore `{datastore}`, and they must stop: {why}")]
    WritersUnknown {
        /// The datastore.
        datastore: Name,
        /// Why they have to.
        why: WhyHeld,
    },
    /// A migration that was shipped, or applied, is another one now.
    #[error("the migration `{migration}` of datastore `{datastore}` was changed after {when}")]
    MigrationEdited {
        /// The datastore.
        datastore: Name,
        /// File of the migration.
        migration: String,
        /// What happened before: release 1.0.0 shipped it, it was applied.
        when: String,
    },
    /// Somebody else is at work.
    #[error("somebody is at work on component `{component}`: {reason}")]
    Busy {
        /// The component.
        component: Name,
        /// What was seen.
        reason: String,
    },
    /// A preview found something that must not happen.
    #[error("deploying component `{component}` would {act} {object}: {detail}")]
    Blocking {
        /// The component.
        component: Name,
        /// `add`, `change`, `replace` or `delete`.
        act: String,
        /// Which object.
        object: String,
        /// What differs.
        detail: String,
    },
    /// A migration was begun earlier and not ended.
    #[error("datastore `{0}` has a migration that was begun and never ended")]
    Dirty(Name),
    /// A datastore that will be migrated could not be restored.
    #[error("datastore `{0}` will be migrated, and its plugin cannot restore it")]
    NotRestorable(Name),
    /// No room to restore.
    #[error("no room to restore datastore `{datastore}`: {needed} bytes needed, {free} free")]
    NoRoom {
        /// The datastore.
        datastore: Name,
        /// Bytes that a restore beside it needs.
        needed: u64,
        /// Bytes free there.
        free: u64,
    },
    /// A migration's command would act on the live data even when it is meant for a copy.
    #[error(
        "the migration command of `{0}` names its data without a variable such as `${{data}}`, \
             so it cannot be pointed at a copy"
    )]
    MigrationNotCopyable(Name),
    /// The probes or checks of a component are the live one's, and its copy has none of its own.
    #[error("the `{checks}` of `{component}` ask the live component, and its copy has none")]
    ChecksNotCopyable {
        /// The component.
        component: Name,
        /// `health` or `smoke`.
        checks: &'static str,
    },
    /// A backup set belongs to another stack.
    #[error("backup {set} is of stack `{stack}`, not of this one")]
    OtherStack {
        /// The set.
        set: String,
        /// Its stack.
        stack: String,
    },
    /// A backup set holds a datastore that the stack does not have.
    #[error("the backup holds datastore `{0}`, which the stack file does not have")]
    NotInStack(Name),
    /// A datastore's plugin can take backups and not restore them.
    #[error("the plugin of datastore `{0}` cannot restore")]
    CannotRestore(Name),
    /// A component says nothing of how its copy differs.
    #[error("`{0}` has no rehearsal settings, so it cannot be copied")]
    NotCopyable(Name),
}

impl Obstacle {
    /// The component or datastore that it is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<&Name> {
        match self {
            Self::NoWayBack { component: name, .. }
            | Self::Busy { component: name, .. }
            | Self::Blocking { component: name, .. }
            | Self::ChecksNotCopyable { component: name, .. }
            | Self::WritersUnknown { datastore: name, .. }
            | Self::MigrationEdited { datastore: name, .. }
            | Self::NoRoom { datastore: name, .. }
            | Self::Dirty(name)
            | Self::NotRestorable(name)
            | Self::MigrationNotCopyable(name)
            | Self::CannotRestore(name)
            | Self::NotCopyable(name) => Some(name),
            Self::MixedVersions(_)
            | Self::AlreadyThere(_)
            | Self::NotFrom { .. }
            | Self::OtherStack { .. }
            | Self::NotInStack(_) => None,
        }
    }
}

/// Everything that is in the way of an upgrade from the version that runs.
pub(crate) fn obstacles(question: &Question<'_>, from: &str) -> Vec<Obstacle> {
    let mut found = question.found.clone();
    let to = question.next.version.to_string();
    if from == to && question.intent == Intent::Upgrade {
        return vec![Obstacle::AlreadyThere(to)];
    }
    let reachable = semver::Version::parse(from)
        .is_ok_and(|version| question.next.from.iter().any(|pattern| pattern.matches(&version)));
    if !question.next.from.is_empty() && !reachable {
        let allowed = question.next.from.iter().map(|p| String::from(p.clone()));
        let allowed = allowed.collect::<Vec<_>>().join(", ");
        found.push(Obstacle::NotFrom { from: from.to_owned(), to, allowed });
    }
    for (name, seen) in &question.snapshot.components {
        component_obstacles(name, seen, &mut found);
        if let Some(its) = question.stack.components.get(name)
            && question.intent == Intent::Rehearsal
        {
            rehearsal_obstacles(name, its, &mut found);
        }
    }
    for (name, seen) in &question.snapshot.datastores {
        let migrates = question.next.datastores.get(name).is_some_and(|its| its.migrate.is_some());
        if seen.schema.as_ref().is_some_and(|schema| schema.dirty) {
            found.push(Obstacle::Dirty(name.clone()));
        }
        found.extend(writers_unknown(question, name));
        if migrates && !seen.restorable {
            found.push(Obstacle::NotRestorable(name.clone()));
        }
        if let Some(free) = seen.bytes_free
            && migrates
            && free < seen.bytes
        {
            found.push(Obstacle::NoRoom { datastore: name.clone(), needed: seen.bytes, free });
        }
        let command = question.next.datastores.get(name).and_then(|its| match &its.migrate {
            Some(MigrateBy::Command { command, .. }) => Some(command),
            _ => None,
        });
        let fixed = command.is_some_and(|words| !words.iter().any(|word| word.contains("${")));
        if question.intent == Intent::Rehearsal && fixed {
            found.push(Obstacle::MigrationNotCopyable(name.clone()));
        }
        let copyable = question.stack.datastores.get(name).is_some_and(|d| d.rehearsal.is_some());
        if question.intent == Intent::Rehearsal && !copyable {
            found.push(Obstacle::NotCopyable(name.clone()));
        }
    }
    found
}

/// Writers that have to be stopped, and of which the stack file says nothing. A rehearsal restores
/// a copy, and stops nobody for the live data's sake.
fn writers_unknown(question: &Question<'_>, name: &Name) -> Option<Obstacle> {
    let its = question.stack.datastores.get(name)?;
    if its.writers_are_named || question.intent == Intent::Rehearsal {
        return None;
    }
    let seen = question.snapshot.datastores.get(name);
    let release = question.next.datastores.get(name);
    let why = writers::why_held(&question.stack.policy, seen, release)?;
    Some(Obstacle::WritersUnknown { datastore: name.clone(), why })
}

fn rehearsal_obstacles(name: &Name, its: &Component, found: &mut Vec<Obstacle>) {
    let Some(copy) = &its.rehearsal else {
        found.push(Obstacle::NotCopyable(name.clone()));
        return;
    };
    let lacks_health = !its.health.is_empty() && copy.health.is_none();
    let lacks_smoke = !its.smoke.is_empty() && copy.smoke.is_none();
    for (lacks, checks) in [(lacks_health, "health"), (lacks_smoke, "smoke")] {
        if lacks {
            found.push(Obstacle::ChecksNotCopyable { component: name.clone(), checks });
        }
    }
}

fn component_obstacles(name: &Name, seen: &ComponentSnapshot, found: &mut Vec<Obstacle>) {
    if let Some(reason) = &seen.running.busy {
        found.push(Obstacle::Busy { component: name.clone(), reason: reason.clone() });
    }
    if !seen.way_back.available {
        let reason = seen.way_back.reason.clone();
        found.push(Obstacle::NoWayBack { component: name.clone(), reason });
    }
    let differences = seen.preview.iter().flat_map(|preview| &preview.differences);
    let blocking = differences.filter(|its| its.severity == Severity::Blocking);
    found.extend(blocking.map(|its| Obstacle::Blocking {
        component: name.clone(),
        act: its.act.clone(),
        object: its.object.clone(),
        detail: its.detail.clone(),
    }));
}
