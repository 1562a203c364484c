//! Relative paths, and how the kernel is asked to walk them.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::{PATH_BYTES_MAX, REMOVABLE_MARK, Root, Scope, io_failed, refuse_kernel_files};
use crate::error::Error;

/// How often the walk is tried again when the kernel saw a rename in the middle of it. Only an
/// attacker renames that often.
const WALK_TRIES_MAX: u32 = 32;

/// A path below a root: names joined by `/`, or empty for the root itself.
///
/// Accepted: ``, `current`, `releases/2.5.0/app`. Rejected: `/etc`, `a/../b`, `./a`, `a//b`, `a/`,
/// anything with a NUL, more than [`PATH_BYTES_MAX`] bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Relative<'a>(&'a str);

impl<'a> Relative<'a> {
    /// Reads a path.
    ///
    /// # Errors
    /// [`Error::PathMalformed`] for everything that is rejected above.
    pub fn parse(path: &'a str) -> Result<Self, Error> {
        let refuse = |reason| {
            let beginning: String = path.chars().take(200).collect();
            let path = crate::redact::visible(&beginning).into_owned();
            Err(Error::PathMalformed { path, reason })
        };
        if path.len() > PATH_BYTES_MAX {
            return refuse("it is too long");
        }
        if path.contains('\0') {
            return refuse("it contains a NUL");
        }
        if path.starts_with('/') {
            return refuse("it is absolute");
        }
        for name in path.split('/').filter(|_| !path.is_empty()) {
            match name {
                "" => return refuse("it contains an empty name"),
                "." | ".." => return refuse("it contains `.` or `..`"),
                _ => {}
            }
        }
        Ok(Self(path))
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// What stands before the last name, and the last name; `None` for the root itself.
    pub(super) fn split(self) -> Option<(Self, &'a str)> {
        match self.0.rsplit_once('/') {
            Some((parent, name)) => Some((Self(parent), name)),
            None if self.0.is_empty() => None,
            None => Some((Self(""), self.0)),
        }
    }

    /// The first name and what follows it; `None` for the root itself.
    fn split_first(self) -> Option<(&'a str, Self)> {
        match self.0.split_once('/') {
            Some((name, rest)) => Some((name, Self(rest))),
            None if self.0.is_empty() => None,
            None => Some((self.0, Self(""))),
        }
    }
}

impl fmt::Debug for Relative<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, formatter)
    }
}

/// A directory that was reached, for as long as it is needed.
pub(super) enum Reached<'a> {
    Root(BorrowedFd<'a>),
    Below(OwnedFd),
}

impl AsFd for Reached<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(directory) => *directory,
            Self::Below(directory) => directory.as_fd(),
        }
    }
}

impl Root {
    /// The absolute path of something below the root, for people. It is not checked.
    pub(super) fn absolute(&self, path: Relative<'_>) -> PathBuf {
        match &self.scope {
            Scope::File(name) => self.path.join(name),
            _ if path.0.is_empty() => self.path.clone(),
            _ => self.path.join(path.0),
        }
    }

    /// Opens what the path leads to. Links are followed beneath the root, except that with
    /// [`OFlags::NOFOLLOW`] the last name is not.
    pub(super) fn walk(&self, path: Relative<'_>, flags: OFlags) -> Result<OwnedFd, Error> {
        let file = match (&self.scope, path.split_first()) {
            (Scope::Everything, None) => self.beneath(self.directory.as_fd(), ".", flags, path),
            (Scope::Everything, Some(_)) => {
                self.beneath(self.directory.as_fd(), path.0, flags, path)
            }
            (Scope::File(name), None) => {
                self.one(self.directory.as_fd(), name, flags | OFlags::NOFOLLOW, path)
            }
            (Scope::File(_), Some(_)) => Err(self.outside(path)),
            (Scope::Beside(_), None) => self.beneath(self.directory.as_fd(), ".", flags, path),
            (Scope::Beside(_), Some((first, rest))) => {
                self.permit(path)?;
                if rest.0.is_empty() {
                    self.one(self.directory.as_fd(), first, flags, path)
                } else {
                    // What lies below is walked beneath *it*, not beneath the parent, whose other
                    // entries were not granted.
                    let entry = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                    let entry = self.one(self.directory.as_fd(), first, entry, path)?;
                    self.beneath(entry.as_fd(), rest.0, flags, path)
                }
            }
        }?;
        refuse_kernel_files(&file, &self.absolute(path))?;
        Ok(file)
    }

