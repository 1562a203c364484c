//! Everything that can go wrong with a journal, and what a person does about it.
//!
//! Three families are kept apart, because they lead to different acts: somebody else holds the
//! stack ([`Error::Held`], [`Error::Fenced`], [`Error::Busy`]), the record itself cannot be trusted
//! ([`Error::Damaged`], [`Error::RecordsLost`], [`Error::NewerFormat`], [`Error::Foreign`]), and
//! the disk refuses ([`Error::WriteFailed`], [`Error::Inaccessible`]).

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use model::{Code, Exit, Problem};
use rusqlite::ErrorCode;

use crate::lock::{Holder, Owner};

/// The numbers of this crate's errors and their names, which `vaultup explain` has a page for.
pub const CODES: &[(u16, &str)] = &[
    (200, "lock-held"),
    (201, "lock-fenced"),
    (202, "journal-damaged"),
    (203, "journal-records-lost"),
    (204, "journal-format-newer"),
    (205, "journal-foreign"),
    (206, "journal-missing"),
    (207, "journal-poisoned"),
    (208, "journal-write-failed"),
    (209, "journal-busy"),
    (210, "journal-inaccessible"),
    (211, "journal-read-only"),
    (212, "journal-limit"),
    (213, "journal-replaced"),
    (214, "journal-sound"),
];

/// A failure of the journal or its lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else holds the stack, and neither has the lease expired nor is the holder dead.
    #[error("this stack is held by {}", .0)]
    Held(Box<Holder>),

    /// The proof of holding the lock is no longer worth anything: the epoch has moved on.
    #[error("{}", fenced_sentence(.0))]
    Fenced(Box<Fence>),

    /// The journal is not what was written.
    #[error("the journal in `{}` is damaged: {detail}", directory.display())]
    Damaged {
        /// The journal's directory.
        directory: PathBuf,
        /// What is wrong, in words.
        detail: String,
    },

    /// The anchor proves that the journal once knew more than it does now.
    #[error(
        "the journal in `{}` has lost records: it was known to reach {anchored}, but {found}",
        directory.display()
    )]
    RecordsLost {
        /// The journal's directory.
        directory: PathBuf,
        /// What the anchor says was durable.
        anchored: String,
        /// What is there instead.
        found: String,
    },

    /// A later vaultup wrote this journal.
    #[error(
        "the journal in `{}` has format {found}, and this vaultup reads up to format {known}",
        directory.display()
    )]
    NewerFormat {
        /// The journal's directory.
        directory: PathBuf,
        /// The format of the file.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
    },

    /// An SQLite database, but of another application.
    #[error(
        "`{}` is a database of another application (application id {application:#010x})",
        file.display()
    )]
    Foreign {
        /// The file that is not ours.
        file: PathBuf,
        /// The application id found in it.
        application: u32,
    },

    /// There is no journal: nothing was ever run on this stack from here.
    #[error("there is no journal in `{}`: no run was ever recorded", directory.display())]
    Missing {
        /// The directory that was looked at.
        directory: PathBuf,
    },

    /// An earlier write failed, so nothing more is believed until the journal is opened again.
    #[error("the journal is closed after an earlier failure: {reason}")]
    Poisoned {
        /// The earlier failure.
        reason: String,
    },

    /// A write or its fsync failed. Whether the record is on disk is unknown until reopening.
    #[error("the journal in `{}` could not be written: {doing}", directory.display())]
    WriteFailed {
        /// The journal's directory.
        directory: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Another process is in the middle of a write and did not finish within the wait.
    #[error(
        "another process has been in the middle of a write to `{}` for {waited_ms} ms",
        directory.display()
    )]
    Busy {
        /// The journal's directory.
        directory: PathBuf,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },

    /// The operating system refuses access.
    #[error("`{}` cannot be {doing}", path.display())]
    Inaccessible {
        /// The file or directory.
        path: PathBuf,
        /// What was being done: `opened`, `created`, `read`.
        doing: &'static str,
        /// The system's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A journal opened for reading was asked to change: a mistake in vaultup.
    #[error("the journal was opened for reading and cannot be changed")]
    ReadOnly,

    /// Something given to the journal is outside its limits: a mistake in vaultup.
    #[error("{what} is outside the journal's limits: {found}, allowed {allowed}")]
    Limit {
        /// Which value.
        what: &'static str,
        /// What was given, with its unit.
        found: String,
        /// What is allowed, with its unit.
        allowed: String,
    },

    /// The files were moved or replaced while this process had them open.
    #[error(
        "the journal in `{}` was moved or replaced while it was open",
        directory.display()
    )]
    Replaced {
        /// The journal's directory.
        directory: PathBuf,
    },

    /// Only a damaged journal is set aside.
    #[error("the journal in `{}` is sound, so it is not set aside", directory.display())]
    Sound {
        /// The journal's directory.
        directory: PathBuf,
    },
}

