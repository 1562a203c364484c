//! Our own reader of `mongodump` archives, which checks what `mongorestore --dryRun` does not.
//!
//! # Format
//! As `mongo-tools` writes it, see
//! <https://github.com/mongodb/mongo-tools/tree/100.7.0/common/archive>:
//! ```text
//! archive    magic (0x8199e26d, little-endian) prelude block*
//! prelude    header document, a metadata document for each collection, terminator
//! block      namespace header document, body document*, terminator
//! terminator 0xffffffff
//! ```
//! All documents are BSON, so each begins with its length. A namespace header has `db`,
//! `collection`, `EOF` and `CRC`; the one whose `EOF` is true ends its collection and has the
//! CRC-64 (the reflected polynomial of ECMA-182) of all its body documents; in the others it is 0.
//!
//! # Invariants
//! - Memory is bounded by the largest document, whatever the lengths in the archive say.
//! - What is accepted has every collection that was announced, ended once, with its checksum right,
//!   and nothing after the last terminator.
//! - Metadata (indexes, options) has no checksum in the format: the host's hash covers it.

use std::collections::BTreeMap;

use vaultup_sdk::Error;

/// What an archive begins with.
const MAGIC: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();
/// What a block ends with.
const TERMINATOR: i32 = -1;
/// The largest document: 16 MiB and what the server allows on top of it for its own.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024 + 16 * 1024;
/// The shortest: its length and the byte that ends it.
const DOCUMENT_BYTES_MIN: usize = 5;
/// More collections than this no archive announces that was not damaged.
const COLLECTIONS_MAX: usize = 100_000;
/// The reflected polynomial of ECMA-182.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

/// Whatever an archive is read from, piece by piece; an empty piece is its end.
pub(crate) trait Pieces {
    /// The next bytes.
    fn next(&mut self) -> Result<Vec<u8>, Error>;
}

/// What is in an archive: documents of each collection, by `database.collection`.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Reads a whole archive and checks all that can be checked of it.
///
/// # Errors
/// [`vaultup_sdk::Case::Corrupt`] naming what is wrong and where.
pub(crate) fn check(pieces: &mut dyn Pieces) -> Result<Counts, Error> {
    let mut reader = Reader { pieces, buffer: Vec::new(), position: 0, before: 0 };
    if reader.take(MAGIC.len())? != MAGIC {
        return Err(Error::corrupt("this is no archive of `mongodump`"));
    }
    let mut collections = prelude(&mut reader)?;
    while !reader.is_at_end()? {
        block(&mut reader, &mut collections)?;
    }
    let unfinished = collections.iter().find(|(_, collection)| !collection.ended);
    if let Some((name, _)) = unfinished {
        return Err(Error::corrupt(format!("the archive ends before the collection {name} does")));
    }
    Ok(collections.into_iter().map(|(name, collection)| (name, collection.count)).collect())
}

#[derive(Default)]
struct Collection {
    count: u64,
    checksum: Crc64,
    ended: bool,
}

fn prelude(reader: &mut Reader<'_>) -> Result<BTreeMap<String, Collection>, Error> {
    let header = reader.document()?;
    let concurrent = Fields::of(header)?.integer("concurrent_collections");
    if !concurrent.is_some_and(|number| (1..=1024).contains(&number)) {
        return Err(Error::corrupt("the archive's header is damaged"));
    }
    let mut collections = BTreeMap::new();
    while let Some(document) = reader.document_or_terminator()? {
        let name = Fields::of(document)?.namespace()?;
        if collections.len() == COLLECTIONS_MAX {
            return Err(Error::corrupt(format!("more than {COLLECTIONS_MAX} collections")));
        }
        if collections.insert(name.clone(), Collection::default()).is_some() {
            return Err(Error::corrupt(format!("the collection {name} is announced twice")));
        }
    }
    Ok(collections)
}

