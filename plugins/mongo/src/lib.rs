//! MongoDB databases, with the database's own tools.
//!
//! A backup is one archive of `mongodump`, taken while the writers are held: the collections are
//! counted and digested before and after, and a database that changed meanwhile is no backup. An
//! archive of a `mongodump` that was interrupted looks complete, and `mongorestore` takes one that
//! is damaged; so counts decide, and level 2 is a reader of our own, see [`archive`].
//!
//! A restore fills collections with other names in the same database, compares them with what was
//! counted, and then renames: what is live is set aside, the filled ones take its names. The
//! database keeps its name, and collections that the backup does not have are set aside with the
//! others.
//!
//! # Settings
//! | key | meaning |
//! |---|---|
//! | `database` | the database |
//! | `host`, `port` | how it is reached without a password |
//! | `config` | a secret, what the tools' `--config` reads: a line `uri: mongodb://user:…@host/` |
//! | `inside` | the component inside of which the tools run; not together with `config` |
//! | `schema` | an expression that prints the schema's version; default: the document in `meta` |
//! | `check` | expressions that must print something of a restored copy |
//!
//! # What it makes
//! | name | what |
//! |---|---|
//! | database `<database>_vaultup_proof` | a restored copy while it is examined |
//! | collections `vaultup_new_<key>.…` | a restored copy beside the live collections |
//! | collections `vaultup_old_<key>.…` | what was live before |
//! | collection `vaultup_state` | how far a restore is |
//!
//! # Not shown by tests
//! Replica sets, `--oplog`, sharded clusters and point-in-time restores: they are not used, so a
//! backup needs the writers held. That others who are connected are named: the tests' server tells
//! only how many there are.
//!
//! # Invariants
//! - Nothing is restored into a live collection, and none is removed that was not set aside.
//! - `mongorestore` gets no archive that the reader did not accept; its exit status, what it says
//!   of failures, and the counts have to be right, all three.
//! - All scripts stand in `plugin.toml`, where the operator reads them before granting them.

mod archive;
mod backup;
mod connection;
mod literals;
mod migrate;
mod names;
mod restore;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vaultup_sdk::secret::Secret;
use vaultup_sdk::{Error, Figure, Operation};

/// The plugin.
pub struct MongoPlugin;

/// What the operator says of a database.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// The database.
    pub database: String,
    /// Name or address of the server.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// What the tools' `--config` reads.
    pub config: Option<Secret>,
    /// The component inside of which the tools run.
    pub inside: Option<String>,
    /// Prints the version of the schema.
    pub schema: Option<String>,
    /// Expressions that must print something of a restored copy.
    #[serde(default)]
    pub check: Vec<String>,
}

/// What is noted of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// 1; a later plugin reads what an earlier one noted.
    pub format: u32,
    /// The database that was dumped.
    pub database: String,
    /// Bytes of its documents.
    pub bytes: u64,
    /// Documents of each collection.
    pub documents: BTreeMap<String, u64>,
    /// How many figures were measured.
    pub figures: usize,
}

/// The format of [`State`].
const STATE_FORMAT: u32 = 1;

impl State {
    /// Refuses what a newer plugin noted.
    fn require_known(&self) -> Result<(), Error> {
        let format = self.format;
        if format == STATE_FORMAT {
            return Ok(());
        }
        Err(Error::corrupt(format!("the backup has format {format}, {STATE_FORMAT} is known")))
    }

    /// Whether there are as many figures of a copy: nothing more than was backed up.
    fn require_as_many(&self, found: &[Figure]) -> Result<(), Error> {
        let (taken, found) = (self.figures, found.len());
        if taken == found {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{taken} figures were taken of the database, {found} of its copy"
        )))
    }

    /// Refuses to put another database's backup in the place of the live one.
    fn require_same(&self, operation: &Operation<Settings>) -> Result<(), Error> {
        let (wanted, found) = (&operation.settings.database, &self.database);
        if !operation.is_live() || wanted == found {
            return Ok(());
        }
        Err(Error::invalid_settings(format!(
            "this is a backup of the database {found}, and the settings name {wanted}"
        )))
    }
}

impl vaultup_sdk::Plugin for MongoPlugin {
    type Settings = Settings;
}

vaultup_sdk::plugin!(MongoPlugin: backup, restore, migrate, health-check);
