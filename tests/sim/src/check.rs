//! Holds the end of a run against the invariants.

use engine::machine::{Ending, Machine};

use crate::world::World;

/// What an ended run violates: nothing, if all is well.
#[must_use]
pub fn violations(before: &World, after: &World, machine: &Machine) -> Vec<String> {
    let mut found = after.violations.clone();
    let plan = machine.plan();
    let versions = |version: &str| {
        after.components.values().all(|its| its.version == version && its.running && !its.held)
    };
    let clean = after.stores.values().all(|its| !its.dirty);
    let old_rows = after.stores.iter().all(|(name, its)| {
        before.stores.get(name).is_some_and(|was| was.rows.is_subset(&its.rows))
    });
    match machine.ending() {
        None => found.push("I4: the run has not ended".to_owned()),
        Some(Ending::Upgraded) => {
            let expected = |(name, its): (&model::Name, &crate::world::Content)| {
                let wanted = plan.datastores.get(name).and_then(|d| d.expected.clone());
                wanted.is_none_or(|version| version == its.schema.to_string())
            };
            if !versions(&plan.to) || !clean || !after.stores.iter().all(expected) {
                found.push("I4: upgraded, but not everything is".to_owned());
            }
        }
        Some(Ending::RolledBack) => {
            let same = |(name, its): (&model::Name, &crate::world::Content)| {
                before.stores.get(name).is_some_and(|was| was.schema == its.schema)
            };
            if !versions(&plan.from) || !clean || !after.stores.iter().all(same) {
                found.push("I4: rolled back, but not everything is".to_owned());
            }
        }
        Some(Ending::Unchanged(_)) => {
            if !versions(&plan.from) || !clean {
                found.push("I4: said to be unchanged, but is not".to_owned());
            }
        }
        Some(Ending::Held(said)) => {
            let runs = |its: &crate::world::Component| its.running && its.version == plan.to;
            let told = said.contains("failed");
            if machine.held_by_decision().is_some()
                && !told
                && after.components.values().any(runs)
            {
                found.push("I4: a decision to hold left the next release running".to_owned());
            }
            let set = machine.facts().set.as_ref();
            if set.is_some_and(|set| !after.backups.contains_key(set)) {
                found.push("I6: held without its backup".to_owned());
            }
        }
    }
    if !old_rows && !matches!(machine.ending(), Some(Ending::Held(_))) {
        found.push("I2: rows that were there before the run are gone".to_owned());
    }
    if !after.lost.is_empty() {
        found.push(format!("I2: a restore within a budget of nothing lost {:?}", after.lost));
    }
    found
}
