//! What was observed before a run: versions, schema, ways back.

use std::collections::BTreeMap;

use model::Name;
use model::contract::{Consistency, Pending, Preview, Running, Schema, WayBack};
use serde::{Deserialize, Serialize};

/// What was observed of a whole stack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// Every component of the stack.
    pub components: BTreeMap<Name, ComponentSnapshot>,
    /// Every datastore of the stack.
    pub datastores: BTreeMap<Name, DatastoreSnapshot>,
    /// What could not be observed of components and datastores, and why. Only a restore is planned
    /// all the same.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unseen: BTreeMap<Name, String>,
    /// Bytes free where backups go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_bytes_free: Option<u64>,
}

/// What was observed of a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComponentSnapshot {
    /// What runs.
    pub running: Running,
    /// Whether it could be deployed again.
    pub way_back: WayBack,
    /// What applying the next release would change; absent if no release was asked for.
    pub preview: Option<Preview>,
}

/// What was observed of a datastore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatastoreSnapshot {
    /// Its schema; absent if its plugin knows of none.
    pub schema: Option<Schema>,
    /// What is still to be applied; absent if it cannot be told before.
    pub pending: Option<Pending>,
    /// Bytes that a backup will write before compression.
    pub bytes: u64,
    /// Bytes free beside it.
    pub bytes_free: Option<u64>,
    /// What a backup would reach if writers went on.
    pub consistency: Consistency,
    /// Commands that a backup would run.
    pub backup_commands: Vec<Vec<String>>,
    /// Whether its plugin can restore.
    pub restorable: bool,
    /// What the last backup of it took, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastBackup>,
}

/// What a backup took, by which the next one is estimated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LastBackup {
    /// Its set.
    pub set: String,
    /// Bytes that the datastore's tools wrote.
    pub bytes: u64,
    /// Bytes on disk.
    pub bytes_stored: u64,
    /// How long it took.
    pub milliseconds: u64,
}

impl Snapshot {
    /// The version that runs: the one that all components agree on, if they do.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        let mut versions = self.components.values().map(|c| c.running.version.as_deref());
        let first = versions.next()??;
        versions.all(|version| version == Some(first)).then_some(first)
    }
}
