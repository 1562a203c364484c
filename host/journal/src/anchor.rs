//! The anchor: a small file beside the database that proves how far the journal once reached.
//!
//! A database alone cannot know that its end is missing: a write-ahead log cut at a frame, or an
//! old copy put back, is a perfectly sound shorter journal. So after each commit the newest
//! sequence, its hash and the fencing epoch are written here, and fsynced, before anybody is told
//! that the record is kept.
//!
//! Shape: two slots of [`SLOT_BYTES`] bytes, at 0 and at [`SLOT_DISTANCE_BYTES`], each in a block
//! of its own so that a torn write of one cannot touch the other. Generation `n` lies in slot
//! `n mod 2`; the higher valid generation counts.
//!
//! ```text
//! magic 8 | generation 8 | sequence 8 | epoch 8 | hash 32 | blake3 of the preceding 64 bytes 32
//! ```
//!
//! All numbers are little-endian. Invariants:
//! - The file is born whole (written aside, renamed) and never changes its length: any other
//!   length is damage.
//! - A slot is written only after the database's commit is durable, so the database is never
//!   behind a valid slot. It may be ahead: a crash between the two.
//! - A slot that is unreadable was either half written in a crash, and then the database is
//!   *ahead* of the other slot, or was damaged later. Where the database stands exactly at the
//!   other slot it could also be that a newer anchor and its record are both gone; this is
//!   refused.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::Error;

/// The anchor's file name in the journal's directory.
pub(crate) const FILE: &str = "journal.anchor";

/// Where the second slot begins: one block of the usual file systems, and a multiple of every
/// usual sector.
pub(crate) const SLOT_DISTANCE_BYTES: usize = 4096;

/// Bytes of one slot.
pub(crate) const SLOT_BYTES: usize = 96;

/// The length of the file, exactly.
pub(crate) const FILE_BYTES: usize = 2 * SLOT_DISTANCE_BYTES;

/// How often a senseless anchor is read before it is believed to be damaged: a reader must lose
/// the race against two fsynced writes each time.
const READS_MAX: usize = 3;

/// The magic carries the format of the slot.
const MAGIC: &[u8; 8] = b"VUANCH01";

/// Keeps the checksum from meaning anything elsewhere.
const DOMAIN: &[u8] = b"vaultup journal anchor 1";

/// The hash that precedes the first record.
pub(crate) const GENESIS: [u8; 32] = [0; 32];

/// What one slot says: the journal reached at least this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Counts the writes of the anchor, from 1.
    pub(crate) generation: u64,
    /// The newest record's sequence; 0 when there is none.
    pub(crate) sequence: u64,
    /// The lock's epoch.
    pub(crate) epoch: u64,
    /// The newest record's hash; [`GENESIS`] when there is none.
    pub(crate) hash: [u8; 32],
}

/// What the whole file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    /// The newest valid slot.
    pub(crate) newest: Slot,
    /// The slot before it, where that is readable.
    pub(crate) previous: Option<Slot>,
    /// The other slot is neither readable nor unused: believed only if the database is ahead.
    pub(crate) torn: bool,
}

impl Anchor {
    /// The anchor of a journal without records, whose epochs continue after `epoch`.
    pub(crate) fn first(epoch: u64) -> Self {
        let newest = Slot { generation: 1, sequence: 0, epoch, hash: GENESIS };
        Self { newest, previous: None, torn: false }
    }

    /// Whether nothing was ever acknowledged beyond the making of the anchor itself.
    pub(crate) fn is_first(&self) -> bool {
        self.newest.generation == 1 && self.previous.is_none() && !self.torn
    }

