//! Everything that the outside world can refuse, and what a person does about it.
//!
//! Invariants: no error carries a secret's bytes, the query of a URL, or what a program printed;
//! each names the thing (program, path, host) that it is about.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

mod problem;

pub use problem::{CODES, Kind};

/// What was asked of the world and not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No directory of the search path holds a program of this name.
    #[error("`{program}` was not found in {searched}")]
    ToolNotFound {
        /// The name that was looked for.
        program: String,
        /// Where, in words.
        searched: String,
    },
    /// The program lies where every user of the machine can replace it.
    #[error("`{program}` lies in {}, where every user can replace it", directory.display())]
    ToolInOpenDirectory {
        /// The name that was looked for.
        program: String,
        /// The directory that everybody can write to.
        directory: PathBuf,
    },
    /// The program did not start; nothing of it ran.
    #[error("{} could not be started in {}", program.display(), directory.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// The directory it was to run in.
        directory: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The memory limit could not be set, so the program was stopped before it got any input.
    #[error("the memory limit of {} could not be set", program.display())]
    MemoryLimit {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What feeds standard input failed; the program was stopped.
    #[error("what was to be read into {} failed", program.display())]
    InputFailed {
        /// The program.
        program: PathBuf,
        /// What the reader or the pipe said.
        source: io::Error,
    },
    /// What takes standard output failed; the program was stopped, whatever it would have said.
    #[error("what {} wrote could not be kept", program.display())]
    OutputFailed {
        /// The program.
        program: PathBuf,
        /// What the writer or the pipe said.
        source: io::Error,
    },
    /// The program ended, but a process that it left behind still holds its standard output, so
    /// that nobody can say whether what was written is everything.
    #[error("{} ended, but something it left behind still holds its output", program.display())]
    OutputHeldOpen {
        /// The program.
        program: PathBuf,
    },
    /// The watch over a program ended before the program: a bug, or the runtime was torn down.
    #[error("the watch over {} was interrupted", program.display())]
    ProcessLost {
        /// The program.
        program: PathBuf,
    },
    /// The table of processes cannot be read.
    #[error("the processes of this machine cannot be listed")]
    ProcessTable {
        /// What the kernel said.
        source: io::Error,
    },
    /// A tool of an earlier run cannot be ended.
    #[error("process {process_id} of an earlier run could not be ended")]
    SurvivorStays {
        /// Its id.
        process_id: u32,
    },

    /// The host and port are not among those that were granted.
    #[error("{host} is not among the hosts that were granted")]
    HttpNotGranted {
        /// `host:port`.
        host: String,
    },
    /// The name resolves to an address that its grant does not cover.
    #[error("{host} resolves to {address}, {reason}")]
    HttpAddressRefused {
        /// The name.
        host: String,
        /// The address.
        address: std::net::IpAddr,
        /// Why the address is refused.
        reason: &'static str,
    },
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent: {reason}")]
    HttpMalformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects, and the redirect was not followed: {reason}")]
    HttpRedirect {
        /// What was asked, without its query.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The answer is larger than the limit.
    #[error("the answer of {url} is larger than {bytes_max} bytes")]
    HttpTooLarge {
        /// What was asked, without its query.
        url: String,
        /// The limit.
        bytes_max: usize,
    },
    /// The whole answer was not there in time.
    #[error("{url} did not answer completely within {deadline:?}")]
    HttpDeadline {
        /// What was asked, without its query.
        url: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// No connection, or it broke.
    #[error("{url} cannot be reached: {reason}")]
    HttpUnreachable {
        /// What was asked, without its query.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// No certificate authority to trust.
    #[error("no certificate authorities are known, so https cannot be used: {reason}")]
    HttpAuthorities {
        /// What was tried.
        reason: String,
    },

    /// Not a path that can be below a root.
    #[error("`{path}` is not a path below a granted one: {reason}")]
    PathMalformed {
        /// The path, with control characters made visible.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The path leads out of what was granted, through a symbolic link or a mount of the kernel's.
    #[error("{} leads out of what was granted: {reason}", path.display())]
    PathEscapes {
        /// The path.
        path: PathBuf,
        /// By what.
        reason: &'static str,
    },
    /// The root was granted for reading only.
    #[error("{} was granted for reading only", path.display())]
    PathReadOnly {
        /// The path.
        path: PathBuf,
    },
    /// There is nothing under this path.
    #[error("{} does not exist", path.display())]
    Absent {
        /// The path.
        path: PathBuf,
    },
    /// There is something already, and it is not overwritten.
    #[error("{} exists already", path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// It is something else than what is needed.
    #[error("{} is {found}, not {wanted}", path.display())]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What it would have to be.
        wanted: &'static str,
    },
    /// A file is larger than the limit.
    #[error("{} is larger than {bytes_max} bytes", path.display())]
    FileTooLarge {
        /// The path.
        path: PathBuf,
        /// The limit.
        bytes_max: usize,
    },
    /// A directory has more entries than the limit.
    #[error("{} has more than {entries_max} entries", path.display())]
    TooManyEntries {
        /// The path.
        path: PathBuf,
        /// The limit.
        entries_max: usize,
    },
    /// A tree is deeper than the limit.
    #[error("{} is nested deeper than {depth_max} directories", path.display())]
    TreeTooDeep {
        /// The path.
        path: PathBuf,
        /// The limit.
        depth_max: usize,
    },
    /// A name in a directory is not UTF-8.
    #[error("{} holds a name that is not UTF-8", path.display())]
    NameNotText {
        /// The directory.
        path: PathBuf,
    },
    /// Only what vaultup made is removed.
    #[error("{} was not made by vaultup, so it is not removed", path.display())]
    NotRemovable {
        /// The path.
        path: PathBuf,
    },
    /// A link would point out of the root.
    #[error("{} is not made a link to `{to}`: {reason}", path.display())]
    LinkRefused {
        /// The link.
        path: PathBuf,
        /// Where it would point.
        to: String,
        /// Why not.
        reason: &'static str,
    },
    /// The kernel refused.
    #[error("{} could not be {action}", path.display())]
    FileFailed {
        /// The path.
        path: PathBuf,
        /// What was tried, as a participle: `read`, `written`.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// It was written, but whether it is on the disk is unknown: a failed fsync is final.
    #[error("whether {} reached the disk is unknown", path.display())]
    NotDurable {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A directory that must be private belongs to, or can be changed by, somebody else.
    #[error("{} cannot be used as a private directory: {reason}", path.display())]
    NotPrivate {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("stopped while reading {}", path.display())]
    Cancelled {
        /// What was being read.
        path: PathBuf,
    },

    /// A secret cannot be had now.
    #[error("secret `{name}` cannot be had: {reason}")]
    SecretUnavailable {
        /// Its name.
        name: String,
        /// Why not; never anything of its value.
        reason: String,
    },
    /// A secret so short that blotting it out would blot out ordinary text as well.
    #[error("secret `{name}` is shorter than {bytes_min} bytes")]
    SecretTooShort {
        /// Its name.
        name: String,
        /// The least that can be kept secret.
        bytes_min: usize,
    },
    /// A secret larger than the limit.
    #[error("secret `{name}` is larger than {bytes_max} bytes")]
    SecretTooLong {
        /// Its name.
        name: String,
        /// The limit.
        bytes_max: usize,
    },

    /// Where state and configuration belong cannot be told.
    #[error("where vaultup keeps its state cannot be told: {reason}")]
    PlacesUnknown {
        /// Why not.
        reason: String,
    },
}
