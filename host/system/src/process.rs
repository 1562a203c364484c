//! Programs: argument lists in their own process group, with a complete environment, an end.
//!
//! Threats: a tool that hangs, ignores SIGTERM, forks, floods or dies half way must not hang,
//! fill or deceive vaultup; a tool that an earlier, killed vaultup started must be found again,
//! so that nothing is run twice.
//!
//! Invariants:
//! - Every program leads its own process group and carries [`KEY_VARIABLE`] in its environment.
//! - [`Running::finish`] answers at most [`GIVE_UP_MAX`] after the deadline, whatever the program
//!   and what it left behind do.
//! - A program that is stopped (deadline, limit, cancel, drop before its end) is stopped as a
//!   group; after a program has ended by itself, its group is left alone: it may be the service
//!   that the operator's `start` command started.
//! - Exit 0 is never reported when a stage beside the program failed: what feeds it, or what takes
//!   its output.
//! - Memory is bounded by [`OutputLimits`] and a few buffers, whatever the program writes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

mod group;
mod identity;
mod lines;
mod pump;
mod running;
mod start;
mod survivors;
mod tools;

pub use identity::{Liveness, ProcessIdentity};
pub use running::{Canceller, Running};
pub use start::spawn;
pub use survivors::{Survivor, survivors};
pub use tools::{Digests, resolve};

/// Environment variable by which a program is found again after vaultup was killed. Its value is
/// the command's label.
pub const KEY_VARIABLE: &str = "VAULTUP_KEY";

/// Longest label in bytes: the contract's idempotency keys end at 128, and the host adds a step.
pub const LABEL_BYTES_MAX: usize = 200;

/// What a program gets between SIGTERM and SIGKILL: enough to roll back a transaction, and little
/// enough that a cancelled operation ends within the second that the contract promises.
pub const STOP_GRACE: Duration = Duration::from_millis(1_000);

/// How long a killed program may take to be gone. Longer means that it hangs in the kernel (a dead
/// network mount), where nothing can end it.
pub const KILL_WAIT: Duration = Duration::from_millis(400);

/// How long, in all, is waited for output after a program has ended. Only something it left behind
/// can still hold the pipe then; what was written before is there at once.
pub const DRAIN_WAIT: Duration = Duration::from_millis(250);

/// How long a reader or writer beside a stopped program may take to let go.
pub const STAGE_WAIT: Duration = Duration::from_millis(200);

/// The most by which the end of [`Running::finish`] comes after the deadline.
pub const GIVE_UP_MAX: Duration = Duration::from_secs(2);

const _: () = assert!(
    STOP_GRACE.as_millis()
        + KILL_WAIT.as_millis()
        + DRAIN_WAIT.as_millis()
        + STAGE_WAIT.as_millis()
        < GIVE_UP_MAX.as_millis(),
    "stopping has to fit into what is promised"
);

/// What to run.
#[derive(Debug)]
pub struct Command {
    /// The program, resolved: absolute. See [`resolve`].
    pub program: PathBuf,
    /// Its arguments, without the program itself.
    pub arguments: Vec<OsString>,
    /// The whole environment; nothing is inherited.
    pub environment: BTreeMap<OsString, OsString>,
    /// The directory to run in.
    pub directory: PathBuf,
    /// Where standard input comes from.
    pub input: Input,
    /// Where standard output goes.
    pub output: Output,
    /// Time from the start after which it is stopped.
    pub deadline: Duration,
    /// How much it may write.
    pub limits: OutputLimits,
    /// Address space in bytes for it and what it starts. It is set right after the start and
    /// before the first byte of input: what the program does with its input is limited, what its
    /// own start-up allocates may slip by. Input is therefore the way to hand it hostile bytes.
    pub memory_bytes_max: Option<u64>,
    /// Idempotency key of the operation, 1 to [`LABEL_BYTES_MAX`] bytes, for [`survivors`].
    pub label: String,
}

