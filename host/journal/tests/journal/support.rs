//! A journal's files as bytes, and the one judge of what opening them may answer.

use std::fs;
use std::path::{Path, PathBuf};

use model::Problem;
use vaultup_journal::{Journal, LockHeld, Record};

use crate::common::{LEASE, append, at, figure, owner, scratch};

/// The files of a journal.
pub(crate) const FILES: [&str; 3] = ["sqlite", "sqlite-wal", "anchor"];

pub(crate) fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("journal.{name}"))
}

pub(crate) fn acquire(journal: &Journal, process_id: u32, seconds: i64) -> LockHeld {
    journal.acquire(&owner(process_id), at(seconds), LEASE, &|_| true).unwrap()
}

/// Opens the database as a stranger would, with SQLite alone.
pub(crate) fn sql(directory: &Path, statements: &str) {
    let connection = rusqlite::Connection::open(file(directory, "sqlite")).unwrap();
    connection.execute_batch(statements).unwrap();
}

/// What the files held at one moment, in the order of [`FILES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image(pub(crate) [Vec<u8>; 3]);

impl Image {
    pub(crate) fn of(directory: &Path) -> Self {
        Self(FILES.map(|name| fs::read(file(directory, name)).unwrap()))
    }

    pub(crate) fn put(&self, directory: &Path) {
        for (name, bytes) in FILES.iter().zip(&self.0) {
            fs::write(file(directory, name), bytes).unwrap();
        }
        for name in ["sqlite-shm", "sqlite-journal"] {
            let _ = fs::remove_file(file(directory, name));
        }
    }
}

/// A journal that was written honestly, and what reading any image of it may say.
#[derive(Debug)]
pub(crate) struct Honest {
    pub(crate) image: Image,
    /// Every record that was committed.
    pub(crate) records: Vec<Record>,
    /// How many of them were acknowledged.
    pub(crate) acknowledged: usize,
    /// The greatest epoch that was handed out.
    pub(crate) epoch: u64,
}

/// Six records of two holders, released: everything lies in the database.
pub(crate) fn clean() -> Honest {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 3);
    journal.release(held).unwrap();
    let held = acquire(&journal, 2, 10);
    append(&journal, &held, 4, 6);
    journal.release(held).unwrap();
    honest(directory.path(), &journal, 2)
}

/// The same six records, whose second holder died: half of them lie in the write-ahead log.
pub(crate) fn abandoned() -> Honest {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 3);
    journal.release(held).unwrap();
    let held = acquire(&journal, 2, 10);
    append(&journal, &held, 4, 6);
    honest(directory.path(), &journal, 2)
}

/// As [`abandoned`], but the holder died between the last commit and its anchor.
pub(crate) fn unanchored() -> Honest {
    let directory = scratch();
    let journal = Journal::open(directory.path()).unwrap();
    let held = acquire(&journal, 1, 0);
    append(&journal, &held, 1, 5);
    let anchor = fs::read(file(directory.path(), "anchor")).unwrap();
    append(&journal, &held, 6, 6);
    let mut honest = honest(directory.path(), &journal, 1);
    honest.image.0[2] = anchor;
    honest.acknowledged = 5;
    honest
}

fn honest(directory: &Path, journal: &Journal, epoch: u64) -> Honest {
    let records = journal.records(None).unwrap();
    assert_eq!(records.len(), 6);
    Honest { image: Image::of(directory), acknowledged: records.len(), records, epoch }
}

/// Counts what became of images. A misread fails the test at once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) tried: u32,
    pub(crate) refused: u32,
    pub(crate) recovered: u32,
    pub(crate) written: u32,
}

impl Tally {
    /// Opens the image in `directory` and judges the answer. Returns whether it was accepted.
    pub(crate) fn judge(&mut self, directory: &Path, honest: &Honest, image: &str) -> bool {
        self.tried += 1;
        let read = Journal::open(directory).and_then(|journal| journal.records(None));
        match read {
            Ok(records) => {
                let known = honest.records.starts_with(&records);
                let complete = records.len() >= honest.acknowledged;
                assert!(known && complete, "misread: {image}: {records:#?}");
                self.recovered += 1;
                true
            }
            Err(error) => {
                let code = error.code().0;
                assert!((202..=205).contains(&code), "{image}: {code} is no refusal: {error}");
                assert!(error.next().is_some(), "{image}: {error} leads nowhere");
                self.refused += 1;
                false
            }
        }
    }

    /// Writes to an image that was accepted: what was read must survive, and the epoch must rise.
    pub(crate) fn write_on(&mut self, directory: &Path, honest: &Honest, image: &str) {
        self.written += 1;
        let journal = Journal::open(directory).unwrap();
        let before = journal.records(None).unwrap();
        let held = journal.acquire(&owner(9), at(1000), LEASE, &|_| false).unwrap();
        assert!(held.epoch() > honest.epoch, "{image}: an epoch is repeated");
        let next = before.len() as u64 + 1;
        append(&journal, &held, next, next + 1);
        journal.release(held).unwrap();
        let after = Journal::open(directory).unwrap().records(None).unwrap();
        assert!(after.starts_with(&before), "{image}: a write destroyed what was there");
        assert_eq!(after.len(), before.len() + 2, "{image}");
    }

    pub(crate) fn print(&self, what: &str) {
        let Self { tried, refused, recovered, written } = self;
        assert_eq!(*tried, refused + recovered);
        figure(&format!(
            "{what}: images tried {tried}, refused {refused}, recovered {recovered}, \
             undetected loss 0, written on {written}"
        ));
    }
}
