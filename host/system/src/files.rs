//! What an operator granted, opened so that nothing leads out of it.
//!
//! Threats: `..`, absolute paths and symbolic links that lead elsewhere, links swapped while a
//! path is being walked, FIFOs that hang, devices, `/proc`; a half-written file; a deletion that
//! follows a link.
//!
//! Invariants:
//! - The kernel walks every path beneath an open directory (`openat2` with `RESOLVE_BENEATH` and
//!   `RESOLVE_NO_MAGICLINKS`), so there is no moment between a check and its use.
//! - Symbolic links are followed while they stay beneath the root. The last name of a path that
//!   is *changed* is never followed: the entry itself is changed.
//! - Only regular files are read, and nothing of the kernel's own file systems.
//! - Only names that contain [`REMOVABLE_MARK`] are removed, and links are never followed into.
//!
//! A hard link into the root is the file itself: it cannot be told, and is read. The kernel keeps
//! users from making one to a file that is not theirs (`protected_hardlinks`).

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use model::manifest::Access;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, fstatfs, fstatvfs, openat};

use crate::error::Error;

mod change;
mod measure;
mod path;
mod read;
mod remove;

pub use change::Previous;
pub use measure::Measure;
pub use path::Relative;

/// Longest relative path in bytes: what the kernel takes.
pub const PATH_BYTES_MAX: usize = 4_095;

/// Largest file that is read or written whole: configuration files, never data.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Most entries of a directory that are listed, so that a listing fits into a few tens of MiB.
pub const ENTRIES_MAX: usize = 100_000;

/// Most entries of one directory of a tree that is measured: their names are sorted in memory, and
/// a million of them are a hundred MiB.
pub const TREE_ENTRIES_MAX: usize = 1_000_000;

/// Deepest tree that is measured or removed. Each level holds a file descriptor, of which a
/// process has 1,024 by default.
pub const TREE_DEPTH_MAX: usize = 256;

/// What a name must contain to be removed: only vaultup makes such names.
pub const REMOVABLE_MARK: &str = ".vaultup-";

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A FIFO, socket or device.
    Other,
}

/// What is known of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name within its directory; empty for the root itself.
    pub name: String,
    /// What it is; links are not followed.
    pub kind: EntryKind,
    /// Bytes of a file; 0 otherwise.
    pub bytes: u64,
    /// Where a link points, as it is written.
    pub link: Option<String>,
}

/// Room on a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What this user may still write.
    pub bytes_free: u64,
    /// All that there is.
    pub bytes_total: u64,
}

/// A granted path, opened.
#[derive(Debug)]
pub struct Root {
    /// The granted directory, or the one that holds the granted entry.
    directory: OwnedFd,
    /// Where that directory is, for people and for arguments.
    path: PathBuf,
    scope: Scope,
    access: Access,
}

/// How much of the open directory belongs to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// All of it.
    Everything,
    /// One file in it, which the empty path means.
    File(String),
    /// The entry of this name, and those named `<name>.vaultup-…` beside it.
    Beside(String),
}

impl Root {
    /// Opens a granted path: a directory with everything below it, or a single file. Links in the
    /// path itself are the operator's own and are followed.
    ///
    /// # Errors
    /// [`Error::Absent`] when there is nothing, [`Error::PathEscapes`] when it lies in one of the
    /// kernel's own file systems, [`Error::PathMalformed`] when it is not absolute.
    pub fn open(path: &Path, access: Access) -> Result<Self, Error> {
        let found = std::fs::metadata(path).map_err(|error| io_failed(path, "opened", error))?;
        if found.is_dir() {
            return Self::over(path.to_owned(), Scope::Everything, access);
        }
        // The file that is meant, not a link to it: replacing it must not replace the link.
        let target = path.canonicalize().map_err(|error| io_failed(path, "opened", error))?;
        let (parent, name) = split(&target)?;
        Self::over(parent, Scope::File(name), access)
    }

    /// Opens the directory that holds a granted path, restricted to that path and to entries
    /// beside it named `<its name>.vaultup-…`. The path itself need not exist.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub fn open_beside(path: &Path, access: Access) -> Result<Self, Error> {
        let (parent, name) = split(path)?;
        Self::over(parent, Scope::Beside(name), access)
    }

    /// Where the root is: the directory that relative paths begin at, or the single file.
    #[must_use]
    pub fn location(&self) -> PathBuf {
        match &self.scope {
            Scope::File(name) => self.path.join(name),
            Scope::Everything | Scope::Beside(_) => self.path.clone(),
        }
    }

    /// Room on the root's file system.
    ///
    /// # Errors
    /// [`Error::FileFailed`] when the kernel does not say.
    pub fn room(&self) -> Result<Room, Error> {
        let room = fstatvfs(&self.directory).map_err(|error| self.failed("measured", error))?;
        Ok(Room {
            bytes_free: room.f_bavail.saturating_mul(room.f_frsize),
            bytes_total: room.f_blocks.saturating_mul(room.f_frsize),
        })
    }

    fn over(path: PathBuf, scope: Scope, access: Access) -> Result<Self, Error> {
        if !path.is_absolute() {
            let shown = path.display().to_string();
            return Err(Error::PathMalformed { path: shown, reason: "it is not absolute" });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &path, flags, Mode::empty())
            .map_err(|error| io_failed(&path, "opened", error.into()))?;
        refuse_kernel_files(&directory, &path)?;
        Ok(Self { directory, path, scope, access })
    }

    fn failed(&self, action: &'static str, error: rustix::io::Errno) -> Error {
        io_failed(&self.path, action, error.into())
    }
}

/// The parent and the last name of an absolute path.
fn split(path: &Path) -> Result<(PathBuf, String), Error> {
    let malformed = |reason| Error::PathMalformed { path: path.display().to_string(), reason };
    let parent = path.parent().ok_or_else(|| malformed("it is the root directory"))?;
    let name = path.file_name().ok_or_else(|| malformed("it has no last name"))?;
    let name = name.to_str().ok_or_else(|| malformed("it is not UTF-8"))?;
    Ok((parent.to_owned(), name.to_owned()))
}

fn io_failed(path: &Path, action: &'static str, source: std::io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Error::Absent { path },
        _ => Error::FileFailed { path, action, source },
    }
}

/// The file systems in which the kernel shows itself, by the numbers of `statfs(2)`: what looks
/// like a file there is an environment, a memory or a switch.
const KERNEL_FILE_SYSTEMS: &[(u64, &str)] = &[
    (0x0000_9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0x6320_6763, "configfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
    (0xcafe_4a11, "bpf"),
    (0x0000_1cd1, "devpts"),
];

fn refuse_kernel_files(file: &OwnedFd, path: &Path) -> Result<(), Error> {
    let system = fstatfs(file).map_err(|error| io_failed(path, "opened", error.into()))?;
    // The field is signed on some machines and unsigned on others; the numbers have 32 bits.
    let number = (system.f_type as u64) & 0xffff_ffff;
    if KERNEL_FILE_SYSTEMS.iter().any(|(known, _)| *known == number) {
        let reason = "it lies in a file system in which the kernel shows itself";
        return Err(Error::PathEscapes { path: path.to_owned(), reason });
    }
    Ok(())
}

fn kind_of(found: &Stat) -> EntryKind {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Directory,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

fn called(found: &Stat) -> &'static str {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something unknown",
    }
}

fn stat(file: &OwnedFd, path: &Path) -> Result<Stat, Error> {
    fstat(file).map_err(|error| io_failed(path, "examined", error.into()))
}
