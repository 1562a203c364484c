//! Changing what was granted: whole files, links and names, each at one stroke and for good.
//!
//! Every change is durable when the function returns: the file is on the disk before its name is,
//! and the name before anything is answered.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use model::manifest::Access;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::fs::{fchmod, fchown, fsync, mkdirat, openat, renameat, renameat_with, symlinkat};
use rustix::fs::{statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::read::{link_of, read_whole};
use super::{EntryKind, FILE_BYTES_MAX, Relative, Root, called, io_failed, kind_of};
use crate::durable::{TEMPORARY_TRIES_MAX, temporary_name};
use crate::error::Error;

/// Mode of a file that was not there before: readable by its owner only, as nobody said otherwise.
const NEW_FILE_MODE: u32 = 0o600;

/// Mode of new directories.
const NEW_DIRECTORY_MODE: u32 = 0o700;

/// What was there before a change, so that it can be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Previous {
    /// Nothing.
    Absent,
    /// A file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    Link {
        /// Where it pointed, as it was written.
        to: String,
    },
}

impl Root {
    /// What a write or a link would replace, for the journal. Changes nothing.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when it is neither a file nor a link, [`Error::FileTooLarge`].
    pub fn previous(&self, path: Relative<'_>) -> Result<Previous, Error> {
        let (directory, name) = self.walk_to_parent(path)?;
        Ok(self.look(&directory, name, path)?.0)
    }

    /// Replaces a file's content at one stroke, or makes the file. Permission bits and owner stay.
    /// Returns what was there.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when something else than a file is there, a link included;
    /// [`Error::FileTooLarge`] beyond [`FILE_BYTES_MAX`]. Nothing was changed then.
    pub fn write(&self, path: Relative<'_>, content: &[u8]) -> Result<Previous, Error> {
        self.permit_change(path)?;
        let shown = self.absolute(path);
        if content.len() > FILE_BYTES_MAX {
            return Err(Error::FileTooLarge { path: shown, bytes_max: FILE_BYTES_MAX });
        }
        let (directory, name) = self.walk_to_parent(path)?;
        let (previous, found) = self.look(&directory, name, path)?;
        if let Previous::Link { .. } = previous {
            let (found, wanted) = ("a symbolic link", "a file");
            return Err(Error::WrongKind { path: shown, found, wanted });
        }
        // As the kernel does for every write: new content does not run as somebody else.
        let mode = found.as_ref().map_or(NEW_FILE_MODE, |found| found.st_mode & 0o777);
        replace_file(&directory, name, content, mode, found.as_ref(), &shown)?;
        Ok(previous)
    }

    /// Makes a link point elsewhere at one stroke, or makes the link. Returns what was there.
    ///
    /// # Errors
    /// [`Error::LinkRefused`] when it would point out of the root, [`Error::WrongKind`] when
    /// something else than a link is there.
    pub fn link(&self, path: Relative<'_>, to: &str) -> Result<Previous, Error> {
        self.permit_link(path, to)?;
        self.link_to_granted(path, to)
    }

    /// As [`Root::link`], to a place that the caller found to be granted by another root.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when something else than a link is there.
    pub fn link_to_granted(&self, path: Relative<'_>, to: &str) -> Result<Previous, Error> {
        self.permit_change(path)?;
        let shown = self.absolute(path);
        let (directory, name) = self.walk_to_parent(path)?;
        let (previous, found) = self.look(&directory, name, path)?;
        if let (Previous::File { .. }, Some(found)) = (&previous, &found) {
            let (found, wanted) = (called(found), "a symbolic link");
            return Err(Error::WrongKind { path: shown, found, wanted });
        }
        replace_link(&directory, name, to, &shown)?;
        Ok(previous)
    }

