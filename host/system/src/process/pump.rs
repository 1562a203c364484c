//! Moves bytes between a program's pipes and what stands at their other ends.
//!
//! Pipes are read and written by the watching task, so that every wait can be given up. Readers
//! and writers may block; each has a thread of its own, tied to the task by a ring of
//! [`BUFFERS`] buffers that circulate. A thread that hangs is left behind, not waited for.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::lines::{Splitter, Tail};
use super::{DRAIN_WAIT, Line, Origin};

/// Bytes of one buffer. With fewer, a backup of GiBs spends its time waking threads; with more,
/// it leaves the processor's cache.
const BUFFER_BYTES: usize = 256 << 10;

/// Buffers of one ring: one being filled, one being emptied, two in between.
const BUFFERS: usize = 4;

/// Bytes read at once from a stream of lines: what a pipe holds by default.
const READ_BYTES: usize = 64 << 10;

/// Why the watch over a program ends it.
#[derive(Debug)]
pub(super) enum Stop {
    Deadline,
    Cancelled,
    OutputLimit,
    Input(io::Error),
    Output(io::Error),
}

/// What goes round a ring.
pub(super) enum Piece {
    Bytes { buffer: Vec<u8>, length: usize },
    End,
    Failed(io::Error),
}

/// Counts what both streams wrote against their common limit.
#[derive(Debug)]
pub(super) struct Account {
    bytes: AtomicU64,
    bytes_max: u64,
}

impl Account {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes: AtomicU64::new(0), bytes_max }
    }

    /// Charges so many bytes and says how many of them are within the limit.
    fn charge(&self, bytes: usize) -> usize {
        let before = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let room = self.bytes_max.saturating_sub(before);
        usize::try_from(room).unwrap_or(usize::MAX).min(bytes)
    }
}

/// Whether the program has ended by itself or was killed; what it left behind is read no longer
/// than [`DRAIN_WAIT`].
#[derive(Clone, Debug)]
pub(super) struct Ended(pub(super) watch::Receiver<bool>);

impl Ended {
    fn is_so(&self) -> bool {
        *self.0.borrow()
    }

    pub(super) async fn wait(&mut self) {
        // The sender going away means that nobody watches any more, which is an end as well.
        let _ = self.0.wait_for(|ended| *ended).await;
    }
}

/// One end of a pipe, read with patience while the program runs and with little afterwards.
pub(super) struct Stream<R> {
    pipe: R,
    ended: Ended,
    patience: Duration,
}

impl<R: AsyncRead + Unpin> Stream<R> {
    pub(super) fn new(pipe: R, ended: Ended) -> Self {
        Self { pipe, ended, patience: DRAIN_WAIT }
    }

    /// Reads some bytes; 0 at the end. `None`: the program has ended and something else holds the
    /// pipe. Only time spent waiting counts, so what lies in the pipe is always read.
    async fn read(&mut self, buffer: &mut [u8]) -> Option<io::Result<usize>> {
        if !self.ended.is_so() {
            tokio::select! {
                biased;
                read = self.pipe.read(buffer) => return Some(read),
                () = self.ended.wait() => {}
            }
        }
        let before = Instant::now();
        let read = timeout(self.patience, self.pipe.read(buffer)).await.ok();
        self.patience = self.patience.saturating_sub(before.elapsed());
        read
    }
}

/// Turns a stream into lines, and its end into a tail.
pub(super) async fn pump_lines<R: AsyncRead + Unpin>(
    mut stream: Stream<R>,
    origin: Origin,
    mut splitter: Splitter,
    mut tail: Option<&mut Tail>,
    account: &Account,
    lines: &mpsc::Sender<Line>,
    bytes_read: &mut u64,
) -> Result<(), Stop> {
    let mut buffer = vec![0; READ_BYTES];
    while let Some(read) = stream.read(&mut buffer).await {
        let length = read.map_err(Stop::Output)?;
        if length == 0 {
            break;
        }
        *bytes_read += length as u64;
        let within = account.charge(length);
        if let Some(tail) = &mut tail {
            tail.push(&buffer[..length]);
        }
        let mut bytes = &buffer[..within];
        while !bytes.is_empty() {
            if let Some(text) = splitter.take(&mut bytes) {
                // Nobody wants lines any more once `finish` was called; they still count.
                let _ = lines.send(Line { origin, text }).await;
            }
        }
        if within < length {
            return Err(Stop::OutputLimit);
        }
    }
    if let Some(text) = splitter.rest() {
        let _ = lines.send(Line { origin, text }).await;
    }
    Ok(())
}