fn block(
    reader: &mut Reader<'_>,
    collections: &mut BTreeMap<String, Collection>,
) -> Result<(), Error> {
    let place = reader.place();
    let header = Fields::of(reader.document()?)?;
    let name = header.namespace()?;
    let unknown =
        || Error::corrupt(format!("byte {place}: the collection {name} is not announced"));
    let collection = collections.get_mut(&name).ok_or_else(unknown)?;
    if collection.ended {
        return Err(Error::corrupt(format!("byte {place}: {name} goes on after its end")));
    }
    let (ends, checksum) = match (header.truth("EOF"), header.integer("CRC"), header.0.len()) {
        (Some(false), Some(0), 4) => (false, 0),
        (Some(true), Some(checksum), 4) => (true, checksum.cast_unsigned()),
        _ => return Err(Error::corrupt(format!("byte {place}: a block's header is damaged"))),
    };
    while let Some(document) = reader.document_or_terminator()? {
        if ends {
            return Err(Error::corrupt(format!("byte {place}: documents after the end of {name}")));
        }
        collection.count += 1;
        collection.checksum.add(document);
    }
    if ends {
        if checksum != collection.checksum.value() {
            return Err(Error::corrupt(format!("the checksum of the collection {name} is wrong")));
        }
        collection.ended = true;
    }
    Ok(())
}

/// Bytes of an archive, from its beginning to its end.
struct Reader<'a> {
    pieces: &'a mut dyn Pieces,
    buffer: Vec<u8>,
    position: usize,
    /// Bytes before the buffer.
    before: u64,
}

impl Reader<'_> {
    fn place(&self) -> u64 {
        self.before + self.position as u64
    }

    fn is_at_end(&mut self) -> Result<bool, Error> {
        Ok(!self.has(1)?)
    }

    /// Whether so many bytes follow; reads on until they are there.
    fn has(&mut self, wanted: usize) -> Result<bool, Error> {
        while self.buffer.len() - self.position < wanted {
            let piece = self.pieces.next()?;
            if piece.is_empty() {
                return Ok(false);
            }
            self.before += self.position as u64;
            self.buffer.drain(..self.position);
            self.position = 0;
            self.buffer.extend_from_slice(&piece);
        }
        Ok(true)
    }

    fn take(&mut self, wanted: usize) -> Result<&[u8], Error> {
        if !self.has(wanted)? {
            let place = self.place();
            return Err(Error::corrupt(format!("byte {place}: the archive is cut off")));
        }
        let start = self.position;
        self.position += wanted;
        Ok(&self.buffer[start..self.position])
    }

    fn length(&mut self) -> Result<i32, Error> {
        let bytes: [u8; 4] = self.take(4)?.try_into().unwrap_or_default();
        self.position -= 4;
        Ok(i32::from_le_bytes(bytes))
    }

    fn document(&mut self) -> Result<&[u8], Error> {
        let place = self.place();
        let length = usize::try_from(self.length()?).unwrap_or_default();
        if !(DOCUMENT_BYTES_MIN..=DOCUMENT_BYTES_MAX).contains(&length) {
            return Err(Error::corrupt(format!(
                "byte {place}: no document is {length} bytes long"
            )));
        }
        let document = self.take(length)?;
        if document.last() != Some(&0) {
            return Err(Error::corrupt(format!("byte {place}: a document does not end")));
        }
        Ok(document)
    }

    fn document_or_terminator(&mut self) -> Result<Option<&[u8]>, Error> {
        if self.length()? == TERMINATOR {
            self.position += 4;
            return Ok(None);
        }
        self.document().map(Some)
    }
}

/// The fields of a document that is the archive's own: texts, truths and integers.
struct Fields(BTreeMap<String, Field>);

enum Field {
    Text(String),
    Truth(bool),
    Integer(i64),
}

impl Fields {
    /// Reads them; a kind that the archive's own documents do not have is a damage.
    fn of(document: &[u8]) -> Result<Self, Error> {
        fields(document)
            .map(Self)
            .ok_or_else(|| Error::corrupt("a header of the archive is damaged"))
    }

