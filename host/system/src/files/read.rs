//! Looking at what was granted, and reading it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, OFlags, readlinkat, statat};

use super::{ENTRIES_MAX, Entry, EntryKind, FILE_BYTES_MAX, Relative, Root, Scope};
use super::{called, io_failed, kind_of, stat};
use crate::error::Error;

impl Root {
    /// What is there; `None` when nothing is. A link is described, not followed.
    ///
    /// # Errors
    /// [`Error::PathEscapes`] when a link on the way leads out of the root.
    pub fn describe(&self, path: Relative<'_>) -> Result<Option<Entry>, Error> {
        let entry = match self.walk(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Error::Absent { .. }) => return Ok(None),
            result => result?,
        };
        let shown = self.absolute(path);
        let found = stat(&entry, &shown)?;
        let kind = kind_of(&found);
        let link = match kind {
            EntryKind::Link => Some(link_of(&entry, "", &shown)?),
            _ => None,
        };
        let name = path.split().map_or("", |(_, name)| name).to_owned();
        Ok(Some(Entry { name, kind, bytes: bytes_of(&found), link }))
    }

    /// The entries of a directory in byte order of their names, at most [`ENTRIES_MAX`].
    ///
    /// # Errors
    /// [`Error::WrongKind`] when it is no directory, [`Error::TooManyEntries`],
    /// [`Error::NameNotText`].
    pub fn entries(&self, path: Relative<'_>) -> Result<Vec<Entry>, Error> {
        let directory = self.open_directory(path)?;
        let shown = self.absolute(path);
        let restricted = self.scope != Scope::Everything && path.as_str().is_empty();
        let mut entries = Vec::new();
        for name in names(&directory, &shown, ENTRIES_MAX)? {
            let Ok(name) = String::from_utf8(name) else {
                return Err(Error::NameNotText { path: shown });
            };
            if restricted && !self.permits(&name) {
                continue;
            }
            let below = shown.join(&name);
            let found = match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                // It went while the directory was being read.
                Err(rustix::io::Errno::NOENT) => continue,
                result => result.map_err(|error| io_failed(&below, "examined", error.into()))?,
            };
            let kind = kind_of(&found);
            let link = match kind {
                EntryKind::Link => Some(link_of(&directory, &name, &below)?),
                _ => None,
            };
            entries.push(Entry { name, kind, bytes: bytes_of(&found), link });
        }
        Ok(entries)
    }

    /// The content of a file, at most [`FILE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for anything but a regular file, [`Error::FileTooLarge`].
    pub fn read(&self, path: Relative<'_>) -> Result<Vec<u8>, Error> {
        let file = self.open_file(path, OFlags::empty())?;
        read_whole(file, &self.absolute(path))
    }

    /// The absolute path of something below the root, for use as an argument. What is there must
    /// lie beneath the root, and if nothing is, the directory that would hold it.
    ///
    /// The program that gets it walks it by itself, later, and follows what it finds then.
    ///
    /// # Errors
    /// [`Error::PathEscapes`] when a link leads out of the root.
    pub fn path(&self, path: Relative<'_>) -> Result<PathBuf, Error> {
        match self.walk(path, OFlags::PATH) {
            Err(Error::Absent { .. }) => {
                self.walk_to_parent(path)?;
            }
            result => {
                result?;
            }
        }
        Ok(self.absolute(path))
    }

    /// The path relative to this root of an absolute path that lies below it, as it is written;
    /// `None` when it does not. Nothing is looked at: see [`Root::path`].
    #[must_use]
    pub fn locate<'a>(&self, absolute: &'a Path) -> Option<Relative<'a>> {
        let rest = absolute.strip_prefix(self.location()).ok()?;
        // `strip_prefix` compares by names, so `.` and `//` in the text may have been lost.
        let relative = Relative::parse(rest.to_str()?).ok()?;
        let first = relative.as_str().split('/').next().unwrap_or_default();
        let permitted = relative.as_str().is_empty() || self.permits(first);
        permitted.then_some(relative)
    }

    /// Opens a directory for reading its names.
    pub(super) fn open_directory(&self, path: Relative<'_>) -> Result<OwnedFd, Error> {
        let shown = self.absolute(path);
        let found = stat(&self.walk(path, OFlags::PATH)?, &shown)?;
        if kind_of(&found) != EntryKind::Directory {
            let found = called(&found);
            return Err(Error::WrongKind { path: shown, found, wanted: "a directory" });
        }
        self.walk(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens a regular file for reading. It is looked at first, because opening a device can have
    /// an effect, and afterwards again, because it may have been replaced in between.
    pub(super) fn open_file(&self, path: Relative<'_>, more: OFlags) -> Result<File, Error> {
        let shown = self.absolute(path);
        refuse_other_than_file(&self.walk(path, OFlags::PATH | more)?, &shown)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | more;
        let file = self.walk(path, flags)?;
        refuse_other_than_file(&file, &shown)?;
        Ok(File::from(file))
    }
}

/// The names in a directory, without `.` and `..`, in byte order.
pub(super) fn names(
    directory: &OwnedFd,
    path: &Path,
    entries_max: usize,
) -> Result<Vec<Vec<u8>>, Error> {
    let failed = |error: rustix::io::Errno| io_failed(path, "listed", error.into());
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        if names.len() == entries_max {
            return Err(Error::TooManyEntries { path: path.to_owned(), entries_max });
        }
        names.push(name.to_owned());
    }
    names.sort_unstable();
    Ok(names)
}

/// A file of at most [`FILE_BYTES_MAX`] bytes.
pub(super) fn read_whole(file: File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let read = file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content);
    read.map_err(|error| io_failed(path, "read", error))?;
    if content.len() > FILE_BYTES_MAX {
        return Err(Error::FileTooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(content)
}

/// Where a link points. With an empty name the open file is the link.
pub(super) fn link_of(directory: impl AsFd, name: &str, path: &Path) -> Result<String, Error> {
    let link = readlinkat(directory, name, Vec::new())
        .map_err(|error| io_failed(path, "read", error.into()))?;
    link.into_string().map_err(|_| Error::NameNotText { path: path.to_owned() })
}

fn refuse_other_than_file(file: &OwnedFd, path: &Path) -> Result<(), Error> {
    let found = stat(file, path)?;
    if kind_of(&found) == EntryKind::File {
        return Ok(());
    }
    Err(Error::WrongKind { path: path.to_owned(), found: called(&found), wanted: "a file" })
}

fn bytes_of(found: &rustix::fs::Stat) -> u64 {
    match kind_of(found) {
        EntryKind::File => u64::try_from(found.st_size).unwrap_or(0),
        _ => 0,
    }
}