/// Where standard input comes from.
pub enum Input {
    /// Nothing: end of file at once.
    Empty,
    /// These bytes; wiped after use, as they may be a secret.
    Bytes(Vec<u8>),
    /// Everything from this reader, on a thread of its own. Its error stops the program.
    Reader(Box<dyn Read + Send>),
}

/// Where standard output goes. Standard error always comes as lines and as a tail, except that
/// [`Output::File`] takes both.
pub enum Output {
    /// To [`Running::next_line`].
    Lines,
    /// Into [`Finished::output`], whole: lines are not cut.
    Text,
    /// Into this writer, on a thread of its own; flushed and dropped before `finish` says that all
    /// is well. Its error stops the program.
    Writer(Box<dyn Write + Send>),
    /// Appended, together with standard error, to a file that is made here (mode 0600) and loses
    /// its name at once. For commands that leave a service behind: it keeps a place to write to
    /// when vaultup ends or is killed, where a pipe would kill it with SIGPIPE, and a secret that
    /// it writes is kept nowhere.
    File(PathBuf),
    /// Nowhere.
    Discard,
}

/// How much a program may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Bytes of both streams together; one more stops the program. What goes into a writer does
    /// not count.
    pub bytes_max: u64,
    /// Bytes after which the rest of a line is left out.
    pub line_bytes_max: usize,
    /// So many bytes of the end of standard error are kept.
    pub error_tail_bytes: usize,
}

impl OutputLimits {
    /// What the contract promises to plugins: 8 MiB, lines of 64 KiB, the last 64 KiB of errors.
    pub const CONTRACT: Self =
        Self { bytes_max: 8 << 20, line_bytes_max: 64 << 10, error_tail_bytes: 64 << 10 };
}

/// Which stream a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Standard output.
    StandardOutput,
    /// Standard error.
    StandardError,
}

/// A line without its end. Bytes that are not UTF-8 are replaced. It may be the beginning of a
/// longer line, so [`crate::redact::Redactor::fragment`] is what blots out secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which stream it came from.
    pub origin: Origin,
    /// Its text.
    pub text: String,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal, which vaultup did not send.
    Signal(i32),
    /// The deadline passed and it was stopped.
    Deadline,
    /// It wrote more than its limit and was stopped.
    OutputLimit,
    /// It was stopped because somebody asked for it.
    Cancelled,
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "exited with status {status}"),
            Self::Signal(signal) => write!(formatter, "was killed by signal {signal}"),
            Self::Deadline => formatter.write_str("was stopped at its deadline"),
            Self::OutputLimit => formatter.write_str("wrote too much and was stopped"),
            Self::Cancelled => formatter.write_str("was cancelled"),
        }
    }
}

/// What a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output for [`Output::Text`], else empty.
    pub output: String,
    /// The end of standard error, from the beginning of a line where there is one.
    pub errors_tail: String,
    /// Bytes that it was given.
    pub bytes_in: u64,
    /// Whether it was given everything: false when it closed its input or ended before. A restore
    /// that answers 0 and has not read its whole backup is to be doubted.
    pub input_complete: bool,
    /// Bytes that it wrote to standard output.
    pub bytes_out: u64,
    /// Time from its start to the end of everything.
    pub elapsed: Duration,
}

impl Finished {
    /// Whether it ended by itself with status 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Status(0)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("Empty"),
            // Never the bytes: they may be a secret.
            Self::Bytes(bytes) => write!(formatter, "Bytes({} bytes)", bytes.len()),
            Self::Reader(_) => formatter.write_str("Reader"),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines => formatter.write_str("Lines"),
            Self::Text => formatter.write_str("Text"),
            Self::Writer(_) => formatter.write_str("Writer"),
            Self::File(path) => write!(formatter, "File({})", path.display()),
            Self::Discard => formatter.write_str("Discard"),
        }
    }
}