    fn namespace(&self) -> Result<String, Error> {
        match (self.0.get("db"), self.0.get("collection")) {
            (Some(Field::Text(database)), Some(Field::Text(collection))) => {
                Ok(format!("{database}.{collection}"))
            }
            _ => Err(Error::corrupt("a header of the archive names no collection")),
        }
    }

    fn truth(&self, name: &str) -> Option<bool> {
        match self.0.get(name) {
            Some(Field::Truth(truth)) => Some(*truth),
            _ => None,
        }
    }

    fn integer(&self, name: &str) -> Option<i64> {
        match self.0.get(name) {
            Some(Field::Integer(integer)) => Some(*integer),
            _ => None,
        }
    }
}

fn fields(document: &[u8]) -> Option<BTreeMap<String, Field>> {
    let mut rest = document.get(4..document.len().checked_sub(1)?)?;
    let mut fields = BTreeMap::new();
    while let Some((&kind, after)) = rest.split_first() {
        let end = after.iter().position(|byte| *byte == 0)?;
        let name = std::str::from_utf8(&after[..end]).ok()?.to_owned();
        let value = &after[end + 1..];
        let (field, used) = match kind {
            0x02 => {
                let length = u32::from_le_bytes(value.get(..4)?.try_into().ok()?) as usize;
                let text = value.get(4..length.checked_add(4)?)?.strip_suffix(&[0])?;
                (Field::Text(String::from_utf8_lossy(text).into_owned()), length + 4)
            }
            0x08 => match value.first()? {
                0 => (Field::Truth(false), 1),
                1 => (Field::Truth(true), 1),
                _ => return None,
            },
            0x10 => {
                let number = i32::from_le_bytes(value.get(..4)?.try_into().ok()?);
                (Field::Integer(number.into()), 4)
            }
            0x12 => (Field::Integer(i64::from_le_bytes(value.get(..8)?.try_into().ok()?)), 8),
            _ => return None,
        };
        fields.insert(name, field);
        rest = &value[used..];
    }
    Some(fields)
}

/// A CRC-64 under way.
#[derive(Default)]
struct Crc64(u64);

impl Crc64 {
    fn add(&mut self, bytes: &[u8]) {
        let step = |crc: u64, byte: &u8| TABLE[(crc as u8 ^ byte) as usize] ^ (crc >> 8);
        self.0 = !bytes.iter().fold(!self.0, step);
    }

    fn value(&self) -> u64 {
        self.0
    }
}

