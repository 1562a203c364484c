//! Reading the records back: every read walks the chain and holds it against the anchor.
//!
//! The one reader for opening, listing and appending. Nothing that it returns was taken on trust:
//! a record counts only when its own hash, the hash before it, its sequence and its epoch fit, and
//! the whole only when it contains what the anchor names.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::anchor::{Anchor, GENESIS, Slot};
use crate::error::Error;
use crate::lock::LockState;
use crate::record::{Fields, Record, Sequence};

/// The end of the chain as far as it was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) sequence: u64,
    pub(crate) hash: [u8; 32],
    pub(crate) epoch: u64,
}

impl Tail {
    /// Before the first record.
    pub(crate) const START: Self = Self { sequence: 0, hash: GENESIS, epoch: 0 };
}

/// Verifies the whole chain, the lock and both against the anchor, within the caller's
/// transaction. `visit` sees each verified record in order.
///
/// The anchor must have been read *before* the transaction began: a writer then can only have
/// made the database longer.
pub(crate) fn verify(
    connection: &Connection,
    directory: &Path,
    anchor: &Anchor,
    visit: &mut dyn FnMut(&Fields<'_>) -> Result<(), Error>,
) -> Result<(Tail, LockState), Error> {
    let state = lock_state(connection, directory)?;
    let mut anchored = [Some(anchor.newest), anchor.previous];
    let tail = walk(connection, directory, Tail::START, &mut |fields, hash| {
        for slot in anchored.iter_mut().flatten() {
            check_slot(directory, slot, fields.sequence, hash)?;
        }
        visit(fields)
    })?;
    if anchored.iter().flatten().any(|slot| slot.sequence == 0 && slot.hash != GENESIS) {
        return Err(Error::damaged(directory, "its anchor names a record before the first"));
    }
    check_reach(directory, anchor, &tail, &state)?;
    Ok((tail, state))
}

/// Verifies what lies beyond `tail`, which was verified before, and returns the new end.
pub(crate) fn extend(connection: &Connection, directory: &Path, tail: Tail) -> Result<Tail, Error> {
    let reading = |source| Error::reading(directory, source);
    let hash = |sequence: u64| -> Result<Option<Vec<u8>>, Error> {
        let mut statement = connection
            .prepare_cached("SELECT hash FROM record WHERE sequence = ?1")
            .map_err(reading)?;
        statement.query_row([sequence.cast_signed()], |row| row.get(0)).optional().map_err(reading)
    };
    if tail.sequence > 0 && hash(tail.sequence)?.as_deref() != Some(tail.hash.as_slice()) {
        return Err(Error::damaged(directory, "its end changed while it was open"));
    }
    walk(connection, directory, tail, &mut |_, _| Ok(()))
}

/// Holds a verified end against the anchor.
pub(crate) fn check_reach(
    directory: &Path,
    anchor: &Anchor,
    tail: &Tail,
    state: &LockState,
) -> Result<(), Error> {
    let Slot { sequence, epoch, hash, .. } = anchor.newest;
    if tail.sequence < sequence || state.epoch < epoch {
        return Err(Error::RecordsLost {
            directory: directory.to_owned(),
            anchored: format!("record {sequence} and epoch {epoch}"),
            found: format!("it ends at record {} and epoch {}", tail.sequence, state.epoch),
        });
    }
    if state.epoch < tail.epoch {
        return Err(Error::damaged(directory, "its lock is older than its last record"));
    }
    if tail.sequence == sequence && tail.hash != hash {
        return Err(Error::damaged(directory, "its last record is not the one in its anchor"));
    }
    if anchor.torn && tail.sequence == sequence && state.epoch == epoch {
        return Err(Error::damaged(
            directory,
            "half of its anchor cannot be read, and it may have named a record that is gone",
        ));
    }
    Ok(())
}

/// Who holds the lock. Exactly one row, with a sound checksum.
pub(crate) fn lock_state(connection: &Connection, directory: &Path) -> Result<LockState, Error> {
    let reading = |source| Error::reading(directory, source);
    let mut statement =
        connection.prepare_cached("SELECT state, hash FROM lock").map_err(reading)?;
    let mut rows = statement.query([]).map_err(reading)?;
    let row = rows.next().map_err(reading)?;
    let state = row.and_then(|row| {
        let text = row.get_ref(0).ok()?.as_str().ok()?;
        let hash = row.get_ref(1).ok()?.as_blob().ok()?;
        LockState::decode(text, hash)
    });
    let more = rows.next().map_err(reading)?.is_some();
    match state {
        Some(state) if !more => Ok(state),
        _ => Err(Error::damaged(directory, "its lock is not what was written")),
    }
}

/// A record for the caller, of fields that were verified.
pub(crate) fn record(directory: &Path, fields: &Fields<'_>) -> Result<Record, Error> {
    let unreadable = |what: &str| {
        Error::damaged(directory, format!("the {what} of record {} is unreadable", fields.sequence))
    };
    Ok(Record {
        sequence: Sequence(fields.sequence),
        run: fields.run.to_owned(),
        epoch: fields.epoch,
        at: fields.at.parse::<Timestamp>().map_err(|_| unreadable("time"))?,
        kind: fields.kind.to_owned(),
        body: serde_json::from_str(fields.body).map_err(|_| unreadable("body"))?,
        hash: blake3::Hash::from_bytes(fields.hash()),
    })
}

/// Epochs of whatever in a damaged journal still carries a sound checksum of its own.
pub(crate) fn epochs_salvaged(connection: &Connection, directory: &Path) -> Vec<u64> {
    let mut epochs = Vec::new();
    epochs.extend(lock_state(connection, directory).ok().map(|state| state.epoch));
    // The walk stops at the first damage; epochs do not fall, so the newest sound one is best.
    let _ = walk(connection, directory, Tail::START, &mut |fields, _| {
        epochs.push(fields.epoch);
        Ok(())
    });
    epochs
}

type Visit<'visitor> = &'visitor mut dyn FnMut(&Fields<'_>, &[u8; 32]) -> Result<(), Error>;

/// Walks the chain from just behind `tail` to its end.
fn walk(
    connection: &Connection,
    directory: &Path,
    mut tail: Tail,
    visit: Visit<'_>,
) -> Result<Tail, Error> {
    let reading = |source| Error::reading(directory, source);
    let mut statement = connection
        .prepare_cached(
            "SELECT sequence, run, epoch, at, kind, body, previous, hash FROM record \
             WHERE sequence >= ?1 ORDER BY sequence",
        )
        .map_err(reading)?;
    // From the very first possible row, so that one before the first record is seen as well.
    let start = if tail.sequence == 0 { i64::MIN } else { tail.sequence.cast_signed() + 1 };
    let mut rows = statement.query([start]).map_err(reading)?;
    while let Some(row) = rows.next().map_err(reading)? {
        let sequence = tail.sequence + 1;
        let broken = || Error::damaged(directory, format!("record {sequence} is not as written"));
        let fields = fields(row, &tail).ok_or_else(broken)?;
        let hash = fields.hash();
        if row.get_ref(7).ok() != Some(ValueRef::Blob(&hash)) {
            return Err(broken());
        }
        visit(&fields, &hash)?;
        tail = Tail { sequence, hash, epoch: fields.epoch };
    }
    Ok(tail)
}

/// The row's fields, if they follow `tail`.
fn fields<'row>(row: &'row Row<'_>, tail: &'row Tail) -> Option<Fields<'row>> {
    let text = |column| row.get_ref(column).ok()?.as_str().ok();
    let number = |column| u64::try_from(row.get_ref(column).ok()?.as_i64().ok()?).ok();
    let fields = Fields {
        sequence: number(0)?,
        previous: &tail.hash,
        epoch: number(2)?,
        at: text(3)?,
        run: text(1)?,
        kind: text(4)?,
        body: text(5)?,
    };
    let follows = fields.sequence == tail.sequence + 1
        && fields.epoch >= tail.epoch
        && row.get_ref(6).ok()? == ValueRef::Blob(&tail.hash);
    follows.then_some(fields)
}

fn check_slot(directory: &Path, slot: &Slot, sequence: u64, hash: &[u8; 32]) -> Result<(), Error> {
    if slot.sequence != sequence || &slot.hash == hash {
        return Ok(());
    }
    Err(Error::damaged(directory, format!("record {sequence} is not the one in its anchor")))
}
