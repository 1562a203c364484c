//! The digest of a whole tree: how two copies show to be equal.
//!
//! The digest is BLAKE3 over records, each of which can be read back from its beginning, so that
//! two different trees never give the same bytes:
//!
//! - the text `vaultup tree 1` and a line end, then the record of the tree's top
//! - a file: `f`, permission bits (4 bytes), length (8 bytes), BLAKE3 of its content (32 bytes)
//! - a link: `l`, length of its text (8 bytes), its text
//! - a directory: `d`, permission bits (4 bytes), for each entry in byte order of the names `n`,
//!   length of the name (8 bytes), the name and the entry's record; then `e`
//! - a FIFO or device: `o`, its whole mode (4 bytes)
//!
//! Numbers are little-endian. Times, owners, and which files are hard links of each other do not
//! count. Sockets do not count: nothing can copy one, and a server makes its own anew.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use blake3::Hasher;
use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::fs::{fadvise, openat, readlinkat, statat};

use super::read::names;
use super::{EntryKind, Relative, Root, Scope, TREE_DEPTH_MAX, TREE_ENTRIES_MAX};
use super::{io_failed, kind_of, refuse_kernel_files, stat};
use crate::error::Error;

/// Bytes read at once. Hashing is faster than reading from here on.
const BUFFER_BYTES: usize = 1 << 20;

/// What begins every digest, so that it means nothing elsewhere.
const DOMAIN: &[u8] = b"vaultup tree 1\n";

/// A measured tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// How many regular files.
    pub count: u64,
    /// How many bytes are in them.
    pub bytes: u64,
    /// `blake3:` and 64 hexadecimal digits.
    pub digest: String,
}

impl Root {
    /// Measures a file or a whole tree. A link at its top is followed beneath the root, links
    /// within it count as they are written. `going` is asked every MiB with the bytes read so far;
    /// false ends the measuring.
    ///
    /// # Errors
    /// [`Error::Absent`], also when something goes away meanwhile; [`Error::TreeTooDeep`];
    /// [`Error::TooManyEntries`]; [`Error::Cancelled`].
    pub fn measure(
        &self,
        path: Relative<'_>,
        going: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Measure, Error> {
        let shown = self.absolute(path);
        if path.as_str().is_empty() && matches!(self.scope, Scope::Beside(_)) {
            let reason = "only one entry of it was granted";
            return Err(Error::PathEscapes { path: shown, reason });
        }
        let top = stat(&self.walk(path, OFlags::PATH)?, &shown)?;
        let mut tape = Tape::new(going);
        match kind_of(&top) {
            EntryKind::Directory => {
                tape.directory(&self.open_directory(path)?, &top, &shown, 1)?;
            }
            EntryKind::File => tape.file(self.open_file(path, OFlags::empty())?, &shown)?,
            EntryKind::Link | EntryKind::Other => tape.other(&top),
        }
        Ok(tape.measure())
    }
}

struct Tape<'a> {
    hasher: Hasher,
    count: u64,
    bytes: u64,
    buffer: Vec<u8>,
    going: &'a mut dyn FnMut(u64) -> bool,
}

impl<'a> Tape<'a> {
    fn new(going: &'a mut dyn FnMut(u64) -> bool) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(DOMAIN);
        Self { hasher, count: 0, bytes: 0, buffer: vec![0; BUFFER_BYTES], going }
    }

    fn measure(self) -> Measure {
        let digest = format!("blake3:{}", self.hasher.finalize().to_hex());
        Measure { count: self.count, bytes: self.bytes, digest }
    }

    fn directory(
        &mut self,
        directory: &OwnedFd,
        found: &Stat,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > TREE_DEPTH_MAX {
            return Err(Error::TreeTooDeep { path: path.to_owned(), depth_max: TREE_DEPTH_MAX });
        }
        self.begin(b'd', found.st_mode & 0o7777);
        for name in names(directory, path, TREE_ENTRIES_MAX)? {
            let name = std::ffi::OsStr::from_bytes(&name);
            self.entry(directory, name, found, &path.join(name), depth)?;
        }
        self.hasher.update(b"e");
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &std::ffi::OsStr,
        above: &Stat,
        path: &Path,
        depth: usize,
    ) -> Result<(), Error> {
        let failed = |error: rustix::io::Errno| io_failed(path, "measured", error.into());
        let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Socket {
            return Ok(());
        }
        self.hasher.update(b"n");
        self.text(name.as_bytes());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind_of(&found) {
            EntryKind::Directory => {
                let flags = flags | OFlags::DIRECTORY;
                let below = openat(directory, name, flags, Mode::empty()).map_err(failed)?;
                let found = stat(&below, path)?;
                if found.st_dev != above.st_dev {
                    refuse_kernel_files(&below, path)?;
                }
                self.directory(&below, &found, path, depth + 1)
            }
            EntryKind::File => {
                let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
                let file = openat(directory, name, flags, Mode::empty()).map_err(failed)?;
                self.file(File::from(file), path)
            }
            EntryKind::Link => {
                let link = readlinkat(directory, name, Vec::new()).map_err(failed)?;
                self.hasher.update(b"l");
                self.text(link.as_bytes());
                Ok(())
            }
            EntryKind::Other => {
                self.other(&found);
                Ok(())
            }
        }
    }

    fn file(&mut self, file: File, path: &Path) -> Result<(), Error> {
        let file = OwnedFd::from(file);
        let found = stat(&file, path)?;
        if kind_of(&found) != EntryKind::File {
            // It was replaced between the look and the opening.
            return Err(Error::Absent { path: path.to_owned() });
        }
        // Advice only: a file system that has none reads as well.
        let _ = fadvise(&file, 0, None, Advice::Sequential);
        let mut file = File::from(file);
        let mut hasher = Hasher::new();
        let mut length = 0_u64;
        loop {
            let read = match file.read(&mut self.buffer) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(|error| io_failed(path, "read", error))?,
            };
            hasher.update(&self.buffer[..read]);
            length += read as u64;
            self.bytes += read as u64;
            if !(self.going)(self.bytes) {
                return Err(Error::Cancelled { path: path.to_owned() });
            }
            if read == 0 {
                break;
            }
        }
        self.count += 1;
        self.begin(b'f', found.st_mode & 0o7777);
        self.hasher.update(&length.to_le_bytes());
        self.hasher.update(hasher.finalize().as_bytes());
        Ok(())
    }

    fn other(&mut self, found: &Stat) {
        self.begin(b'o', found.st_mode);
    }

    fn begin(&mut self, kind: u8, mode: u32) {
        self.hasher.update(&[kind]);
        self.hasher.update(&mode.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::fs::File;
    use std::os::fd::OwnedFd;

    use super::{TREE_ENTRIES_MAX, names};
    use crate::error::Error;

    /// A million files take minutes to make, so that the limit is a smaller one here.
    #[test]
    fn a_directory_is_taken_up_to_its_limit_of_entries_and_not_one_further() {
        let scratch = tempfile::tempdir().unwrap();
        for index in 0..3 {
            File::create(scratch.path().join(index.to_string())).unwrap();
        }
        let directory = OwnedFd::from(File::open(scratch.path()).unwrap());
        for entries_max in [TREE_ENTRIES_MAX, 3] {
            assert_eq!(names(&directory, scratch.path(), entries_max).unwrap().len(), 3);
        }
        let error = names(&directory, scratch.path(), 2).unwrap_err();
        assert!(matches!(error, Error::TooManyEntries { entries_max: 2, .. }), "{error}");
    }
}
