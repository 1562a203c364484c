//! Removing what vaultup made, and nothing else.
//!
//! Threat: a deletion that follows a link, or goes over into a file system that is mounted below.
//! Every step is taken from an open directory by a single name, and links are removed as links.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::fs::{fchmod, openat, statat, unlinkat};
use rustix::io::Errno;

use super::change::sync;
use super::{EntryKind, REMOVABLE_MARK, Relative, Root, TREE_DEPTH_MAX, io_failed, kind_of, stat};
use crate::error::Error;

/// Names read at once: a directory of any size is emptied in pieces.
const BATCH_ENTRIES: usize = 4_096;

impl Root {
    /// Removes a file, link or whole tree whose last name contains [`REMOVABLE_MARK`]. That there
    /// is none is no failure.
    ///
    /// # Errors
    /// [`Error::NotRemovable`] for any other name; [`Error::PathEscapes`] when something is
    /// mounted in it, which stays, as may a part of the rest; [`Error::TreeTooDeep`].
    pub fn remove(&self, path: Relative<'_>) -> Result<(), Error> {
        self.permit_change(path)?;
        let shown = self.absolute(path);
        let marked = path.split().is_some_and(|(_, name)| name.contains(REMOVABLE_MARK));
        if !marked {
            return Err(Error::NotRemovable { path: shown });
        }
        let (directory, name) = match self.walk_to_parent(path) {
            Err(Error::Absent { .. }) => return Ok(()),
            result => result?,
        };
        let found = match statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            result => result.map_err(|error| io_failed(&shown, "examined", error.into()))?,
        };
        remove_entry(&directory, OsStr::new(name), found.st_dev, &shown, 1)?;
        sync(&directory, &shown)
    }
}

fn remove_entry(
    directory: &impl AsFd,
    name: &OsStr,
    device: u64,
    path: &Path,
    depth: usize,
) -> Result<(), Error> {
    let failed = |error: Errno| io_failed(path, "removed", error.into());
    let gone = |result: Result<(), Errno>| match result {
        Err(Errno::NOENT) => Ok(()),
        result => result.map_err(failed),
    };
    let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        result => result.map_err(failed)?,
    };
    if kind_of(&found) != EntryKind::Directory {
        return gone(unlinkat(directory, name, AtFlags::empty()));
    }
    if depth > TREE_DEPTH_MAX {
        return Err(Error::TreeTooDeep { path: path.to_owned(), depth_max: TREE_DEPTH_MAX });
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let below = openat(directory, name, flags, Mode::empty()).map_err(failed)?;
    empty(&below, device, path, depth)?;
    gone(unlinkat(directory, name, AtFlags::REMOVEDIR))
}

fn empty(directory: &OwnedFd, device: u64, path: &Path, depth: usize) -> Result<(), Error> {
    let failed = |error: Errno| io_failed(path, "emptied", error.into());
    let found = stat(directory, path)?;
    if found.st_dev != device {
        let reason = "another file system is mounted there";
        return Err(Error::PathEscapes { path: path.to_owned(), reason });
    }
    if found.st_mode & 0o700 != 0o700 {
        // A copy of somebody's read-only tree: what is in it cannot be removed otherwise.
        fchmod(directory, Mode::RWXU).map_err(failed)?;
    }
    loop {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_owned());
            }
            if names.len() == BATCH_ENTRIES {
                break;
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            let name = OsStr::from_bytes(name);
            remove_entry(directory, name, device, &path.join(name), depth + 1)?;
        }
    }
}
