//! Errors that carry an exit status. Every other error exits with 1.

use std::fmt;

/// Arguments that make no sense.
const STATUS_USAGE: u8 = 2;
/// A migration that failed, or that was refused because of the state of the store.
const STATUS_MIGRATION: u8 = 3;
/// Everything else.
const STATUS_FAILED: u8 = 1;

/// A sentence with the exit status that belongs to it.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    /// The exit status for an error, found anywhere in its chain.
    pub(crate) fn status_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Failure>().map_or(STATUS_FAILED, |failure| failure.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl std::error::Error for Failure {}

/// Exit status 2.
pub(crate) fn usage(sentence: String) -> anyhow::Error {
    Failure { status: STATUS_USAGE, sentence }.into()
}

/// Exit status 3.
pub(crate) fn migration(sentence: String) -> anyhow::Error {
    Failure { status: STATUS_MIGRATION, sentence }.into()
}