    /// The whole file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES];
        for slot in [Some(self.newest), self.previous].into_iter().flatten() {
            let start = offset(slot.generation);
            bytes[start..start + SLOT_BYTES].copy_from_slice(&encode_slot(&slot));
        }
        bytes
    }

    /// Reads the file and judges it by itself; [`Anchor::newest`] must still be held against
    /// the database.
    ///
    /// A reader beside a writer may catch the file in the middle of two writes, so an anchor that
    /// makes no sense is read again before it is called damaged.
    pub(crate) fn read(file: &File, directory: &Path) -> Result<Self, Error> {
        let mut detail = String::new();
        for _ in 0..READS_MAX {
            let bytes = read_whole(file)
                .map_err(|source| Error::inaccessible(&directory.join(FILE), "read", source))?;
            match Self::decode(&bytes) {
                Ok(anchor) => return Ok(anchor),
                Err(reason) => detail = reason,
            }
        }
        Err(Error::damaged(directory, detail))
    }

    /// Judges the bytes of the file. The error is a sentence's end.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() != FILE_BYTES {
            return Err(format!("its anchor has {} bytes instead of {FILE_BYTES}", bytes.len()));
        }
        let slots = [0, 1].map(|index| {
            let start = index * SLOT_DISTANCE_BYTES;
            let slot = decode_slot(&bytes[start..start + SLOT_BYTES]);
            slot.filter(|slot| offset(slot.generation) == start)
        });
        match slots {
            [None, None] => Err("neither half of its anchor can be read".to_owned()),
            [Some(left), Some(right)] => {
                let (newest, previous) =
                    if left.generation > right.generation { (left, right) } else { (right, left) };
                follows(&newest, &previous)?;
                Ok(Self { newest, previous: Some(previous), torn: false })
            }
            [Some(newest), None] | [None, Some(newest)] => {
                let start = offset(newest.generation.wrapping_add(1));
                let unused = bytes[start..start + SLOT_BYTES].iter().all(|byte| *byte == 0);
                let torn = !(unused && newest.generation == 1);
                Ok(Self { newest, previous: None, torn })
            }
        }
    }

    /// Writes the next slot and waits until it is on the disk. The caller has made sure that
    /// what it says is durable in the database, and that nobody else writes.
    pub(crate) fn advance(
        &self,
        file: &File,
        sequence: u64,
        epoch: u64,
        hash: [u8; 32],
    ) -> io::Result<()> {
        let generation = self.newest.generation.wrapping_add(1);
        let slot = Slot { generation, sequence, epoch, hash };
        file.write_all_at(&encode_slot(&slot), offset(generation) as u64)?;
        file.sync_data()
    }
}

/// Every epoch that a possibly damaged anchor can still prove.
pub(crate) fn epochs_salvaged(bytes: &[u8]) -> Vec<u64> {
    [0, SLOT_DISTANCE_BYTES]
        .into_iter()
        .filter_map(|start| bytes.get(start..start + SLOT_BYTES))
        .filter_map(decode_slot)
        .map(|slot| slot.epoch)
        .collect()
}

/// Where the slot of this generation begins.
fn offset(generation: u64) -> usize {
    if generation.is_multiple_of(2) { 0 } else { SLOT_DISTANCE_BYTES }
}

fn follows(newest: &Slot, previous: &Slot) -> Result<(), String> {
    let ordered = newest.generation - previous.generation == 1
        && newest.sequence >= previous.sequence
        && newest.epoch >= previous.epoch
        && (newest.sequence != previous.sequence || newest.hash == previous.hash);
    if ordered { Ok(()) } else { Err("the halves of its anchor contradict each other".to_owned()) }
}

fn encode_slot(slot: &Slot) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&slot.generation.to_le_bytes());
    bytes[16..24].copy_from_slice(&slot.sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&slot.epoch.to_le_bytes());
    bytes[32..64].copy_from_slice(&slot.hash);
    let checksum = checksum(&bytes[..64]);
    bytes[64..].copy_from_slice(checksum.as_bytes());
    bytes
}

fn decode_slot(bytes: &[u8]) -> Option<Slot> {
    let (content, stored) = bytes.split_at_checked(64)?;
    if content.get(..8)? != MAGIC || checksum(content).as_bytes() != stored {
        return None;
    }
    let number = |start: usize| {
        let field = content.get(start..start + 8)?;
        Some(u64::from_le_bytes(field.try_into().ok()?))
    };
    Some(Slot {
        generation: number(8)?,
        sequence: number(16)?,
        epoch: number(24)?,
        hash: content.get(32..64)?.try_into().ok()?,
    })
}

fn checksum(content: &[u8]) -> blake3::Hash {
    blake3::Hasher::new().update(DOMAIN).update(content).finalize()
}

/// Reads from the start, whatever the length, but never more than one byte too many.
pub(crate) fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; FILE_BYTES + 1];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
