//! A new file, written, made durable, and read back while it still grows.
//!
//! A thread of its own does the disk's work, so that encryption never waits for it. The file is
//! synchronised every few megabytes, and what was synchronised is read back and hashed between the
//! next writes: every byte is read after the flush that made it durable, and the end of a large
//! file leaves little to do. What reading back cannot show: damage that comes later, and a device
//! whose cache answers in the medium's place.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::durable;
use crate::error::Error;
use crate::medium::{
    ALIGNMENT_BYTES, AlignedBuffer, BLOCK_BYTES, drop_cached, is_invalid, set_direct,
};
use crate::record::Digest;

/// How much is written between two synchronisations. At the end, up to twice as much is still to be
/// read back; each synchronisation costs a few milliseconds, beside the writing.
const SYNCHRONISE_BYTES: u64 = 16 << 20;

/// Blocks on their way to the disk, beside the one that is filled.
const BLOCKS_WAITING_MAX: usize = 2;

/// Hashes what passes and stores it in a new file.
pub(crate) struct StoredWriter {
    path: PathBuf,
    buffer: Option<AlignedBuffer>,
    hasher: blake3::Hasher,
    /// `None` once finished or failed.
    work: Option<SyncSender<Work>>,
    emptied: Receiver<AlignedBuffer>,
    disk: Option<JoinHandle<StoringResult>>,
}

/// Length and hash of the file; `None` when it was abandoned.
pub(crate) type StoringResult = Result<Option<(u64, Digest)>, Error>;

enum Work {
    Block(AlignedBuffer),
    /// The file is complete. A channel that closes without it was abandoned.
    End,
}

impl StoredWriter {
    /// Creates the file.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let file = durable::create_file(path).map_err(Error::with("create", path))?;
        // Asked for after opening: some file systems create the file and then refuse the flag.
        let direct = set_direct(&file, true).is_ok();
        Self::over(file, path, direct)
    }

    pub(crate) fn over(file: File, path: &Path, direct: bool) -> Result<Self, Error> {
        let (work, receiver) = sync_channel(BLOCKS_WAITING_MAX);
        let (sender, emptied) = sync_channel(BLOCKS_WAITING_MAX);
        for _ in 0..BLOCKS_WAITING_MAX {
            // The channel has room for all of them.
            let _ = sender.send(AlignedBuffer::new());
        }
        let disk = Disk::new(file, path, direct);
        let disk = std::thread::Builder::new()
            .name("vault-disk".to_owned())
            .spawn(move || disk.carry_out(&receiver, &sender))
            .map_err(Error::with("start a thread for", path))?;
        Ok(Self {
            path: path.to_owned(),
            buffer: Some(AlignedBuffer::new()),
            hasher: blake3::Hasher::new(),
            work: Some(work),
            emptied,
            disk: Some(disk),
        })
    }

    /// Writes the rest, makes everything durable and reads back what was not yet. Gives length and
    /// hash of the file.
    pub(crate) fn finish(mut self) -> Result<(u64, Digest), Error> {
        self.send_block()?;
        // When nobody takes it, joining says why.
        let _ = self.work.take().map(|work| work.send(Work::End));
        let wrote = Digest::finished(&self.hasher);
        match self.join()? {
            Some((bytes, read)) if read == wrote => Ok((bytes, wrote)),
            Some((_, read)) => Err(Error::ReadBack { path: self.path.clone(), wrote, read }),
            None => Err(self.stopped()),
        }
    }

    fn send_block(&mut self) -> Result<(), Error> {
        let (Some(buffer), Some(work)) = (self.buffer.take(), &self.work) else {
            return Err(self.stopped());
        };
        self.hasher.update(buffer.filled());
        if work.send(Work::Block(buffer)).is_ok()
            && let Ok(buffer) = self.emptied.recv()
        {
            self.buffer = Some(buffer);
            return Ok(());
        }
        Err(self.join().err().unwrap_or_else(|| self.stopped()))
    }

    fn join(&mut self) -> StoringResult {
        self.work = None;
        match self.disk.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(self.stopped()),
        }
    }

    fn stopped(&self) -> Error {
        let source = "writing stopped before".into();
        Error::Pipeline { act: "go on with", path: self.path.clone(), source }
    }
}

