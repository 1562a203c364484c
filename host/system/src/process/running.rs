//! The watch over a running program: a task that ends with the program, or ends the program.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, ChildStderr, ChildStdin};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::group::{Group, Hold};
use super::lines::{Splitter, Tail};
use super::pump::{Account, Ended, Stop, Stream, Supply};
use super::pump::{pump_input, pump_lines, pump_text, pump_writer};
use super::start::Sink;
use super::{DRAIN_WAIT, Exit, Finished, KILL_WAIT, Line, Origin, OutputLimits};
use super::{STAGE_WAIT, STOP_GRACE};
use crate::error::Error;

/// How often a stopped group is looked at after its leader has ended.
const GROUP_LOOK: Duration = Duration::from_millis(10);

/// How often the size of a log that a program appends to is compared with its limit.
const LOG_LOOK: Duration = Duration::from_millis(100);

/// A program under way. Dropping it before the program's end kills the whole group.
#[derive(Debug)]
#[must_use = "dropping it kills the program"]
pub struct Running {
    program: PathBuf,
    process_id: u32,
    group: Arc<Group>,
    lines: mpsc::Receiver<Line>,
    outcome: JoinHandle<Result<Finished, Error>>,
    canceller: Canceller,
}

/// Cancels a program from elsewhere, while somebody waits for its lines or its end.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<watch::Sender<bool>>);

impl Canceller {
    /// Stops the program: gently at first, then for good. Returns at once.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }
}

impl Running {
    pub(super) fn new(
        group: Arc<Group>,
        watch: Watch,
        lines: mpsc::Receiver<Line>,
        cancel: watch::Sender<bool>,
    ) -> Self {
        let program = watch.program.clone();
        let process_id = group.leader_id();
        let outcome = tokio::spawn(watch.run());
        let canceller = Canceller(Arc::new(cancel));
        Self { program, process_id, group, lines, outcome, canceller }
    }

    /// The program's process id, which is also that of its group.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Something that can cancel it from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Waits for the next line of either stream; `None` when both have ended. Lines that nobody
    /// takes hold the program back until [`Running::finish`] is called.
    pub async fn next_line(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// Whether it has ended, without waiting.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.outcome.is_finished()
    }

