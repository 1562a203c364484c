//! Streams to and from the disk, past the page cache where the file system allows it.
//!
//! Why past it: a backup is written once and read once, so caching it only pushes out the pages of
//! the very database that is being backed up; copying into the cache costs as much as encrypting;
//! and a read that the cache answers says nothing about the disk. What `O_DIRECT` cannot promise:
//! the device's own cache may still answer a read. File systems that refuse it (some network and
//! memory file systems) are written through the cache, synchronised as the stream goes so that the
//! last synchronisation is short, and their pages dropped before they are read back.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};

use crate::durable;
use crate::error::Error;
use crate::record::Digest;

/// What `O_DIRECT` asks of memory, lengths and offsets: 4096 covers every common device.
const ALIGNMENT_BYTES: usize = 4096;

/// How much goes to or from the disk at once. Measured: 1 MiB reaches the full rate of an NVMe
/// device, more only costs memory.
const BLOCK_BYTES: usize = 1 << 20;

/// Where the cache cannot be passed by: how much may be dirty in it.
const WRITE_BACK_BYTES: u64 = 32 << 20;

/// Hashes what passes and writes it to a new file.
pub(crate) struct StoredWriter {
    file: File,
    path: PathBuf,
    buffer: AlignedBuffer,
    direct: bool,
    hasher: blake3::Hasher,
    bytes: u64,
    bytes_dirty: u64,
}

impl StoredWriter {
    /// Creates the file.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = durable::create_file(path).map_err(Error::with("create", path))?;
        // Asked for after opening: some file systems create the file and then refuse the flag.
        let direct = set_direct(&file, true).is_ok();
        Ok(Self::over(file, path, direct))
    }

    pub(crate) fn over(file: File, path: &Path, direct: bool) -> Self {
        Self {
            file,
            path: path.to_owned(),
            buffer: AlignedBuffer::new(),
            direct,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            bytes_dirty: 0,
        }
    }

    /// Writes the rest and makes everything durable. Gives length and hash of the file.
    pub(crate) fn finish(mut self) -> Result<(u64, Digest), Error> {
        self.write_block().map_err(Error::with("write", &self.path))?;
        self.file.sync_all().map_err(Error::with("synchronise", &self.path))?;
        drop_cached(&self.file);
        Ok((self.bytes, Digest::finished(&self.hasher)))
    }

    fn write_block(&mut self) -> io::Result<()> {
        let block = self.buffer.filled();
        self.hasher.update(block);
        let mut written = 0;
        while written < block.len() {
            let rest = &block[written..];
            // The last block of a file has any length: its end goes through the cache.
            let aligned = rest.len() - rest.len() % ALIGNMENT_BYTES;
            let part = if self.direct && aligned > 0 { &rest[..aligned] } else { rest };
            if self.direct && aligned == 0 {
                set_direct(&self.file, false)?;
                self.direct = false;
            }
            match self.file.write(part) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.direct && is_invalid(&error) => {
                    tracing::debug!(path = %self.path.display(), "written through the page cache");
                    set_direct(&self.file, false)?;
                    self.direct = false;
                }
                Err(error) => return Err(error),
            }
        }
        self.bytes += written as u64;
        self.bytes_dirty += if self.direct { 0 } else { written as u64 };
        self.buffer.clear();
        if self.bytes_dirty >= WRITE_BACK_BYTES {
            self.file.sync_data()?;
            drop_cached(&self.file);
            self.bytes_dirty = 0;
        }
        Ok(())
    }
}

