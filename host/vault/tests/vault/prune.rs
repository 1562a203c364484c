//! What is removed, at the limits, and what never is.

use std::collections::BTreeSet;
use std::fs;

use jiff::{SignedDuration, Timestamp};
use model::contract::ProofLevel;
use vaultup_vault::{Kept, PARTIAL_AGE_MAX, PruneRequest, Pruned, Purpose, Retention, SetHeader};

use crate::support::{Contents, STACK, World, at, header, id, names, prove, publish};

const DAY: i64 = 86_400;

/// Sets of the datastore `d` at these days, each unproven.
fn sets(world: &World, sets: &[(&str, Purpose, i64)]) {
    for (set, purpose, day) in sets {
        let header = header(set, *purpose, at(day * DAY));
        publish(&world.vault, header, &[("d", &[("x", b"1")])]);
    }
}

struct Ask {
    retention: Retention,
    needed: BTreeSet<vaultup_vault::SetId>,
    named: BTreeSet<vaultup_vault::SetId>,
    now: Timestamp,
}

fn ask(last: u32, days: u32, now: Timestamp) -> Ask {
    let (needed, named) = (BTreeSet::new(), BTreeSet::new());
    Ask { retention: Retention { last, days }, needed, named, now }
}

impl Ask {
    fn prune(&self, world: &World, dry: bool) -> Pruned {
        let Self { retention, needed, named, now } = self;
        let request =
            PruneRequest { stack: STACK, retention: *retention, needed, named, now: *now, dry };
        world.vault.prune(&request).unwrap()
    }
}

fn removed(pruned: &Pruned) -> Vec<&str> {
    pruned.removed.iter().map(vaultup_vault::SetId::as_str).collect()
}

fn kept(pruned: &Pruned) -> Vec<(&str, &Kept)> {
    pruned.kept.iter().map(|(set, reason)| (set.as_str(), reason)).collect()
}

#[test]
fn so_many_of_the_newest_are_kept_and_one_more_is_not() {
    let world = World::new();
    use Purpose::{BeforeUpgrade, Manual};
    let all = [("a", Manual, 1), ("b", BeforeUpgrade, 2), ("c", Manual, 3), ("e", Manual, 4)];
    sets(&world, &all);
    let pruned = ask(2, 0, at(100 * DAY)).prune(&world, false);
    assert_eq!(removed(&pruned), ["b", "a"]);
    assert_eq!(kept(&pruned), [("e", &Kept::Best { datastore: "d".into() }), ("c", &Kept::Last)]);
    assert_eq!(names(world.vault.root()), ["c", "e"]);
    assert!(pruned.bytes_freed > 0);
}

#[test]
fn a_set_is_young_until_its_last_day_is_over() {
    let world = World::new();
    sets(&world, &[("a", Purpose::Manual, 0), ("b", Purpose::Manual, 1)]);
    let just_before = ask(0, 30, at(30 * DAY - 1)).prune(&world, true);
    assert_eq!(kept(&just_before)[1], ("a", &Kept::Young));
    let over = ask(0, 30, at(30 * DAY)).prune(&world, true);
    assert_eq!(removed(&over), ["a"]);
    // A clock that was set back makes sets of the future: they are young.
    assert!(removed(&ask(0, 30, at(-DAY)).prune(&world, true)).is_empty());
}

#[test]
fn a_dry_run_says_the_same_and_removes_nothing() {
    let world = World::new();
    sets(&world, &[("a", Purpose::Manual, 1), ("b", Purpose::Manual, 2)]);
    let ask = ask(0, 0, at(100 * DAY));
    let dry = ask.prune(&world, true);
    assert_eq!(names(world.vault.root()), ["a", "b"]);
    assert_eq!(ask.prune(&world, false), dry);
    assert_eq!(names(world.vault.root()), ["b"]);
}