    /// Waits for the end. Lines that were not taken are dropped.
    ///
    /// # Errors
    /// [`Error::InputFailed`] and [`Error::OutputFailed`] when a stage beside the program failed,
    /// whatever the program said; [`Error::OutputHeldOpen`] when it ended with 0 and nobody can
    /// say whether its artifact is whole.
    pub async fn finish(mut self) -> Result<Finished, Error> {
        self.lines.close();
        match (&mut self.outcome).await {
            Ok(result) => result,
            Err(_) => Err(Error::ProcessLost { program: self.program.clone() }),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.group.end();
        self.outcome.abort();
    }
}

/// Everything that the watching task owns.
pub(super) struct Watch {
    pub(super) child: Child,
    pub(super) hold: Hold,
    pub(super) program: PathBuf,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    pub(super) limits: OutputLimits,
    pub(super) cancelled: watch::Receiver<bool>,
    pub(super) input: Option<(ChildStdin, Supply)>,
    pub(super) sink: Sink,
    pub(super) stderr: Option<ChildStderr>,
    pub(super) lines: mpsc::Sender<Line>,
    /// One for each thread beside the program; it answers when the thread has let go.
    pub(super) stages: Vec<oneshot::Receiver<()>>,
}

impl Watch {
    async fn run(self) -> Result<Finished, Error> {
        let Self { child, hold, program, started, deadline, limits, .. } = self;
        let mut taken = Taken::new(limits, matches!(self.sink, Sink::Writer(..)));
        let (ended_sender, ended) = watch::channel(false);
        let pipes =
            Pipes { input: self.input, sink: self.sink, stderr: self.stderr, lines: self.lines };
        let mut attendance = Attendance {
            child,
            group: &hold.0,
            ended: ended_sender,
            deadline,
            cancelled: self.cancelled,
            pumping: true,
        };
        let (status, stop) = {
            let pumps = pin!(pump_all(pipes, limits, Ended(ended), &mut taken));
            attendance.attend(pumps).await
        };
        // A stage that hangs is left behind: its thread ends when what it waits for does.
        let _ = timeout(STAGE_WAIT, async {
            for stage in self.stages {
                let _ = stage.await;
            }
        })
        .await;

        let exit = match (stop, status) {
            (Some(Stop::Deadline), _) => Exit::Deadline,
            (Some(Stop::Cancelled), _) => Exit::Cancelled,
            (Some(Stop::OutputLimit), _) => Exit::OutputLimit,
            (Some(Stop::Input(source)), _) => return Err(Error::InputFailed { program, source }),
            (Some(Stop::Output(source)), _) => return Err(Error::OutputFailed { program, source }),
            (None, Some(Ok(status))) => exit_of(status),
            (None, _) => return Err(Error::ProcessLost { program }),
        };
        if exit == Exit::Status(0) && !taken.output_complete {
            return Err(Error::OutputHeldOpen { program });
        }
        Ok(taken.finished(exit, started.elapsed()))
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// Waits for the program's end while its bytes are moved, and brings that end about.
struct Attendance<'a> {
    child: Child,
    group: &'a Group,
    ended: watch::Sender<bool>,
    deadline: Instant,
    cancelled: watch::Receiver<bool>,
    pumping: bool,
}

type Status = Option<io::Result<ExitStatus>>;

impl Attendance<'_> {
    async fn attend(
        &mut self,
        mut pumps: Pin<&mut impl Future<Output = Result<(), Stop>>>,
    ) -> (Status, Option<Stop>) {
        let stop = loop {
            tokio::select! {
                biased;
                status = self.child.wait() => {
                    self.group.release();
                    self.ended.send_replace(true);
                    return (Some(status), self.wind_down(pumps).await);
                }
                () = is_cancelled(&mut self.cancelled) => break Stop::Cancelled,
                () = sleep_until(self.deadline) => break Stop::Deadline,
                result = &mut pumps, if self.pumping => {
                    self.pumping = false;
                    if let Err(stop) = result {
                        break stop;
                    }
                }
            }
        };
        (self.stop(pumps).await, Some(stop))
    }

    /// The program has ended by itself: what is under way is brought to its end. Nothing is killed
    /// any more.
    async fn wind_down(
        &mut self,
        pumps: Pin<&mut impl Future<Output = Result<(), Stop>>>,
    ) -> Option<Stop> {
        if !self.pumping {
            return None;
        }
        let late = self.deadline.max(Instant::now() + DRAIN_WAIT);
        tokio::select! {
            biased;
            result = pumps => result.err(),
            () = is_cancelled(&mut self.cancelled) => Some(Stop::Cancelled),
            () = sleep_until(late) => Some(Stop::Deadline),
        }
    }

    /// Ends the whole group: asks, waits, kills.
    async fn stop(
        &mut self,
        mut pumps: Pin<&mut impl Future<Output = Result<(), Stop>>>,
    ) -> Status {
        self.group.begin_stopping();
        self.group.signal(Signal::TERM);
        let grace = Instant::now() + STOP_GRACE;
        let mut status: Status = None;
        // What the leader started gets the grace as well: a shell dies at once, and the dump that
        // it waited for may still be cleaning up.
        while status.is_none() || self.group.has_members() {
            tokio::select! {
                biased;
                ended = self.child.wait(), if status.is_none() => status = Some(ended),
                () = sleep_until(grace) => break,
                _ = &mut pumps, if self.pumping => self.pumping = false,
                () = sleep(GROUP_LOOK), if status.is_some() => {}
            }
        }
        self.group.signal(Signal::KILL);
        if status.is_none() {
            status = timeout(KILL_WAIT, self.child.wait()).await.ok();
        }
        self.group.release();
        self.ended.send_replace(true);
        if self.pumping {
            let _ = timeout(DRAIN_WAIT, pumps).await;
        }
        status
    }
}

async fn is_cancelled(cancelled: &mut watch::Receiver<bool>) {
    // Nobody being left who could cancel means that nobody waits for the end either.
    let _ = cancelled.wait_for(|cancelled| *cancelled).await;
}

struct Pipes {
    input: Option<(ChildStdin, Supply)>,
    sink: Sink,
    stderr: Option<ChildStderr>,
    lines: mpsc::Sender<Line>,
}

/// What was taken from a program so far; it stays when the pumps are given up.
struct Taken {
    text: Vec<u8>,
    tail: Tail,
    tail_bytes_max: usize,
    log: Option<(File, u64)>,
    bytes_in: u64,
    input_complete: bool,
    bytes_out: u64,
    /// Whether everything reached the writer; true when there is none.
    output_complete: bool,
}

impl Taken {
    fn new(limits: OutputLimits, writes: bool) -> Self {
        Self {
            text: Vec::new(),
            tail: Tail::new(limits.error_tail_bytes),
            tail_bytes_max: limits.error_tail_bytes,
            log: None,
            bytes_in: 0,
            input_complete: false,
            bytes_out: 0,
            output_complete: !writes,
        }
    }

