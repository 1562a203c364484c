//! Names of what a restore makes.

use vaultup_sdk::{Error, Operation};

use crate::Settings;

/// How many characters of a digest stand for an operation's key.
const KEY_CHARACTERS: usize = 12;
/// What the name of every database has that vaultup made.
const MARK: &str = "_vaultup_";

/// What one operation makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// The database that people use, or the copy.
    pub(crate) live: String,
    /// A restored copy while it is examined. Without a key: the next proof removes what an earlier
    /// one had to leave.
    pub(crate) proof: String,
    /// How the names of filled collections begin.
    pub(crate) new: String,
    /// How the names of those begin that were set aside.
    pub(crate) old: String,
    /// Stands for the operation.
    pub(crate) key: String,
}

impl Names {
    pub(crate) fn of(operation: &Operation<Settings>) -> Result<Self, Error> {
        let live = &operation.settings.database;
        if !operation.is_live() && !live.contains(MARK) {
            return Err(Error::invalid_settings(format!(
                "the database of a copy must contain `{MARK}` in its name, and `{live}` does not: \
                 whoever forgets to name one must not have the live data replaced"
            )));
        }
        let digest = blake3::hash(operation.key.as_bytes()).to_hex();
        let key = digest[..KEY_CHARACTERS].to_owned();
        Ok(Self {
            live: live.clone(),
            proof: format!("{live}{MARK}proof"),
            new: format!("vaultup_new_{key}."),
            old: format!("vaultup_old_{key}."),
            key,
        })
    }

    /// As the scripts of `plugin.toml` see them. With `prefix` they look at collections whose names
    /// begin so.
    pub(crate) fn script(&self, prefix: &str, all: bool) -> String {
        let names = serde_json::json!({
            "prefix": prefix, "old": self.old, "key": self.key, "all": all,
        });
        names.to_string()
    }
}
