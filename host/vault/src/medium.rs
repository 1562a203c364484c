//! The disk, past the page cache where the file system allows it.
//!
//! Why past it: a backup is written once and read once, so caching it only pushes out the pages of
//! the very database that is being backed up; copying into the cache costs as much as encrypting;
//! and a read that the cache answers says nothing about the disk. What `O_DIRECT` cannot promise:
//! the device's own cache may still answer a read. On file systems that refuse it (some network and
//! memory file systems) pages are dropped from the cache after they were synchronised and before
//! they are read: advice that the kernel mostly follows.

use std::fs::File;
use std::io;

use rustix::fs::{Advice, OFlags, fadvise, fcntl_getfl, fcntl_setfl};

/// What `O_DIRECT` asks of memory, lengths and offsets: 4096 covers every common device.
pub(crate) const ALIGNMENT_BYTES: usize = 4096;

/// How much goes to or from the disk at once. Measured: less than 1 MiB is slower, more than 2 MiB
/// is no faster.
pub(crate) const BLOCK_BYTES: usize = 2 << 20;

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