/// Keeps a stream whole.
pub(super) async fn pump_text<R: AsyncRead + Unpin>(
    mut stream: Stream<R>,
    text: &mut Vec<u8>,
    account: &Account,
) -> Result<(), Stop> {
    let mut buffer = vec![0; READ_BYTES];
    while let Some(read) = stream.read(&mut buffer).await {
        let length = read.map_err(Stop::Output)?;
        if length == 0 {
            break;
        }
        let within = account.charge(length);
        text.extend_from_slice(&buffer[..within]);
        if within < length {
            return Err(Stop::OutputLimit);
        }
    }
    Ok(())
}

/// A writer on its thread.
pub(super) struct Delivery {
    full: mpsc::Sender<Piece>,
    empty: mpsc::Receiver<Vec<u8>>,
    done: oneshot::Receiver<io::Result<()>>,
}

/// Gives a writer a thread. The receiver says when the thread has let go of the writer.
pub(super) fn deliver_to(
    writer: Box<dyn Write + Send>,
) -> io::Result<(Delivery, oneshot::Receiver<()>)> {
    let (full, full_receiver) = mpsc::channel(BUFFERS);
    let (empty_sender, empty) = mpsc::channel(BUFFERS);
    let (done_sender, done) = oneshot::channel();
    let (gone, gone_receiver) = oneshot::channel();
    for _ in 0..BUFFERS {
        let _ = empty_sender.try_send(vec![0; BUFFER_BYTES]);
    }
    let thread = move || {
        if let Some(result) = write_pieces(writer, full_receiver, empty_sender) {
            let _ = done_sender.send(result);
        }
        let _ = gone.send(());
    };
    std::thread::Builder::new().name("vaultup-writer".to_owned()).spawn(thread)?;
    Ok((Delivery { full, empty, done }, gone_receiver))
}

/// `None`: the stream was given up, so nothing was flushed.
fn write_pieces(
    mut writer: Box<dyn Write + Send>,
    mut full: mpsc::Receiver<Piece>,
    empty: mpsc::Sender<Vec<u8>>,
) -> Option<io::Result<()>> {
    loop {
        match full.blocking_recv()? {
            Piece::Bytes { buffer, length } => {
                if let Err(error) = writer.write_all(&buffer[..length]) {
                    return Some(Err(error));
                }
                let _ = empty.try_send(buffer);
            }
            Piece::End => return Some(writer.flush()),
            Piece::Failed(error) => return Some(Err(error)),
        }
    }
}

/// Moves a stream into a writer. `complete` becomes true when its end was reached and the writer
/// has flushed everything.
pub(super) async fn pump_writer<R: AsyncRead + Unpin>(
    mut stream: Stream<R>,
    mut delivery: Delivery,
    bytes_read: &mut u64,
    complete: &mut bool,
) -> Result<(), Stop> {
    loop {
        let Some(mut buffer) = delivery.empty.recv().await else { break };
        let read = tokio::select! {
            read = stream.read(&mut buffer) => read,
            // The writer failed while the program said nothing: it is not waited for.
            result = &mut delivery.done => return Err(Stop::Output(failure(result))),
        };
        let Some(read) = read else { return Ok(()) };
        let length = read.map_err(Stop::Output)?;
        *bytes_read += length as u64;
        let piece = if length == 0 { Piece::End } else { Piece::Bytes { buffer, length } };
        if delivery.full.send(piece).await.is_err() || length == 0 {
            break;
        }
    }
    match delivery.done.await {
        Ok(Ok(())) => {
            *complete = true;
            Ok(())
        }
        result => Err(Stop::Output(failure(result))),
    }
}

