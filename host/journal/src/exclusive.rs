//! One change to a journal's files at a time, over all processes.
//!
//! SQLite orders its own transactions, but not the anchor that is written after a commit, nor the
//! making and setting aside of the files. So every change holds an advisory lock (`flock`) on the
//! directory from before its transaction until after its anchor. The kernel drops it with the
//! process, however that ends. Readers do not take it.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::database::WAIT_MS_MAX;
use crate::error::Error;

/// First pause between two tries, in microseconds: a fraction of an append.
const PAUSE_US_MIN: u64 = 50;

/// Longest pause between two tries, in microseconds.
const PAUSE_US_MAX: u64 = 5_000;

/// Held while the files are changed.
pub(crate) struct Exclusive<'handle> {
    handle: &'handle File,
}

impl<'handle> Exclusive<'handle> {
    /// Waits until nobody else changes the journal in this directory, at most [`WAIT_MS_MAX`].
    ///
    /// `handle` is the opened directory itself.
    pub(crate) fn take(handle: &'handle File, directory: &Path) -> Result<Self, Error> {
        Self::take_within(handle, directory, WAIT_MS_MAX * 1000)
    }

    fn take_within(
        handle: &'handle File,
        directory: &Path,
        wait_us_max: u64,
    ) -> Result<Self, Error> {
        let mut waited_us = 0;
        let mut pause_us = PAUSE_US_MIN;
        loop {
            match handle.try_lock() {
                Ok(()) => return Ok(Self { handle }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => {
                    return Err(Error::inaccessible(directory, "locked", source));
                }
            }
            if waited_us >= wait_us_max {
                let waited_ms = waited_us / 1000;
                return Err(Error::Busy { directory: directory.to_owned(), waited_ms });
            }
            std::thread::sleep(Duration::from_micros(pause_us));
            waited_us += pause_us;
            pause_us = (pause_us * 2).min(PAUSE_US_MAX);
        }
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        // Closing the handle would release it as well; there is nothing to do about a failure.
        let _ = self.handle.unlock();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn who_waits_longer_than_allowed_is_told_and_the_next_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let [one, other] = [(), ()].map(|()| File::open(directory.path()).unwrap());
        let exclusive = Exclusive::take(&one, directory.path()).unwrap();
        for wait_us_max in [0, PAUSE_US_MIN] {
            let waited = Exclusive::take_within(&other, directory.path(), wait_us_max);
            assert!(matches!(waited, Err(Error::Busy { .. })));
        }
        drop(exclusive);
        Exclusive::take_within(&other, directory.path(), 0).unwrap();
    }
}
