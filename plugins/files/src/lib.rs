//! A directory, or a single file, as a datastore.
//!
//! A backup is one `tar` archive that goes from the tool into the vault. It is taken while the
//! writers are held, or of a copy that the application makes of one moment (`checkpoint`). A
//! restore fills an empty directory beside the live one and then exchanges the two.
//!
//! # Settings
//! | key | meaning |
//! |---|---|
//! | `path` | the directory or the file; it may not be a symbolic link |
//! | `checkpoint` | a command that writes a copy of one moment into the new directory `${into}` while writers go on; `${directory}` is the live one. Only for directories |
//! | `schema` | a command that only looks and prints a JSON line; see [`schema`] |
//! | `check` | a command that is run on a restored copy at proof level 3: exit status 0 means good, and what it prints is kept as the answer |
//!
//! `${directory}` is the directory (of a restored copy, in `check`); if `path` is a file, `${file}`
//! is that file. `schema` also knows `${release}`, the version that the run leads to.
//!
//! The path of a copy for a rehearsal contains `.vaultup-` in its name (`data.vaultup-copy`):
//! whoever forgets to name one must not have the live data replaced, and only such names can be
//! removed when the rehearsal is over.
//!
//! # What lies beside
//! | name | what |
//! |---|---|
//! | `<name>.vaultup-checkpoint-<key>` | the application's copy while it is archived |
//! | `<name>.vaultup-proof-<key>` | a restored copy while it is examined |
//! | `<name>.vaultup-fill-<key>` | a restored copy that is not complete |
//! | `<name>.vaultup-new-<key>` | one that is complete and equal to what was backed up |
//! | `<name>.vaultup-digest-<key>` | a file: the digest of that copy |
//! | `<name>.vaultup-switch-<key>` | the same file, from when the copy is being put in place |
//! | `<name>.vaultup-old-<key>` | what was live before |
//!
//! # Invariants
//! - What is live is never written to: it is read, or exchanged as a whole.
//! - A name that says «new» has a complete copy behind it; it is renamed to that last.
//! - A tree that changed while it was read is no backup, even if every program said yes.

mod archive;
mod backup;
mod health;
mod migrate;
mod place;
mod restore;
pub mod schema;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use vaultup_sdk::{Error, Figure};

/// The plugin.
pub struct FilesPlugin;

/// What the operator says of a datastore.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// The directory or the file.
    pub path: String,
    /// Makes a copy of one moment.
    pub checkpoint: Option<Vec<String>>,
    /// Says what schema there is.
    pub schema: Option<Vec<String>>,
    /// Asks a restored copy.
    pub check: Option<Vec<String>>,
}

/// What is noted of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct State {
    /// 1; a later plugin reads what an earlier one noted.
    pub format: u32,
    /// What was archived.
    pub shape: Shape,
    /// How many regular files it has.
    pub count: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Digest of the tree, `algorithm:hex`.
    pub digest: String,
}

/// What a datastore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// A directory.
    Directory,
    /// A single file.
    File,
}

/// The format of [`State`].
const STATE_FORMAT: u32 = 1;

impl State {
    /// What is noted of a measured tree.
    fn of(shape: Shape, figure: &Figure) -> Result<Self, Error> {
        let (Some(count), Some(bytes), Some(digest)) = (figure.count, figure.bytes, &figure.digest)
        else {
            return Err(Error::failed(format!("{figure} is no complete measure of a tree")));
        };
        Ok(Self { format: STATE_FORMAT, shape, count, bytes, digest: digest.clone() })
    }

    /// It as a figure.
    fn figure(&self) -> Figure {
        Figure {
            name: FIGURE.to_owned(),
            count: Some(self.count),
            bytes: Some(self.bytes),
            digest: Some(self.digest.clone()),
        }
    }

    /// Whether a restored copy is what was backed up.
    fn require_equal(&self, restored: &Figure) -> Result<(), Error> {
        let taken = self.figure();
        if *restored == taken {
            return Ok(());
        }
        Err(Error::corrupt(format!("{taken} was backed up, but {restored} was restored")))
    }

    /// Refuses what a newer plugin noted.
    fn require_known(&self) -> Result<(), Error> {
        let Self { format, .. } = self;
        if *format == STATE_FORMAT {
            return Ok(());
        }
        Err(Error::corrupt(format!("the backup has format {format}, {STATE_FORMAT} is known")))
    }
}

/// Name of the only figure.
const FIGURE: &str = "tree";

impl vaultup_sdk::Plugin for FilesPlugin {
    type Settings = Settings;
}

vaultup_sdk::plugin!(FilesPlugin: backup, restore, migrate, health-check);
