//! `vaultup.lock` on disk: read, and changed by one process at a time.
//!
//! Invariants:
//! - At every moment the file is whole: it is replaced by rename, after its content is durable.
//! - Two changes never lose each other: a change holds an exclusive lock on the directory from
//!   reading to writing. The kernel lets go of it when the process ends, however it ends.

use std::fs::File;
use std::io;
use std::path::Path;

use model::Name;
use model::lock::{Grant, Lock, LockedPlugin};
use rustix::fs::{FlockOperation, flock};
use system::durable;

use crate::fetch::nearest;
use crate::{Error, Fetched};

/// The lock's name, beside the stack file.
pub const LOCK_FILE: &str = "vaultup.lock";
/// Everybody may read it: it belongs into version control.
const FILE_MODE: u32 = 0o644;

/// Reads a lock; one that is not there is empty.
///
/// # Errors
/// [`Error::LockFile`], [`Error::Manifest`] with everything that is wrong in it.
pub fn read(path: &Path) -> Result<Lock, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Lock::parse(&text, &path.display().to_string()).map_err(Error::manifest),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::default()),
        Err(error) => Err(Error::lock_file(path, error)),
    }
}

/// Changes a lock. Other processes that want to change it wait. Nothing is written when the change
/// gives an error, or changes nothing.
///
/// # Errors
/// As [`read`], and those of the change.
pub fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut Lock) -> Result<T, Error>,
) -> Result<T, Error> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let held = File::open(directory).map_err(|error| Error::lock_file(path, error))?;
    flock(&held, FlockOperation::LockExclusive)
        .map_err(|error| Error::lock_file(path, io::Error::from(error)))?;
    let before = read(path)?;
    let mut lock = before.clone();
    let answer = change(&mut lock)?;
    if lock != before {
        durable::write_atomically(path, lock.render().as_bytes(), FILE_MODE)
            .map_err(|error| Error::lock_file(path, error))?;
    }
    Ok(answer)
}

/// Puts a fetched plugin into a lock, in place of another digest of its name. A grant that covers
/// everything that it asks for is kept.
///
/// Gives what it asks for beyond that, one line each; empty: it is granted.
pub fn install(lock: &mut Lock, fetched: &Fetched) -> Vec<String> {
    let manifest = &fetched.inspected.manifest;
    let needs = manifest.needs();
    let old = lock.plugins.get(&manifest.name).and_then(|plugin| plugin.grant.clone());
    let (grant, wider) = match old {
        Some(old) => match needs.wider_than(&old.needs) {
            wider if wider.is_empty() => (Some(Grant { needs, ..old }), wider),
            wider => (None, wider),
        },
        None => (None, needs.describe()),
    };
    let plugin = LockedPlugin {
        version: manifest.version.clone(),
        digest: fetched.inspected.digest.clone(),
        source: fetched.source.to_string(),
        contract: manifest.contract,
        grant,
    };
    lock.plugins.insert(manifest.name.clone(), plugin);
    wider
}

/// An installed plugin.
///
/// # Errors
/// [`Error::NotInstalled`].
pub fn find<'l>(lock: &'l Lock, name: &Name) -> Result<&'l LockedPlugin, Error> {
    lock.plugins.get(name).ok_or_else(|| not_installed(lock, name))
}

/// Takes a grant away; the plugin stays installed.
///
/// # Errors
/// [`Error::NotInstalled`], [`Error::NotGranted`].
pub fn revoke(lock: &mut Lock, name: &Name) -> Result<Grant, Error> {
    find(lock, name)?;
    let plugin = lock.plugins.get_mut(name);
    let grant = plugin.and_then(|plugin| plugin.grant.take());
    grant.ok_or_else(|| Error::NotGranted { name: name.clone() })
}

/// Takes a plugin out of a lock. Its component stays in the store: a backup may need it.
///
/// # Errors
/// [`Error::NotInstalled`].
pub fn remove(lock: &mut Lock, name: &Name) -> Result<LockedPlugin, Error> {
    lock.plugins.remove(name).ok_or_else(|| not_installed(lock, name))
}

fn not_installed(lock: &Lock, name: &Name) -> Error {
    let nearest = nearest(name.as_str(), lock.plugins.keys());
    Error::NotInstalled { name: name.clone(), nearest }
}
