//! Which writers are stopped from before the backup until the migration is done, and why.
//!
//! Observed facts decide with what the release claims: a datastore that cannot be copied at one
//! moment, a table that is too large to be migrated while people wait for its locks.

use std::collections::BTreeSet;

use model::Name;
use model::contract::Consistency;
use model::release::{DatastoreRelease, MigrationClass, Release};
use model::stack::{Datastore, Policy, Stack};

use crate::plan::{Plan, WhyHeld};
use crate::snapshot::DatastoreSnapshot;

/// Why the writers of a datastore must be stopped; nothing if they may go on.
pub(crate) fn why_held(
    policy: &Policy,
    seen: Option<&DatastoreSnapshot>,
    release: Option<&DatastoreRelease>,
) -> Option<WhyHeld> {
    let due = release.is_some_and(|release| is_due(seen, release));
    let class = release.map_or(MigrationClass::None, |release| release.migration);
    if due && !matches!(class, MigrationClass::None | MigrationClass::Compatible) {
        return Some(WhyHeld::Migration);
    }
    if seen.is_none_or(|seen| seen.consistency != Consistency::OneMoment) {
        return Some(WhyHeld::Moments);
    }
    let extents = seen.and_then(|seen| seen.pending.as_ref()).map(|pending| &pending.extents);
    let largest = extents.and_then(|all| all.iter().max_by_key(|extent| extent.bytes))?;
    let is_large = due && largest.bytes > policy.downtime_above_bytes;
    is_large.then(|| WhyHeld::LargeTable { table: largest.name.clone(), bytes: largest.bytes })
}

/// Whether a migration has something to do: unless it is known that nothing is pending, it has.
pub(crate) fn is_due(seen: Option<&DatastoreSnapshot>, release: &DatastoreRelease) -> bool {
    let schema = seen.and_then(|its| its.schema.as_ref());
    let there = release.schema.is_some()
        && schema.and_then(|schema| schema.version.as_ref()) == release.schema.as_ref();
    let pending = seen.and_then(|its| its.pending.as_ref());
    let nothing_pending = pending.is_some_and(|pending| pending.migrations.is_empty());
    release.migrate.is_some() && !(there && (pending.is_none() || nothing_pending))
}

/// Whether a release has something to migrate in a datastore of a plan.
pub(crate) fn is_due_in(plan: &Plan, name: &Name, release: &Release) -> bool {
    let seen = plan.snapshot.datastores.get(name);
    release.datastores.get(name).is_some_and(|release| is_due(seen, release))
}

/// The component that a datastore lives in, by the setting with which plugins run tools there.
pub(crate) fn home(stack: &Stack, datastore: &Datastore) -> Option<Name> {
    let name = Name::parse(datastore.settings.get("inside")?.as_str()?).ok()?;
    stack.components.contains_key(&name).then_some(name)
}

/// Components that must not write between the backup and the end of the migration.
pub(crate) fn to_stop(plan: &Plan) -> BTreeSet<Name> {
    let held = plan.datastores.values().filter(|its| its.held.is_some());
    held.flat_map(|its| its.written_by.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use model::contract::{Extent, Pending};

    use super::*;

    fn release(class: &str) -> DatastoreRelease {
        let text = format!(
            "format = 1\nversion = \"2.0.0\"\n[datastores.orders]\nschema = 2\n\
             migration = \"{class}\"\nmigrate = {{ command = [\"up\"] }}\n"
        );
        let mut release = Release::parse(&text, "release.toml").unwrap();
        release.datastores.remove(&Name::parse("orders").unwrap()).unwrap()
    }

    fn seen(consistency: Consistency, bytes: u64) -> DatastoreSnapshot {
        let extent = |name: &str, bytes| Extent { name: name.to_owned(), bytes, count: None };
        let extents = vec![extent("small", 1), extent("events", bytes)];
        DatastoreSnapshot {
            schema: None,
            pending: Some(Pending { migrations: Vec::new(), extents, commands: Vec::new() }),
            bytes,
            bytes_free: None,
            consistency,
            backup_commands: Vec::new(),
            restorable: true,
            last: None,
        }
    }

    /// R20: a table over the limit takes downtime, whatever the release says of the migration.
    #[test]
    fn a_table_over_the_limit_stops_the_writers_of_a_compatible_migration_and_one_at_it_does_not() {
        let policy = Policy::default();
        let limit = policy.downtime_above_bytes;
        let held = |bytes| {
            let seen = seen(Consistency::OneMoment, bytes);
            why_held(&policy, Some(&seen), Some(&release("compatible")))
        };
        assert_eq!(held(limit), None);
        let table = "events".to_owned();
        assert_eq!(held(limit + 1), Some(WhyHeld::LargeTable { table, bytes: limit + 1 }));
    }

    #[test]
    fn a_breaking_migration_and_moments_that_differ_stop_the_writers_and_nothing_else_does() {
        let policy = Policy::default();
        let at_once = seen(Consistency::OneMoment, 1);
        let in_parts = seen(Consistency::None, 1);
        let breaking = release("breaking");
        assert_eq!(why_held(&policy, Some(&at_once), Some(&breaking)), Some(WhyHeld::Migration));
        assert_eq!(why_held(&policy, Some(&in_parts), None), Some(WhyHeld::Moments));
        assert_eq!(why_held(&policy, None, None), Some(WhyHeld::Moments));
        assert_eq!(why_held(&policy, Some(&at_once), None), None);
        assert_eq!(why_held(&policy, Some(&at_once), Some(&release("none"))), None);
    }
}
