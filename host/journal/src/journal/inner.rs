//! The open files of a journal, and the one way in which they are changed.
//!
//! Invariant: a transaction begins at an end that was verified, and what must not be lost is
//! anchored before anybody is told of it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::anchor::Anchor;
use crate::chain::{self, Tail};
use crate::database;
use crate::error::Error;
use crate::files;
use crate::lock::LockState;
use crate::record::Fields;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) directory: PathBuf,
    pub(super) connection: Connection,
    /// The directory itself, which [`crate::exclusive`] locks.
    pub(super) handle: File,
    pub(super) anchor: File,
    /// Device and inode of the database as it was opened.
    pub(super) identity: (u64, u64),
    /// How far the chain was verified.
    pub(super) tail: Tail,
    /// Why nothing is believed any more.
    pub(super) poisoned: Option<String>,
}

/// What a transaction did.
pub(super) struct Change<T> {
    pub(super) value: T,
    pub(super) tail: Tail,
    /// The epoch to anchor together with the tail; `None` where losing the change is harmless.
    pub(super) anchored_epoch: Option<u64>,
}

impl Inner {
    /// One transaction over a verified end, anchored if it says so. The caller is exclusive.
    pub(super) fn change<T>(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>, Tail, &LockState) -> Result<Change<T>, Error>,
    ) -> Result<T, Error> {
        let directory = &self.directory;
        let writing = |source| Error::writing(directory, doing, source);
        let anchor = Anchor::read(&self.anchor, directory)?;
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(writing)?;
        let tail = chain::extend(&transaction, directory, self.tail)?;
        let state = chain::lock_state(&transaction, directory)?;
        chain::check_reach(directory, &anchor, &tail, &state)?;
        let Change { value, tail, anchored_epoch } = work(&transaction, tail, &state)?;
        transaction.commit().map_err(writing)?;
        if let Some(epoch) = anchored_epoch {
            anchor
                .advance(&self.anchor, tail.sequence, epoch, tail.hash)
                .map_err(|source| Error::write_failed(directory, "writing its anchor", source))?;
        }
        self.tail = tail;
        Ok(value)
    }

    pub(super) fn copy_log_back(&self) -> Result<(), Error> {
        database::copy_log_back(&self.connection)
            .map_err(|source| Error::writing(&self.directory, "copying its log back", source))
    }

    /// Refuses to go on with files that are no longer the stack's journal.
    pub(super) fn check_in_place(&self) -> Result<(), Error> {
        match files::identity(&self.directory) {
            Ok(identity) if identity == self.identity => Ok(()),
            _ => Err(Error::Replaced { directory: self.directory.clone() }),
        }
    }
}

/// Stores the lock and returns its epoch.
pub(super) fn store(transaction: &Transaction<'_>, state: &LockState) -> Result<u64, Error> {
    let (text, hash) = state.encode();
    transaction
        .prepare_cached("UPDATE lock SET state = ?1, hash = ?2 WHERE one = 1")
        .and_then(|mut statement| statement.execute((text, hash.as_slice())))
        .map(|_| state.epoch)
        .map_err(|source| writing_in(transaction, "recording who holds the lock", source))
}

/// Inserts a record and returns the new end of the chain.
pub(super) fn insert(transaction: &Transaction<'_>, fields: &Fields<'_>) -> Result<Tail, Error> {
    let Fields { sequence, previous, epoch, at, run, kind, body } = *fields;
    let hash = fields.hash();
    transaction
        .prepare_cached(
            "INSERT INTO record (sequence, run, epoch, at, kind, body, previous, hash) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .and_then(|mut statement| {
            let (sequence, epoch) = (sequence.cast_signed(), epoch.cast_signed());
            let (previous, hash) = (previous.as_slice(), hash.as_slice());
            statement.execute((sequence, run, epoch, at, kind, body, previous, hash))
        })
        .map_err(|source| writing_in(transaction, "appending a record", source))?;
    Ok(Tail { sequence, hash, epoch })
}

/// An error inside a transaction, which knows its file.
fn writing_in(
    transaction: &Transaction<'_>,
    doing: &'static str,
    source: rusqlite::Error,
) -> Error {
    let file = Path::new(transaction.path().unwrap_or_default());
    Error::writing(file.parent().unwrap_or(file), doing, source)
}