/// For each byte what it does to the checksum.
const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u64;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (POLYNOMIAL * (value & 1));
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::Case;

    use super::*;

    struct InPieces<'a>(std::slice::Chunks<'a, u8>);

    impl Pieces for InPieces<'_> {
        fn next(&mut self) -> Result<Vec<u8>, Error> {
            Ok(self.0.next().unwrap_or_default().to_vec())
        }
    }

    fn checked(bytes: &[u8], piece: usize) -> Result<Counts, Error> {
        check(&mut InPieces(bytes.chunks(piece)))
    }

    fn document(fields: &[u8]) -> Vec<u8> {
        let length = i32::try_from(fields.len() + 5).unwrap();
        [&length.to_le_bytes(), fields, &[0]].concat()
    }

    fn text(name: &str, value: &str) -> Vec<u8> {
        let length = i32::try_from(value.len() + 1).unwrap();
        [&[2], name.as_bytes(), &[0], &length.to_le_bytes(), value.as_bytes(), &[0]].concat()
    }

    fn namespace(collection: &str, ends: bool, checksum: u64) -> Vec<u8> {
        let end = [b"\x08EOF\0".as_slice(), &[u8::from(ends)]].concat();
        let checksum = [b"\x12CRC\0".as_slice(), &checksum.to_le_bytes()].concat();
        document(&[text("db", "shop"), text("collection", collection), end, checksum].concat())
    }

    /// A small archive of two collections, whose blocks alternate.
    pub(crate) fn archive() -> Vec<u8> {
        let orders: Vec<Vec<u8>> =
            (0..6_i32).map(|n| document(&[b"\x10_id\0", &n.to_le_bytes()[..]].concat())).collect();
        let mut checksum = Crc64::default();
        orders.iter().for_each(|order| checksum.add(order));
        let header = [b"\x10concurrent_collections\0".as_slice(), &4_i32.to_le_bytes()].concat();
        let announced = |name| document(&[text("db", "shop"), text("collection", name)].concat());
        let terminator = TERMINATOR.to_le_bytes().to_vec();
        [
            MAGIC.to_vec(),
            document(&header),
            announced("orders"),
            announced("empty"),
            terminator.clone(),
            namespace("orders", false, 0),
            orders[..3].concat(),
            terminator.clone(),
            namespace("empty", true, 0),
            terminator.clone(),
            namespace("orders", false, 0),
            orders[3..].concat(),
            terminator.clone(),
            namespace("orders", true, checksum.value()),
            terminator,
        ]
        .concat()
    }

    #[test]
    fn the_checksum_is_the_one_of_the_published_test_vector() {
        let mut checksum = Crc64::default();
        checksum.add(b"1234");
        checksum.add(b"56789");
        assert_eq!(checksum.value(), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn an_archive_is_read_whatever_the_size_of_its_pieces() {
        let archive = archive();
        for piece in [1, 2, 3, 7, 64, archive.len()] {
            let counts = checked(&archive, piece).unwrap();
            assert_eq!((counts["shop.orders"], counts["shop.empty"]), (6, 0), "{piece}");
        }
    }

    #[test]
    fn an_archive_that_is_cut_off_anywhere_is_refused() {
        let archive = archive();
        for length in 0..archive.len() {
            let error = checked(&archive[..length], 16).unwrap_err();
            assert_eq!(error.case(), &Case::Corrupt, "{length}");
        }
        let longer = [archive.as_slice(), &[0]].concat();
        assert!(checked(&longer, 16).is_err());
    }

    /// Every bit after the prelude is flipped: of the prelude's metadata there is no checksum.
    #[test]
    fn no_bit_that_is_flipped_after_the_prelude_passes_unseen() {
        let archive = archive();
        let start = archive.windows(4).position(|bytes| bytes == [0xff; 4]).unwrap();
        let (mut flipped, mut unseen) = (0, Vec::new());
        for place in start..archive.len() {
            for bit in 0..8 {
                let mut damaged = archive.clone();
                damaged[place] ^= 1 << bit;
                flipped += 1;
                if checked(&damaged, 64).is_ok() {
                    unseen.push((place, bit));
                }
            }
        }
        assert_eq!(unseen, [(0, 0); 0], "of {flipped}");
    }

    /// A generator of its own, so that a failing seed can be named.
    #[test]
    fn nonsense_is_refused_without_panic_and_without_much_memory() {
        let archive = archive();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let mut damaged = archive.clone();
            for _ in 0..=random() % 8 {
                let place = (random() % damaged.len() as u64) as usize;
                damaged[place] = random() as u8;
            }
            damaged.truncate((random() % (damaged.len() as u64 + 1)) as usize);
            // Accepted or refused, it comes to an end.
            let _ = checked(&damaged, (random() % 64 + 1) as usize);
        }
    }

    #[test]
    fn a_length_that_no_document_has_is_refused_before_anything_is_kept() {
        for length in [0_i32, 4, i32::MAX, -2, 16 * 1024 * 1024 + 16 * 1024 + 1] {
            let archive = [&MAGIC[..], &length.to_le_bytes(), &[1; 64]].concat();
            assert_eq!(checked(&archive, 8).unwrap_err().case(), &Case::Corrupt, "{length}");
        }
    }
}
