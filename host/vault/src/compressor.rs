//! Compression on several threads, in order.
//!
//! The stream is cut into blocks, and each becomes a zstd frame of its own, so that no thread waits
//! for another: a thread that is done takes the next block, also while the caller sleeps. (zstd's
//! own threads get work only when the caller comes by, which on a busy machine halves the rate.)
//! Concatenated frames are one stream to every zstd.
//!
//! Memory is a fixed number of buffers that go round: whoever fills one waits until it is free.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use zstd::bulk;
use zstd::zstd_safe::{CParameter, compress_bound};

/// zstd's own default: a higher level costs more time than it saves bytes on the disk.
const LEVEL: i32 = 3;

/// What becomes one frame: as much as the window of this level, so that little is lost by cutting.
const BLOCK_BYTES: usize = 2 << 20;

/// How many threads compress. More than four outrun one encrypting thread.
const THREADS_MAX: usize = 4;

/// Blocks beside those in compression: one that is filled, two that wait, one that is encrypted.
/// Each takes about 4 MiB.
const BLOCKS_WAITING: usize = 4;

/// A block before and after compression.
pub(crate) struct Block {
    content: Vec<u8>,
    compressed: Vec<u8>,
}

impl Block {
    fn new() -> Self {
        Self {
            content: Vec::with_capacity(BLOCK_BYTES),
            compressed: Vec::with_capacity(compress_bound(BLOCK_BYTES)),
        }
    }

    /// Takes as much of `bytes` as there is room for.
    pub(crate) fn take_from(&mut self, bytes: &[u8]) -> usize {
        let length = bytes.len().min(BLOCK_BYTES - self.content.len());
        self.content.extend_from_slice(&bytes[..length]);
        length
    }

    pub(crate) fn is_full(&self) -> bool {
        self.content.len() == BLOCK_BYTES
    }

    /// The frame, once it is compressed.
    pub(crate) fn compressed(&self) -> &[u8] {
        &self.compressed
    }
}

/// The other side is gone; it knows why.
pub(crate) struct Gone;

/// Where blocks go in.
pub(crate) struct Compressor {
    work: SyncSender<(Block, SyncSender<io::Result<Block>>)>,
    order: SyncSender<Next>,
    free: Receiver<Block>,
}

/// Where they come out, in the order in which they went in.
pub(crate) struct Compressed {
    order: Receiver<Next>,
    free: SyncSender<Block>,
}

enum Next {
    /// The next block comes out here.
    Block(Receiver<io::Result<Block>>),
    /// There is no more. A channel that closes without it was abandoned.
    End,
}

type Work = Arc<Mutex<Receiver<(Block, SyncSender<io::Result<Block>>)>>>;

/// Starts the threads.
pub(crate) fn start() -> io::Result<(Compressor, Compressed)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let blocks = threads + BLOCKS_WAITING;
    let (work, receiver) = sync_channel(blocks);
    let (order, in_order) = sync_channel(blocks);
    let (free, freed) = sync_channel(blocks);
    for _ in 0..blocks {
        // The channel has room for all of them.
        let _ = free.send(Block::new());
    }
    let receiver: Work = Arc::new(Mutex::new(receiver));
    for _ in 0..threads {
        let mut frames = bulk::Compressor::new(LEVEL)?;
        // Who reads a backup with `age -d | zstd -d`, without vaultup, has a check as well.
        frames.set_parameter(CParameter::ChecksumFlag(true))?;
        let work = Arc::clone(&receiver);
        // Not joined: it ends by itself when the last sender of work is gone, and holds no file.
        std::thread::Builder::new()
            .name("vault-compress".to_owned())
            .spawn(move || compress(&work, frames))?;
    }
    Ok((Compressor { work, order, free: freed }, Compressed { order: in_order, free }))
}

impl Compressor {
    /// An empty block, as soon as there is one.
    pub(crate) fn free(&self) -> Result<Block, Gone> {
        self.free.recv().map_err(|_| Gone)
    }

    /// Hands a block over.
    pub(crate) fn compress(&self, block: Block) -> Result<(), Gone> {
        let (done, result) = sync_channel(1);
        self.order.send(Next::Block(result)).map_err(|_| Gone)?;
        self.work.send((block, done)).map_err(|_| Gone)
    }

    /// Says that there is no more. Dropped without it, the stream is abandoned.
    pub(crate) fn end(self) -> Result<(), Gone> {
        self.order.send(Next::End).map_err(|_| Gone)
    }
}

impl Compressed {
    /// Passes each frame to `take`, in order. False: the stream was abandoned.
    pub(crate) fn each<E>(
        self,
        failed: impl Fn(io::Error) -> E,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut ended = false;
        while let Ok(next) = self.order.recv() {
            let Next::Block(result) = next else {
                ended = true;
                break;
            };
            let stopped = || io::Error::other("a compressing thread stopped");
            let mut block = result.recv().unwrap_or_else(|_| Err(stopped())).map_err(&failed)?;
            take(block.compressed())?;
            block.content.clear();
            // Nobody waits for it any more when the stream was abandoned.
            let _ = self.free.send(block);
        }
        Ok(ended)
    }
}

fn compress(work: &Work, mut frames: bulk::Compressor<'static>) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((mut block, done)) = next else { return };
        block.compressed.clear();
        let result = frames.compress_to_buffer(&block.content, &mut block.compressed);
        // Nobody waits for it any more when the stream was abandoned.
        let _ = done.send(result.map(|_| block));
    }
}
