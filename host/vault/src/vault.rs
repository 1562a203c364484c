//! The directory of backup sets: what is in it, and what a crash left.
//!
//! `<root>/<set>/set.json`, `<root>/<set>/<datastore>/<artifact>.zst.age`,
//! `<root>/<set>/proofs/<datastore>.json`. A set that is being written is
//! `<root>/.<set>.partial`, one that is being removed `<root>/.<set>.removing`: names of sets
//! cannot begin with a dot, so that neither is ever taken for a set. A datastore may be called
//! `proofs`: its artifacts and the proofs end differently.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::durable;
use crate::error::{Damage, Error};
use crate::keys::Keys;
use crate::name::{SET_FILE, SetId, part_name};
use crate::record::{ArtifactRecord, BackupSet, SetHeader, SetRecord};
use crate::sealed::{self, Broken};
use crate::set_writer::SetWriter;

/// How many sets a vault takes: nightly backups of ten years. Reached, no set is begun any more;
/// listing and pruning go on.
pub const SETS_MAX: usize = 4096;

const PARTIAL: &str = ".partial";
const REMOVING: &str = ".removing";

/// A directory of backup sets and the keys to them. A clone is the same vault.
#[derive(Clone)]
pub struct Vault {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) keys: Keys,
    /// Artifacts that this process read to a verified end: the ground of proofs of level 2 and 3.
    pub(crate) read_to_end: Mutex<BTreeSet<(SetId, String, String)>>,
    /// Held while a file of proofs is replaced.
    pub(crate) proving: Mutex<()>,
}

/// A set as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Its description is whole and every artifact is there with its recorded length.
    Whole(BackupSet),
    /// It is not what was published.
    Damaged {
        /// Its id.
        id: SetId,
        /// Its description, if that at least is whole.
        set: Option<BackupSet>,
        /// What is wrong, one sentence.
        reason: String,
    },
}

impl Listed {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &SetId {
        match self {
            Self::Whole(set) => set.id(),
            Self::Damaged { id, .. } => id,
        }
    }

    /// The set, if it is whole.
    #[must_use]
    pub fn whole(&self) -> Option<&BackupSet> {
        match self {
            Self::Whole(set) => Some(set),
            Self::Damaged { .. } => None,
        }
    }

    /// Its description, if that at least is whole.
    #[must_use]
    pub fn description(&self) -> Option<&BackupSet> {
        match self {
            Self::Whole(set) => Some(set),
            Self::Damaged { set, .. } => set.as_ref(),
        }
    }
}

impl Vault {
    /// Opens the vault at `root`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Exposed`] when others can write in it, [`Error::Io`].
    pub fn open(root: &Path, keys: Keys) -> Result<Self, Error> {
        let root = durable::private_directory(root)?;
        let read_to_end = Mutex::default();
        let inner = Inner { root, keys, read_to_end, proving: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Where the sets lie.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// The public keys that new sets are encrypted to.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.inner.keys.recipients()
    }

    /// Bytes that can still be written here.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn available_bytes(&self) -> Result<u64, Error> {
        durable::available_bytes(&self.inner.root).map_err(Error::with("look at", &self.inner.root))
    }

    /// Refuses when fewer than `needed_bytes` can be written here.
    ///
    /// # Errors
    /// [`Error::NoSpace`] with both numbers, [`Error::Io`].
    pub fn require_space(&self, needed_bytes: u64) -> Result<(), Error> {
        let available_bytes = self.available_bytes()?;
        if available_bytes >= needed_bytes {
            return Ok(());
        }
        Err(Error::NoSpace {
            path: self.inner.root.clone(),
            needed_bytes: Some(needed_bytes),
            available_bytes: Some(available_bytes),
        })
    }

    /// Begins a set.
    ///
    /// # Errors
    /// [`Error::SetExists`]; [`Error::Unfinished`] when a crash left one with this id, which
    /// [`Vault::discard_partial`] removes; [`Error::BeingWritten`] when somebody writes it;
    /// [`Error::TooMuch`] when the vault holds [`SETS_MAX`] sets; [`Error::Io`].
    pub fn begin(&self, header: SetHeader) -> Result<SetWriter, Error> {
        SetWriter::begin(Arc::clone(&self.inner), header)
    }

    /// Removes what a crash left of an unfinished set. True: there was something.
    ///
    /// # Errors
    /// [`Error::BeingWritten`] when it is no leftover, [`Error::Io`].
    pub fn discard_partial(&self, set: &SetId) -> Result<bool, Error> {
        let directory = self.inner.partial_path(set);
        match durable::lock_directory(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("lock", &directory, error)),
            Ok(None) => Err(Error::BeingWritten { set: set.clone() }),
            Ok(Some(_lock)) => {
                fs::remove_dir_all(&directory).map_err(Error::with("remove", &directory))?;
                Ok(true)
            }
        }
    }

    /// Every set, newest first; damaged ones are listed with the reason, and those whose time is
    /// not known come last.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sets(&self) -> Result<Vec<Listed>, Error> {
        let mut sets: Vec<Listed> =
            self.inner.ids()?.into_iter().map(|id| self.inner.list(id)).collect();
        sets.sort_by_key(|one| {
            let began_at = one.description().map(|set| set.header().began_at);
            std::cmp::Reverse((began_at, one.id().clone()))
        });
        Ok(sets)
    }

    /// One set. Its description is whole; its artifacts are looked at when they are read.
    ///
    /// # Errors
    /// [`Error::NoSet`], [`Error::Damaged`], [`Error::NewerFormat`], [`Error::Io`].
    pub fn set(&self, set: &SetId) -> Result<BackupSet, Error> {
        self.inner.set(set)
    }
}

