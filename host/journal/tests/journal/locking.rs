//! One holder, fenced by an epoch.

use jiff::SignedDuration;
use model::Problem;
use serde_json::json;
use vaultup_journal::{Error, Journal, LockHeld};

use crate::common::{LEASE, append, at, owner, scratch};
use crate::support::acquire;

fn held_by(error: &Error) -> u32 {
    match error {
        Error::Held(holder) => holder.owner.process_id,
        other => panic!("expected `Held`: {other}"),
    }
}

fn fenced_by(error: &Error) -> (u64, u64, u32) {
    match error {
        Error::Fenced(fence) => {
            (fence.epoch, fence.epoch_now, fence.by.as_ref().unwrap().process_id)
        }
        other => panic!("expected `Fenced`: {other}"),
    }
}

/// Everything that a holder can do, tried by one whose lock was taken.
fn assert_fenced(journal: &Journal, held: LockHeld, expected: (u64, u64, u32)) {
    let before = journal.records(None).unwrap();
    let append = journal.append(&held, "run-1", "step-done", &json!({}), at(500)).unwrap_err();
    assert_eq!(fenced_by(&append), expected);
    assert_eq!(fenced_by(&journal.renew(&held, at(500), LEASE).unwrap_err()), expected);
    assert_eq!(fenced_by(&journal.fence(&held).unwrap_err()), expected);
    let holder = journal.holder().unwrap();
    assert_eq!(fenced_by(&journal.release(held).unwrap_err()), expected);
    assert_eq!(journal.holder().unwrap(), holder);
    assert_eq!(journal.records(None).unwrap(), before);
}

#[test]
fn the_second_of_two_is_told_who_holds_the_stack() {
    let directory = scratch();
    let first = Journal::open(directory.path()).unwrap();
    let second = Journal::open(directory.path()).unwrap();
    let held = acquire(&first, 1, 0);
    let error = second.acquire(&owner(2), at(59), LEASE, &|_| true).unwrap_err();
    assert_eq!(held_by(&error), 1);
    let sentence = error.to_string();
    for word in ["`vaultup run --to 2.5.0`", "ann", "one.example", "process 1", "lease ends at"] {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
    assert!(error.next().unwrap().contains("`vaultup unlock`"));
    let holder = second.holder().unwrap().unwrap();
    assert_eq!(holder.owner, owner(1));
    assert_eq!((holder.since, holder.expires_at), (at(0), at(60)));
    assert_eq!(holder.epoch, held.epoch());
    first.release(held).unwrap();
    assert_eq!(second.holder().unwrap(), None);
    assert_eq!(acquire(&second, 2, 59).epoch(), 2);
}

#[test]
fn the_same_process_does_not_acquire_twice() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let _held = acquire(&journal, 1, 0);
    let again = journal.acquire(&owner(1), at(1), LEASE, &|_| true).unwrap_err();
    assert_eq!(held_by(&again), 1);
}

#[test]
fn a_paused_holder_whose_lease_was_taken_over_can_do_nothing() {
    let directory = scratch();
    let paused = Journal::open(directory.path()).unwrap();
    let held = acquire(&paused, 1, 0);
    append(&paused, &held, 1, 2);
    let taker = Journal::open(directory.path()).unwrap();
    let taken = acquire(&taker, 2, 60);
    append(&taker, &taken, 3, 3);
    assert_fenced(&paused, held, (1, 2, 2));
    append(&taker, &taken, 4, 4);
    taker.release(taken).unwrap();
    assert_eq!(paused.records(None).unwrap().len(), 4);
}

#[test]
fn a_holder_stays_fenced_after_its_successor_released() {
    let directory = scratch();
    let paused = Journal::open(directory.path()).unwrap();
    let held = acquire(&paused, 1, 0);
    let taker = Journal::open(directory.path()).unwrap();
    taker.release(acquire(&taker, 2, 60)).unwrap();
    assert_fenced(&paused, held, (1, 2, 2));
}

#[test]
fn an_expired_lease_that_nobody_took_still_holds() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    let late = at(100_000);
    journal.append(&held, "run-1", "step-done", &json!({}), late).unwrap();
    journal.fence(&held).unwrap();
    journal.renew(&held, late, LEASE).unwrap();
    let error = journal.acquire(&owner(2), at(100_059), LEASE, &|_| true).unwrap_err();
    assert_eq!(held_by(&error), 1);
    journal.release(held).unwrap();
}

#[test]
fn a_dead_holder_is_replaced_at_once_and_only_a_dead_one() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    let asked = std::cell::RefCell::new(Vec::new());
    let is_alive = |owner: &vaultup_journal::Owner| {
        asked.borrow_mut().push(owner.clone());
        false
    };
    let taken = journal.acquire(&owner(2), at(1), LEASE, &is_alive).unwrap();
    assert_eq!(asked.into_inner(), [owner(1)]);
    assert_eq!(taken.epoch(), 2);
    assert_fenced(&journal, held, (1, 2, 2));
}

#[test]
fn a_broken_lock_fences_its_holder_and_names_who_broke_it() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(journal.break_lock(at(0), &owner(7)).unwrap(), None);
    let held = acquire(&journal, 1, 0);
    assert_eq!(held.epoch(), 1, "breaking nothing raises nothing");
    assert_eq!(journal.break_lock(at(1), &owner(7)).unwrap(), Some(owner(1)));
    assert_eq!(journal.holder().unwrap(), None);
    assert_fenced(&journal, held, (1, 2, 7));
    assert_eq!(acquire(&journal, 3, 2).epoch(), 3);
}

#[test]
fn the_epoch_rises_for_ever() {
    let directory = scratch();
    for epoch in 1..=20 {
        let journal = Journal::open(directory.path()).unwrap();
        let held = acquire(&journal, 1, 0);
        assert_eq!(held.epoch(), epoch);
        journal.release(held).unwrap();
    }
}

#[test]
fn the_proof_of_one_stack_opens_no_other() {
    let (one, other) = (scratch(), scratch());
    let one = Journal::open(one.path()).unwrap();
    let other = Journal::open(other.path()).unwrap();
    let (held, others) = (acquire(&one, 1, 0), acquire(&other, 1, 0));
    assert_eq!(held.epoch(), others.epoch());
    let error = one.append(&others, "run-1", "step-done", &json!({}), at(1)).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    one.fence(&others).unwrap_err();
    one.renew(&others, at(1), LEASE).unwrap_err();
    one.release(others).unwrap_err();
    one.fence(&held).unwrap();
}

#[test]
fn a_refusal_leaves_the_journal_usable() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    journal.acquire(&owner(2), at(1), LEASE, &|_| true).unwrap_err();
    journal.renew(&held, at(1), SignedDuration::ZERO).unwrap_err();
    journal.append(&held, "", "step-done", &json!({}), at(1)).unwrap_err();
    append(&journal, &held, 1, 1);
}

#[test]
fn threads_that_share_a_journal_take_turns() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (journal, held) = (&journal, &held);
            scope.spawn(move || {
                for step in 0..25 {
                    let body = json!({ "thread": thread, "step": step });
                    journal.append(held, "run-1", "step-done", &body, at(1)).unwrap();
                    journal.fence(held).unwrap();
                }
            });
        }
    });
    let records = journal.records(None).unwrap();
    for thread in 0..4 {
        let steps: Vec<_> = records
            .iter()
            .filter(|record| record.body["thread"] == thread)
            .map(|record| record.body["step"].clone())
            .collect();
        assert_eq!(steps, (0..25).map(|step| json!(step)).collect::<Vec<_>>());
    }
}
