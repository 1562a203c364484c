//! One stream out of the vault, and the check of everything that it passes.
//!
//! A thread reads the disk, hashes and decrypts; the caller's own decompresses and hashes. **What
//! is read is not yet proven**: age authenticates each 64 KiB as it goes, but that the stream is
//! the whole one that was recorded shows only at its end. The end, `Ok(0)` into a buffer that is
//! not empty, is given only when the stored bytes, the encryption, the compression, the length and
//! the content all matched; in every other case an error comes in its place. So: restore into
//! something empty, and use it only after the end was seen.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use age::x25519;

use crate::error::{Damage, Error};
use crate::record::{ArtifactRecord, BackupSet, Digest};
use crate::stored_reader::StoredReader;
use crate::vault::{Inner, Vault, artifact_path, damaged, length_damage};

/// What passes from thread to thread at once.
const BLOCK_BYTES: usize = 256 << 10;

/// How many such blocks may wait for the decompressor.
const BLOCKS_WAITING_MAX: usize = 8;

/// The largest window that is decompressed, as a power of two: 8 MiB. Ours are 2 MiB; a foreign
/// stream could ask for 128 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// What was read when a datastore's backup was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Artifacts that were read.
    pub artifacts: usize,
    /// Bytes of their content.
    pub bytes: u64,
    /// Bytes on disk.
    pub bytes_stored: u64,
}

/// Reads one artifact.
///
/// Danger: bytes given before the end are not proven to be the whole backup, see
/// [`Vault::reader`]. An error holds the vault's own ([`Error::from_io`]) and has the kind
/// [`io::ErrorKind::InvalidData`] when it is damage. After an error every further read fails.
pub struct ArtifactReader {
    /// `None` after an error: nothing more is given.
    decoder: Option<zstd::Decoder<'static, BlockReceiver>>,
    reading: Option<JoinHandle<()>>,
    vault: Arc<Inner>,
    set: BackupSet,
    datastore: String,
    artifact: ArtifactRecord,
    hasher: blake3::Hasher,
    bytes: u64,
    ended: bool,
}

impl Vault {
    /// Opens an artifact for reading.
    ///
    /// **A caller must not act on what it read before the end**, `Ok(0)`, was given: only then it
    /// is the whole and true backup. Feed it into an empty target and throw that away on an error.
    ///
    /// # Errors
    /// [`Error::NotInSet`]; [`Error::IdentityMissing`], [`Error::WrongKey`]; [`Error::Damaged`]
    /// when presence, length or the head of the encryption show it already; [`Error::Io`].
    pub fn reader(
        &self,
        set: &BackupSet,
        datastore: &str,
        artifact: &str,
    ) -> Result<ArtifactReader, Error> {
        ArtifactReader::open(Arc::clone(&self.inner), set, datastore, artifact)
    }

    /// Reads a datastore's backup whole: every stored byte, decrypted, decompressed, compared.
    ///
    /// # Errors
    /// As [`Vault::reader`], and [`Error::Damaged`] for whatever reading shows.
    pub fn verify_bytes(&self, set: &BackupSet, datastore: &str) -> Result<Verified, Error> {
        let mut buffer = vec![0; BLOCK_BYTES];
        let mut verified = Verified { artifacts: 0, bytes: 0, bytes_stored: 0 };
        for artifact in &set.datastore(datastore)?.artifacts {
            let mut reader = self.reader(set, datastore, &artifact.name)?;
            let path = artifact_path(&self.inner.set_path(set.id()), datastore, &artifact.name);
            while reader.read(&mut buffer).map_err(Error::with("read", &path))? > 0 {}
            verified.bytes += artifact.bytes;
            verified.bytes_stored += artifact.bytes_stored;
            verified.artifacts += 1;
        }
        Ok(verified)
    }

    /// Compares the stored bytes of a datastore's backup with their recorded hashes. Needs no
    /// identity, and says nothing of what the bytes mean.
    ///
    /// # Errors
    /// [`Error::NotInSet`], [`Error::Damaged`], [`Error::Io`].
    pub fn verify_stored(&self, set: &BackupSet, datastore: &str) -> Result<(), Error> {
        self.inner.check_lengths(set, datastore)?;
        for artifact in &set.datastore(datastore)?.artifacts {
            let path = artifact_path(&self.inner.set_path(set.id()), datastore, &artifact.name);
            let read = StoredReader::open(&path).and_then(StoredReader::finish);
            let found = read.map_err(Error::with("read", &path))?;
            if let Some(damage) = difference(artifact, found) {
                return Err(damaged(set, datastore, artifact, damage));
            }
        }
        Ok(())
    }
}