impl Write for StoredWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.buffer.take_from(bytes);
        if self.buffer.is_full() {
            self.write_block()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
                    self.buffer.length = length;
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
struct AlignedBuffer {
    storage: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    fn new() -> Self {
        let storage = vec![0; BLOCK_BYTES + ALIGNMENT_BYTES];
        // The storage never grows, so it never moves. A wrong start would cost speed, not safety:
        // the file system refuses it and the page cache is used.
        let start = storage.as_ptr().align_offset(ALIGNMENT_BYTES).min(ALIGNMENT_BYTES);
        Self { storage, start, length: 0 }
    }

    fn filled(&self) -> &[u8] {
        &self.storage[self.start..self.start + self.length]
    }

    fn free(&mut self) -> &mut [u8] {
        &mut self.storage[self.start + self.length..self.start + BLOCK_BYTES]
    }

    fn take_from(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(BLOCK_BYTES - self.length);
        self.free()[..length].copy_from_slice(&bytes[..length]);
        self.length += length;
        length
    }

    fn is_full(&self) -> bool {
        self.length == BLOCK_BYTES
    }

    fn clear(&mut self) {
        self.length = 0;
    }
}

fn set_direct(file: &File, direct: bool) -> rustix::io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    fcntl_setfl(file, flags)
}

/// Advice only: where it is not heeded, a later read may come from the cache.
fn drop_cached(file: &File) {
    if let Err(error) = fadvise(file, 0, None, Advice::DontNeed) {
        tracing::debug!(%error, "the page cache was not dropped");
    }
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::fs::OpenOptions;
    use std::io::{Read, Write};
    use std::path::Path;

    use super::{ALIGNMENT_BYTES, BLOCK_BYTES, StoredReader, StoredWriter, WRITE_BACK_BYTES};
    use crate::error::Error;
    use crate::record::Digest;

    const LENGTHS: [usize; 9] = [
        0,
        1,
        ALIGNMENT_BYTES - 1,
        ALIGNMENT_BYTES,
        ALIGNMENT_BYTES + 1,
        BLOCK_BYTES - 1,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        BLOCK_BYTES * 2 + 5000,
    ];

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 7 / 3) as u8).collect()
    }

    fn write_and_read(direct: bool, content: &[u8], piece: usize) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut writer = StoredWriter::create(&path).unwrap();
        if !direct {
            super::set_direct(&writer.file, false).unwrap();
            writer.direct = false;
        }
        for part in content.chunks(piece) {
            writer.write_all(part).unwrap();
        }
        let expected = (content.len() as u64, Digest::of(content));
        assert_eq!(writer.finish().unwrap(), expected);
        let mut read = Vec::new();
        let mut reader = StoredReader::open(&path).unwrap();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == content, "{} bytes in pieces of {piece}", content.len());
        assert_eq!(reader.finish().unwrap(), expected);
        assert_eq!(StoredReader::open(&path).unwrap().finish().unwrap(), expected);
    }

    #[test]
    fn what_is_written_is_read_at_every_boundary_past_and_through_the_cache() {
        for length in LENGTHS {
            for direct in [true, false] {
                write_and_read(direct, &content(length), 333_333);
            }
        }
        write_and_read(true, &content(ALIGNMENT_BYTES * 3 + 1), 1);
    }

    #[test]
    fn a_stream_through_the_cache_is_synchronised_on_the_way() {
        let length = usize::try_from(WRITE_BACK_BYTES).unwrap() + BLOCK_BYTES + 1;
        write_and_read(false, &content(length), BLOCK_BYTES);
    }

    #[test]
    fn a_full_disk_is_its_own_error_with_the_room_that_is_left() {
        // Every write to this device is answered with ENOSPC by the kernel.
        let path = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let mut writer = StoredWriter::over(file, path, false);
        writer.write_all(b"x").unwrap();
        let error = writer.finish().unwrap_err();
        assert!(matches!(error, Error::NoSpace { available_bytes: Some(_), .. }), "{error:?}");
    }

    #[test]
    fn a_file_that_is_there_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "kept").unwrap();
        assert!(StoredWriter::create(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    }

    #[test]
    fn a_link_or_a_directory_in_the_place_of_a_file_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(StoredReader::open(&link).is_err());
        assert!(StoredReader::open(directory.path()).is_err());
    }
}
