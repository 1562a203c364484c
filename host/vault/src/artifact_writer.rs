//! One stream into the vault: hash, compress, encrypt, hash, store.
//!
//! Two threads beside the compressor's own: the caller's hashes what it hands over and feeds the
//! compressor; a second one encrypts, hashes and stores what comes out. Between them a bounded
//! channel, so that memory stays the same at any size and a slow disk slows the source down.
//!
//! Invariant: only [`ArtifactWriter::finish`] makes an artifact that can be published. Dropped
//! before, or after any failure, its file is removed and its name is free again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use zstd::stream::{raw, write::Encoder, zio};
use zstd::zstd_safe::CParameter;

use crate::error::Error;
use crate::keys::Keys;
use crate::medium::StoredWriter;
use crate::record::{ArtifactRecord, Digest};
use crate::set_writer::Slot;

/// zstd's own default: a higher level costs more time than it saves bytes on the disk.
const COMPRESSION_LEVEL: i32 = 3;

/// How many threads compress. Each takes about 4 MiB; more than four outrun one encrypting thread.
const COMPRESSION_THREADS_MAX: usize = 4;

/// What one compression thread takes at a time. Smaller jobs need less memory, and below 1 MiB the
/// ratio suffers measurably.
const COMPRESSION_JOB_BYTES: u32 = 1 << 20;

/// What leaves the compressor at once; zstd's largest block.
const COMPRESSED_PIECE_BYTES: usize = 128 << 10;

/// What passes from thread to thread at once.
const BLOCK_BYTES: usize = 256 << 10;

/// How many such blocks may wait for the disk: 4 MiB, a few milliseconds of a fast one.
const BLOCKS_WAITING_MAX: usize = 16;

/// Takes the bytes of one artifact. Memory does not depend on how many there are.
///
/// An error of [`Write`] holds the vault's own error ([`Error::from_io`]); after it every further
/// call fails and the artifact is gone.
pub struct ArtifactWriter {
    /// `None` once finished or failed.
    encoder: Option<Encoder<'static, BlockSender>>,
    storing: Option<JoinHandle<Result<Option<(u64, Digest)>, Error>>>,
    slot: Slot,
    path: PathBuf,
    name: String,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl ArtifactWriter {
    pub(crate) fn begin(
        path: PathBuf,
        name: String,
        keys: &Keys,
        slot: Slot,
    ) -> Result<Self, Error> {
        let stored = StoredWriter::create(&path)?;
        Self::over(stored, path, name, keys, slot)
    }

    fn over(
        stored: StoredWriter,
        path: PathBuf,
        name: String,
        keys: &Keys,
        slot: Slot,
    ) -> Result<Self, Error> {
        let (sender, receiver) = sync_channel(BLOCKS_WAITING_MAX);
        let mut writer = Self {
            encoder: None,
            storing: None,
            slot,
            path,
            name,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        };
        let path = &writer.path;
        let encoder = encoder(sender).map_err(|source| failed("compress", path, source))?;
        let encryptor = keys.encryptor().map_err(|source| failed("encrypt", path, source))?;
        let encrypted = encryptor.wrap_output(stored).map_err(Error::with("write", path))?;
        let store_path = path.clone();
        let storing = std::thread::Builder::new()
            .name("vault-store".to_owned())
            .spawn(move || store(&receiver, encrypted, &store_path))
            .map_err(Error::with("start a thread for", path))?;
        writer.encoder = Some(encoder);
        writer.storing = Some(storing);
        Ok(writer)
    }

    /// Ends the stream and makes it durable.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Pipeline`]; the artifact is gone then, also
    /// after a failed synchronisation, which is never tried twice.
    pub fn finish(mut self) -> Result<ArtifactRecord, Error> {
        let Some(encoder) = self.encoder.take() else { return Err(self.no_longer()) };
        let ended = encoder.finish().and_then(BlockSender::end);
        let stored = self.join();
        // The storing thread's reason outranks ours: ours is often only that it went away.
        let (bytes_stored, blake3_stored) = match (stored, ended) {
            (Ok(Some(stored)), Ok(())) => stored,
            (Err(error), _) => return Err(error),
            (_, Err(source)) => return Err(failed("compress", &self.path, source)),
            (Ok(None), Ok(())) => return Err(self.no_longer()),
        };
        let record = ArtifactRecord {
            name: self.name.clone(),
            bytes: self.bytes,
            bytes_stored,
            blake3: Digest::finished(&self.hasher),
            blake3_stored,
        };
        self.slot.finish(record.clone());
        Ok(record)
    }

    fn join(&mut self) -> Result<Option<(u64, Digest)>, Error> {
        match self.storing.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_panic)) => Err(failed("store", &self.path, "the storing thread panicked")),
            None => Err(self.no_longer()),
        }
    }

    fn no_longer(&self) -> Error {
        failed("go on with", &self.path, "an earlier write failed")
    }
}

