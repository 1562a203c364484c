//! Schemas and what changes them.

use serde::{Deserialize, Serialize};

/// A migration as its tool names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Migration {
    /// Version or file name.
    pub id: String,
    /// What it is called.
    pub description: String,
    /// `algorithm:hex`, if recorded.
    pub checksum: Option<String>,
}

/// The schema as observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Schema {
    /// Version that the migration tool records.
    pub version: Option<String>,
    /// Digest of the normalised schema.
    pub fingerprint: String,
    /// Whether a migration was begun and not ended.
    pub dirty: bool,
    /// Applied migrations, oldest first.
    pub applied: Vec<Migration>,
}

/// Something that a migration touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Extent {
    /// A table or collection.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows or documents.
    pub count: Option<u64>,
}

/// What is still to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pending {
    /// In the order of application.
    pub migrations: Vec<Migration>,
    /// What they touch, largest first.
    pub extents: Vec<Extent>,
    /// Commands that would run.
    pub commands: Vec<Vec<String>>,
}

/// What to migrate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrateRequest {
    /// The datastore.
    pub datastore: String,
    /// The release's command.
    pub command: Vec<String>,
    /// The schema version expected afterwards.
    pub expected: Option<String>,
}

/// How to follow a service that migrates when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Watch {
    /// A matching line means success.
    pub success: Vec<String>,
    /// A matching line means failure, and wins.
    pub failure: Vec<String>,
    /// Seconds after which neither means unknown.
    pub seconds: u32,
}
