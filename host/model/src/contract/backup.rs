//! Backups and what restores them.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A measured quantity by which backup and restored data show to be equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Rows, documents or files.
    pub count: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// `algorithm:hex` of the content.
    pub digest: Option<String>,
}

/// How well a backup is known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum ProofLevel {
    /// 0: it exists.
    Exists,
    /// 1: its structure was read.
    Readable,
    /// 2: every byte was read by a reader that checks it.
    Checked,
    /// 3: it was restored to scratch and queried.
    Restored,
}

impl From<ProofLevel> for u8 {
    fn from(level: ProofLevel) -> Self {
        level as Self
    }
}

impl TryFrom<u8> for ProofLevel {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Exists),
            1 => Ok(Self::Readable),
            2 => Ok(Self::Checked),
            3 => Ok(Self::Restored),
            _ => Err(format!("proof level {number} does not exist: use 0, 1, 2 or 3")),
        }
    }
}

impl fmt::Display for ProofLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", u8::from(*self))
    }
}

/// How the moments of the parts of a backup relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Writers were held for the whole time.
    WritersHeld,
    /// The datastore gave one moment.
    OneMoment,
    /// Parts may be of different moments.
    None,
}

/// What `backup.take` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Taken {
    /// Figures that a restore must show again.
    pub figures: Vec<Figure>,
    /// How its parts relate in time.
    pub consistency: Consistency,
    /// What the plugin needs for restoring, a JSON object.
    pub state: Value,
}

/// What `backup.prove` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proof {
    /// The level that was reached.
    pub level: ProofLevel,
    /// Figures measured on what was read or restored.
    pub figures: Vec<Figure>,
    /// Answers of the check queries.
    pub answers: Vec<String>,
}

/// What `backup.estimate` or `restore.estimate` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// Bytes that will be written.
    pub bytes: u64,
    /// Bytes free where the datastore lies.
    pub bytes_free: Option<u64>,
    /// What a backup would reach if writers went on; absent in an estimate of a restore.
    pub consistency: Option<Consistency>,
    /// Commands that would run.
    pub commands: Vec<Vec<String>>,
}