impl Write for ArtifactWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(encoder) = &mut self.encoder else { return Err(self.no_longer().into_io()) };
        match encoder.write(bytes) {
            Ok(length) => {
                self.hasher.update(&bytes[..length]);
                self.bytes += length as u64;
                Ok(length)
            }
            Err(source) => {
                self.encoder = None;
                let reason = self.join().err();
                Err(reason.unwrap_or_else(|| failed("compress", &self.path, source)).into_io())
            }
        }
    }

    /// Does nothing: only [`ArtifactWriter::finish`] makes anything durable.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ArtifactWriter {
    fn drop(&mut self) {
        // Without its end mark the storing thread gives up; it must be gone before its file is.
        self.encoder = None;
        let _ = self.storing.take().map(JoinHandle::join);
        if self.slot.is_open()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished artifact was left");
        }
        self.slot.abandon();
    }
}

/// What passes from the compressing to the storing thread.
enum Message {
    Block(Vec<u8>),
    /// The stream is complete. A channel that closes without it was abandoned.
    End,
}

/// Collects what the compressor gives into blocks.
struct BlockSender {
    block: Vec<u8>,
    sender: SyncSender<Message>,
}

impl BlockSender {
    fn end(mut self) -> io::Result<()> {
        self.send()?;
        self.sender.send(Message::End).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn send(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        self.sender.send(Message::Block(block)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for BlockSender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        if self.block.len() == BLOCK_BYTES {
            self.send()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encoder(sender: SyncSender<Message>) -> io::Result<Encoder<'static, BlockSender>> {
    let mut compressor = raw::Encoder::new(COMPRESSION_LEVEL)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = u32::try_from(threads.min(COMPRESSION_THREADS_MAX)).unwrap_or(1);
    compressor.set_parameter(CParameter::NbWorkers(threads))?;
    compressor.set_parameter(CParameter::JobSize(COMPRESSION_JOB_BYTES))?;
    // Who reads a backup with `age -d | zstd -d`, without vaultup, has a check as well.
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    let blocks = BlockSender { block: Vec::with_capacity(BLOCK_BYTES), sender };
    let writer = zio::Writer::new_with_capacity(blocks, compressor, COMPRESSED_PIECE_BYTES);
    Ok(Encoder::with_writer(writer))
}

/// The storing thread: `None` when the stream was abandoned.
fn store(
    receiver: &Receiver<Message>,
    mut encrypted: age::stream::StreamWriter<StoredWriter>,
    path: &Path,
) -> Result<Option<(u64, Digest)>, Error> {
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Block(block) => {
                encrypted.write_all(&block).map_err(Error::with("write", path))?;
            }
            Message::End => {
                let stored = encrypted.finish().map_err(Error::with("write", path))?;
                return stored.finish().map(Some);
            }
        }
    }
    Ok(None)
}

fn failed(
    act: &'static str,
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Pipeline { act, path: path.to_owned(), source: source.into() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::fs::OpenOptions;
    use std::io::{self, Write};
    use std::path::Path;

    use super::ArtifactWriter;
    use crate::error::Error;
    use crate::keys::Keys;
    use crate::medium::StoredWriter;
    use crate::set_writer::Slot;

    /// An artifact on a device whose every write is answered with ENOSPC by the kernel.
    fn on_a_full_disk(home: &Path) -> (ArtifactWriter, Slot) {
        let full = Path::new("/dev/full");
        let device = OpenOptions::new().write(true).open(full).unwrap();
        let stored = StoredWriter::over(device, full, false);
        let (keys, _) = Keys::load_or_create(&home.join("keys/identity"), &[]).unwrap();
        let slot = Slot::alone();
        let path = home.join("artifact");
        (ArtifactWriter::over(stored, path, "a".into(), &keys, slot.clone()).unwrap(), slot)
    }

    #[test]
    fn a_full_disk_ends_the_stream_with_its_own_error_and_frees_the_name() {
        let home = tempfile::tempdir().unwrap();
        let (mut writer, slot) = on_a_full_disk(home.path());
        let mut block = vec![0_u8; 1 << 20];
        let mut state = 1_u64;
        let error = loop {
            for byte in &mut block {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            if let Err(error) = writer.write_all(&block) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(matches!(Error::from_io(error), Ok(Error::NoSpace { .. })));
        assert!(writer.write_all(b"more").is_err());
        assert!(slot.is_open());
        assert!(matches!(writer.finish(), Err(Error::Pipeline { .. })));
        assert!(!slot.is_open());
    }

    #[test]
    fn a_disk_that_is_full_at_the_end_fails_the_finish() {
        let home = tempfile::tempdir().unwrap();
        let (mut writer, slot) = on_a_full_disk(home.path());
        writer.write_all(b"little").unwrap();
        assert!(matches!(writer.finish(), Err(Error::NoSpace { .. })));
        assert!(!slot.is_open());
    }
}