impl Write for StoredWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(buffer) = &mut self.buffer else { return Err(self.stopped().into_io()) };
        let length = buffer.take_from(bytes);
        if buffer.is_full() {
            self.send_block().map_err(Error::into_io)?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for StoredWriter {
    fn drop(&mut self) {
        // Without an end the disk's thread gives up; nothing may write when this is gone.
        self.work = None;
        let _ = self.disk.take().map(JoinHandle::join);
    }
}

/// The disk's side. Bytes go through three stages: written, durable, read back.
struct Disk {
    file: File,
    path: PathBuf,
    direct: bool,
    written: u64,
    durable: u64,
    read_back: u64,
    buffer: AlignedBuffer,
    hasher: blake3::Hasher,
}

impl Disk {
    fn new(file: File, path: &Path, direct: bool) -> Self {
        Self {
            file,
            path: path.to_owned(),
            direct,
            written: 0,
            durable: 0,
            read_back: 0,
            buffer: AlignedBuffer::new(),
            hasher: blake3::Hasher::new(),
        }
    }

    fn carry_out(
        mut self,
        work: &Receiver<Work>,
        emptied: &SyncSender<AlignedBuffer>,
    ) -> StoringResult {
        while let Ok(work) = work.recv() {
            let Work::Block(mut block) = work else { return self.finish().map(Some) };
            self.write(block.filled()).map_err(Error::with("write", &self.path))?;
            block.clear();
            // Nobody waits for it any more when the file was abandoned.
            let _ = emptied.send(block);
            if self.written - self.durable >= SYNCHRONISE_BYTES {
                self.synchronise()?;
            }
            if self.read_back < self.durable {
                self.read_back_block()?;
            }
        }
        Ok(None)
    }

    fn finish(mut self) -> Result<(u64, Digest), Error> {
        self.synchronise()?;
        // The last bytes went through the cache: what is read now shall come past it.
        self.direct = set_direct(&self.file, true).is_ok();
        while self.read_back < self.durable {
            self.read_back_block()?;
        }
        Ok((self.written, Digest::finished(&self.hasher)))
    }

    fn synchronise(&mut self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::with("synchronise", &self.path))?;
        drop_cached(&self.file);
        self.durable = self.written;
        Ok(())
    }

    fn write(&mut self, block: &[u8]) -> io::Result<()> {
        let mut rest = block;
        while !rest.is_empty() {
            // The last block of a file has any length: its end goes through the cache.
            let aligned = rest.len() - rest.len() % ALIGNMENT_BYTES;
            if self.direct && aligned == 0 {
                self.leave_direct()?;
            }
            let part = if self.direct { &rest[..aligned] } else { rest };
            match self.file.write_at(part, self.written) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => {
                    rest = &rest[length..];
                    self.written += length as u64;
                }
                Err(error) => self.retry(error)?,
            }
        }
        Ok(())
    }

    fn read_back_block(&mut self) -> Result<(), Error> {
        self.try_read_back().map_err(Error::with("read back", &self.path))
    }

    fn try_read_back(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.file.read_at(self.buffer.free(), self.read_back) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    // More may be there than is durable: that is read when it is.
                    let wanted = self.durable - self.read_back;
                    let wanted = usize::try_from(wanted).unwrap_or(BLOCK_BYTES).min(length);
                    self.buffer.set_filled(wanted);
                    self.hasher.update(self.buffer.filled());
                    self.read_back += wanted as u64;
                    return Ok(());
                }
                Err(error) => self.retry(error)?,
            }
        }
    }

    /// After an interruption, or without `O_DIRECT` if that is what was refused, tried again.
    fn retry(&mut self, error: io::Error) -> io::Result<()> {
        if error.kind() == io::ErrorKind::Interrupted {
            Ok(())
        } else if self.direct && is_invalid(&error) {
            self.leave_direct()
        } else {
            Err(error)
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

    use std::fs::OpenOptions;
    use std::io::{Read, Write};
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::{Disk, SYNCHRONISE_BYTES, StoredWriter};
    use crate::durable;
    use crate::error::Error;
    use crate::medium::{ALIGNMENT_BYTES, BLOCK_BYTES, set_direct};
    use crate::record::Digest;
    use crate::stored_reader::StoredReader;

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
        let file = durable::create_file(&path).unwrap();
        let direct = direct && set_direct(&file, true).is_ok();
        let mut writer = StoredWriter::over(file, &path, direct).unwrap();
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
    fn a_long_file_is_synchronised_and_read_back_on_the_way() {
        let segment = usize::try_from(SYNCHRONISE_BYTES).unwrap();
        for length in [segment, segment * 2 - 1, segment * 3 + BLOCK_BYTES + 1] {
            for direct in [true, false] {
                write_and_read(direct, &content(length), BLOCK_BYTES);
            }
        }
    }

    #[test]
    fn what_the_medium_gives_back_differently_is_seen_wherever_it_lies() {
        let segment = usize::try_from(SYNCHRONISE_BYTES).unwrap();
        let content = content(segment + BLOCK_BYTES + 1);
        for place in [0, 100_000, segment - 1, segment, content.len() - 1] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("file");
            let mut disk = Disk::new(durable::create_file(&path).unwrap(), &path, false);
            disk.write(&content).unwrap();
            let other = OpenOptions::new().write(true).open(&path).unwrap();
            other.write_all_at(&[!content[place]], place as u64).unwrap();
            let (length, read) = disk.finish().unwrap();
            assert_eq!(length, content.len() as u64);
            assert_ne!(read, Digest::of(&content), "byte {place}");
        }
    }

    #[test]
    fn a_file_that_differs_when_it_is_read_back_is_not_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut writer = StoredWriter::create(&path).unwrap();
        writer.write_all(b"what was meant").unwrap();
        // As if memory or the way to the disk changed it after it was hashed.
        writer.hasher.update(b"!");
        assert!(matches!(writer.finish(), Err(Error::ReadBack { .. })));
    }

    #[test]
    fn a_file_that_is_cut_short_before_it_is_read_back_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut disk = Disk::new(durable::create_file(&path).unwrap(), &path, false);
        disk.write(b"some bytes").unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4).unwrap();
        assert!(matches!(disk.finish(), Err(Error::Io { act: "read back", .. })));
    }

    #[test]
    fn a_full_disk_is_its_own_error_with_the_room_that_is_left() {
        // Every write to this device is answered with ENOSPC by the kernel.
        let path = Path::new("/dev/full");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let mut writer = StoredWriter::over(file, path, false).unwrap();
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
}