    /// Puts back what [`Root::write`] or [`Root::link`] replaced. Idempotent.
    ///
    /// # Errors
    /// As those two.
    pub fn put_back(&self, path: Relative<'_>, previous: &Previous) -> Result<(), Error> {
        self.permit_change(path)?;
        let shown = self.absolute(path);
        let (directory, name) = self.walk_to_parent(path)?;
        let (_, found) = self.look(&directory, name, path)?;
        match previous {
            Previous::Absent => match unlinkat(&directory, name, AtFlags::empty()) {
                Ok(()) => sync(&directory, &shown),
                Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(io_failed(&shown, "removed", error.into())),
            },
            Previous::File { content, mode } => {
                replace_file(&directory, name, content, *mode, found.as_ref(), &shown)
            }
            Previous::Link { to } => replace_link(&directory, name, to, &shown),
        }
    }

    /// Makes a directory (0700) and those above it. That it is there already is no failure.
    ///
    /// # Errors
    /// [`Error::WrongKind`] when something else is there.
    pub fn create_directory(&self, path: Relative<'_>) -> Result<(), Error> {
        self.permit_change(path)?;
        let text = path.as_str();
        let ends = text.match_indices('/').map(|(end, _)| end).chain([text.len()]);
        for end in ends.filter(|end| *end > 0) {
            let path = Relative::parse(&text[..end])?;
            let shown = self.absolute(path);
            let (directory, name) = self.walk_to_parent(path)?;
            match mkdirat(&directory, name, Mode::from_raw_mode(NEW_DIRECTORY_MODE)) {
                Ok(()) => sync(&directory, &shown)?,
                Err(Errno::EXIST) => drop(self.open_directory(path)?),
                Err(error) => return Err(io_failed(&shown, "made", error.into())),
            }
        }
        Ok(())
    }

    /// Renames within the root.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is something under the new name, [`Error::Absent`].
    pub fn rename(&self, from: Relative<'_>, to: Relative<'_>) -> Result<(), Error> {
        self.move_entry(from, to, RenameFlags::NOREPLACE, "renamed")
    }

    /// Swaps two entries of the root at one stroke.
    ///
    /// # Errors
    /// [`Error::Absent`] when one of them is not there; [`Error::FileFailed`] on a file system
    /// that cannot.
    pub fn exchange(&self, first: Relative<'_>, second: Relative<'_>) -> Result<(), Error> {
        self.move_entry(first, second, RenameFlags::EXCHANGE, "exchanged")
    }

    fn move_entry(
        &self,
        from: Relative<'_>,
        to: Relative<'_>,
        flags: RenameFlags,
        action: &'static str,
    ) -> Result<(), Error> {
        self.permit_change(from)?;
        let (from_directory, from_name) = self.walk_to_parent(from)?;
        let (to_directory, to_name) = self.walk_to_parent(to)?;
        let (from_shown, to_shown) = (self.absolute(from), self.absolute(to));
        renameat_with(&from_directory, from_name, &to_directory, to_name, flags).map_err(
            |error| match error {
                Errno::EXIST => Error::Exists { path: to_shown.clone() },
                error => io_failed(&from_shown, action, error.into()),
            },
        )?;
        sync(&to_directory, &to_shown)?;
        sync(&from_directory, &from_shown)
    }