#[test]
fn the_last_proven_set_outlives_every_newer_unproven_one() {
    let world = World::new();
    use Purpose::Manual;
    sets(&world, &[("a", Manual, 1), ("b", Manual, 2), ("c", Manual, 3), ("e", Manual, 4)]);
    prove(&world.vault, "a", "d", ProofLevel::Restored);
    prove(&world.vault, "b", "d", ProofLevel::Checked);
    prove(&world.vault, "c", "d", ProofLevel::Readable);
    let mut ask = ask(0, 0, at(100 * DAY));
    ask.named = ["a", "b", "c", "e"].map(id).into();
    let pruned = ask.prune(&world, false);
    // `a` was proven better than asked for, which does not make it better than the newer `b`.
    assert_eq!(kept(&pruned), [("b", &Kept::NewestProven)]);
}

#[test]
fn with_nothing_proven_the_best_and_newest_is_kept() {
    let world = World::new();
    use Purpose::Manual;
    sets(&world, &[("a", Manual, 1), ("b", Manual, 2), ("c", Manual, 3)]);
    prove(&world.vault, "b", "d", ProofLevel::Readable);
    let pruned = ask(0, 0, at(100 * DAY)).prune(&world, false);
    assert_eq!(kept(&pruned), [("b", &Kept::Best { datastore: "d".into() })]);
}

#[test]
fn a_set_of_one_moment_is_kept_beside_better_parts_of_other_sets() {
    let world = World::new();
    let both: Contents<'_> = &[("d", &[("x", b"1")]), ("e", &[("x", b"2")])];
    for (set, day) in [("whole", 1), ("only-e", 2), ("only-d", 3)] {
        publish(&world.vault, header(set, Purpose::Manual, at(day * DAY)), both);
    }
    for (set, datastore) in [("whole", "d"), ("whole", "e"), ("only-e", "e"), ("only-d", "d")] {
        prove(&world.vault, set, datastore, ProofLevel::Checked);
    }
    let pruned = ask(0, 0, at(100 * DAY)).prune(&world, false);
    let best = |datastore: &str| Kept::Best { datastore: datastore.into() };
    let expected = [("only-d", &best("d")), ("only-e", &best("e")), ("whole", &Kept::NewestProven)];
    assert_eq!(kept(&pruned), expected);
}

#[test]
fn a_datastore_that_left_the_stack_keeps_its_last_backup() {
    let world = World::new();
    let before = header("a", Purpose::Manual, at(DAY));
    publish(&world.vault, before, &[("d", &[("x", b"1")]), ("old", &[("x", b"2")])]);
    sets(&world, &[("b", Purpose::Manual, 2)]);
    let pruned = ask(0, 0, at(100 * DAY)).prune(&world, false);
    assert_eq!(kept(&pruned)[1], ("a", &Kept::Best { datastore: "old".into() }));
}

#[test]
fn what_an_unfinished_run_may_need_stays_even_when_it_is_named() {
    let world = World::new();
    use Purpose::{BeforeUpgrade, FailedState, Manual};
    sets(&world, &[("a", BeforeUpgrade, 1), ("b", FailedState, 2), ("c", Manual, 3)]);
    let mut ask = ask(0, 0, at(100 * DAY));
    ask.needed = ["a", "b"].map(id).into();
    ask.named = ["a", "b"].map(id).into();
    let pruned = ask.prune(&world, false);
    assert_eq!(kept(&pruned)[1..], [("b", &Kept::Needed), ("a", &Kept::Needed)]);
}

#[test]
fn a_failed_state_stays_until_it_is_named_and_is_no_backup_to_rely_on() {
    let world = World::new();
    use Purpose::{FailedState, Manual};
    sets(&world, &[("a", Manual, 1), ("b", FailedState, 2), ("c", FailedState, 3)]);
    prove(&world.vault, "c", "d", ProofLevel::Restored);
    let mut ask = ask(0, 0, at(100 * DAY));
    let best = Kept::Best { datastore: "d".into() };
    let pruned = ask.prune(&world, false);
    assert_eq!(kept(&pruned), [("c", &Kept::FailedState), ("b", &Kept::FailedState), ("a", &best)]);
    ask.named = ["c"].map(id).into();
    let pruned = ask.prune(&world, false);
    assert_eq!(removed(&pruned), ["c"]);
    assert_eq!(kept(&pruned), [("b", &Kept::FailedState), ("a", &best)]);
}