/// How a holder lost the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The epoch of the proof that was shown.
    pub epoch: u64,
    /// The epoch that counts now.
    pub epoch_now: u64,
    /// Who raised the epoch, by taking over or by `vaultup unlock`. `None`: the journal was set
    /// aside.
    pub by: Option<Owner>,
    /// When the epoch was raised.
    pub at: Option<Timestamp>,
}

impl Problem for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Held(_) => 200,
            Self::Fenced(_) => 201,
            Self::Damaged { .. } => 202,
            Self::RecordsLost { .. } => 203,
            Self::NewerFormat { .. } => 204,
            Self::Foreign { .. } => 205,
            Self::Missing { .. } => 206,
            Self::Poisoned { .. } => 207,
            Self::WriteFailed { .. } => 208,
            Self::Busy { .. } => 209,
            Self::Inaccessible { .. } => 210,
            Self::ReadOnly => 211,
            Self::Limit { .. } => 212,
            Self::Replaced { .. } => 213,
            Self::Sound { .. } => 214,
        })
    }

    fn state(&self) -> Option<String> {
        let sentence = match self {
            Self::Fenced(_) | Self::Replaced { .. } => {
                "this process changes nothing more; what it had begun is left to the new holder"
            }
            Self::Damaged { .. } | Self::RecordsLost { .. } | Self::Foreign { .. } => {
                "this command changed nothing; the stack is as the last run left it, and which \
                 of its steps were done cannot be read from here"
            }
            Self::Poisoned { .. } | Self::WriteFailed { .. } => {
                "stopped before the next step; everything acknowledged so far is on disk, and \
                 whether the last record is will be seen on reopening"
            }
            Self::Held(_)
            | Self::NewerFormat { .. }
            | Self::Missing { .. }
            | Self::Busy { .. }
            | Self::Inaccessible { .. }
            | Self::ReadOnly
            | Self::Limit { .. }
            | Self::Sound { .. } => return None,
        };
        Some(sentence.to_owned())
    }

    fn next(&self) -> Option<String> {
        let sentence = match self {
            Self::Held(holder) => format!(
                "`vaultup status` shows how far it is; if process {} on {} is gone for good, \
                 `vaultup unlock`",
                holder.owner.process_id, holder.owner.host
            ),
            Self::Fenced(_) | Self::Replaced { .. } => {
                "`vaultup status` shows who goes on with the run".to_owned()
            }
            Self::Damaged { .. } | Self::RecordsLost { .. } | Self::Foreign { .. } => {
                "restore the directory from a copy, or `vaultup unlock --set-journal-aside` keeps \
                 the damaged files and begins a new journal; then `vaultup verify`"
                    .to_owned()
            }
            Self::NewerFormat { .. } => {
                "use the vaultup that wrote it, or a later one: `vaultup --version`".to_owned()
            }
            Self::Missing { .. } => "`vaultup plan --to VERSION` begins".to_owned(),
            Self::Poisoned { .. } | Self::WriteFailed { .. } => {
                "make room or replace the disk, then `vaultup resume`".to_owned()
            }
            Self::Busy { .. } => {
                "`vaultup status` names the holder; if that process is stopped, continue or end it"
                    .to_owned()
            }
            Self::Inaccessible { path, .. } => {
                format!("check owner and permissions: `ls -ld {}`", path.display())
            }
            Self::Sound { .. } => "`vaultup unlock` releases a lock that is left over".to_owned(),
            Self::ReadOnly | Self::Limit { .. } => return None,
        };
        Some(sentence)
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Fenced(_)
            | Self::Poisoned { .. }
            | Self::WriteFailed { .. }
            | Self::Replaced { .. } => Exit::Held,
            Self::NewerFormat { .. } | Self::Sound { .. } => Exit::BadInput,
            Self::ReadOnly | Self::Limit { .. } => Exit::Bug,
            Self::Held(_)
            | Self::Damaged { .. }
            | Self::RecordsLost { .. }
            | Self::Foreign { .. }
            | Self::Missing { .. }
            | Self::Busy { .. }
            | Self::Inaccessible { .. } => Exit::Failed,
        }
    }
}

impl Error {
    /// Whether the journal may not be used any further in this process after this error.
    ///
    /// Refusals that were decided before anything was touched leave it usable; whatever came
    /// from the disk, or says that the disk is not what it was, does not.
    pub(crate) fn poisons(&self) -> bool {
        match self {
            Self::Damaged { .. }
            | Self::RecordsLost { .. }
            | Self::NewerFormat { .. }
            | Self::Foreign { .. }
            | Self::Missing { .. }
            | Self::WriteFailed { .. }
            | Self::Inaccessible { .. }
            | Self::Replaced { .. } => true,
            Self::Held(_)
            | Self::Fenced(_)
            | Self::Poisoned { .. }
            | Self::Busy { .. }
            | Self::ReadOnly
            | Self::Limit { .. }
            | Self::Sound { .. } => false,
        }
    }

