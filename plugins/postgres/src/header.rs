//! The head of a dump in the custom format: of which database it is, and how many entries it has.
//!
//! Read from the artifact's first bytes where `pg_restore --list` cannot be asked: that leaves the
//! rest of its input unread, and `kubectl exec` does not end while input waits that nobody reads.
//!
//! The format is PostgreSQL's own: `ReadHead`, `ReadInt` and `ReadStr` in
//! `src/bin/pg_dump/pg_backup_archiver.c`. After the magic come the archive's version (three
//! bytes), the sizes of an integer and of an offset, and the kind of archive (a byte each); how it
//! is compressed (an integer, from version 1.15 on a byte); seven integers of time; three texts:
//! the database, the server's version, pg_dump's; and the number of entries. An integer is a byte
//! of sign and its bytes from the lowest; a text is its length as an integer (below 0: none) and
//! its bytes.

use vaultup_sdk::Error;

const MAGIC: &[u8] = b"PGDMP";
/// What the head says of a custom archive.
const CUSTOM: u8 = 1;
/// The versions whose head is read here: those of PostgreSQL 12 to 18.
const VERSIONS: std::ops::RangeInclusive<u8> = 14..=16;
/// From this version on, how it is compressed is one byte.
const VERSION_OF_COMPRESSION_BYTE: u8 = 15;
/// Seconds, minutes, hours, day, month, year, and whether it is summer.
const NUMBERS_OF_TIME: usize = 7;

/// What the head of a dump says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The database that was dumped.
    pub(crate) database: String,
    /// Entries of the table of contents.
    pub(crate) entries: u64,
}

/// What is still to be read.
struct Bytes<'b>(&'b [u8]);

impl Header {
    /// Reads the first bytes of a dump.
    ///
    /// # Errors
    /// [`vaultup_sdk::Case::Corrupt`] when they are no such head.
    pub(crate) fn read(head: &[u8]) -> Result<Self, Error> {
        let mut bytes = Bytes(head);
        if bytes.take(MAGIC.len())? != MAGIC {
            return Err(Error::corrupt("this is no dump of pg_dump"));
        }
        let [major, minor, _revision, integer, _offset, kind] = bytes.array()?;
        if major != 1 || !VERSIONS.contains(&minor) || kind != CUSTOM {
            let message = format!("a dump of version {major}.{minor} and kind {kind} is not known");
            return Err(Error::corrupt(message));
        }
        if minor >= VERSION_OF_COMPRESSION_BYTE {
            bytes.take(1)?;
        } else {
            bytes.integer(integer)?;
        }
        for _ in 0..NUMBERS_OF_TIME {
            bytes.integer(integer)?;
        }
        let database = bytes.text(integer)?;
        for _ in ["the server's version", "pg_dump's version"] {
            bytes.text(integer)?;
        }
        let entries = bytes.integer(integer)?;
        let entries = u64::try_from(entries).map_err(|_| damaged())?;
        Ok(Self { database, entries })
    }
}

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Error> {
        self.take(COUNT)?.try_into().map_err(|_| damaged())
    }

    fn integer(&mut self, size: u8) -> Result<i64, Error> {
        let [sign] = self.array()?;
        let mut number = 0_i64;
        for (index, byte) in self.take(usize::from(size))?.iter().enumerate() {
            let place = u32::try_from(index * 8).map_err(|_| damaged())?;
            let its = i64::from(*byte).checked_shl(place).filter(|its| *its >= 0);
            number = its.and_then(|its| number.checked_add(its)).ok_or_else(damaged)?;
        }
        Ok(if sign == 0 { number } else { -number })
    }

    fn text(&mut self, size: u8) -> Result<String, Error> {
        let length = usize::try_from(self.integer(size)?).unwrap_or_default();
        String::from_utf8(self.take(length)?.to_vec()).map_err(|_| damaged())
    }
}

fn damaged() -> Error {
    Error::corrupt("the head of the dump is damaged")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    /// As pg_dump writes it: integers of four bytes.
    fn head(minor: u8, database: &str) -> Vec<u8> {
        let integer = |number: u32| [&[0][..], &number.to_le_bytes()].concat();
        let text = |text: &str| {
            let length = u32::try_from(text.len()).unwrap();
            [integer(length), text.as_bytes().to_vec()].concat()
        };
        let mut bytes = [MAGIC, &[1, minor, 0, 4, 8, CUSTOM]].concat();
        bytes.extend(if minor >= VERSION_OF_COMPRESSION_BYTE { vec![0] } else { integer(0) });
        bytes.extend((0..7).flat_map(|_| integer(1)));
        bytes.extend(text(database));
        bytes.extend(text("15.20"));
        bytes.extend(text("15.20"));
        bytes.extend(integer(300));
        bytes
    }

    #[test]
    fn the_database_and_its_entries_are_read_in_every_known_version() {
        for minor in VERSIONS {
            let expected = Header { database: "käse".to_owned(), entries: 300 };
            assert_eq!(Header::read(&head(minor, "käse")).unwrap(), expected);
        }
    }

    #[test]
    fn a_head_that_is_cut_off_anywhere_or_of_another_kind_is_refused() {
        let whole = head(14, "shop");
        for length in 0..whole.len() {
            assert!(Header::read(&whole[..length]).is_err(), "{length}");
        }
        for (index, byte) in [(0, b'X'), (5, 2), (6, 99), (8, 255), (10, 3)] {
            let mut other = whole.clone();
            other[index] = byte;
            assert!(Header::read(&other).is_err(), "byte {index}");
        }
    }
}
