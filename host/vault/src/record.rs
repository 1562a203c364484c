//! What a backup set says of itself: the content of `set.json` and of `proofs/<datastore>.json`.
//!
//! Format 1, kebab-case JSON inside the envelope of [`crate::sealed`]. A record is written once
//! and never edited; only proofs are added, beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use model::contract::{Consistency, Figure, ProofLevel};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::name::SetId;

/// How many datastores and artifacts together one set takes. A datastore has a handful of artifacts
/// (a dump, its roles, an oplog); the limit bounds `set.json` and a plugin that never stops.
pub const ARTIFACTS_PER_SET_MAX: usize = 256;

/// A blake3 hash; in text 64 hexadecimal digits, without capitals.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(blake3::Hash);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes))
    }

    pub(crate) fn finished(hasher: &blake3::Hasher) -> Self {
        Self(hasher.finalize())
    }
}

/// A text is no [`Digest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blake3 hash has 64 digits, 0-9 and a-f")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digest = blake3::Hash::from_hex(text).map(Self).map_err(|_| NotADigest)?;
        // One spelling only: capitals would be the same digest in another text.
        if digest.to_string() == text { Ok(digest) } else { Err(NotADigest) }
    }
}

impl TryFrom<String> for Digest {
    type Error = NotADigest;
    fn try_from(text: String) -> Result<Self, NotADigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0.to_hex().to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What a set was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The way back of an upgrade, taken before anything was changed.
    BeforeUpgrade,
    /// What a failed upgrade left, kept before it is replaced. Never pruned unless named.
    FailedState,
    /// Asked for by a person.
    Manual,
    /// Of a copy: says nothing about the live data.
    Rehearsal,
}

impl Purpose {
    /// Its name in files and on screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeUpgrade => "before-upgrade",
            Self::FailedState => "failed-state",
            Self::Manual => "manual",
            Self::Rehearsal => "rehearsal",
        }
    }

    /// Whether a set of this purpose holds the live data as it should be.
    #[must_use]
    pub fn holds_good_live_data(self) -> bool {
        matches!(self, Self::BeforeUpgrade | Self::Manual)
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What is known of a set when it is begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetHeader {
    /// Its id, unique in the vault.
    pub id: SetId,
    /// The stack.
    pub stack: String,
    /// The run that makes it; the command's own id when no run does.
    pub run: String,
    /// Version of the release that the data belongs to.
    pub release: String,
    /// What it is made for.
    pub purpose: Purpose,
    /// When it was begun.
    pub began_at: Timestamp,
}

/// One stored stream, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArtifactRecord {
    /// Its name within the datastore.
    pub name: String,
    /// Bytes that were backed up.
    pub bytes: u64,
    /// Bytes on disk, compressed and encrypted.
    pub bytes_stored: u64,
    /// Hash of the bytes that were backed up.
    pub blake3: Digest,
    /// Hash of the bytes on disk.
    pub blake3_stored: Digest,
}

/// The backup of one datastore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DatastoreRecord {
    /// Digest of the plugin that took it, and that can restore it.
    pub plugin: String,
    /// Version of the schema, if the migration tool records one.
    pub schema_version: Option<String>,
    /// Fingerprint of the schema, if it was observed.
    pub schema_fingerprint: Option<String>,
    /// The proof level that the operator asked for.
    pub proof_wanted: ProofLevel,
    /// Its artifacts, exactly as [`crate::ArtifactWriter::finish`] gave them; at least one.
    pub artifacts: Vec<ArtifactRecord>,
    /// Figures that a restore must show again.
    pub figures: Vec<Figure>,
    /// How its parts relate in time.
    pub consistency: Consistency,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// What the plugin needs for restoring.
    pub state: Value,
    /// How long it took, and who may have written to it meanwhile.
    #[serde(default, skip_serializing_if = "Meanwhile::is_unknown")]
    pub meanwhile: Meanwhile,
}

/// What is known of the time during which a backup was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Meanwhile {
    /// How long it took.
    pub milliseconds: u64,
    /// Who may have written.
    pub written: Written,
}

/// Who may have written to a datastore while it was backed up: what they wrote from then on is not
/// in the backup, and a restore loses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Written {
    /// Nobody said who writes to it.
    #[default]
    Unknown,
    /// Everybody who writes to it was stopped or held.
    Nothing,
    /// These components ran.
    By(Vec<String>),
}

impl Meanwhile {
    fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// The content of `set.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SetRecord {
    /// What was known when it was begun.
    pub header: SetHeader,
    /// The public keys that it was encrypted to: who can read it.
    pub recipients: Vec<String>,
    /// Each datastore's backup.
    pub datastores: BTreeMap<String, DatastoreRecord>,
}

/// A published backup set whose description is whole.
///
/// Only the vault makes one: from a `set.json` whose hash is right and that lies in the directory
/// of its own id. Whether its artifacts are whole is another question, answered by reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupSet {
    pub(crate) record: SetRecord,
    pub(crate) digest: Digest,
}

impl BackupSet {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &SetId {
        &self.record.header.id
    }

    /// Stack, run, release, purpose, time.
    #[must_use]
    pub fn header(&self) -> &SetHeader {
        &self.record.header
    }

    /// All that `set.json` says.
    #[must_use]
    pub fn record(&self) -> &SetRecord {
        &self.record
    }

    /// The hash of that content: names this set and no other.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The backup of one datastore.
    ///
    /// # Errors
    /// [`Error::NotInSet`].
    pub fn datastore(&self, datastore: &str) -> Result<&DatastoreRecord, Error> {
        self.record.datastores.get(datastore).ok_or_else(|| Error::NotInSet {
            set: self.id().clone(),
            what: format!("datastore `{}`", datastore.escape_debug()),
        })
    }

    /// One artifact of one datastore.
    ///
    /// # Errors
    /// [`Error::NotInSet`].
    pub fn artifact(&self, datastore: &str, artifact: &str) -> Result<&ArtifactRecord, Error> {
        let found = self.datastore(datastore)?.artifacts.iter().find(|one| one.name == artifact);
        found.ok_or_else(|| Error::NotInSet {
            set: self.id().clone(),
            what: format!("artifact `{}` of `{datastore}`", artifact.escape_debug()),
        })
    }

    /// Bytes on disk of all artifacts.
    #[must_use]
    pub fn bytes_stored(&self) -> u64 {
        let artifacts = self.record.datastores.values().flat_map(|one| &one.artifacts);
        artifacts.map(|artifact| artifact.bytes_stored).sum()
    }
}

/// What proved a datastore's backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ProofRecord {
    /// The level that was reached.
    pub level: ProofLevel,
    /// When.
    pub at: Timestamp,
    /// Figures measured on what was read or restored.
    pub figures: Vec<Figure>,
    /// Answers of the check queries.
    pub answers: Vec<String>,
}

/// The content of `proofs/<datastore>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ProofFile {
    /// The set that was proven.
    pub(crate) set: SetId,
    /// The digest of its `set.json`: proofs of another set do not count here.
    pub(crate) set_blake3: Digest,
    /// The datastore that was proven.
    pub(crate) datastore: String,
    /// Oldest first.
    pub(crate) proofs: Vec<ProofRecord>,
}