    /// Opens the directory that holds the last name of a path, and gives that name.
    pub(super) fn walk_to_parent<'a>(
        &'a self,
        path: Relative<'a>,
    ) -> Result<(Reached<'a>, &'a str), Error> {
        if let Scope::File(name) = &self.scope {
            return match path.split() {
                None => Ok((Reached::Root(self.directory.as_fd()), name)),
                Some(_) => Err(self.outside(path)),
            };
        }
        let Some((parent, name)) = path.split() else {
            let reason = "it is the root itself";
            return Err(Error::PathMalformed { path: String::new(), reason });
        };
        if parent.0.is_empty() {
            self.permit(path)?;
            return Ok((Reached::Root(self.directory.as_fd()), name));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        Ok((Reached::Below(self.walk(parent, flags)?), name))
    }

    /// Whether a name directly below the root belongs to it.
    pub(super) fn permits(&self, first: &str) -> bool {
        match &self.scope {
            Scope::Everything => true,
            Scope::File(_) => false,
            Scope::Beside(name) => first.strip_prefix(name.as_str()).is_some_and(|rest| {
                rest.is_empty()
                    || rest.strip_prefix(REMOVABLE_MARK).is_some_and(|mark| !mark.is_empty())
            }),
        }
    }

    fn permit(&self, path: Relative<'_>) -> Result<(), Error> {
        match path.split_first() {
            Some((first, _)) if !self.permits(first) => Err(self.outside(path)),
            _ => Ok(()),
        }
    }

    fn outside(&self, path: Relative<'_>) -> Error {
        let reason = "only one entry and what vaultup makes beside it were granted";
        Error::PathEscapes { path: self.path.join(path.0), reason }
    }

    fn beneath(
        &self,
        directory: BorrowedFd<'_>,
        names: &str,
        flags: OFlags,
        path: Relative<'_>,
    ) -> Result<OwnedFd, Error> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        self.open_at(directory, names, flags, resolve, path)
    }

    /// Opens a single name; a link is not followed.
    fn one(
        &self,
        directory: BorrowedFd<'_>,
        name: &str,
        flags: OFlags,
        path: Relative<'_>,
    ) -> Result<OwnedFd, Error> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        self.open_at(directory, name, flags, resolve, path)
    }

    fn open_at(
        &self,
        directory: BorrowedFd<'_>,
        names: &str,
        flags: OFlags,
        resolve: ResolveFlags,
        path: Relative<'_>,
    ) -> Result<OwnedFd, Error> {
        let flags = flags | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            let error = match openat2(directory, names, flags, Mode::empty(), resolve) {
                Ok(file) => return Ok(file),
                // Something was renamed while the kernel walked, so it could not be sure.
                Err(Errno::AGAIN) if tries < WALK_TRIES_MAX => {
                    tries += 1;
                    continue;
                }
                Err(error) => error,
            };
            let shown = self.absolute(path);
            let escapes = |reason| Err(Error::PathEscapes { path: shown.clone(), reason });
            return match error {
                Errno::XDEV => escapes("a symbolic link leads elsewhere"),
                Errno::LOOP => escapes("a symbolic link is not followed here"),
                Errno::AGAIN => escapes("it is being renamed all the time"),
                error => Err(io_failed(&shown, "opened", error.into())),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{PATH_BYTES_MAX, Relative};

    #[test]
    fn what_could_leave_a_directory_is_no_relative_path() {
        for path in ["/", "/etc", "..", "a/..", "a/../b", ".", "./a", "a//b", "a/", "a\0b", "/a/"] {
            Relative::parse(path).unwrap_err();
        }
        for path in ["", "a", "a/b", "..a", "a..", "...", "a b", "ä/ö", "-rf"] {
            Relative::parse(path).unwrap();
        }
    }

    #[test]
    fn a_path_at_the_limit_is_taken_and_one_byte_more_is_not() {
        Relative::parse(&"a".repeat(PATH_BYTES_MAX)).unwrap();
        Relative::parse(&"a".repeat(PATH_BYTES_MAX + 1)).unwrap_err();
    }
}
