//! The files of a journal as files: which must be there, and how they come to be.
//!
//! Invariants: the anchor is made before the database, each whole under its name at once. So an
//! anchor alone, never written since, is a journal about to be made; a database alone is damage.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::anchor::{self, Anchor};
use crate::database;
use crate::error::Error;

/// Whether database and anchor are both there.
pub(crate) fn are_present(directory: &Path) -> bool {
    presence(directory) == (true, true)
}

/// Makes what is missing, if that is how a new journal looks. The caller is
/// exclusive.
pub(crate) fn create_missing(directory: &Path) -> Result<(), Error> {
    if are_present(directory) {
        return Ok(());
    }
    let epoch = match check_missing(directory)? {
        Some(anchor) => anchor.newest.epoch,
        None => {
            write_anchor(directory, &Anchor::first(0))?;
            0
        }
    };
    database::create(directory, epoch)
}

/// Puts an anchor under its name, whole. The caller is exclusive.
pub(crate) fn write_anchor(directory: &Path, anchor: &Anchor) -> Result<(), Error> {
    let unfinished = directory.join(format!("{}.new", anchor::FILE));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(&anchor.encode())?;
        file.sync_all()?;
        std::fs::rename(&unfinished, directory.join(anchor::FILE))?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source: io::Error| Error::write_failed(directory, "making its anchor", source))
}

/// Opens the directory and resolves its name.
pub(crate) fn open_directory(directory: &Path) -> Result<(PathBuf, File), Error> {
    let open = || {
        let directory = directory.canonicalize()?;
        let handle = File::open(&directory)?;
        Ok((directory, handle))
    };
    open().map_err(|source| Error::inaccessible(directory, "opened", source))
}

/// Where a file is missing: whether this is how a journal looks before its first use. Returns
/// the anchor, if that was already made.
pub(crate) fn check_missing(directory: &Path) -> Result<Option<Anchor>, Error> {
    let strays = database::SIDE_FILES.iter().any(|name| directory.join(name).exists());
    match presence(directory) {
        (false, false) if !strays => Ok(None),
        (false, true) => {
            let path = directory.join(anchor::FILE);
            let file =
                File::open(&path).map_err(|source| Error::inaccessible(&path, "opened", source))?;
            let anchor = Anchor::read(&file, directory)?;
            if anchor.is_first() && !strays {
                return Ok(Some(anchor));
            }
            let anchor::Slot { sequence, epoch, .. } = anchor.newest;
            Err(Error::RecordsLost {
                directory: directory.to_owned(),
                anchored: format!("record {sequence} and epoch {epoch}"),
                found: format!("`{}` is missing", database::FILE),
            })
        }
        (true, false) => Err(Error::damaged(directory, "its anchor is missing")),
        _ => Err(Error::damaged(directory, "its database is missing, but its log is there")),
    }
}

/// Device and inode of the database under its name.
pub(crate) fn identity(directory: &Path) -> Result<(u64, u64), Error> {
    let path = directory.join(database::FILE);
    path.symlink_metadata()
        .map(|metadata| (metadata.dev(), metadata.ino()))
        .map_err(|source| Error::inaccessible(&path, "read", source))
}

/// Makes the directory and what is missing above it, for the user alone, durably.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    match directory.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Whether database and anchor are there.
fn presence(directory: &Path) -> (bool, bool) {
    let exists = |name| directory.join(name).symlink_metadata().is_ok();
    (exists(database::FILE), exists(anchor::FILE))
}
