//! PostgreSQL databases, with the database's own tools.
//!
//! A backup is what `pg_dump` writes of one moment, in its own format and uncompressed (the vault
//! compresses, once), together with the roles of the cluster, a count of every table at the same
//! moment and a digest of those that are not too long. A restore fills a new database beside the
//! live one, compares it with what was counted, and then exchanges the two names.
//!
//! # Settings
//! | key | meaning |
//! |---|---|
//! | `database` | the database |
//! | `host`, `port`, `user` | how it is reached; default: what the tools take themselves |
//! | `password` | a secret. Not together with `inside`: nothing carries it there |
//! | `maintenance` | the database from which others are made and renamed; default `postgres` |
//! | `inside` | the component inside of which `psql`, `pg_dump` and `pg_restore` run |
//! | `owners`, `grants` | `keep` (default) or `drop`: whether a restore brings them back |
//! | `sessions` | `refuse` (default) or `end`: sessions that are left when a copy takes the place |
//! | `schema` | a query for the schema's version, if no known migration tool records it |
//! | `check` | queries that a restored copy must answer with something |
//! | `digest-rows` | tables of at most so many rows have a digest; default 1,000,000 |
//! | `data` | a directory on the server's file system, if it is here, to see its room |
//!
//! A release may say `server = 16` in its entry of the datastore: the major version that it needs.
//! A server of another one is refused with the way there. A new major does not start on the data of
//! an old one, so the way is a backup, a new server beside, and a restore into that.
//!
//! The user needs `CREATEDB`, must own the database or be a member of its owner, and must see every
//! row: its owner or a superuser does. `sessions = "end"` needs `pg_signal_backend`.
//!
//! # Databases that it makes
//! | name | what |
//! |---|---|
//! | `<database>_vaultup_proof` | a restored copy while it is examined |
//! | `<database>_vaultup_fill_<key>` | a restored copy that is not complete |
//! | `<database>_vaultup_new_<key>` | one that is complete and equal to what was backed up |
//! | `<database>_vaultup_old_<key>` | what was live before |
//!
//! `<key>` is a digest of the operation's key, and long names are cut.
//!
//! # Invariants
//! - The live database is read, or renamed as a whole; nothing is ever restored into it.
//! - Both names change in one transaction, and the names then say that they did.
//! - Only databases with `vaultup` in their names are removed.
//! - All SQL stands in `plugin.toml`, where the operator reads it before granting it.

mod backup;
mod connection;
mod figures;
mod header;
mod health;
mod literals;
mod migrate;
mod names;
mod restore;
mod schema;
mod sessions;
#[cfg(test)]
mod tests;
mod tools;
mod trouble;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vaultup_sdk::secret::Secret;
use vaultup_sdk::{Error, Operation};

/// The plugin.
pub struct PostgresPlugin;

/// What the operator says of a database.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Name, address or socket directory of the server.
    pub host: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Whom to connect as.
    pub user: Option<String>,
    /// The database.
    pub database: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// The database from which others are made and renamed.
    #[serde(default = "postgres")]
    pub maintenance: String,
    /// The component inside of which the tools run.
    pub inside: Option<String>,
    /// Whether a restore brings owners back.
    #[serde(default)]
    pub owners: Keep,
    /// Whether a restore brings grants back.
    #[serde(default)]
    pub grants: Keep,
    /// What happens to sessions that are left.
    #[serde(default)]
    pub sessions: Sessions,
    /// A query for the schema's version.
    pub schema: Option<String>,
    /// Queries that a restored copy must answer.
    #[serde(default)]
    pub check: Vec<String>,
    /// Tables of at most so many rows have a digest.
    #[serde(default = "digest_rows")]
    pub digest_rows: u64,
    /// A directory on the server's file system.
    pub data: Option<String>,
}

/// Whether something of a backup is brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// It is.
    #[default]
    Keep,
    /// It is not.
    Drop,
}

/// What happens to sessions that are left when a restored copy takes the place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sessions {
    /// Nothing; the restore stops and names them.
    #[default]
    Refuse,
    /// They are ended.
    End,
}

/// What is noted of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// 1; a later plugin reads what an earlier one noted.
    pub format: u32,
    /// The database that was dumped.
    pub database: String,
    /// Version of the server, as it numbers itself: 150018.
    pub server: u32,
    /// Bytes of the database on its server.
    pub bytes: u64,
    /// Up to how many rows a table has a digest.
    pub digest_rows: u64,
    /// How many figures were measured.
    pub figures: usize,
    /// What belongs to the database itself and is in no dump: encoding, owner, settings, grants.
    pub properties: Value,
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

fn postgres() -> String {
    "postgres".to_owned()
}

fn digest_rows() -> u64 {
    1_000_000
}

impl vaultup_sdk::Plugin for PostgresPlugin {
    type Settings = Settings;
}

vaultup_sdk::plugin!(PostgresPlugin: backup, restore, migrate, health-check);
