//! Files and directories that survive a crash, and that nobody else can read.
//!
//! Invariants: files are made 0600 and directories 0700; nothing is overwritten in place; a name
//! appears only after the bytes behind it were synchronised, and the directory after the name. A
//! failed synchronisation is final: nothing is retried, because the kernel may have dropped the
//! pages.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

use crate::error::Error;
use crate::sealed::RECORD_BYTES_MAX;

const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// Makes one directory, private.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path)
}

/// Makes a directory with those above it, private and durable, unless it is there; refuses one that
/// others can change, since they could exchange what lies in it. Gives its real path.
pub(crate) fn private_directory(path: &Path) -> Result<PathBuf, Error> {
    let missing: Vec<&Path> =
        path.ancestors().take_while(|one| !one.as_os_str().is_empty() && !one.exists()).collect();
    for one in missing.into_iter().rev() {
        match make_directory(one) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("make", one, error));
            }
            _ => sync_parent(one)?,
        }
    }
    let real = fs::canonicalize(path).map_err(Error::with("look at", path))?;
    let mode = fs::metadata(&real).map_err(Error::with("look at", path))?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(Error::Exposed {
            path: path.to_owned(),
            mode: mode & 0o777,
            wanted: PRIVATE_DIRECTORY,
        });
    }
    Ok(real)
}

fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")));
    parent.and_then(|parent| sync_directory(&parent)).map_err(Error::with("synchronise", path))
}

/// Opens a new private file for writing and reading back; one that is there is never opened.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE_FILE).open(path)
}

/// Opens a regular file for reading; a link in its place is refused, because nothing in a vault is
/// one, and so is a pipe, which would never end.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
    }
}

/// Reads a whole small file.
pub(crate) fn read_small(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = file.take(RECORD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if length > RECORD_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too large"));
    }
    Ok(bytes)
}

/// Writes a new file and synchronises it; its directory is the caller's to synchronise.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_file(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Puts `bytes` in the place of a file: a reader sees the old ones or the new ones, whole. The new
/// ones are written beside it first, as `<name>.new`; one caller at a time.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(&beside, bytes)?;
    fs::rename(&beside, path)?;
    sync_directory(path.parent().unwrap_or(path))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    open_directory(path)?.sync_all()
}

/// Opens a directory and takes its lock; `None` when somebody holds it. The kernel gives the lock
/// back when the file is closed, and so also when the process dies.
pub(crate) fn lock_directory(path: &Path) -> io::Result<Option<File>> {
    let directory = open_directory(path)?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(directory)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Bytes that this user can still write where `path` lies.
pub(crate) fn available_bytes(path: &Path) -> io::Result<u64> {
    let path = if path.exists() { path } else { path.parent().unwrap_or(path) };
    let statistics = rustix::fs::statvfs(path)?;
    Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
}

fn open_directory(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}
