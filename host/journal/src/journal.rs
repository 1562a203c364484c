//! The journal of one stack, open: what a run writes to and what everybody reads.
//!
//! Invariants:
//! - Every change runs through [`Inner::change`]: exclusive, on files that are still the ones
//!   opened, in one immediate transaction over a verified end, and anchored before it returns.
//! - After an error that came from the disk nothing is believed: [`Journal::guarded`].

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::anchor::{self, Anchor};
use crate::chain;
use crate::database::{self, Access};
use crate::error::Error;
use crate::exclusive::Exclusive;
use crate::files;
use crate::lock::{Holder, LockHeld, Owner};
use crate::record::{self, Fields, Record, RunSummary, Sequence};

mod inner;
#[cfg(test)]
mod tests;

use inner::{Change, Inner, insert, store};

/// The durable record of one stack's runs.
///
/// May be shared between threads; calls are carried out one after the other.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    access: Access,
    inner: Mutex<Inner>,
}

impl Journal {
    /// Opens the stack's journal, and makes it, and its directory with mode 0700, if there is
    /// none.
    ///
    /// Verifies the file's structure, the whole hash chain and the anchor.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::RecordsLost`], [`Error::Foreign`] or [`Error::NewerFormat`]
    /// if it is not exactly what was written by a vaultup that this one understands;
    /// [`Error::Inaccessible`] and [`Error::Busy`] from the system.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        files::create_directory(directory)
            .map_err(|source| Error::inaccessible(directory, "created", source))?;
        let (directory, handle) = files::open_directory(directory)?;
        if !files::are_present(&directory) {
            let _exclusive = Exclusive::take(&handle, &directory)?;
            files::create_missing(&directory)?;
        }
        Self::load(directory, handle, Access::Change)
    }

    /// Opens the stack's journal for reading, also while another process holds and writes it.
    ///
    /// # Errors
    /// [`Error::Missing`] if nothing was ever recorded here; otherwise as [`Journal::open`].
    pub fn open_read_only(directory: &Path) -> Result<Self, Error> {
        if !directory.exists() {
            return Err(Error::Missing { directory: directory.to_owned() });
        }
        let (directory, handle) = files::open_directory(directory)?;
        if !files::are_present(&directory) {
            files::check_missing(&directory)?;
            return Err(Error::Missing { directory });
        }
        Self::load(directory, handle, Access::Read)
    }

    /// The directory, as the system resolves it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Acquires the stack's lock for `lease` from `now` on.
    ///
    /// A lease that has ended is taken over; so is one whose holder `is_alive` denies, at once.
    /// `is_alive` must answer `true` whenever it is not certain, for an owner on another host above
    /// all. What a dead predecessor committed last is made durable and counts from here on.
    ///
    /// # Errors
    /// [`Error::Held`] names the holder, which may be this process itself.
    pub fn acquire(
        &self,
        owner: &Owner,
        now: Timestamp,
        lease: SignedDuration,
        is_alive: &dyn Fn(&Owner) -> bool,
    ) -> Result<LockHeld, Error> {
        let epoch = self.guarded_change(|inner| {
            if database::log_bytes(&inner.directory) > 0 {
                inner.copy_log_back()?;
            }
            inner.change("recording who holds the lock", |transaction, tail, state| {
                let state = state.acquired(owner, now, lease, is_alive)?;
                let epoch = store(transaction, &state)?;
                Ok(Change { value: epoch, tail, anchored_epoch: Some(epoch) })
            })
        })?;
        Ok(LockHeld::new(&self.directory, epoch))
    }

    /// Renews the lease: it then ends `lease` after `now`. Keeps the write-ahead log short.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else took over.
    pub fn renew(
        &self,
        held: &LockHeld,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<(), Error> {
        self.check_proof(held)?;
        self.guarded_change(|inner| {
            if database::log_bytes(&inner.directory) > database::LOG_BYTES_BEFORE_COPY {
                inner.copy_log_back()?;
            }
            inner.change("renewing the lock's lease", |transaction, tail, state| {
                store(transaction, &state.renewed(held.epoch(), now, lease)?)?;
                Ok(Change { value: (), tail, anchored_epoch: None })
            })
        })
    }

    /// Gives the lock back. The epoch stays, so that the next one is greater.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else took over. After any other error the lock may still be
    /// held until its lease ends or its holder is dead.
    pub fn release(&self, held: LockHeld) -> Result<(), Error> {
        self.check_proof(&held)?;
        self.guarded_change(|inner| {
            inner.change("releasing the lock", |transaction, tail, state| {
                store(transaction, &state.released(held.epoch())?)?;
                Ok(Change { value: (), tail, anchored_epoch: None })
            })?;
            inner.copy_log_back()
        })
    }

    /// Takes the lock from whoever holds it, for a person who knows better: `vaultup unlock`.
    ///
    /// The epoch rises, so that the former holder is fenced if it still lives. Returns the former
    /// holder; `None` if nobody held it, and then nothing changes.
    ///
    /// # Errors
    /// Only those of the journal itself.
    pub fn break_lock(&self, now: Timestamp, by: &Owner) -> Result<Option<Owner>, Error> {
        self.guarded_change(|inner| {
            inner.change("breaking the lock", |transaction, tail, state| {
                let Some(broken) = state.broken(by, now)? else {
                    return Ok(Change { value: None, tail, anchored_epoch: None });
                };
                let epoch = store(transaction, &broken)?;
                let former = state.holder().map(|holder| holder.owner);
                Ok(Change { value: former, tail, anchored_epoch: Some(epoch) })
            })
        })
    }

    /// Who holds the lock, also if the lease has ended.
    ///
    /// # Errors
    /// Only those of the journal itself.
    pub fn holder(&self) -> Result<Option<Holder>, Error> {
        let state = self.guarded(|inner| {
            inner.check_in_place()?;
            chain::lock_state(&inner.connection, &inner.directory)
        })?;
        Ok(state.holder())
    }

    /// Whether `held` still is the current holding: to be asked before every change to the world.
    /// Cheap: one row is read, nothing is written.
    ///
    /// # Errors
    /// [`Error::Fenced`] names who took over.
    pub fn fence(&self, held: &LockHeld) -> Result<(), Error> {
        self.check_proof(held)?;
        self.guarded(|inner| {
            inner.check_in_place()?;
            chain::lock_state(&inner.connection, &inner.directory)?.check(held.epoch())
        })
    }

    /// Appends a record, which is durable when this returns.
    ///
    /// `run` and `kind` are 1 to [`record::RUN_BYTES_MAX`] and [`record::KIND_BYTES_MAX`] printable
    /// bytes, `body` is anything that becomes at most [`record::BODY_BYTES_MAX`] bytes of JSON.
    ///
    /// # Errors
    /// [`Error::Fenced`] if somebody else took over, and then nothing was written. After
    /// [`Error::WriteFailed`] it is unknown whether the record is kept until the journal is opened
    /// again.
    pub fn append(
        &self,
        held: &LockHeld,
        run: &str,
        kind: &str,
        body: &(impl Serialize + ?Sized),
        now: Timestamp,
    ) -> Result<Sequence, Error> {
        self.check_proof(held)?;
        record::check_limits(run, kind)?;
        let body = record::encode_body(body)?;
        let at = now.to_string();
        self.guarded_change(|inner| {
            inner.change("appending a record", |transaction, tail, state| {
                state.check(held.epoch())?;
                let (sequence, epoch) = (tail.sequence + 1, held.epoch());
                let previous = &tail.hash;
                let fields = Fields { sequence, previous, epoch, at: &at, run, kind, body: &body };
                let tail = insert(transaction, &fields)?;
                Ok(Change { value: Sequence(sequence), tail, anchored_epoch: Some(epoch) })
            })
        })
    }

    /// The records of one run, or of all, in the order in which they were appended.
    ///
    /// Walks and verifies the whole journal.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn records(&self, run: Option<&str>) -> Result<Vec<Record>, Error> {
        let mut records = Vec::new();
        self.visit(|directory, fields| {
            if run.is_none_or(|run| run == fields.run) {
                records.push(chain::record(directory, fields)?);
            }
            Ok(())
        })?;
        Ok(records)
    }

    /// Every run, in the order in which they began.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn runs(&self) -> Result<Vec<RunSummary>, Error> {
        let mut runs: Vec<RunSummary> = Vec::new();
        let mut places = BTreeMap::new();
        self.visit(|directory, fields| {
            let record = chain::record(directory, fields)?;
            match places.get(fields.run).and_then(|place: &usize| runs.get_mut(*place)) {
                Some(summary) => {
                    summary.records += 1;
                    summary.last = record;
                }
                None => {
                    places.insert(fields.run.to_owned(), runs.len());
                    let (id, first, last) = (record.run.clone(), record.clone(), record);
                    runs.push(RunSummary { id, first, last, records: 1 });
                }
            }
            Ok(())
        })?;
        Ok(runs)
    }

    /// The run that the newest record belongs to; `None` if there is no record.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn last_run(&self) -> Result<Option<RunSummary>, Error> {
        Ok(self.runs()?.into_iter().max_by_key(|run| run.last.sequence))
    }

    /// Opens and verifies files that are both there.
    fn load(directory: PathBuf, handle: File, access: Access) -> Result<Self, Error> {
        let identity = files::identity(&directory)?;
        let path = directory.join(anchor::FILE);
        let anchor_file = OpenOptions::new()
            .read(true)
            .write(access == Access::Change)
            .open(&path)
            .map_err(|source| Error::inaccessible(&path, "opened", source))?;
        // The anchor first: see `chain::verify`.
        let anchor = Anchor::read(&anchor_file, &directory)?;
        let mut connection = database::open(&directory, access)?;
        let reading = |source| Error::reading(&directory, source);
        let transaction = connection.transaction().map_err(reading)?;
        database::recognise(&transaction, access, &directory)?;
        database::check_schema(&transaction, &directory)?;
        database::check_structure(&transaction, &directory)?;
        let (tail, _) = chain::verify(&transaction, &directory, &anchor, &mut |_| Ok(()))?;
        transaction.finish().map_err(reading)?;
        let inner = Inner {
            directory: directory.clone(),
            connection,
            handle,
            anchor: anchor_file,
            identity,
            tail,
            poisoned: None,
        };
        inner.check_in_place()?;
        Ok(Self { directory, access, inner: Mutex::new(inner) })
    }

    /// Shows each record of the verified journal to `visit`.
    fn visit(
        &self,
        mut visit: impl FnMut(&Path, &Fields<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.guarded(|inner| {
            inner.check_in_place()?;
            let directory = &inner.directory;
            let reading = |source| Error::reading(directory, source);
            let anchor = Anchor::read(&inner.anchor, directory)?;
            let transaction = inner.connection.transaction().map_err(reading)?;
            chain::verify(&transaction, directory, &anchor, &mut |fields| {
                visit(directory, fields)
            })?;
            transaction.finish().map_err(reading)
        })
    }

    /// Carries out `work` unless an earlier failure forbids it, and remembers a failure.
    fn guarded<T>(&self, work: impl FnOnce(&mut Inner) -> Result<T, Error>) -> Result<T, Error> {
        let Ok(mut inner) = self.inner.lock() else {
            let reason = "a thread panicked while using it".to_owned();
            return Err(Error::Poisoned { reason });
        };
        if let Some(reason) = &inner.poisoned {
            return Err(Error::Poisoned { reason: reason.clone() });
        }
        let result = work(&mut inner);
        if let Err(error) = &result
            && error.poisons()
        {
            inner.poisoned = Some(error.to_string());
        }
        result
    }

    /// As [`Journal::guarded`], exclusively, on files that are still the ones opened.
    fn guarded_change<T>(
        &self,
        work: impl FnOnce(&mut Inner) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.access == Access::Read {
            return Err(Error::ReadOnly);
        }
        self.guarded(|inner| {
            let handle = inner
                .handle
                .try_clone()
                .map_err(|source| Error::inaccessible(&inner.directory, "locked", source))?;
            let directory = inner.directory.clone();
            let _exclusive = Exclusive::take(&handle, &directory)?;
            inner.check_in_place()?;
            work(inner)
        })
    }

    /// A proof of another stack's journal proves nothing here.
    fn check_proof(&self, held: &LockHeld) -> Result<(), Error> {
        if held.is_of(&self.directory) {
            return Ok(());
        }
        Err(Error::Limit {
            what: "the proof of holding the lock",
            found: "of another stack".to_owned(),
            allowed: format!("of `{}`", self.directory.display()),
        })
    }
}
