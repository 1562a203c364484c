//! Secrets in files, for tools that take nothing else.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::Secret;
use crate::durable::private_directory;
use crate::error::Error;
use crate::process::ProcessIdentity;

/// What the names of these files begin with.
const PREFIX: &str = "secret-";

/// How many names are tried: a name is taken only when a file of a killed process with the same
/// id and start is left, which `sweep` could not have known.
const NAME_TRIES_MAX: u32 = 16;

/// A file that holds a secret, and goes with this value.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    length: usize,
}

impl SecretFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        // Overwritten first, for file systems that give freed blocks away as they are; that it
        // cannot be done is no reason to leave the file.
        if let Ok(mut file) = OpenOptions::new().write(true).open(&self.path) {
            let _ = file.write_all(&vec![0; self.length]);
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a secret's file stays");
        }
    }
}

/// Writes a secret into a new file (0600) in a private directory, which is made if need be.
///
/// # Errors
/// [`Error::NotPrivate`], [`Error::FileFailed`], [`Error::ProcessTable`].
pub fn short_lived_file(secret: &Secret, directory: &Path) -> Result<SecretFile, Error> {
    private_directory(directory)?;
    let owner = ProcessIdentity::current()?;
    let (path, mut file) = create(directory, &owner)?;
    // From here on every way out removes it.
    let made = SecretFile { path: path.clone(), length: secret.expose().len() };
    let written = file.write_all(secret.expose());
    written.map_err(|source| Error::FileFailed { path, action: "written", source })?;
    Ok(made)
}

/// Removes the files of processes that are gone, and says how many there were. Files of living
/// processes stay.
///
/// # Errors
/// [`Error::FileFailed`] when the directory cannot be read; that there is none is no failure.
pub fn sweep(directory: &Path) -> Result<usize, Error> {
    let failed = |source| Error::FileFailed { path: directory.to_owned(), action: "swept", source };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        result => result.map_err(failed)?,
    };
    let here = ProcessIdentity::current()?;
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| owner_of(name, &here));
        if owner.is_some_and(|owner| !owner.is_alive()) {
            std::fs::remove_file(entry.path()).map_err(failed)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Makes a file whose name says whose it is: `secret-<process id>-<ticks>-<boot>-<namespace>-<n>`.
fn create(directory: &Path, owner: &ProcessIdentity) -> Result<(PathBuf, File), Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (process_id, ticks) = (owner.process_id, owner.started_ticks);
        let boot = owner.boot.replace('-', "");
        let namespace = owner.namespace;
        let name = format!("{PREFIX}{process_id}-{ticks}-{boot}-{namespace}-{number}");
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error)
                if error.kind() == std::io::ErrorKind::AlreadyExists && tries < NAME_TRIES_MAX =>
            {
                tries += 1;
            }
            Err(source) => return Err(Error::FileFailed { path, action: "made", source }),
        }
    }
}

/// The process that a file belongs to; `None` when it is no file of ours.
fn owner_of(name: &str, here: &ProcessIdentity) -> Option<ProcessIdentity> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let process_id = parts.next()?.parse().ok()?;
    let started_ticks = parts.next()?.parse().ok()?;
    let boot = parts.next()?;
    let namespace = parts.next()?.parse().ok()?;
    let boot_here = here.boot.replace('-', "");
    // The machine's own spelling, so that it compares equal.
    let boot = if boot == boot_here { here.boot.clone() } else { boot.to_owned() };
    let host = here.host.clone();
    Some(ProcessIdentity { host, process_id, started_ticks, boot, namespace })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{create, short_lived_file, sweep};
    use crate::process::ProcessIdentity;
    use crate::secrets::Secret;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_in_a_private_file_for_as_long_as_it_is_needed() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("runtime");
        let secret = Secret::new("db", b"hunter22".to_vec()).unwrap();
        let first = short_lived_file(&secret, &directory).unwrap();
        let second = short_lived_file(&secret, &directory).unwrap();
        assert_ne!(first.path(), second.path());
        assert_eq!(fs::read(first.path()).unwrap(), b"hunter22");
        assert_eq!(first.path().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        drop((first, second));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_lives_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("runtime");
        assert_eq!(sweep(&directory).unwrap(), 0);
        let secret = Secret::new("db", b"hunter22".to_vec()).unwrap();
        let living = short_lived_file(&secret, &directory).unwrap();
        let mut gone = ProcessIdentity::current().unwrap();
        gone.started_ticks -= 1;
        create(&directory, &gone).unwrap();
        gone.boot = "an-earlier-one".to_owned();
        create(&directory, &gone).unwrap();
        let mut elsewhere = ProcessIdentity::current().unwrap();
        elsewhere.namespace += 1;
        let (kept, _) = create(&directory, &elsewhere).unwrap();
        fs::write(directory.join("secret-of-somebody"), "").unwrap();
        assert_eq!(sweep(&directory).unwrap(), 2);
        assert!(living.path().exists() && kept.exists());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
    }
}
