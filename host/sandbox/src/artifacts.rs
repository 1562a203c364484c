//! Which backup set a call is about, and streams between commands and artifacts.
//!
//! Bytes never enter the guest: a command reads from or writes into the vault on the host's
//! threads. An artifact exists only after its command ended by itself with status 0 and the vault
//! made it durable; in every other case it is gone.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vault::{ArtifactRecord, ArtifactWriter, BackupSet, SetWriter, Vault};

/// What the `artifact` import and artifacts of commands refer to.
#[derive(Clone)]
pub enum Artifacts {
    /// The call is about no backup.
    None,
    /// `backup.take` writes them.
    Write(BackupTaken),
    /// They are read.
    Read(BackupRead),
}

/// Where `backup.take` of one datastore writes.
#[derive(Clone)]
pub struct BackupTaken {
    writer: Arc<SetWriter>,
    datastore: String,
    written: Arc<Mutex<Vec<ArtifactRecord>>>,
}

/// Which datastore's backup is read.
#[derive(Clone)]
pub struct BackupRead {
    /// The vault.
    pub vault: Vault,
    /// The set.
    pub set: Arc<BackupSet>,
    /// The datastore.
    pub datastore: String,
}

impl BackupTaken {
    /// Artifacts of one datastore in a set that is being written.
    #[must_use]
    pub fn new(writer: Arc<SetWriter>, datastore: impl Into<String>) -> Self {
        Self { writer, datastore: datastore.into(), written: Arc::default() }
    }

    /// What was written so far, in the order in which it was finished.
    #[must_use]
    pub fn written(&self) -> Vec<ArtifactRecord> {
        self.records().clone()
    }

    pub(crate) fn begin(&self, name: &str) -> Result<ArtifactSink, vault::Error> {
        let writer = self.writer.artifact(&self.datastore, name)?;
        let shared = Arc::new(Mutex::new(Some(writer)));
        Ok(ArtifactSink { writer: shared, taken: self.clone() })
    }

    fn records(&self) -> MutexGuard<'_, Vec<ArtifactRecord>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackupRead {
    /// The artifacts of the datastore.
    pub(crate) fn all(&self) -> Result<Vec<ArtifactRecord>, vault::Error> {
        Ok(self.set.datastore(&self.datastore)?.artifacts.clone())
    }

    /// Opens an artifact. Its end is given only when everything was found right.
    pub(crate) fn open(&self, name: &str) -> Result<Box<dyn Read + Send>, vault::Error> {
        Ok(Box::new(self.vault.reader(&self.set, &self.datastore, name)?))
    }

    pub(crate) fn record(&self, name: &str) -> Result<ArtifactRecord, vault::Error> {
        self.set.artifact(&self.datastore, name).cloned()
    }
}

/// An artifact under way.
pub(crate) struct ArtifactSink {
    writer: Arc<Mutex<Option<ArtifactWriter>>>,
    taken: BackupTaken,
}

impl ArtifactSink {
    /// The end that a command writes to.
    pub(crate) fn input(&self) -> Box<dyn Write + Send> {
        Box::new(SharedWriter(Arc::clone(&self.writer)))
    }

    /// Makes it durable. Blocks. To be called when the command has ended well and let go.
    pub(crate) fn finish(self) -> Result<(), vault::Error> {
        let writer = lock(&self.writer).take();
        // Only this takes it, and consumes itself by it.
        let Some(writer) = writer else { return Ok(()) };
        let record = writer.finish()?;
        self.taken.records().push(record);
        Ok(())
    }
}

impl Drop for ArtifactSink {
    fn drop(&mut self) {
        // A writer that is dropped unfinished removes its file.
        drop(lock(&self.writer).take());
    }
}

struct SharedWriter(Arc<Mutex<Option<ArtifactWriter>>>);

impl Write for SharedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match lock(&self.0).as_mut() {
            Some(writer) => writer.write(bytes),
            None => Err(io::Error::other("the artifact was given up")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match lock(&self.0).as_mut() {
            Some(writer) => writer.flush(),
            None => Err(io::Error::other("the artifact was given up")),
        }
    }
}

/// A writer that panicked half way is not used: its own checks refuse to finish it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