    /// The system refused while a file was being opened, created or read.
    pub(crate) fn inaccessible(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::Inaccessible { path: path.to_owned(), doing, source: Box::new(source) }
    }

    /// The system refused while something was being written.
    pub(crate) fn write_failed(
        directory: &Path,
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::WriteFailed { directory: directory.to_owned(), doing, source: source.into() }
    }

    /// What was read is not what was written.
    pub(crate) fn damaged(directory: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { directory: directory.to_owned(), detail: detail.into() }
    }

    /// SQLite refused while reading. Whatever is neither the system's refusal nor somebody
    /// else's lock means that the bytes are not a journal's: also a column that does not exist.
    pub(crate) fn reading(directory: &Path, source: rusqlite::Error) -> Self {
        let path = directory.join(crate::database::FILE);
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy {
                directory: directory.to_owned(),
                waited_ms: crate::database::WAIT_MS_MAX,
            },
            Some(ErrorCode::SystemIoFailure) if !is_short_read(&source) => {
                Self::Inaccessible { path, doing: "read", source: Box::new(source) }
            }
            Some(
                ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory
                | ErrorCode::DiskFull,
            ) => Self::Inaccessible { path, doing: "opened", source: Box::new(source) },
            _ => Self::damaged(directory, source.to_string()),
        }
    }

    /// SQLite refused while writing: final, unless somebody else was merely in the way.
    pub(crate) fn writing(directory: &Path, doing: &'static str, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy {
                directory: directory.to_owned(),
                waited_ms: crate::database::WAIT_MS_MAX,
            },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::damaged(directory, source.to_string())
            }
            _ => Self::write_failed(directory, doing, source),
        }
    }
}

/// A file that ends before its last page is damage, not a failing disk.
fn is_short_read(source: &rusqlite::Error) -> bool {
    source
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
}

fn fenced_sentence(fence: &Fence) -> String {
    let Fence { epoch, epoch_now, by, at } = fence;
    let lost = format!("this process no longer holds the stack (epoch {epoch}, now {epoch_now})");
    match (by, at) {
        (Some(by), Some(at)) => format!("{lost}: {by} took over at {at}"),
        (Some(by), None) => format!("{lost}: {by} took over"),
        (None, _) => format!("{lost}: the journal was set aside"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each.
    fn every_error() -> Vec<Error> {
        let directory = || PathBuf::from("/state/shop");
        let text = || "text".to_owned();
        let source = || Box::new(io::Error::from(io::ErrorKind::StorageFull));
        let owner = Owner {
            host: text(),
            process_id: 42,
            process_started: text(),
            user: text(),
            command: text(),
        };
        let (since, expires_at) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let by = Some(owner.clone());
        vec![
            Error::Held(Box::new(Holder { owner, since, expires_at, epoch: 1 })),
            Error::Fenced(Box::new(Fence { epoch: 1, epoch_now: 2, by, at: Some(since) })),
            Error::damaged(&directory(), text()),
            Error::RecordsLost { directory: directory(), anchored: text(), found: text() },
            Error::NewerFormat { directory: directory(), found: 2, known: 1 },
            Error::Foreign { file: directory(), application: 7 },
            Error::Missing { directory: directory() },
            Error::Poisoned { reason: text() },
            Error::WriteFailed { directory: directory(), doing: "appending", source: source() },
            Error::Busy { directory: directory(), waited_ms: 5 },
            Error::Inaccessible { path: directory(), doing: "read", source: source() },
            Error::ReadOnly,
            Error::Limit { what: "a body", found: text(), allowed: text() },
            Error::Replaced { directory: directory() },
            Error::Sound { directory: directory() },
        ]
    }

    #[test]
    fn every_error_has_its_own_code_and_every_code_an_error() {
        let codes: Vec<u16> = every_error().iter().map(|error| error.code().0).collect();
        let listed: Vec<u16> = CODES.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, listed);
        assert!(listed.iter().all(|code| (200..250).contains(code)));
    }

    #[test]
    fn every_error_but_a_bug_says_what_to_do_next() {
        for error in every_error() {
            let sentence = error.to_string();
            let start = sentence.chars().next();
            assert!(start.is_some_and(|start| !start.is_uppercase()), "{sentence}");
            assert_eq!(error.next().is_none(), error.exit() == Exit::Bug, "{sentence}");
            assert!(error.exit() != Exit::Held || error.state().is_some(), "{sentence}");
        }
    }
}
