//! What is appended is what is read.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vaultup_journal::record::BODY_BYTES_MAX;
use vaultup_journal::{Error, Journal, set_aside};

use crate::common::{LEASE, append, at, figure, owner, scratch};
use crate::support::acquire;

#[test]
fn records_come_back_exactly_and_in_order() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    let bodies = [
        json!(null),
        json!({}),
        json!([1, -1, 1.5, 1e300, u64::MAX, i64::MIN]),
        json!({ "zero": "\u{0}", "line": "a\nb", "wide": "žluťoučký 🐎", "quote": "'\"\\" }),
        json!({ "b": 1, "a": { "d": [], "c": "" } }),
        Value::String("x".repeat(100_000)),
        Value::String("x".repeat(BODY_BYTES_MAX - 2)),
    ];
    for (number, body) in (1..).zip(&bodies) {
        let now = at(number) + jiff::SignedDuration::from_nanos(number);
        journal.append(&held, "run-1", "step-done", body, now).unwrap();
    }
    let beyond = Value::String("x".repeat(BODY_BYTES_MAX - 1));
    let error = journal.append(&held, "run-1", "step-done", &beyond, at(9)).unwrap_err();
    assert!(matches!(error, Error::Limit { .. }), "{error}");
    drop(journal);

    let records = Journal::open(directory.path()).unwrap().records(None).unwrap();
    assert_eq!(records.len(), bodies.len());
    for (number, (record, body)) in (1_i64..).zip(records.iter().zip(bodies)) {
        assert_eq!(record.sequence.0, number.cast_unsigned());
        assert_eq!(record.at, at(number) + jiff::SignedDuration::from_nanos(number));
        assert_eq!((record.run.as_str(), record.kind.as_str()), ("run-1", "step-done"));
        assert_eq!((record.epoch, &record.body), (1, &body));
    }
}

#[test]
fn runs_are_told_apart_and_listed_as_they_began() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(journal.runs().unwrap(), []);
    assert_eq!(journal.last_run().unwrap(), None);
    let held = acquire(&journal, 1, 0);
    for (run, seconds) in [("b", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)] {
        journal.append(&held, run, "step-done", &json!(seconds), at(seconds)).unwrap();
    }
    let runs = journal.runs().unwrap();
    let shape: Vec<_> = runs
        .iter()
        .map(|run| (run.id.as_str(), run.first.sequence.0, run.last.sequence.0, run.records))
        .collect();
    assert_eq!(shape, [("b", 1, 3, 2), ("a", 2, 5, 2), ("c", 4, 4, 1)]);
    assert_eq!(journal.last_run().unwrap().unwrap(), runs[1]);
    let of_b = journal.records(Some("b")).unwrap();
    assert_eq!(of_b, [runs[0].first.clone(), runs[0].last.clone()]);
    assert_eq!(journal.records(Some("d")).unwrap(), []);
}

#[test]
fn everything_is_readable_by_the_user_alone() {
    let parent = scratch();
    let directory = parent.path().join("state/stacks/shop");
    let journal = Journal::open(&directory).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 1);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut files = 0;
    for entry in directory.read_dir().unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4, "database, log, index, anchor");
}

#[test]
fn reading_a_stack_without_a_journal_makes_none() {
    let parent = scratch();
    let directory = parent.path().join("shop");
    let error = Journal::open_read_only(&directory).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(!directory.exists());
    std::fs::create_dir(&directory).unwrap();
    let error = Journal::open_read_only(&directory).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(matches!(set_aside(&directory, at(0)).unwrap_err(), Error::Missing { .. }));
    assert_eq!(directory.read_dir().unwrap().count(), 0);
}

#[test]
fn a_journal_opened_for_reading_cannot_be_changed() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 2);
    let reader = Journal::open_read_only(directory.path()).unwrap();
    assert_eq!(reader.records(None).unwrap(), journal.records(None).unwrap());
    assert_eq!(reader.holder().unwrap(), journal.holder().unwrap());
    for error in [
        reader.append(&held, "run-1", "step-done", &json!({}), at(1)).unwrap_err(),
        reader.acquire(&owner(2), at(100), LEASE, &|_| false).unwrap_err(),
        reader.renew(&held, at(1), LEASE).unwrap_err(),
        reader.break_lock(at(1), &owner(2)).unwrap_err(),
        reader.release(held).unwrap_err(),
    ] {
        assert!(matches!(error, Error::ReadOnly), "{error}");
    }
    assert_eq!(reader.records(None).unwrap().len(), 2);
}

