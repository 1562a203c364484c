//! The disk, past the page cache where the file system allows it.
//!
//! Why past it: a backup is written once and read once, so caching it only pushes out the pages of
//! the very database that is being backed up; copying into the cache costs as much as encrypting;
//! and a read that the cache answers says nothing about the disk. What `O_DIRECT` cannot promise:
//! the device's own cache may still answer a read. On file systems that refuse it (some network and
//! memory file systems) pages are dropped from the cache after they were synchronised and before
//! they are read: advice that the kernel mostly follows.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};

use crate::durable;
use crate::record::Digest;

/// What `O_DIRECT` asks of memory, lengths and offsets: 4096 covers every common device.
pub(crate) const ALIGNMENT_BYTES: usize = 4096;

/// How much goes to or from the disk at once. Measured: less than 1 MiB is slower, more than 2 MiB
/// is no faster.
pub(crate) const BLOCK_BYTES: usize = 2 << 20;

/// Reads a file from the disk and hashes what passes.
pub(crate) struct StoredReader {
    file: File,
    buffer: AlignedBuffer,
    consumed: usize,
    direct: bool,
    hasher: blake3::Hasher,
    bytes: u64,
    length: u64,
}

impl StoredReader {
    /// Opens the file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = durable::open_file(path)?;
        let length = file.metadata()?.len();
        let direct = set_direct(&file, true).is_ok();
        if !direct {
            drop_cached(&file);
        }
        Ok(Self {
            file,
            buffer: AlignedBuffer::new(),
            consumed: 0,
            direct,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            length,
        })
    }

    /// Reads whatever was not read yet. Gives length and hash of the whole file.
    pub(crate) fn finish(mut self) -> io::Result<(u64, Digest)> {
        while self.fill()? {}
        Ok((self.bytes, Digest::finished(&self.hasher)))
    }

    /// Reads the next block; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.consumed = 0;
        self.buffer.clear();
        // A direct read after the end would begin at an odd offset, which is refused.
        if self.direct && self.bytes >= self.length {
            set_direct(&self.file, false)?;
            self.direct = false;
        }
        loop {
            match self.file.read(self.buffer.free()) {
                Ok(length) => {
                    self.buffer.set_filled(length);
                    self.bytes += length as u64;
                    self.hasher.update(self.buffer.filled());
                    if self.direct && !length.is_multiple_of(ALIGNMENT_BYTES) {
                        set_direct(&self.file, false)?;
                        self.direct = false;
                    }
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.direct && is_invalid(&error) => {
                    set_direct(&self.file, false)?;
                    self.direct = false;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for StoredReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.consumed == self.buffer.length && !into.is_empty() && !self.fill()? {
            return Ok(0);
        }
        let rest = &self.buffer.filled()[self.consumed..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.consumed += length;
        Ok(length)
    }
}

/// A block of memory that begins where the device wants it.
pub(crate) struct AlignedBuffer {
    storage: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    pub(crate) fn new() -> Self {
        let storage = vec![0; BLOCK_BYTES + ALIGNMENT_BYTES];
        // The storage never grows, so it never moves. A wrong start would cost speed, not safety:
        // the file system refuses it and the page cache is used.
        let start = storage.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Self { storage, start, length: 0 }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }

    pub(crate) fn free(&mut self) -> &mut [u8] {
        &mut self.storage[self.start + self.length..self.start + BLOCK_BYTES]
    }

    pub(crate) fn take_from(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(BLOCK_BYTES - self.length);
        self.free()[..length].copy_from_slice(&bytes[..length]);
        self.length += length;
        length
    }

    pub(crate) fn is_full(&self) -> bool {
        self.length == BLOCK_BYTES
    }

    pub(crate) fn set_filled(&mut self, length: usize) {
        self.length = length.min(BLOCK_BYTES);
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }
}

pub(crate) fn set_direct(file: &File, direct: bool) -> rustix::io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    fcntl_setfl(file, flags)
}

/// Advice only: where it is not heeded, a later read may come from the cache.
pub(crate) fn drop_cached(file: &File) {
    if let Err(error) = fadvise(file, 0, None, Advice::DontNeed) {
        tracing::debug!(%error, "the page cache was not dropped");
    }
}

pub(crate) fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::StoredReader;

    #[test]
    fn a_link_or_a_directory_in_the_place_of_a_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(StoredReader::open(&link).is_err());
        assert!(StoredReader::open(directory.path()).is_err());
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(StoredReader::open(&pipe).is_err());
    }
}