    pub(super) fn permit_change(&self, path: Relative<'_>) -> Result<(), Error> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(Error::PathReadOnly { path: self.absolute(path) }),
        }
    }

    /// What is under a name, and what the kernel says of it.
    fn look(
        &self,
        directory: &impl AsFd,
        name: &str,
        path: Relative<'_>,
    ) -> Result<(Previous, Option<Stat>), Error> {
        let shown = self.absolute(path);
        let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok((Previous::Absent, None)),
            result => result.map_err(|error| io_failed(&shown, "examined", error.into()))?,
        };
        let previous = match kind_of(&found) {
            EntryKind::Link => Previous::Link { to: link_of(directory, name, &shown)? },
            EntryKind::File => {
                let file = self.open_file(path, OFlags::NOFOLLOW)?;
                let mode = found.st_mode & 0o7777;
                Previous::File { content: read_whole(file, &shown)?, mode }
            }
            EntryKind::Directory | EntryKind::Other => {
                let (found, wanted) = (called(&found), "a file or link");
                return Err(Error::WrongKind { path: shown, found, wanted });
            }
        };
        Ok((previous, Some(found)))
    }

    /// A link may point to what its reader could reach from the root by names alone. Links on the
    /// way there are the kernel's business, each time it is followed.
    fn permit_link(&self, path: Relative<'_>, to: &str) -> Result<(), Error> {
        let refuse = |reason| {
            let to = crate::redact::visible(to).into_owned();
            Err(Error::LinkRefused { path: self.absolute(path), to, reason })
        };
        if to.is_empty() || to.contains('\0') || to.len() > super::PATH_BYTES_MAX {
            return refuse("that is no path");
        }
        if to.starts_with('/') {
            return refuse("it must be relative");
        }
        let parent = path.split().map_or("", |(parent, _)| parent.as_str());
        let mut names: Vec<&str> = parent.split('/').filter(|name| !name.is_empty()).collect();
        for name in to.split('/') {
            match name {
                "" | "." => {}
                ".." if names.pop().is_none() => return refuse("it leads out of the root"),
                ".." => {}
                name => names.push(name),
            }
        }
        match names.first() {
            Some(first) if !self.permits(first) => refuse("it leads to what was not granted"),
            _ => Ok(()),
        }
    }
}

fn replace_file(
    directory: &impl AsFd,
    name: &str,
    content: &[u8],
    mode: u32,
    owned_like: Option<&Stat>,
    path: &Path,
) -> Result<(), Error> {
    let failed = |error: Errno| io_failed(path, "written", error.into());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (temporary, file) = temporary(|temporary| {
        openat(directory, temporary, flags, Mode::from_raw_mode(NEW_FILE_MODE))
    })
    .map_err(failed)?;
    let written = (|| {
        let mut file = File::from(file);
        file.write_all(content).map_err(|error| io_failed(path, "written", error))?;
        let file = OwnedFd::from(file);
        if let Some(like) = owned_like {
            let own = super::stat(&file, path)?;
            if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid) {
                // A service that can no longer read its configuration is worse than no edit.
                let (user, group) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
                fchown(&file, Some(user), Some(group)).map_err(failed)?;
            }
        }
        // After the owner: a change of owner takes some bits away.
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed)?;
        fsync(&file).map_err(|error| not_durable(path, error))?;
        renameat(directory, &temporary, directory, name).map_err(failed)
    })();
    if written.is_err() {
        let _ = unlinkat(directory, &temporary, AtFlags::empty());
    }
    written?;
    sync(directory, path)
}

fn replace_link(directory: &impl AsFd, name: &str, to: &str, path: &Path) -> Result<(), Error> {
    let failed = |error: Errno| io_failed(path, "linked", error.into());
    let (temporary, ()) =
        temporary(|temporary| symlinkat(to, directory, temporary)).map_err(failed)?;
    if let Err(error) = renameat(directory, &temporary, directory, name) {
        let _ = unlinkat(directory, &temporary, AtFlags::empty());
        return Err(failed(error));
    }
    sync(directory, path)
}

/// Makes something under a name that nothing has.
fn temporary<T>(make: impl Fn(&str) -> Result<T, Errno>) -> Result<(String, T), Errno> {
    let mut tries = 0;
    loop {
        let name = temporary_name();
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(Errno::EXIST) if tries < TEMPORARY_TRIES_MAX => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn sync(directory: &impl AsFd, path: &Path) -> Result<(), Error> {
    fsync(directory).map_err(|error| not_durable(path, error))
}

fn not_durable(path: &Path, error: Errno) -> Error {
    Error::NotDurable { path: path.to_owned(), source: error.into() }
}
