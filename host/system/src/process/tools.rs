//! Which file a tool's name means, and what is in it.
//!
//! Threat: another program of the same name. Only absolute directories of the search path count,
//! and a directory that every user can write to is refused rather than passed over, so that
//! nobody can plant a tool or hide one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::error::Error;

/// What every user may write to.
const WRITABLE_BY_ALL: u32 = 0o002;

/// Finds a program. A name without `/` is looked up in the absolute entries of `search_path` (in
/// the format of `PATH`); one with `/` is taken from `directory`. Links are not resolved: programs
/// such as busybox go by the name they are called with.
///
/// # Errors
/// [`Error::ToolNotFound`] when no directory has it as an executable file;
/// [`Error::ToolInOpenDirectory`] when the first that has it can be written to by every user.
pub fn resolve(program: &OsStr, directory: &Path, search_path: &OsStr) -> Result<PathBuf, Error> {
    let name = program.to_string_lossy().into_owned();
    if name.contains('/') {
        let path = directory.join(program);
        return if path.is_absolute() && is_executable(&path) {
            Ok(path)
        } else {
            let searched = format!("the directory {}", directory.display());
            Err(Error::ToolNotFound { program: name, searched })
        };
    }
    let entries = std::env::split_paths(search_path).filter(|entry| entry.is_absolute());
    for entry in entries.filter(|_| !name.is_empty()) {
        let path = entry.join(program);
        if !is_executable(&path) {
            continue;
        }
        let open = entry.metadata().is_ok_and(|found| found.mode() & WRITABLE_BY_ALL != 0);
        if open {
            return Err(Error::ToolInOpenDirectory { program: name, directory: entry });
        }
        return Ok(path);
    }
    let searched = match search_path.to_string_lossy() {
        path if path.is_empty() => "PATH, which is empty".to_owned(),
        path => format!("PATH ({path})"),
    };
    Err(Error::ToolNotFound { program: name, searched })
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
        && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

/// BLAKE3 digests of programs, each file read once. A file counts as the same while device, inode,
/// size and both of its times are: of the times, the second cannot be set by its owner.
#[derive(Debug, Default)]
pub struct Digests {
    known: Mutex<BTreeMap<FileIdentity, String>>,
}

type FileIdentity = (u64, u64, u64, (i64, i64), (i64, i64));

impl Digests {
    /// The digest of a file as 64 hexadecimal digits; links are followed.
    ///
    /// # Errors
    /// [`Error::FileFailed`] when it cannot be read.
    pub fn digest(&self, path: &Path) -> Result<String, Error> {
        let failed = |source| Error::FileFailed { path: path.to_owned(), action: "read", source };
        let mut file = File::open(path).map_err(failed)?;
        let identity = identity(&file.metadata().map_err(failed)?);
        if let Some(digest) = self.known().get(&identity) {
            return Ok(digest.clone());
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(failed)?;
        let digest = hasher.finalize().to_hex().to_string();
        self.known().insert(identity, digest.clone());
        Ok(digest)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<FileIdentity, String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(found: &Metadata) -> FileIdentity {
    let modified = (found.mtime(), found.mtime_nsec());
    let changed = (found.ctime(), found.ctime_nsec());
    (found.dev(), found.ino(), found.size(), modified, changed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Digests, resolve};
    use crate::error::Error;
    use std::ffi::OsStr;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    fn tool(directory: &Path, name: &str, mode: u32) -> PathBuf {
        fs::create_dir_all(directory).unwrap();
        let path = directory.join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn search(directories: &[&Path]) -> std::ffi::OsString {
        std::env::join_paths(directories).unwrap()
    }

    #[test]
    fn the_first_executable_file_of_the_path_is_the_tool() {
        let scratch = tempfile::tempdir().unwrap();
        let (first, second) = (scratch.path().join("1"), scratch.path().join("2"));
        tool(&first, "helm", 0o644);
        let wanted = tool(&second, "helm", 0o755);
        fs::create_dir(scratch.path().join("1/kubectl")).unwrap();
        let path = search(&[Path::new("relative"), &first, &second]);
        assert_eq!(resolve(OsStr::new("helm"), Path::new("/"), &path).unwrap(), wanted);
        resolve(OsStr::new("kubectl"), Path::new("/"), &path).unwrap_err();
        resolve(OsStr::new(""), Path::new("/"), &path).unwrap_err();
    }

    #[test]
    fn a_relative_directory_of_the_path_never_counts() {
        let error = resolve(OsStr::new("Cargo.toml"), Path::new("/"), OsStr::new(".:src"));
        assert!(matches!(error, Err(Error::ToolNotFound { .. })));
    }

    #[test]
    fn a_directory_that_everybody_can_write_to_is_refused_even_if_the_tool_is_elsewhere_too() {
        let scratch = tempfile::tempdir().unwrap();
        let (open, closed) = (scratch.path().join("open"), scratch.path().join("closed"));
        tool(&open, "helm", 0o755);
        tool(&closed, "helm", 0o755);
        fs::set_permissions(&open, Permissions::from_mode(0o1777)).unwrap();
        let path = search(&[&open, &closed]);
        let error = resolve(OsStr::new("helm"), Path::new("/"), &path).unwrap_err();
        assert!(matches!(error, Error::ToolInOpenDirectory { .. }), "{error}");
    }

    #[test]
    fn a_name_with_a_slash_is_taken_from_the_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let wanted = tool(scratch.path(), "smoke.sh", 0o755);
        let found = resolve(OsStr::new("./smoke.sh"), scratch.path(), OsStr::new(""));
        assert_eq!(found.unwrap().canonicalize().unwrap(), wanted.canonicalize().unwrap());
        resolve(OsStr::new("./other.sh"), scratch.path(), OsStr::new("")).unwrap_err();
    }

    #[test]
    fn a_digest_follows_the_content() {
        let scratch = tempfile::tempdir().unwrap();
        let path = tool(scratch.path(), "tool", 0o755);
        let digests = Digests::default();
        let before = digests.digest(&path).unwrap();
        assert_eq!(before, blake3::hash(b"#!/bin/sh\n").to_hex().to_string());
        assert_eq!(digests.digest(&path).unwrap(), before);
        // Same size, another inode: as an update of the tool writes it.
        fs::write(scratch.path().join("new"), "#!/bin/ed\n").unwrap();
        fs::rename(scratch.path().join("new"), &path).unwrap();
        assert_ne!(digests.digest(&path).unwrap(), before);
    }
}
