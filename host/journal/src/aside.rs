//! A way on for a person whose journal is damaged: put it away, begin anew, keep the fence.
//!
//! The new journal's epochs must be greater than any the old one ever gave out, or a process
//! that was fenced before could come back. The floor is the greatest of
//! - every epoch in the old anchor, lock and records that still carries a sound checksum, and in
//!   the anchors of journals set aside before, plus one;
//! - the present time in milliseconds since 1970: epochs count acquisitions, each of which takes
//!   an fsync, so they never catch up with a clock even where nothing is left to read.
//!
//! Only a clock that was set back, *and* a journal of which nothing is readable, *and* whose
//! predecessors were set aside later by that clock and then deleted, could repeat an epoch. Even
//! then a process that still has the old files open changes nothing: [`crate::Journal`] sees that
//! they are no longer in place.
//!
//! Crash in between: the new anchor, which carries the floor, replaces the old one first, in one
//! rename. Whatever of the old database is still in place is behind that floor and refused, and
//! setting aside again finishes.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::anchor::{self, Anchor};
use crate::chain;
use crate::database::{self, Access};
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::files::{create_missing, open_directory, write_anchor};
use crate::journal::Journal;

/// What every put-away journal's directory is called before its time.
const PREFIX: &str = "journal.damaged-";

/// Most journals set aside within one second of the clock.
const SAME_SECOND_MAX: u32 = 100;

/// Moves a damaged journal into `journal.damaged-<time>` beside it and begins a new one, whose
/// epochs are greater than all before. Returns where the damaged files are.
///
/// # Errors
/// [`Error::Sound`] if the journal is not damaged, [`Error::Missing`] if there is none,
/// [`Error::NewerFormat`] if only a later vaultup can tell; and those of the system.
pub fn set_aside(directory: &Path, now: Timestamp) -> Result<PathBuf, Error> {
    if !directory.exists() {
        return Err(Error::Missing { directory: directory.to_owned() });
    }
    let (directory, handle) = open_directory(directory)?;
    let _exclusive = Exclusive::take(&handle, &directory)?;
    match Journal::open_read_only(&directory) {
        Ok(_) => return Err(Error::Sound { directory }),
        Err(Error::Damaged { .. } | Error::RecordsLost { .. } | Error::Foreign { .. }) => {}
        Err(other) => return Err(other),
    }
    let epoch = epoch_floor(&directory, now);
    let failed = |source| Error::write_failed(&directory, "setting it aside", source);
    let aside = create_aside(&directory, now).map_err(failed)?;
    keep_anchor(&directory, &aside).map_err(failed)?;
    write_anchor(&directory, &Anchor::first(epoch))?;
    move_files(&directory, &aside).map_err(failed)?;
    create_missing(&directory)?;
    tracing::warn!(aside = %aside.display(), epoch, "a damaged journal was set aside");
    Ok(aside)
}

/// The epoch after which the new journal's epochs begin: see the module.
fn epoch_floor(directory: &Path, now: Timestamp) -> u64 {
    let mut epochs = epochs_in_anchor(&directory.join(anchor::FILE));
    if let Ok(connection) = database::open(directory, Access::Read) {
        epochs.extend(chain::epochs_salvaged(&connection, directory));
    }
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            epochs.extend(epochs_in_anchor(&entry.path().join(anchor::FILE)));
        }
    }
    let clock = u64::try_from(now.as_millisecond()).unwrap_or(0);
    epochs.into_iter().map(|epoch| epoch.saturating_add(1)).fold(clock, u64::max)
}

fn epochs_in_anchor(path: &Path) -> Vec<u64> {
    File::open(path)
        .and_then(|file| anchor::read_whole(&file))
        .map(|bytes| anchor::epochs_salvaged(&bytes))
        .unwrap_or_default()
}

/// Keeps the old anchor, which is about to be replaced, with the files that it belongs to.
fn keep_anchor(directory: &Path, aside: &Path) -> io::Result<()> {
    ignore_missing(std::fs::hard_link(directory.join(anchor::FILE), aside.join(anchor::FILE)))
}

/// Moves the database and what belongs to it.
fn move_files(directory: &Path, aside: &Path) -> io::Result<()> {
    for name in std::iter::once(database::FILE).chain(database::SIDE_FILES) {
        ignore_missing(std::fs::rename(directory.join(name), aside.join(name)))?;
    }
    File::open(aside)?.sync_all()?;
    File::open(directory)?.sync_all()
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A new directory named after the time, in a form that every file system takes.
fn create_aside(directory: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let time = now.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
    let mut name = format!("{PREFIX}{time}");
    for count in 1..=SAME_SECOND_MAX {
        let path = directory.join(&name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                name = format!("{PREFIX}{time}-{}", count + 1);
            }
            other => return other.map(|()| path),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn as_many_places_as_allowed_are_made_within_a_second_and_not_one_more() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..SAME_SECOND_MAX {
            create_aside(directory.path(), Timestamp::UNIX_EPOCH).unwrap();
        }
        create_aside(directory.path(), Timestamp::UNIX_EPOCH).unwrap_err();
        let later = Timestamp::from_second(1).unwrap();
        create_aside(directory.path(), later).unwrap();
    }
}