impl ArtifactReader {
    fn open(
        vault: Arc<Inner>,
        set: &BackupSet,
        datastore: &str,
        artifact: &str,
    ) -> Result<Self, Error> {
        let artifact = set.artifact(datastore, artifact)?.clone();
        let path = artifact_path(&vault.set_path(set.id()), datastore, &artifact.name);
        if let Some(damage) = length_damage(&path, &artifact)? {
            return Err(damaged(set, datastore, &artifact, damage));
        }
        let identity = vault.keys.identity()?.clone();
        let stored = StoredReader::open(&path).map_err(Error::with("open", &path))?;
        let (sender, receiver) = sync_channel(BLOCKS_WAITING_MAX);
        let recorded = artifact.clone();
        let reading = std::thread::Builder::new()
            .name("vault-read".to_owned())
            .spawn(move || read_blocks(stored, &identity, &recorded, &sender))
            .map_err(Error::with("start a thread for", &path))?;
        let mut reader = Self {
            decoder: None,
            reading: Some(reading),
            vault,
            set: set.clone(),
            datastore: datastore.to_owned(),
            artifact,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            ended: false,
        };
        match receiver.recv() {
            Ok(Message::Decrypting) => {}
            Ok(Message::NoKey) => {
                let recipients = set.record.recipients.clone();
                return Err(Error::WrongKey { set: set.id().clone(), recipients });
            }
            Ok(Message::Failed(error)) => return Err(reader.error_of(error)),
            Ok(Message::Block(_) | Message::End) | Err(_) => {
                drop(receiver);
                return Err(reader.error_of(stopped()));
            }
        }
        reader.decoder = Some(decoder(receiver).map_err(Error::with("decompress", &path))?);
        Ok(reader)
    }

    /// Everything was read: looks whether it is what was recorded.
    fn end(&mut self) -> io::Result<()> {
        let whole = self.bytes == self.artifact.bytes
            && Digest::finished(&self.hasher) == self.artifact.blake3;
        if !whole {
            return Err(damage(Damage::Content));
        }
        // The decompressor's end is the channel's end, which is given only after the stored bytes
        // were compared; asked once more so that no change of the decompressor can hide it.
        match self.decoder.as_mut().map(|decoder| decoder.get_mut().fill_buf()) {
            Some(Ok([])) => Ok(()),
            Some(Err(error)) => Err(error),
            _ => Err(damage(Damage::Content)),
        }
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        self.decoder = None;
        self.error_of(error).into_io()
    }

    /// Tells damage from a refusal of the system, and decryption from decompression.
    fn error_of(&self, error: io::Error) -> Error {
        let damage = match error.downcast::<Damage>() {
            Ok(damage) => damage,
            Err(error) if error.raw_os_error().is_some() => {
                let set = self.vault.set_path(self.set.id());
                let path = artifact_path(&set, &self.datastore, &self.artifact.name);
                return Error::io("read", &path, error);
            }
            Err(error) => Damage::Compression(error.to_string()),
        };
        damaged(&self.set, &self.datastore, &self.artifact, damage)
    }

    fn remember(&self) {
        let key = (self.set.id().clone(), self.datastore.clone(), self.artifact.name.clone());
        let seen = self.vault.read_to_end.lock();
        seen.unwrap_or_else(std::sync::PoisonError::into_inner).insert(key);
    }
}

impl Read for ArtifactReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        let Some(decoder) = &mut self.decoder else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an earlier read failed"));
        };
        let length = match decoder.read(into) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(self.fail(error)),
        };
        if length == 0 {
            if let Err(error) = self.end() {
                return Err(self.fail(error));
            }
            self.ended = true;
            self.remember();
            return Ok(0);
        }
        self.hasher.update(&into[..length]);
        self.bytes += length as u64;
        if self.bytes > self.artifact.bytes {
            return Err(self.fail(damage(Damage::Content)));
        }
        Ok(length)
    }
}

