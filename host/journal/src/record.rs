//! One record of a run, and the hash that binds it to all records before it.
//!
//! Invariants: sequences count from 1 without a gap; each record's hash covers the hash before it
//! and every one of its own fields, each preceded by its length, so that no two different records
//! have the same input; epochs never fall along the chain.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;

/// Longest name of a run, in bytes. Run ids are about 30; the rest is room for a prefix.
pub const RUN_BYTES_MAX: usize = 128;

/// Longest kind of a record, in bytes. Kinds are kebab-case words such as `step-intended`.
pub const KIND_BYTES_MAX: usize = 64;

/// Largest body of a record as JSON text, in bytes. Bodies are a few hundred bytes; the largest
/// carry a file's previous content, and a file of settings beyond this is refused as an edit.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Keeps a record's hash from meaning anything elsewhere, and carries its format.
const DOMAIN: &[u8] = b"vaultup journal record 1";

/// The place of a record in the journal, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its place, from 1 without gaps over all runs.
    pub sequence: Sequence,
    /// The run it belongs to.
    pub run: String,
    /// The epoch of the lock under which it was appended.
    pub epoch: u64,
    /// When, as the appending process said.
    pub at: Timestamp,
    /// What kind of record, which says how to read the body.
    pub kind: String,
    /// The content.
    pub body: Value,
    /// The hash that covers this record and every one before it.
    pub hash: blake3::Hash,
}

/// What is known of a run without reading all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// The run's id.
    pub id: String,
    /// Its first record.
    pub first: Record,
    /// Its newest record.
    pub last: Record,
    /// How many records it has.
    pub records: u64,
}

/// The fields of a record as text, the way they are stored and hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'text> {
    pub(crate) sequence: u64,
    pub(crate) previous: &'text [u8; 32],
    pub(crate) epoch: u64,
    pub(crate) at: &'text str,
    pub(crate) run: &'text str,
    pub(crate) kind: &'text str,
    pub(crate) body: &'text str,
}

impl Fields<'_> {
    /// The record's hash.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(DOMAIN);
        hasher.update(&self.sequence.to_le_bytes());
        hasher.update(self.previous);
        hasher.update(&self.epoch.to_le_bytes());
        for text in [self.at, self.run, self.kind, self.body] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}

/// Refuses what the journal could not give back exactly.
pub(crate) fn check_limits(run: &str, kind: &str) -> Result<(), Error> {
    check_name("a run's id", run, RUN_BYTES_MAX)?;
    check_name("a record's kind", kind, KIND_BYTES_MAX)
}

/// The body as JSON text, which is known to be read back.
pub(crate) fn encode_body(body: &(impl Serialize + ?Sized)) -> Result<String, Error> {
    let unreadable = |error: serde_json::Error| Error::Limit {
        what: "a record's body",
        found: error.to_string(),
        allowed: "what JSON can carry and give back".to_owned(),
    };
    let text = serde_json::to_string(body).map_err(unreadable)?;
    if text.len() > BODY_BYTES_MAX {
        return Err(Error::Limit {
            what: "a record's body",
            found: format!("{} bytes", text.len()),
            allowed: format!("at most {BODY_BYTES_MAX} bytes"),
        });
    }
    serde_json::from_str::<Value>(&text).map_err(unreadable)?;
    Ok(text)
}

fn check_name(what: &'static str, text: &str, bytes_max: usize) -> Result<(), Error> {
    let printable = !text.is_empty() && !text.chars().any(char::is_control);
    if printable && text.len() <= bytes_max {
        return Ok(());
    }
    Err(Error::Limit {
        what,
        found: format!("{} bytes{}", text.len(), if printable { "" } else { ", not printable" }),
        allowed: format!("1 to {bytes_max} printable bytes"),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    const FIELDS: Fields<'_> = Fields {
        sequence: 7,
        previous: &[9; 32],
        epoch: 3,
        at: "2026-07-01T12:00:00Z",
        run: "run-1",
        kind: "step-intended",
        body: "{}",
    };

    #[test]
    fn the_hash_of_format_1_never_changes() {
        assert_eq!(
            blake3::Hash::from_bytes(FIELDS.hash()).to_hex().as_str(),
            "3592b44c43dbc0fbe6ba2f5661578fc48f3a3b358cab644090466df4fe068846"
        );
    }

    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let variants = [
            Fields { sequence: 8, ..FIELDS },
            Fields { previous: &[8; 32], ..FIELDS },
            Fields { epoch: 4, ..FIELDS },
            Fields { at: "2026-07-01T12:00:01Z", ..FIELDS },
            Fields { run: "run-2", ..FIELDS },
            Fields { run: "run-1s", kind: "tep-intended", ..FIELDS },
            Fields { kind: "step-intended{", body: "}", ..FIELDS },
            Fields { body: "{ }", ..FIELDS },
        ];
        for variant in variants {
            assert_ne!(variant.hash(), FIELDS.hash(), "{variant:?}");
        }
    }

    #[test]
    fn names_are_accepted_at_their_limit_and_refused_one_past_it() {
        let (run, kind) = ("r".repeat(RUN_BYTES_MAX), "k".repeat(KIND_BYTES_MAX));
        check_limits(&run, &kind).unwrap();
        check_limits(&format!("{run}r"), &kind).unwrap_err();
        check_limits(&run, &format!("{kind}k")).unwrap_err();
        check_limits("", "kind").unwrap_err();
        check_limits("run", "two\nlines").unwrap_err();
    }

    #[test]
    fn a_body_is_accepted_at_its_limit_and_refused_one_past_it() {
        let quotes = 2;
        let largest = "b".repeat(BODY_BYTES_MAX - quotes);
        assert_eq!(encode_body(&largest).unwrap().len(), BODY_BYTES_MAX);
        encode_body(&format!("{largest}b")).unwrap_err();
    }

    #[test]
    fn a_body_nested_deeper_than_can_be_read_back_is_refused() {
        let nested = |depth: usize| (0..depth).fold(Value::Null, |inner, _| vec![inner].into());
        encode_body(&nested(100)).unwrap();
        encode_body(&nested(1000)).unwrap_err();
    }
}
