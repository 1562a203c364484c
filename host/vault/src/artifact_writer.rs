//! One stream into the vault: hash, compress, encrypt, hash, store, read back.
//!
//! The caller's thread hashes what it hands over and fills blocks; those of [`crate::compressor`]
//! compress; one encrypts and hashes what comes out; one of [`crate::stored_writer`] stores it and
//! reads it back. Between them a fixed number of buffers, so that memory stays the same at any size
//! and a slow disk slows the source down.
//!
//! Invariant: only [`ArtifactWriter::finish`] makes an artifact that can be published. Dropped
//! before, or after any failure, its file is removed and its name is free again.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::compressor::{self, Block, Compressed, Compressor, Gone};
use crate::error::Error;
use crate::keys::Keys;
use crate::record::{ArtifactRecord, Digest};
use crate::set_writer::Slot;
use crate::stored_writer::{StoredWriter, StoringResult};

/// Takes the bytes of one artifact. Memory does not depend on how many there are.
///
/// An error of [`Write`] holds the vault's own error ([`Error::from_io`]); after it every further
/// call fails and the artifact is gone.
pub struct ArtifactWriter {
    /// `None` once finished or failed.
    compressor: Option<Compressor>,
    filling: Option<Block>,
    encrypting: Option<JoinHandle<StoringResult>>,
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
        let mut writer = Self {
            compressor: None,
            filling: None,
            encrypting: None,
            slot,
            path,
            name,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        };
        let path = &writer.path;
        let encryptor = keys.encryptor().map_err(|source| failed("encrypt", path, source))?;
        let encrypted = encryptor.wrap_output(stored).map_err(Error::with("write", path))?;
        let (compressor, compressed) =
            compressor::start().map_err(|source| failed("compress", path, source))?;
        let encrypted_path = path.clone();
        let encrypting = std::thread::Builder::new()
            .name("vault-encrypt".to_owned())
            .spawn(move || encrypt(compressed, encrypted, &encrypted_path))
            .map_err(Error::with("start a thread for", path))?;
        writer.compressor = Some(compressor);
        writer.encrypting = Some(encrypting);
        Ok(writer)
    }

    /// Ends the stream, makes it durable, and compares what the disk gives back with what was
    /// written.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Io`], [`Error::Pipeline`], [`Error::ReadBack`]; the artifact is
    /// gone then, also after a failed synchronisation, which is never tried twice.
    pub fn finish(mut self) -> Result<ArtifactRecord, Error> {
        let Some(compressor) = self.compressor.take() else { return Err(self.stopped()) };
        let last = match self.filling.take() {
            Some(block) => compressor.compress(block),
            None => Ok(()),
        };
        // When nobody takes it, joining says why.
        let _ = last.and_then(|()| compressor.end());
        let Some((bytes_stored, blake3_stored)) = self.join()? else { return Err(self.stopped()) };
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

    fn fill(&mut self, bytes: &[u8]) -> Result<usize, Gone> {
        let compressor = self.compressor.as_ref().ok_or(Gone)?;
        let mut block = match self.filling.take() {
            Some(block) => block,
            None => compressor.free()?,
        };
        let length = block.take_from(bytes);
        if block.is_full() {
            compressor.compress(block)?;
        } else {
            self.filling = Some(block);
        }
        self.hasher.update(&bytes[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn join(&mut self) -> StoringResult {
        self.compressor = None;
        match self.encrypting.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Error {
        failed("go on with", &self.path, "writing stopped before")
    }
}

impl Write for ArtifactWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fill(bytes).map_err(|Gone| {
            let reason = self.join().err();
            reason.unwrap_or_else(|| self.stopped()).into_io()
        })
    }

    /// Does nothing: only [`ArtifactWriter::finish`] makes anything durable.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ArtifactWriter {
    fn drop(&mut self) {
        // Without its end the encrypting thread gives up; it must be gone before its file is.
        let _ = self.join();
        if self.slot.is_open()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished artifact was left");
        }
        self.slot.abandon();
    }
}

/// The encrypting thread.
fn encrypt(
    compressed: Compressed,
    mut encrypted: age::stream::StreamWriter<StoredWriter>,
    path: &Path,
) -> StoringResult {
    let ended = compressed.each(
        |source| failed("compress", path, source),
        |frame| encrypted.write_all(frame).map_err(Error::with("write", path)),
    )?;
    if !ended {
        return Ok(None);
    }
    encrypted.finish().map_err(Error::with("write", path))?.finish().map(Some)
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
    use crate::set_writer::Slot;
    use crate::stored_writer::StoredWriter;

    /// An artifact on a device whose every write is answered with ENOSPC by the kernel.
    fn on_a_full_disk(home: &Path) -> (ArtifactWriter, Slot) {
        let full = Path::new("/dev/full");
        let device = OpenOptions::new().write(true).open(full).unwrap();
        let stored = StoredWriter::over(device, full, false).unwrap();
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
