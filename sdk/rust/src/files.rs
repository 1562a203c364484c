//! The operator's files and directories that the manifest asks for and the operator granted.
//!
//! A [`Root`] is a path in the settings. Paths below it are relative, use `/`, have no `..`, and
//! never leave it through a symbolic link. What changes something is refused by the host while it
//! only checks or plans; edits are journaled with what was there before.

use crate::Error;
#[doc(inline)]
pub use crate::bindings::imports::vaultup::plugin::files::{Entry, Kind, Room};
use crate::host::*;
use crate::operation::Figure;

/// A granted path of the operator's, opened. The empty relative path is the root itself.
///
/// If the manifest says `beside = true`, the root is the directory in which the path of the
/// settings lies; of what is in it, only that path and `<its name>.vaultup-…` can be reached.
pub struct Root {
    inner: crate::host::Root,
}

impl Root {
    /// Opens the path that stands in the settings under this dotted key.
    ///
    /// # Errors
    /// [`crate::Case::Denied`] if it is not granted, [`crate::Case::InvalidSettings`] if it does
    /// not stand there.
    pub fn open(key: &str) -> Result<Self, Error> {
        Ok(Self { inner: host().open(key)? })
    }

    /// The absolute path, for use as an argument or a variable that accepts a path. Nothing needs
    /// to be there.
    ///
    /// # Errors
    /// [`crate::Case::Denied`] if it leaves the root; so does a link that leads elsewhere, as a
    /// program that gets its path would follow it.
    pub fn path(&self, relative: &str) -> Result<String, Error> {
        self.inner.path(relative)
    }

    /// What is there, itself and not what a link means; `None` when there is nothing.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn describe(&self, relative: &str) -> Result<Option<Entry>, Error> {
        self.inner.describe(relative)
    }

    /// Whether anything is there.
    ///
    /// # Errors
    /// As [`Root::describe`].
    pub fn exists(&self, relative: &str) -> Result<bool, Error> {
        Ok(self.describe(relative)?.is_some())
    }

    /// Entries of a directory by name, at most 100,000.
    ///
    /// # Errors
    /// [`crate::Case::NotFound`] if there is no such directory.
    pub fn entries(&self, relative: &str) -> Result<Vec<Entry>, Error> {
        self.inner.entries(relative)
    }

    /// A file's content, at most 1 MiB.
    ///
    /// # Errors
    /// [`crate::Case::NotFound`] if there is no such file.
    pub fn read(&self, relative: &str) -> Result<Vec<u8>, Error> {
        self.inner.read(relative)
    }

    /// Measures a whole tree, or one file. The digest is of names below it, kinds, permissions,
    /// links and contents; its own name, times, owners and sockets do not count. `count` and
    /// `bytes` are of regular files.
    ///
    /// # Errors
    /// [`crate::Case::NotFound`] if there is nothing.
    pub fn measure(&self, relative: &str) -> Result<Figure, Error> {
        self.inner.measure(relative)
    }

    /// Room on the file system.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn room(&self) -> Result<Room, Error> {
        self.inner.room()
    }

    /// Replaces a file's content atomically; at most 1 MiB.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, relative: &str, content: &[u8]) -> Result<(), Error> {
        self.inner.write(relative, content)
    }

    /// Makes a link point elsewhere, atomically; makes it if there is none. It may point to another
    /// granted path, by its absolute path.
    ///
    /// # Errors
    /// If something else than a link is there, or it would point to what was not granted.
    pub fn link(&self, relative: &str, to: &str) -> Result<(), Error> {
        self.inner.link(relative, to)
    }

    /// Makes a directory (0700) and those above it; nothing happens if it is there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create_directory(&self, relative: &str) -> Result<(), Error> {
        self.inner.create_directory(relative)
    }

    /// Renames within the root.
    ///
    /// # Errors
    /// If there is something at the destination already.
    pub fn rename(&self, source: &str, destination: &str) -> Result<(), Error> {
        self.inner.rename(source, destination)
    }

    /// Swaps two entries atomically.
    ///
    /// # Errors
    /// If one of them does not exist.
    pub fn exchange(&self, first: &str, second: &str) -> Result<(), Error> {
        self.inner.exchange(first, second)
    }

    /// Removes what vaultup made, with all that is in it; nothing happens if it is not there.
    ///
    /// # Errors
    /// [`crate::Case::Denied`] if the name does not contain `.vaultup-`.
    pub fn remove(&self, relative: &str) -> Result<(), Error> {
        self.inner.remove(relative)
    }
}
