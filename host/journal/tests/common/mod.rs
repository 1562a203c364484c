//! What the tests of the journal share: scratch directories, owners, times.

use std::io::Write as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;
use vaultup_journal::{Journal, LockHeld, Owner};

pub(crate) const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// A scratch directory, in memory where the machine has such a file system: the thousands of
/// images are about what the bytes say, not about how long a disk takes to keep them.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("vaultup-journal-").tempdir_in(parent).unwrap()
}

pub(crate) fn owner(process_id: u32) -> Owner {
    Owner {
        host: "one.example".to_owned(),
        process_id,
        process_started: format!("boot-1/{process_id}"),
        user: "ann".to_owned(),
        command: "vaultup run --to 2.5.0".to_owned(),
    }
}

/// Seconds after some instant.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + seconds).unwrap()
}

/// Appends records `from..=to` of a run.
pub(crate) fn append(journal: &Journal, held: &LockHeld, from: u64, to: u64) {
    for number in from..=to {
        let body = json!({ "step": number, "argv": ["migrate", "--to", "3"], "ok": true });
        let seconds = i64::try_from(number).unwrap();
        let sequence = journal.append(held, "run-1", "step-done", &body, at(seconds)).unwrap();
        assert_eq!(sequence.0, number);
    }
}

/// Shows a figure, and publishes it where `cargo xtask test` collects them.
pub(crate) fn figure(text: &str) {
    println!("{text}");
    let Some(path) = std::env::var_os("VAULTUP_FIGURES") else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(format!("journal: {text}\n").as_bytes()).unwrap();
}
