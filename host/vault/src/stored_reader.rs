//! A file, read from the disk ahead of whoever takes it, and hashed on the way.
//!
//! A thread of its own reads, so that decryption and disk do not wait for each other.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::durable;
use crate::medium::{ALIGNMENT_BYTES, AlignedBuffer, drop_cached, is_invalid, set_direct};
use crate::record::Digest;

/// Blocks that are read ahead, beside the one that is taken.
const BLOCKS_AHEAD_MAX: usize = 2;

/// Reads a file from the disk and hashes what passes.
pub(crate) struct StoredReader {
    blocks: Receiver<io::Result<AlignedBuffer>>,
    /// Not joined when dropped: the thread only reads, and ends when nobody takes its blocks.
    free: SyncSender<AlignedBuffer>,
    buffer: AlignedBuffer,
    consumed: usize,
    ended: bool,
    hasher: blake3::Hasher,
    bytes: u64,
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
        let (sender, blocks) = sync_channel(BLOCKS_AHEAD_MAX + 1);
        let (free, freed) = sync_channel(BLOCKS_AHEAD_MAX + 1);
        for _ in 0..BLOCKS_AHEAD_MAX {
            // The channel has room for all of them.
            let _ = free.send(AlignedBuffer::new());
        }
        let disk = Disk { file, direct, length, bytes: 0 };
        std::thread::Builder::new()
            .name("vault-disk".to_owned())
            .spawn(move || disk.read_ahead(&freed, &sender))?;
        Ok(Self {
            blocks,
            free,
            buffer: AlignedBuffer::new(),
            consumed: 0,
            ended: false,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        })
    }

    /// Reads whatever was not read yet. Gives length and hash of the whole file.
    pub(crate) fn finish(mut self) -> io::Result<(u64, Digest)> {
        while self.fill()? {}
        Ok((self.bytes, Digest::finished(&self.hasher)))
    }

    /// Takes the next block; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let stopped = || Err(io::Error::other("the reading thread stopped"));
        let next = self.blocks.recv().unwrap_or_else(|_| stopped())?;
        let mut taken = std::mem::replace(&mut self.buffer, next);
        taken.clear();
        // The thread needs none any more when it has read everything.
        let _ = self.free.send(taken);
        self.consumed = 0;
        self.bytes += self.buffer.filled().len() as u64;
        self.hasher.update(self.buffer.filled());
        self.ended = self.buffer.filled().is_empty();
        Ok(!self.ended)
    }
}

impl Read for StoredReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.consumed == self.buffer.filled().len() && !into.is_empty() && !self.fill()? {
            return Ok(0);
        }
        let rest = &self.buffer.filled()[self.consumed..];
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        self.consumed += length;
        Ok(length)
    }
}

/// The disk's side.
struct Disk {
    file: File,
    direct: bool,
    length: u64,
    bytes: u64,
}

impl Disk {
    /// Sends block after block, at the end an empty one, or an error.
    fn read_ahead(
        mut self,
        freed: &Receiver<AlignedBuffer>,
        blocks: &SyncSender<io::Result<AlignedBuffer>>,
    ) {
        while let Ok(mut block) = freed.recv() {
            let result = self.read(&mut block);
            let last = !matches!(result, Ok(length) if length > 0);
            if blocks.send(result.map(|_| block)).is_err() || last {
                return;
            }
        }
    }

    fn read(&mut self, block: &mut AlignedBuffer) -> io::Result<usize> {
        loop {
            // A direct read after the end would begin at an odd offset, which is refused.
            if self.direct && self.bytes >= self.length {
                self.leave_direct()?;
            }
            match self.file.read(block.free()) {
                Ok(length) => {
                    block.set_filled(length);
                    self.bytes += length as u64;
                    if self.direct && !length.is_multiple_of(ALIGNMENT_BYTES) {
                        self.leave_direct()?;
                    }
                    return Ok(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.direct && is_invalid(&error) => self.leave_direct()?,
                Err(error) => return Err(error),
            }
        }
    }

    fn leave_direct(&mut self) -> io::Result<()> {
        set_direct(&self.file, false)?;
        self.direct = false;
        Ok(())
    }
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
