//! JSON records that carry the hash of their own content.
//!
//! `{"format":1,"blake3":"…","content":{…}}`: the hash is over the bytes of `content` exactly as
//! they stand in the file, so that nothing depends on how a parser orders keys or rounds numbers.
//! It shows accidents and edits. It is no signature: who may write the vault's directory can also
//! write a new hash, which is why that directory must not be writable by others.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Damage, Error};
use crate::record::Digest;

/// The format that this vaultup writes.
const FORMAT: u32 = 1;

/// The largest record. `set.json` with the most artifacts and generous figures is about 1 MiB; a
/// plugin's state is the rest.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Envelope<'a> {
    format: u32,
    blake3: Digest,
    #[serde(borrow)]
    content: &'a RawValue,
}

/// Read before the rest, so that a newer format is named as such and not as damage.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// The bytes of the file, and the digest of its content.
pub(crate) fn seal<T: Serialize>(content: &T) -> Result<(Vec<u8>, Digest), Error> {
    let content = serde_json::value::to_raw_value(content).map_err(failed)?;
    let blake3 = Digest::of(content.get().as_bytes());
    let envelope = Envelope { format: FORMAT, blake3, content: &content };
    let mut bytes = serde_json::to_vec(&envelope).map_err(failed)?;
    bytes.push(b'\n');
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(Error::TooMuch {
            what: "bytes of a backup set's description",
            found: bytes.len() as u64,
            limit: RECORD_BYTES_MAX as u64,
        });
    }
    Ok((bytes, blake3))
}

/// Why a sealed record cannot be used.
pub(crate) enum Broken {
    /// It is not what was written.
    Damaged(Damage),
    /// A newer vaultup wrote it.
    Newer(u32),
}

/// The content of a sealed file, and its digest.
pub(crate) fn unseal<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Digest), Broken> {
    let damaged = |reason: String| Broken::Damaged(Damage::Record(reason));
    let no_record = |error| damaged(format!("it is no record: {error}"));
    let FormatOnly { format } = serde_json::from_slice(bytes).map_err(no_record)?;
    if format > FORMAT {
        return Err(Broken::Newer(format));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).map_err(no_record)?;
    let found = Digest::of(envelope.content.get().as_bytes());
    if envelope.format != FORMAT || found != envelope.blake3 {
        return Err(damaged(format!(
            "it was changed: its content has hash {found}, and {} was recorded",
            envelope.blake3
        )));
    }
    let content = serde_json::from_str(envelope.content.get()).map_err(no_record)?;
    Ok((content, found))
}

fn failed(source: serde_json::Error) -> Error {
    Error::Pipeline {
        act: "describe",
        path: Path::new("the backup set").to_owned(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Broken, RECORD_BYTES_MAX, seal, unseal};

    #[test]
    fn no_flipped_bit_gives_other_content() {
        let content = serde_json::json!({ "a": [1, 2.5, "ä"], "b": null });
        let (bytes, digest) = seal(&content).unwrap();
        for index in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[index / 8] ^= 1 << (index % 8);
            if let Ok((read, found)) = unseal::<serde_json::Value>(&flipped) {
                // Only the line end after the record may change unseen: it says nothing.
                assert_eq!((read, found), (content.clone(), digest), "bit {index}");
                assert_eq!(index / 8, bytes.len() - 1, "bit {index}");
            }
        }
    }

    #[test]
    fn every_truncation_is_seen() {
        let (bytes, _) = seal(&serde_json::json!({ "a": 1 })).unwrap();
        for length in 0..bytes.len() - 1 {
            assert!(unseal::<serde_json::Value>(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_newer_format_is_named_and_not_called_damage() {
        let newer = br#"{"format":2,"signature":"x","content":{}}"#;
        assert!(matches!(unseal::<serde_json::Value>(newer), Err(Broken::Newer(2))));
    }

    #[test]
    fn a_record_of_the_largest_size_is_written_and_one_byte_more_is_not() {
        let empty = seal(&String::new()).unwrap().0.len();
        seal(&"a".repeat(RECORD_BYTES_MAX - empty)).unwrap();
        seal(&"a".repeat(RECORD_BYTES_MAX - empty + 1)).unwrap_err();
    }
}