    fn finished(mut self, exit: Exit, elapsed: Duration) -> Finished {
        if let Some((file, start)) = &self.log {
            let length = file.metadata().map_or(*start, |metadata| metadata.len());
            self.bytes_out = length.saturating_sub(*start);
            let tail_start = length.saturating_sub(self.tail_bytes_max as u64);
            // One byte more, if there is one, tells the tail that its beginning is cut.
            let read_start = tail_start.saturating_sub(1).max(*start).min(length);
            let mut end = vec![0; usize::try_from(length - read_start).unwrap_or(0)];
            if file.read_exact_at(&mut end, read_start).is_ok() {
                self.tail.push(&end);
            }
        }
        Finished {
            exit,
            output: String::from_utf8_lossy(&self.text).into_owned(),
            errors_tail: self.tail.text(),
            bytes_in: self.bytes_in,
            input_complete: self.input_complete,
            bytes_out: self.bytes_out.max(self.text.len() as u64),
            elapsed,
        }
    }
}

/// Moves everything until all streams have ended, or the first of them says stop.
async fn pump_all(
    pipes: Pipes,
    limits: OutputLimits,
    ended: Ended,
    taken: &mut Taken,
) -> Result<(), Stop> {
    let Pipes { input, sink, stderr, lines } = pipes;
    let Taken { text, tail, log, bytes_in, input_complete, bytes_out, output_complete, .. } = taken;
    let account = Account::new(limits.bytes_max);
    let splitter = || Splitter::new(limits.line_bytes_max);

    let feed = async {
        match input {
            Some((pipe, supply)) => {
                pump_input(pipe, supply, ended.clone(), bytes_in, input_complete).await
            }
            None => {
                *input_complete = true;
                Ok(())
            }
        }
    };
    let out = async {
        let origin = Origin::StandardOutput;
        match sink {
            Sink::Nothing => Ok(()),
            Sink::Lines(pipe) => {
                let stream = Stream::new(pipe, ended.clone());
                pump_lines(stream, origin, splitter(), None, &account, &lines, bytes_out).await
            }
            Sink::Text(pipe) => pump_text(Stream::new(pipe, ended.clone()), text, &account).await,
            Sink::Writer(pipe, delivery) => {
                let stream = Stream::new(pipe, ended.clone());
                pump_writer(stream, delivery, bytes_out, output_complete).await
            }
            Sink::File(file, start) => {
                let (file, start) = log.insert((file, start));
                watch_log(file, *start, limits.bytes_max, ended.clone()).await
            }
        }
    };
    let errors = async {
        let Some(pipe) = stderr else { return Ok(()) };
        let stream = Stream::new(pipe, ended.clone());
        let origin = Origin::StandardError;
        pump_lines(stream, origin, splitter(), Some(tail), &account, &lines, &mut 0).await
    };
    tokio::try_join!(feed, out, errors).map(|_| ())
}

/// Compares the growth of a log with the limit until the program has ended.
async fn watch_log(file: &File, start: u64, bytes_max: u64, mut ended: Ended) -> Result<(), Stop> {
    loop {
        let length = file.metadata().map_err(Stop::Output)?.len();
        if length.saturating_sub(start) > bytes_max {
            return Err(Stop::OutputLimit);
        }
        tokio::select! {
            () = ended.wait() => return Ok(()),
            () = sleep(LOG_LOOK) => {}
        }
    }
}
