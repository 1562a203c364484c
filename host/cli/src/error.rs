//! Errors on their way to the screen, and those that only the command line makes.

use std::path::PathBuf;

use model::{Code, Exit, Problem};

/// The codes of this crate.
#[cfg_attr(not(test), expect(dead_code, reason = "for tests and `cargo xtask tidy`"))]
pub(crate) const CODES: &[(u16, &str)] = &[
    (500, "bad-usage"),
    (501, "no-such-code"),
    (502, "file-exists"),
    (503, "file-not-written"),
    (504, "not-confirmed"),
    (505, "nothing-found"),
    (506, "executor"),
];

/// What went wrong, from any crate.
pub(crate) struct Fault(Box<dyn Problem>);

impl<E: Problem + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl std::ops::Deref for Fault {
    type Target = dyn Problem;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// What only the command line makes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// An argument cannot be used.
    #[error("{0}")]
    Usage(String),
    /// There is no such code.
    #[error("there is no error code `{0}`")]
    NoSuchCode(String),
    /// A file is there already.
    #[error("`{0}` is there already")]
    FileExists(PathBuf),
    /// A file cannot be written.
    #[error("`{path}` cannot be written")]
    NotWritten {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A person said no, or nobody could be asked.
    #[error("{0}")]
    NotConfirmed(String),
    /// Nothing was found to make a stack file from.
    #[error("nothing was found here to make a stack file from")]
    NothingFound,
    /// The executor or the machine's own facts could not be had.
    #[error("vaultup could not start: {0}")]
    Start(String),
}

impl Problem for CliError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Usage(_) => 500,
            Self::NoSuchCode(_) => 501,
            Self::FileExists(_) => 502,
            Self::NotWritten { .. } => 503,
            Self::NotConfirmed(_) => 504,
            Self::NothingFound => 505,
            Self::Start(_) => 506,
        })
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Usage(_) => "`vaultup --help`".to_owned(),
            Self::NoSuchCode(_) => "`vaultup explain` lists all".to_owned(),
            Self::FileExists(_) => "remove it, or edit it by hand".to_owned(),
            Self::NotConfirmed(_) => "run it in a terminal, or add `--yes`".to_owned(),
            Self::NothingFound => "`vaultup init --plugin host`".to_owned(),
            Self::NotWritten { .. } | Self::Start(_) => return None,
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::NoSuchCode(_) | Self::FileExists(_) | Self::NothingFound => {
                Exit::BadInput
            }
            Self::NotWritten { .. } | Self::NotConfirmed(_) => Exit::Failed,
            Self::Start(_) => Exit::Bug,
        }
    }
}