impl Inner {
    pub(crate) fn set_path(&self, set: &SetId) -> PathBuf {
        self.root.join(set.as_str())
    }

    pub(crate) fn partial_path(&self, set: &SetId) -> PathBuf {
        self.root.join(format!(".{set}{PARTIAL}"))
    }

    pub(crate) fn removing_path(&self, set: &SetId) -> PathBuf {
        self.root.join(format!(".{set}{REMOVING}"))
    }

    /// Sets that were begun and not published, and sets whose removal was cut short.
    pub(crate) fn leftovers(&self) -> Result<(Vec<SetId>, Vec<SetId>), Error> {
        let (mut partial, mut removing) = (Vec::new(), Vec::new());
        for name in self.names()? {
            let Some(hidden) = name.strip_prefix('.') else { continue };
            for (suffix, found) in [(PARTIAL, &mut partial), (REMOVING, &mut removing)] {
                let id = hidden.strip_suffix(suffix).and_then(|id| SetId::parse(id).ok());
                found.extend(id);
            }
        }
        Ok((partial, removing))
    }

    pub(crate) fn set(&self, set: &SetId) -> Result<BackupSet, Error> {
        let directory = self.set_path(set);
        if fs::symlink_metadata(&directory).is_err() {
            return Err(Error::NoSet { set: set.clone(), root: self.root.clone() });
        }
        let path = directory.join(SET_FILE);
        let damaged =
            |damage| Error::Damaged { set: set.to_string(), what: SET_FILE.to_owned(), damage };
        let bytes = match durable::open_file(&path).and_then(durable::read_small) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(Damage::Missing));
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        match sealed::unseal::<SetRecord>(&bytes) {
            Ok((record, digest)) => match foreign_part(set, &record) {
                None => Ok(BackupSet { record, digest }),
                Some(reason) => Err(damaged(Damage::Record(reason))),
            },
            Err(Broken::Damaged(damage)) => Err(damaged(damage)),
            Err(Broken::Newer(found)) => Err(Error::NewerFormat { path, found }),
        }
    }

    /// Compares presence and length of a datastore's artifacts with the record. Cheap.
    pub(crate) fn check_lengths(&self, set: &BackupSet, datastore: &str) -> Result<(), Error> {
        for artifact in &set.datastore(datastore)?.artifacts {
            let path = artifact_path(&self.set_path(set.id()), datastore, &artifact.name);
            if let Some(damage) = length_damage(&path, artifact)? {
                return Err(damaged(set, datastore, artifact, damage));
            }
        }
        Ok(())
    }

    fn list(&self, id: SetId) -> Listed {
        let set = match self.set(&id) {
            Ok(set) => set,
            Err(error) => return Listed::Damaged { id, set: None, reason: error.to_string() },
        };
        let mut datastores = set.record.datastores.keys();
        match datastores.try_for_each(|datastore| self.check_lengths(&set, datastore)) {
            Ok(()) => Listed::Whole(set),
            Err(error) => Listed::Damaged { id, set: Some(set), reason: error.to_string() },
        }
    }

    /// Directories that have the name of a set.
    pub(crate) fn ids(&self) -> Result<Vec<SetId>, Error> {
        let names = self.names()?;
        let ids = names.iter().filter_map(|name| SetId::parse(name).ok());
        Ok(ids.filter(|id| self.set_path(id).is_dir()).collect())
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let entries = fs::read_dir(&self.root).map_err(Error::with("read", &self.root))?;
        let names: io::Result<Vec<_>> = entries.map(|one| Ok(one?.file_name())).collect();
        let names = names.map_err(Error::with("read", &self.root))?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}

/// Why a whole description is not this set's, or must not be followed: whoever copies a set here
/// could have written paths into it.
fn foreign_part(set: &SetId, record: &SetRecord) -> Option<String> {
    if record.header.id != *set {
        return Some(format!("it is the description of set {}", record.header.id));
    }
    let parts = record.datastores.iter().flat_map(|(datastore, contents)| {
        let artifacts = contents.artifacts.iter().map(|one| ("artifact", one.name.as_str()));
        artifacts.chain([("datastore", datastore.as_str())])
    });
    let mut wrong = parts.filter_map(|(what, name)| part_name(what, name).err());
    wrong.next().map(|error| error.to_string())
}

/// Where an artifact of a set lies. The names were checked when the set was begun or read.
pub(crate) fn artifact_path(set: &Path, datastore: &str, artifact: &str) -> PathBuf {
    set.join(datastore).join(format!("{artifact}.zst.age"))
}

/// Whether an artifact is there with its recorded length.
pub(crate) fn length_damage(
    path: &Path,
    artifact: &ArtifactRecord,
) -> Result<Option<Damage>, Error> {
    let expected = artifact.bytes_stored;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Ok(Some(Damage::Missing)),
        Ok(metadata) if metadata.len() == expected => Ok(None),
        Ok(metadata) => Ok(Some(Damage::Length { expected, found: metadata.len() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(Damage::Missing)),
        Err(error) => Err(Error::io("look at", path, error)),
    }
}

pub(crate) fn damaged(
    set: &BackupSet,
    datastore: &str,
    artifact: &ArtifactRecord,
    damage: Damage,
) -> Error {
    let what = format!("{datastore}/{}.zst.age", artifact.name);
    Error::Damaged { set: set.id().to_string(), what, damage }
}
