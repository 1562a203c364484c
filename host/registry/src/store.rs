//! The private store of installed plugins: one file a component, named by its digest.
//!
//! `<data>/plugins/blake3-<64 hexadecimal digits>.wasm`, directory 0700, files 0600.
//!
//! Invariants:
//! - A file appears under its name only when it is whole and durable.
//! - What is read is what the name says: the digest is computed on every read. A file that was
//!   exchanged or damaged is refused, never used.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use system::durable;

use crate::inspect::{COMPONENT_BYTES_MAX, digest};
use crate::outline::Seen;
use crate::{Error, Fetched};

const DIRECTORY: &str = "plugins";
const FILE_MODE: u32 = 0o600;
/// Hexadecimal digits of a BLAKE3 digest.
const DIGEST_DIGITS: usize = 64;

/// The private store of installed plugins.
#[derive(Clone, Debug)]
pub struct PluginStore {
    directory: PathBuf,
}

impl PluginStore {
    /// Opens the store below a data directory, and makes it if it is not there.
    ///
    /// # Errors
    /// [`Error::Store`] if the directory cannot be made.
    pub fn open(data_directory: &Path) -> Result<Self, Error> {
        let directory = data_directory.join(DIRECTORY);
        durable::private_directory(&directory).map_err(|cause| Error::store(&directory, cause))?;
        Ok(Self { directory })
    }

    /// Keeps a component. Doing it again changes nothing, and mends a damaged file.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be written; then nothing of it is left under its name.
    pub fn add(&self, fetched: &Fetched) -> Result<(), Error> {
        let digest = &fetched.inspected.digest;
        if self.read(digest).is_ok() {
            return Ok(());
        }
        let path = self.path(digest)?;
        durable::write_atomically(&path, &fetched.bytes, FILE_MODE)
            .map_err(|cause| Error::store(&path, cause))
    }

    /// Whether a component of this digest was added. Its content is checked when it is read.
    #[must_use]
    pub fn contains(&self, digest: &str) -> bool {
        self.path(digest).is_ok_and(|path| path.is_file())
    }

    /// The bytes of a component.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be read, [`Error::StoreDamaged`] if its content is not what
    /// its name says.
    pub fn read(&self, digest: &str) -> Result<Vec<u8>, Error> {
        let path = self.path(digest)?;
        let bytes = read_limited(&path).map_err(|cause| Error::store(&path, cause))?;
        match self::digest(&bytes) == digest {
            true => Ok(bytes),
            false => Err(Error::StoreDamaged { path }),
        }
    }

    /// Looks at a component without keeping its bytes.
    ///
    /// # Errors
    /// As [`PluginStore::read`].
    pub(crate) fn look(&self, digest: &str) -> Result<Seen, Error> {
        let path = self.path(digest)?;
        let failed = |cause: io::Error| Error::store(&path, cause);
        let file = File::open(&path).map_err(failed)?;
        let seen = Seen::read(file.take(COMPONENT_BYTES_MAX as u64 + 1)).map_err(failed)?;
        match seen.digest == digest {
            true => Ok(seen),
            false => Err(Error::StoreDamaged { path }),
        }
    }

    /// Removes a component. It is no error if there is none.
    ///
    /// # Errors
    /// [`Error::Store`] if it cannot be removed.
    pub fn remove(&self, digest: &str) -> Result<(), Error> {
        let path = self.path(digest)?;
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(Error::store(&path, cause))
            }
            _ => Ok(()),
        }
    }

    /// Where a component of this digest lies.
    ///
    /// # Errors
    /// [`Error::NoDigest`] if the text is no BLAKE3 digest, and so could be any path.
    pub fn path(&self, digest: &str) -> Result<PathBuf, Error> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match digest.strip_prefix("blake3:") {
            Some(hex) if hex.len() == DIGEST_DIGITS && hex.bytes().all(is_digit) => {
                Ok(self.directory.join(format!("blake3-{hex}.wasm")))
            }
            _ => Err(Error::NoDigest { text: model::pattern::shown(digest) }),
        }
    }
}

/// At most one byte more than the largest component, so that a longer file is seen to be too long.
pub(crate) fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::with_capacity(file.metadata()?.len().min(1 << 24) as usize);
    file.take(COMPONENT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
