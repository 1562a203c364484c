//! Writes that survive a loss of power, and directories that nobody else can touch.
//!
//! Threats: a file that is half old and half new after a crash; a rename that the disk forgets; a
//! directory of secrets that another user made beforehand.
//!
//! A failed fsync is final: the kernel forgets that the pages were dirty, so a second fsync that
//! succeeds says nothing. The error is [`Error::NotDurable`] and is never retried.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;

/// What temporary names begin with: whoever finds one knows that it was vaultup's and is nobody's.
pub const TEMPORARY_PREFIX: &str = ".vaultup-";

/// How many temporary names are tried before it is given up: leftovers of killed processes with
/// the same id are passed over, and nobody has so many.
pub(crate) const TEMPORARY_TRIES_MAX: u32 = 100;

/// Mode of directories and files that nobody else may read.
const PRIVATE_DIRECTORY_MODE: u32 = 0o700;

/// Replaces or makes a file so that it has its old or its new content at every moment, and the new
/// one for good when this returns. `mode` are its permission bits, such as `0o600`.
///
/// # Errors
/// [`Error::FileFailed`]: nothing was changed. [`Error::NotDurable`]: it was, and may not last.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let directory = parent(path)?;
    let (temporary, mut file) = create_temporary(&directory)?;
    let written = (|| {
        file.write_all(bytes).map_err(failed(path, "written"))?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed(path, "written"))?;
        file.sync_all().map_err(not_durable(path))?;
        std::fs::rename(&temporary, path).map_err(failed(path, "replaced"))
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    fsync_directory(&directory)
}

/// Makes a file that must not exist yet, for good. `mode` are its permission bits.
///
/// # Errors
/// [`Error::Exists`]; [`Error::FileFailed`]: nothing was changed; [`Error::NotDurable`].
pub fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    let directory = parent(path)?;
    let (temporary, mut file) = create_temporary(&directory)?;
    let written = (|| {
        file.write_all(bytes).map_err(failed(path, "written"))?;
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed(path, "written"))?;
        file.sync_all().map_err(not_durable(path))?;
        rename_new(&temporary, path)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    fsync_directory(&directory)
}

/// Renames so that nothing is overwritten, without making it durable: fsync both directories.
///
/// # Errors
/// [`Error::Exists`] when there is something under the new name.
pub fn rename_new(from: &Path, to: &Path) -> Result<(), Error> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => Err(Error::Exists { path: to.to_owned() }),
        result => result.map_err(|error| failed(to, "made")(error.into())),
    }
}

/// Appends to an open file, for good.
///
/// # Errors
/// [`Error::FileFailed`]: part of it may be there, so the reader must be able to tell a torn end.
/// [`Error::NotDurable`].
pub fn append(file: &mut File, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file.write_all(bytes).map_err(failed(path, "appended to"))?;
    file.sync_data().map_err(not_durable(path))
}

/// Makes the names in a directory durable: new ones, renamed ones, removed ones.
///
/// # Errors
/// [`Error::NotDurable`].
pub fn fsync_directory(directory: &Path) -> Result<(), Error> {
    let file = File::open(directory).map_err(not_durable(directory))?;
    file.sync_all().map_err(not_durable(directory))
}

/// Makes a directory, and those above it, that only this user can enter; one that is there already
/// is closed to others.
///
/// # Errors
/// [`Error::NotPrivate`] when it is a link or no directory, belongs to another user, or lies where
/// other users can replace it.
pub fn private_directory(path: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(PRIVATE_DIRECTORY_MODE);
    builder.create(path).map_err(failed(path, "made"))?;
    let refuse = |reason: String| Err(Error::NotPrivate { path: path.to_owned(), reason });
    let found = std::fs::symlink_metadata(path).map_err(failed(path, "examined"))?;
    if !found.is_dir() {
        return refuse("it is not a directory".to_owned());
    }
    let user = rustix::process::geteuid().as_raw();
    if found.uid() != user {
        return refuse(format!("it belongs to user {}, and this is user {user}", found.uid()));
    }
    let above = parent(path)?;
    let around = std::fs::metadata(&above).map_err(failed(&above, "examined"))?;
    if around.mode() & 0o002 != 0 && around.mode() & 0o1000 == 0 {
        return refuse(format!("every user can replace it in {}", above.display()));
    }
    if found.mode() & 0o077 != 0 {
        let mode = Permissions::from_mode(PRIVATE_DIRECTORY_MODE);
        std::fs::set_permissions(path, mode).map_err(failed(path, "closed to others"))?;
    }
    Ok(())
}

/// A name that nothing has: the process, and a number that it uses once.
pub(crate) fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id())
}

fn create_temporary(directory: &Path) -> Result<(PathBuf, File), Error> {
    let mut tries = 0;
    loop {
        let path = directory.join(temporary_name());
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && tries < TEMPORARY_TRIES_MAX =>
            {
                tries += 1;
            }
            Err(error) => return Err(failed(&path, "made")(error)),
        }
    }
}

fn parent(path: &Path) -> Result<PathBuf, Error> {
    let none = || failed(path, "placed")(io::Error::from(io::ErrorKind::InvalidFilename));
    let parent = path.parent().ok_or_else(none)?;
    Ok(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

fn failed(path: &Path, action: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::FileFailed { path: path.to_owned(), action, source }
}

fn not_durable(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::NotDurable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{append, create_new, private_directory, write_atomically};
    use crate::error::Error;
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_leaves_no_temporary() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_no_temporary() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("directory");
        fs::create_dir(&path).unwrap();
        let error = write_atomically(&path, b"x", 0o600).unwrap_err();
        assert!(matches!(error, Error::FileFailed { action: "replaced", .. }), "{error}");
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_never_replaces_one() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        create_new(&path, b"one", 0o600).unwrap();
        let error = create_new(&path, b"two", 0o600).unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn appending_keeps_what_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        append(&mut file, &path, b"a\n").unwrap();
        append(&mut file, &path, b"b\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\n");
    }

    #[test]
    fn a_private_directory_is_made_with_all_above_it_and_closed_if_it_was_open() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a/b");
        private_directory(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        private_directory(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_link_or_a_file_is_no_private_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let link = scratch.path().join("link");
        symlink(scratch.path(), &link).unwrap();
        assert!(matches!(private_directory(&link), Err(Error::NotPrivate { .. })));
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        private_directory(&file).unwrap_err();
    }

    #[test]
    fn a_directory_of_another_user_or_one_that_others_can_replace_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("private");
        private_directory(&path).unwrap();
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(private_directory(&path), Err(Error::NotPrivate { .. })));
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o1777)).unwrap();
        private_directory(&path).unwrap();
        // Root can show the foreign owner by giving the directory away; anybody else by looking
        // at a directory of root's.
        let foreign = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            path
        } else {
            "/etc".into()
        };
        assert!(matches!(private_directory(&foreign), Err(Error::NotPrivate { .. })));
    }
}
