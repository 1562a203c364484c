//! The lock that is held while a run is written, and the journal under it.
//!
//! Invariant: nothing is appended and nothing is changed under a lock that somebody else has taken
//! over. The lease is renewed while the run lasts; a process that slept through its lease finds
//! out at the fence, before its next change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use journal::{Journal, LockHeld, Owner};
use model::Name;
use serde::Serialize;
use system::clock::Clock;
use system::process::ProcessIdentity;

use crate::carry_out::state_directory;
use crate::error::Error;
use crate::platform::Machinery;

/// How long a lock is believed without a sign of life. Four renewals fit into it, so that a slow
/// disk or a suspended laptop lid of a few seconds does not cost a run its lock.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// How often the lease is renewed.
pub const RENEWAL: std::time::Duration = std::time::Duration::from_secs(15);

/// A stack's journal under its lock.
pub struct Writer {
    journal: Mutex<Journal>,
    lock: LockHeld,
    clock: Arc<dyn Clock>,
}

impl Writer {
    /// Opens the journal in a directory and takes its lock.
    ///
    /// # Errors
    /// [`Error::Journal`]: held by somebody else, or damaged.
    pub fn take(directory: &Path, owner: &Owner, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let journal = Journal::open(directory)?;
        let lock = journal.acquire(owner, clock.now(), LEASE, &is_alive)?;
        Ok(Self { journal: Mutex::new(journal), lock, clock })
    }

    /// The journal, to read from.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record and says which moment stands in it.
    ///
    /// # Errors
    /// [`Error::Journal`]: overtaken, or the disk failed; nothing may be done after that.
    pub fn append(
        &self,
        run: &str,
        kind: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<Timestamp, Error> {
        let now = self.clock.now();
        self.journal().append(&self.lock, run, kind, body, now)?;
        Ok(now)
    }

    /// Whether the lock is still held.
    ///
    /// # Errors
    /// [`Error::Journal`] naming who took it over.
    pub fn fence(&self) -> Result<(), Error> {
        Ok(self.journal().fence(&self.lock)?)
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// [`Error::Journal`] naming who took it over.
    pub fn renew(&self) -> Result<(), Error> {
        let now = self.clock.now();
        Ok(self.journal().renew(&self.lock, now, LEASE)?)
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// [`Error::Journal`] when it is not ours any more.
    pub fn release(self) -> Result<(), Error> {
        let journal = self.journal.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(journal.release(self.lock)?)
    }
}

/// Refuses while somebody else carries a run out: asked before a plan is made, since what is
/// observed in the middle of another run looks like a fault. Taking the lock decides in the end.
///
/// # Errors
/// [`Error::Journal`] naming the holder, or when the journal is damaged.
pub fn require_free(machinery: &Machinery, stack: &Name) -> Result<(), Error> {
    let journal = match Journal::open_read_only(&state_directory(machinery, stack)) {
        Err(journal::Error::Missing { .. }) => return Ok(()),
        other => other?,
    };
    let now = machinery.clock.now();
    let holds = |its: &journal::Holder| its.expires_at > now && is_alive(&its.owner);
    match journal.holder()?.filter(holds) {
        None => Ok(()),
        Some(holder) => Err(journal::Error::Held(Box::new(holder)).into()),
    }
}

/// Takes a stack's lock from whoever holds it; says who did.
///
/// # Errors
/// [`Error::Journal`] when the journal is damaged.
pub fn take_over(machinery: &Machinery, stack: &Name) -> Result<Option<Owner>, Error> {
    let journal = Journal::open(&state_directory(machinery, stack))?;
    Ok(journal.break_lock(machinery.clock.now(), &machinery.owner)?)
}

/// Puts a stack's damaged journal away; says where.
///
/// # Errors
/// [`Error::Journal`] when that cannot be done.
pub fn set_journal_aside(machinery: &Machinery, stack: &Name) -> Result<PathBuf, Error> {
    Ok(journal::set_aside(&state_directory(machinery, stack), machinery.clock.now())?)
}

/// Whether the process that holds a lock may still live. One that nobody can tell of may.
#[must_use]
pub fn is_alive(owner: &Owner) -> bool {
    ProcessIdentity::parse(&owner.host, owner.process_id, &owner.process_started)
        .is_none_or(|identity| identity.is_alive())
}