fn failure(result: Result<io::Result<()>, oneshot::error::RecvError>) -> io::Error {
    match result {
        Ok(Err(error)) => error,
        _ => io::Error::other("the writer ended before the stream"),
    }
}

/// Where input comes from.
pub(super) enum Supply {
    /// Memory.
    Memory(Zeroizing<Vec<u8>>),
    /// A reader on its thread.
    Thread {
        /// What was read.
        full: mpsc::Receiver<Piece>,
        /// What can be filled again.
        empty: mpsc::Sender<Vec<u8>>,
    },
}

/// Gives a reader a thread. The receiver says when the thread has let go of the reader.
pub(super) fn supply_from(
    reader: Box<dyn Read + Send>,
) -> io::Result<(Supply, oneshot::Receiver<()>)> {
    let (full_sender, full) = mpsc::channel(BUFFERS);
    let (empty, empty_receiver) = mpsc::channel(BUFFERS);
    let (gone, gone_receiver) = oneshot::channel();
    for _ in 0..BUFFERS {
        let _ = empty.try_send(vec![0; BUFFER_BYTES]);
    }
    let thread = move || {
        read_pieces(reader, &full_sender, empty_receiver);
        let _ = gone.send(());
    };
    std::thread::Builder::new().name("vaultup-reader".to_owned()).spawn(thread)?;
    Ok((Supply::Thread { full, empty }, gone_receiver))
}

fn read_pieces(
    mut reader: Box<dyn Read + Send>,
    full: &mpsc::Sender<Piece>,
    mut empty: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(mut buffer) = empty.blocking_recv() {
        let piece = match reader.read(&mut buffer) {
            Ok(0) => Piece::End,
            Ok(length) => Piece::Bytes { buffer, length },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Piece::Bytes { buffer, length: 0 }
            }
            Err(error) => Piece::Failed(error),
        };
        let last = !matches!(piece, Piece::Bytes { .. });
        if full.blocking_send(piece).is_err() || last {
            return;
        }
    }
}

/// Moves everything that there is into standard input. `complete` becomes true when all of it was
/// taken and its source said that this was all.
pub(super) async fn pump_input(
    mut pipe: ChildStdin,
    supply: Supply,
    mut ended: Ended,
    bytes_written: &mut u64,
    complete: &mut bool,
) -> Result<(), Stop> {
    match supply {
        Supply::Memory(bytes) => {
            *complete = give(&mut pipe, &bytes, &mut ended, bytes_written).await?;
            Ok(())
        }
        Supply::Thread { mut full, empty } => loop {
            // A reader that checks its content says so at its end: it is asked even when the
            // program has ended already.
            match full.recv().await {
                Some(Piece::Bytes { buffer, length }) => {
                    if !give(&mut pipe, &buffer[..length], &mut ended, bytes_written).await? {
                        return Ok(());
                    }
                    let _ = empty.try_send(buffer);
                }
                Some(Piece::End) => {
                    *complete = true;
                    return Ok(());
                }
                Some(Piece::Failed(error)) => return Err(Stop::Input(error)),
                None => return Err(Stop::Input(io::Error::other("the reader was lost"))),
            }
        },
    }
}

/// Whether the program took all of it. That it closes its input is its own affair.
async fn give(
    pipe: &mut ChildStdin,
    mut bytes: &[u8],
    ended: &mut Ended,
    bytes_written: &mut u64,
) -> Result<bool, Stop> {
    while !bytes.is_empty() {
        let written = tokio::select! {
            biased;
            written = pipe.write(bytes) => written,
            () = ended.wait() => return Ok(false),
        };
        match written {
            Ok(length) => {
                *bytes_written += length as u64;
                bytes = &bytes[length..];
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(Stop::Input(error)),
        }
    }
    Ok(true)
}