#[test]
fn readers_beside_a_writer_always_see_a_complete_beginning() {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let (done, appends, reads) = (AtomicBool::new(false), 300, std::sync::Mutex::new(0_u32));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let long = Journal::open_read_only(directory.path()).unwrap();
                let mut seen = 0;
                while !done.load(Ordering::SeqCst) {
                    for reader in [&long, &Journal::open_read_only(directory.path()).unwrap()] {
                        let records = reader.records(None).unwrap();
                        assert!(records.len() >= seen, "a record vanished");
                        seen = records.len();
                        *reads.lock().unwrap() += 1;
                    }
                }
            });
        }
        let mut held = acquire(&journal, 1, 0);
        for number in 1..=appends {
            append(&journal, &held, number, number);
            if number % 20 == 0 {
                journal.release(held).unwrap();
                held = acquire(&journal, 1, 0);
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let reads = reads.into_inner().unwrap();
    figure(&format!("reads beside {appends} appends {reads}, refused 0"));
    assert_eq!(journal.records(None).unwrap().len(), 300);
}

#[test]
fn a_journal_whose_files_were_replaced_under_it_changes_nothing() {
    let (directory, elsewhere) = (scratch(), scratch());
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 1);
    let database = directory.path().join("journal.sqlite");
    std::fs::rename(&database, elsewhere.path().join("journal.sqlite")).unwrap();
    let error = journal.fence(&held).unwrap_err();
    assert!(matches!(error, Error::Replaced { .. }), "{error}");
    let error = journal.append(&held, "run-1", "step-done", &json!({}), at(1)).unwrap_err();
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
}

#[test]
fn a_journal_whose_making_was_interrupted_is_made_again() {
    let whole = scratch();
    drop(Journal::open(whole.path()).unwrap());
    let anchor = std::fs::read(whole.path().join("journal.anchor")).unwrap();

    let directory = scratch();
    for leftover in ["journal.anchor.new", "journal.sqlite.new", "journal.sqlite.new-journal"] {
        std::fs::write(directory.path().join(leftover), "half").unwrap();
    }
    drop(Journal::open(directory.path()).unwrap());

    let directory = scratch();
    std::fs::write(directory.path().join("journal.anchor"), anchor).unwrap();
    let error = Journal::open_read_only(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    let journal = Journal::open(directory.path()).unwrap();
    assert_eq!(acquire(&journal, 1, 0).epoch(), 1);
}

#[test]
fn processes_that_open_a_new_stack_together_make_one_journal() {
    for _ in 0..20 {
        let directory = scratch();
        let path = directory.path().join("shop");
        let acquired: usize = std::thread::scope(|scope| {
            let open = |id| {
                let journal = Journal::open(&path).unwrap();
                journal.acquire(&owner(id), at(0), LEASE, &|_| true).is_ok()
            };
            let threads = [1, 2, 3].map(|id| scope.spawn(move || open(id)));
            threads.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count()
        });
        assert_eq!(acquired, 1);
    }
}

/// What the callers' budgets rest on, measured on the disk of the temporary directory. The bound
/// is far above what is usual, so that a busy machine passes and a journal that scans or syncs too
/// much does not.
#[test]
fn opening_appending_and_fencing_stay_cheap() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    let mut number = 0;
    let append = median(200, || {
        number += 1;
        append(&journal, &held, number, number);
    });
    let fence = median(200, || journal.fence(&held).unwrap());
    let open = median(50, || drop(Journal::open(directory.path()).unwrap()));
    let file = std::fs::File::create(directory.path().join("probe")).unwrap();
    let sync = median(50, || {
        (&file).write_all(&[0; 1024]).unwrap();
        file.sync_data().unwrap();
    });
    figure(&format!(
        "median: append {append:?} (one fdatasync {sync:?}), fence {fence:?}, \
         open with 200 records {open:?}"
    ));
    assert!(append < 20 * sync + Duration::from_millis(20));
    assert!(fence < Duration::from_millis(2));
    assert!(open < Duration::from_millis(40));
}

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    let mut durations: Vec<Duration> = (0..times)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    durations.sort();
    durations[times / 2]
}