impl Drop for ArtifactReader {
    fn drop(&mut self) {
        // Without its receiver the reading thread gives up.
        self.decoder = None;
        let _ = self.reading.take().map(JoinHandle::join);
    }
}

/// What passes from the reading thread. A channel that closes without `End` is a failure.
enum Message {
    /// The head of the file was read and the identity fits; always first.
    Decrypting,
    /// The head of the file was read and the identity does not fit.
    NoKey,
    /// Compressed bytes.
    Block(Vec<u8>),
    /// There is no more, and the stored bytes were the recorded ones.
    End,
    /// Nothing more comes.
    Failed(io::Error),
}

/// Gives the blocks to the decompressor, and its end only after the `End` message.
struct BlockReceiver {
    receiver: Receiver<Message>,
    block: Vec<u8>,
    consumed: usize,
    ended: bool,
}

impl BufRead for BlockReceiver {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while !self.ended && self.consumed == self.block.len() {
            match self.receiver.recv() {
                Ok(Message::Block(block)) => {
                    self.block = block;
                    self.consumed = 0;
                }
                Ok(Message::End) => self.ended = true,
                Ok(Message::Failed(error)) => return Err(error),
                Ok(Message::Decrypting | Message::NoKey) | Err(_) => return Err(stopped()),
            }
        }
        Ok(&self.block[self.consumed..])
    }

    fn consume(&mut self, amount: usize) {
        self.consumed += amount;
    }
}

impl Read for BlockReceiver {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let block = self.fill_buf()?;
        let length = block.len().min(into.len());
        into[..length].copy_from_slice(&block[..length]);
        self.consume(length);
        Ok(length)
    }
}

fn decoder(receiver: Receiver<Message>) -> io::Result<zstd::Decoder<'static, BlockReceiver>> {
    let blocks = BlockReceiver { receiver, block: Vec::new(), consumed: 0, ended: false };
    let mut decoder = zstd::Decoder::with_buffer(blocks)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// The reading thread.
fn read_blocks(
    mut stored: StoredReader,
    identity: &x25519::Identity,
    recorded: &ArtifactRecord,
    sender: &SyncSender<Message>,
) {
    let last = match decrypt_blocks(&mut stored, identity, sender) {
        Ok(true) => match stored.finish().map(|found| difference(recorded, found)) {
            Ok(None) => Message::End,
            Ok(Some(different)) => Message::Failed(damage(different)),
            Err(error) => Message::Failed(error),
        },
        Ok(false) => return,
        Err(age::DecryptError::NoMatchingKeys) => Message::NoKey,
        Err(age::DecryptError::Io(error)) if error.raw_os_error().is_some() => {
            Message::Failed(error)
        }
        Err(error) => Message::Failed(damage(Damage::Encryption(error.to_string()))),
    };
    let _ = sender.send(last);
}

/// Decrypts to the end. False: nobody listens any more.
fn decrypt_blocks(
    stored: &mut StoredReader,
    identity: &x25519::Identity,
    sender: &SyncSender<Message>,
) -> Result<bool, age::DecryptError> {
    let decryptor = age::Decryptor::new(stored)?;
    let mut decrypted = decryptor.decrypt(std::iter::once(identity as _))?;
    let mut open = sender.send(Message::Decrypting).is_ok();
    while open {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        if (&mut decrypted).take(BLOCK_BYTES as u64).read_to_end(&mut block)? == 0 {
            return Ok(true);
        }
        open = sender.send(Message::Block(block)).is_ok();
    }
    Ok(false)
}

/// How the stored bytes differ from what was recorded.
fn difference(recorded: &ArtifactRecord, (length, found): (u64, Digest)) -> Option<Damage> {
    if length != recorded.bytes_stored {
        Some(Damage::Length { expected: recorded.bytes_stored, found: length })
    } else if found != recorded.blake3_stored {
        Some(Damage::Stored { expected: recorded.blake3_stored, found })
    } else {
        None
    }
}

fn damage(damage: Damage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, damage)
}

fn stopped() -> io::Error {
    damage(Damage::Encryption("the reading thread stopped".to_owned()))
}
