//! A set that is being written, until it is published whole.
//!
//! It lies in `.<id>.partial`, which no listing shows. An artifact is finished only when it is
//! durable and every stored byte was read back. Publishing compares what the caller says with what
//! was finished, writes the description, makes the directories durable and only then renames. A
//! crash before the rename leaves a partial; after it, a set.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::artifact_writer::ArtifactWriter;
use crate::durable;
use crate::error::Error;
use crate::name::{SET_FILE, part_name};
use crate::record::{
    ARTIFACTS_PER_SET_MAX, ArtifactRecord, BackupSet, DatastoreRecord, SetHeader, SetRecord,
};
use crate::sealed;
use crate::vault::{Inner, SETS_MAX, artifact_path, length_damage};

/// How many artifacts of a set may be open at once: each takes up to 40 MiB for its pipeline.
pub const ARTIFACTS_OPEN_MAX: usize = 8;

/// A set that is being written.
///
/// Dropped without [`SetWriter::publish`] it leaves its partial behind, as a crash does:
/// [`crate::Vault::discard_partial`] removes it.
pub struct SetWriter {
    vault: Arc<Inner>,
    header: SetHeader,
    directory: PathBuf,
    artifacts: Artifacts,
    /// Held until the set is published or given up: tells others that it is not abandoned.
    _lock: File,
}

impl SetWriter {
    pub(crate) fn begin(vault: Arc<Inner>, header: SetHeader) -> Result<Self, Error> {
        let set = &header.id;
        if fs::symlink_metadata(vault.set_path(set)).is_ok() {
            return Err(Error::SetExists { set: set.clone() });
        }
        let directory = vault.partial_path(set);
        if fs::symlink_metadata(&directory).is_ok() {
            let lock = durable::lock_directory(&directory);
            return Err(match lock.map_err(Error::with("lock", &directory))? {
                Some(_) => Error::Unfinished { set: set.clone() },
                None => Error::BeingWritten { set: set.clone() },
            });
        }
        let sets = vault.ids()?.len();
        if sets >= SETS_MAX {
            let (found, limit) = (sets as u64 + 1, SETS_MAX as u64);
            return Err(Error::TooMuch { what: "backup sets of a vault", found, limit });
        }
        durable::make_directory(&directory).map_err(Error::with("make", &directory))?;
        let lock = durable::lock_directory(&directory).map_err(Error::with("lock", &directory))?;
        let lock = lock.ok_or_else(|| Error::BeingWritten { set: set.clone() })?;
        Ok(Self { vault, header, directory, artifacts: Artifacts::default(), _lock: lock })
    }

    /// What was known when it was begun.
    #[must_use]
    pub fn header(&self) -> &SetHeader {
        &self.header
    }

