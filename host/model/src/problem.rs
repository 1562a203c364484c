//! What every error that reaches a person can say of itself.
//!
//! A person who reads an error at three in the morning needs four things: what happened, where,
//! what state the system is in, and what to type next. Each crate's error enum implements
//! [`Problem`], and the command line renders it; no crate below the command line prints.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of an error, shown as `VU0042`. A number is never used for a second meaning.
///
/// Ranges: 1-99 files that people write · 100-199 plugins and their limits · 200-249 journal and
/// lock · 300-349 backups · 350-399 processes, files and HTTP · 400-499 runs · 500-549 the command
/// line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u16);

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "VU{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Where in a file something is wrong. Lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// How the process ends. These numbers are part of the interface and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// 0: what was asked for is done.
    Done,
    /// 1: it failed, and nothing was changed.
    Failed,
    /// 2: what was given cannot be understood or used; nothing was changed.
    BadInput,
    /// 3: the upgrade failed and the previous release runs again.
    RolledBack,
    /// 4: stopped on purpose with the backup intact; a person is needed.
    Held,
    /// 70: a bug in vaultup.
    Bug,
}

impl Exit {
    /// The process exit status.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::BadInput => 2,
            Self::RolledBack => 3,
            Self::Held => 4,
            Self::Bug => 70,
        }
    }
}

/// An error that can be shown to a person.
///
/// `Display` gives the lower-case sentence, `source` the causes.
pub trait Problem: std::error::Error {
    /// Which error this is.
    fn code(&self) -> Code;

    /// Where it is, if it is in a file.
    fn place(&self) -> Option<Place> {
        None
    }

    /// What state the stack is in now. `None`: nothing was changed.
    fn state(&self) -> Option<String> {
        None
    }

    /// The exact command, or the act, that leads on.
    fn next(&self) -> Option<String> {
        None
    }

    /// How the process ends when nothing handles this error.
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}