#[test]
fn a_rehearsal_neither_counts_nor_protects() {
    let world = World::new();
    use Purpose::{Manual, Rehearsal};
    sets(&world, &[("a", Manual, 1), ("b", Manual, 2), ("c", Rehearsal, 3), ("e", Rehearsal, 4)]);
    prove(&world.vault, "e", "d", ProofLevel::Restored);
    let pruned = ask(2, 97, at(100 * DAY)).prune(&world, false);
    assert_eq!(removed(&pruned), ["c"]);
    let best = Kept::Best { datastore: "d".into() };
    assert_eq!(kept(&pruned), [("e", &Kept::Young), ("b", &best), ("a", &Kept::Last)]);
}

#[test]
fn other_stacks_are_left_alone() {
    let world = World::new();
    let other = SetHeader { stack: "other".into(), ..header("a", Purpose::Manual, at(0)) };
    publish(&world.vault, other, &[("d", &[("x", b"1")])]);
    sets(&world, &[("b", Purpose::Manual, 1), ("c", Purpose::Manual, 2)]);
    let mut ask = ask(0, 0, at(100 * DAY));
    ask.named = ["a"].map(id).into();
    let pruned = ask.prune(&world, false);
    assert_eq!((removed(&pruned), pruned.kept.len()), (vec!["b"], 1));
    assert_eq!(names(world.vault.root()), ["a", "c"]);
}

#[test]
fn a_damaged_set_stays_until_it_is_named_and_protects_nothing() {
    let world = World::new();
    sets(&world, &[("a", Purpose::Manual, 1), ("b", Purpose::Manual, 2)]);
    prove(&world.vault, "b", "d", ProofLevel::Restored);
    fs::remove_file(world.artifact_path("b", "d", "x")).unwrap();
    fs::create_dir(world.set_path("c")).unwrap();
    let mut ask = ask(0, 0, at(100 * DAY));
    let best = Kept::Best { datastore: "d".into() };
    let pruned = ask.prune(&world, false);
    assert_eq!(kept(&pruned), [("b", &Kept::Damaged), ("a", &best), ("c", &Kept::Damaged)]);
    ask.named = ["b", "c"].map(id).into();
    assert_eq!(removed(&ask.prune(&world, false)), ["b", "c"]);
    assert_eq!(names(world.vault.root()), ["a"]);
}

#[test]
fn a_leftover_is_removed_when_it_is_older_than_a_day() {
    let world = World::new();
    drop(world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap());
    let changed = fs::metadata(world.set_path(".a.partial")).unwrap().modified().unwrap();
    let limit = Timestamp::try_from(changed).unwrap() + PARTIAL_AGE_MAX;
    let young = ask(0, 0, limit).prune(&world, false);
    assert_eq!(kept(&young), [("a", &Kept::Unfinished)]);
    let mut old = ask(0, 0, limit + SignedDuration::from_nanos(1));
    old.needed = ["a"].map(id).into();
    assert_eq!(kept(&old.prune(&world, false)), [("a", &Kept::Needed)]);
    old.needed.clear();
    assert_eq!(removed(&old.prune(&world, false)), ["a"]);
    assert!(names(world.vault.root()).is_empty());
}

#[test]
fn a_set_that_is_being_written_is_no_leftover_however_old_it_is() {
    let world = World::new();
    let _writer = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let far = at(0) + SignedDuration::from_hours(24 * 36_500);
    assert_eq!(kept(&ask(0, 0, far).prune(&world, false)), [("a", &Kept::Unfinished)]);
}

#[test]
fn a_removal_that_was_cut_short_is_never_listed_and_is_finished_by_the_next() {
    let world = World::new();
    sets(&world, &[("a", Purpose::Manual, 1), ("b", Purpose::Manual, 2)]);
    fs::rename(world.set_path("a"), world.set_path(".a.removing")).unwrap();
    fs::remove_file(world.set_path(".a.removing").join("set.json")).unwrap();
    assert_eq!(world.vault.sets().unwrap().len(), 1);
    assert_eq!(removed(&ask(9, 9, at(0)).prune(&world, true)), ["a"]);
    assert_eq!(names(world.vault.root()), [".a.removing", "b"]);
    ask(9, 9, at(0)).prune(&world, false);
    assert_eq!(names(world.vault.root()), ["b"]);
}