    /// Begins an artifact. Several may be written at the same time, from different threads.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::NotPublishable`] when it was begun before;
    /// [`Error::TooMuch`] after [`ARTIFACTS_PER_SET_MAX`] artifacts, or with
    /// [`ARTIFACTS_OPEN_MAX`] of them open; [`Error::Io`], [`Error::NoSpace`].
    pub fn artifact(&self, datastore: &str, artifact: &str) -> Result<ArtifactWriter, Error> {
        part_name("datastore", datastore)?;
        part_name("artifact", artifact)?;
        let slot = self.reserve(datastore, artifact)?;
        let path = artifact_path(&self.directory, datastore, artifact);
        let directory = self.directory.join(datastore);
        match durable::make_directory(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                slot.abandon();
                return Err(Error::io("make", &directory, error));
            }
            _ => {}
        }
        ArtifactWriter::begin(path, artifact.to_owned(), &self.vault.keys, slot.clone())
            .inspect_err(|_| slot.abandon())
    }

    /// Publishes the set: from now on it is listed, and never changed again.
    ///
    /// `contents` must name exactly the finished artifacts, with the records that
    /// [`ArtifactWriter::finish`] gave, each read back by then. On an error nothing is published
    /// and the partial stays.
    ///
    /// # Errors
    /// [`Error::NotPublishable`], [`Error::Empty`], [`Error::Damaged`] when an artifact changed its
    /// length since, [`Error::TooMuch`], [`Error::Io`], [`Error::NoSpace`].
    pub fn publish(self, contents: BTreeMap<String, DatastoreRecord>) -> Result<BackupSet, Error> {
        self.compare(&contents)?;
        let record = SetRecord {
            header: self.header.clone(),
            recipients: self.vault.keys.recipients(),
            datastores: contents,
        };
        let (bytes, digest) = sealed::seal(&record)?;
        for (datastore, contents) in &record.datastores {
            for artifact in &contents.artifacts {
                let path = artifact_path(&self.directory, datastore, &artifact.name);
                if let Some(damage) = length_damage(&path, artifact)? {
                    let what = format!("{datastore}/{}.zst.age", artifact.name);
                    return Err(Error::Damaged { set: self.header.id.to_string(), what, damage });
                }
            }
            let directory = self.directory.join(datastore);
            durable::sync_directory(&directory).map_err(Error::with("synchronise", &directory))?;
        }
        let description = self.directory.join(SET_FILE);
        durable::write_new(&description, &bytes).map_err(Error::with("write", &description))?;
        self.make_visible()?;
        Ok(BackupSet { record, digest })
    }

    fn make_visible(&self) -> Result<(), Error> {
        let root = &self.vault.root;
        durable::sync_directory(&self.directory)
            .map_err(Error::with("synchronise", &self.directory))?;
        // A published set is never empty, so that a rename cannot take its place: the kernel
        // refuses it even if one appeared since the set was begun.
        fs::rename(&self.directory, self.vault.set_path(&self.header.id))
            .map_err(Error::with("publish", &self.directory))?;
        durable::sync_directory(root).map_err(Error::with("synchronise", root))
    }

    fn reserve(&self, datastore: &str, artifact: &str) -> Result<Slot, Error> {
        let key = (datastore.to_owned(), artifact.to_owned());
        let mut artifacts = locked(&self.artifacts);
        if artifacts.contains_key(&key) {
            return Err(self.not_publishable(format!("`{datastore}/{artifact}` was begun twice")));
        }
        let open = artifacts.values().filter(|one| one.is_none()).count();
        let limits = [
            ("artifacts of a backup set", artifacts.len(), ARTIFACTS_PER_SET_MAX),
            ("artifacts open at once", open, ARTIFACTS_OPEN_MAX),
        ];
        for (what, found, limit) in limits {
            if found >= limit {
                let (found, limit) = (found as u64 + 1, limit as u64);
                return Err(Error::TooMuch { what, found, limit });
            }
        }
        artifacts.insert(key.clone(), None);
        Ok(Slot { key, artifacts: Arc::clone(&self.artifacts) })
    }

    /// Compares what is to be published with what was written.
    fn compare(&self, contents: &BTreeMap<String, DatastoreRecord>) -> Result<(), Error> {
        let mut written = locked(&self.artifacts).clone();
        if contents.is_empty() {
            return Err(self.not_publishable("it holds no datastore".to_owned()));
        }
        for (datastore, contents) in contents {
            if contents.artifacts.is_empty() {
                return Err(self.not_publishable(format!("`{datastore}` has no artifact")));
            }
            for listed in &contents.artifacts {
                let name = format!("`{datastore}/{}`", listed.name.escape_debug());
                let key = (datastore.clone(), listed.name.clone());
                let problem = match written.remove(&key) {
                    None => format!("{name} was not written, or is listed twice"),
                    Some(None) => format!("{name} is not finished"),
                    Some(Some(found)) if found != *listed => {
                        format!("{name} is listed differently from how it was written")
                    }
                    Some(Some(found)) if found.bytes == 0 => {
                        let artifact = found.name;
                        return Err(Error::Empty { datastore: datastore.clone(), artifact });
                    }
                    Some(Some(_)) => continue,
                };
                return Err(self.not_publishable(problem));
            }
        }
        match written.into_keys().next() {
            None => Ok(()),
            Some((datastore, artifact)) => {
                Err(self.not_publishable(format!("`{datastore}/{artifact}` is not listed")))
            }
        }
    }

    fn not_publishable(&self, reason: String) -> Error {
        Error::NotPublishable { set: self.header.id.clone(), reason }
    }
}

/// `None`: open. `Some`: finished. Absent: never begun, or abandoned.
type Artifacts = Arc<Mutex<BTreeMap<(String, String), Option<ArtifactRecord>>>>;

/// The place of one artifact in the set that is being written.
#[derive(Clone)]
pub(crate) struct Slot {
    key: (String, String),
    artifacts: Artifacts,
}

impl Slot {
    /// The open slot of a set that has nothing else.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let key = (String::new(), String::new());
        let artifacts = Artifacts::default();
        locked(&artifacts).insert(key.clone(), None);
        Self { key, artifacts }
    }

    /// Whether it was begun and neither finished nor abandoned.
    pub(crate) fn is_open(&self) -> bool {
        matches!(locked(&self.artifacts).get(&self.key), Some(None))
    }

    pub(crate) fn finish(&self, record: ArtifactRecord) {
        locked(&self.artifacts).insert(self.key.clone(), Some(record));
    }

    /// Frees the name, unless the artifact is finished.
    pub(crate) fn abandon(&self) {
        if self.is_open() {
            locked(&self.artifacts).remove(&self.key);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is one insertion or removal: a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
