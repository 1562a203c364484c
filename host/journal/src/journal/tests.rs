//! What the disk can do to a journal in the middle of a write.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::io::Write as _;

use serde_json::json;
use tempfile::TempDir;

use super::*;

const LEASE: SignedDuration = SignedDuration::from_secs(60);
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn owner() -> Owner {
    Owner {
        host: "one".to_owned(),
        process_id: 1,
        process_started: "1".to_owned(),
        user: "ann".to_owned(),
        command: "vaultup run".to_owned(),
    }
}

/// A journal with two records, held.
fn two_records() -> (TempDir, Journal, LockHeld) {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    let held = journal.acquire(&owner(), NOW, LEASE, &|_| true).unwrap();
    for number in 1..=2 {
        journal.append(&held, "run", "kind", &number, NOW).unwrap();
    }
    (directory, journal, held)
}

/// Everything is refused after a failure, whatever it is that is asked.
fn assert_poisoned(journal: &Journal, held: LockHeld) {
    let answers = [
        journal.append(&held, "run", "kind", &3, NOW).map(drop),
        journal.fence(&held),
        journal.renew(&held, NOW, LEASE),
        journal.records(None).map(drop),
        journal.runs().map(drop),
        journal.last_run().map(drop),
        journal.holder().map(drop),
        journal.break_lock(NOW, &owner()).map(drop),
        journal.acquire(&owner(), NOW, LEASE, &|_| false).map(drop),
        journal.release(held),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(Error::Poisoned { .. })), "{answer:?}");
    }
}

/// Reopens and expects records 1 to `count`, and that it goes on from there.
fn assert_intact(directory: &TempDir, count: u64) {
    let journal = Journal::open(directory.path()).unwrap();
    let read: Vec<_> =
        journal.records(None).unwrap().into_iter().map(|record| record.body).collect();
    assert_eq!(read, (1..=count).map(|number| json!(number)).collect::<Vec<_>>());
    let held = journal.acquire(&owner(), NOW, LEASE, &|_| false).unwrap();
    assert_eq!(held.epoch(), 2);
    let next = journal.append(&held, "run", "kind", &(count + 1), NOW).unwrap();
    assert_eq!(next.0, count + 1);
}

#[test]
fn a_full_disk_poisons_the_journal_and_keeps_what_was_there() {
    let (directory, journal, held) = two_records();
    let pages: u32 = {
        let inner = journal.inner.lock().unwrap();
        let pages = inner.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        inner.connection.pragma_update(None, "max_page_count", pages).unwrap();
        pages
    };
    let large = "x".repeat(1024 * (pages as usize + 4));
    let error = journal.append(&held, "run", "kind", &large, NOW).unwrap_err();
    assert!(matches!(error, Error::WriteFailed { .. }), "{error}");
    assert_eq!(model::Problem::exit(&error), model::Exit::Held);
    assert_poisoned(&journal, held);
    drop(journal);
    assert_intact(&directory, 2);
}

#[test]
fn an_anchor_that_cannot_be_written_poisons_the_journal_and_the_record_is_found_again() {
    let (directory, journal, held) = two_records();
    journal.inner.lock().unwrap().anchor = File::open(directory.path().join(anchor::FILE)).unwrap();
    let error = journal.append(&held, "run", "kind", &3, NOW).unwrap_err();
    assert!(matches!(error, Error::WriteFailed { .. }), "{error}");
    assert_poisoned(&journal, held);
    drop(journal);
    assert_intact(&directory, 3);
}

#[test]
fn damage_that_is_met_while_open_poisons_the_journal() {
    let (directory, journal, held) = two_records();
    OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(directory.path().join(anchor::FILE))
        .unwrap()
        .write_all(b"damaged")
        .unwrap();
    let error = journal.append(&held, "run", "kind", &3, NOW).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_poisoned(&journal, held);
}

#[test]
fn a_panic_in_the_middle_poisons_the_journal() {
    let (directory, journal, held) = two_records();
    std::thread::scope(|scope| {
        let crash = scope.spawn(|| journal.acquire(&owner(), NOW, LEASE, &|_| unreachable!()));
        crash.join().unwrap_err();
    });
    assert_poisoned(&journal, held);
    drop(journal);
    assert_intact(&directory, 2);
}

#[test]
fn a_long_log_is_copied_back_by_the_renewal() {
    let (_directory, journal, held) = two_records();
    let megabyte = "x".repeat(1024 * 1024);
    journal.append(&held, "run", "kind", &megabyte, NOW).unwrap();
    assert!(database::log_bytes(journal.directory()) > database::LOG_BYTES_BEFORE_COPY);
    journal.renew(&held, NOW, LEASE).unwrap();
    assert!(database::log_bytes(journal.directory()) < 10_000);
    journal.release(held).unwrap();
    assert_eq!(database::log_bytes(journal.directory()), 0);
}

#[test]
fn the_log_stays_within_its_limit_where_nobody_renews() {
    let (_directory, journal, held) = two_records();
    let limit = u64::from(database::LOG_PAGES_MAX) * 1024;
    let largest = "x".repeat(record::BODY_BYTES_MAX - 2);
    let one = largest.len() as u64 * 11 / 10; // with the frames' headers
    let mut longest = 0;
    for _ in 0..12 {
        journal.append(&held, "run", "kind", &largest, NOW).unwrap();
        longest = longest.max(database::log_bytes(journal.directory()));
    }
    assert!(longest > limit && longest < limit + 2 * one, "{longest}");
    assert_eq!(journal.records(None).unwrap().len(), 14);
}
