//! Why an operation could not be carried out.
//!
//! The case tells the host what to do next (observe, try again, hold off, stop); the sentence tells
//! the operator what happened; the platform's own words tell why. An error therefore has all three,
//! and a plugin never puts a secret into any of them (it has none).

use std::fmt;

use crate::bindings::imports::vaultup::plugin::types::{self, Said};

/// The most bytes of the platform's words that an error keeps: their end, where programs say why.
pub const PLATFORM_BYTES_MAX: usize = 8 * 1024;

/// What kind of failure it is, by what the host does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Case {
    /// The settings are well-formed but cannot be used. The host stops with bad input.
    InvalidSettings,
    /// Something named does not exist: a release, revision, directory, database.
    NotFound,
    /// The platform refused: a right is missing.
    Refused,
    /// The platform cannot be reached. The host observes, then may try again.
    Unreachable,
    /// Somebody else is at work on the same thing. The host holds off.
    Conflict,
    /// The plugin's own waiting ran out. The host observes before anything else.
    TimedOut,
    /// No room for what had to be written.
    NoSpace,
    /// What was read is damaged, or is not what it should be.
    Corrupt,
    /// It ran and failed. What it left behind is found by observing.
    Failed,
    /// The host asked to stop, and the plugin did.
    Cancelled,
    /// This plugin does not do this.
    Unsupported,
    /// The host refused a call of the plugin: not granted, over a limit, or forbidden now.
    Denied,
    /// None of the above; a short kebab-case name of the case.
    Other(String),
}

/// Why an operation could not be carried out.
///
/// ```
/// use vaultup_sdk::Error;
///
/// let error = Error::failed("the migration stopped half way").with_platform("duplicate key");
/// assert_eq!(error.to_string(), "the migration stopped half way: duplicate key");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    case: Case,
    message: String,
    platform: String,
}

impl Error {
    /// An error of this case. `message` is one lower-case sentence without a full stop.
    pub fn new(case: Case, message: impl Into<String>) -> Self {
        Self { case, message: message.into(), platform: String::new() }
    }

    /// [`Case::InvalidSettings`].
    pub fn invalid_settings(message: impl Into<String>) -> Self {
        Self::new(Case::InvalidSettings, message)
    }

    /// [`Case::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Case::NotFound, message)
    }

    /// [`Case::Refused`].
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Case::Refused, message)
    }

    /// [`Case::Unreachable`].
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Case::Unreachable, message)
    }

    /// [`Case::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Case::Conflict, message)
    }

    /// [`Case::TimedOut`].
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Case::TimedOut, message)
    }

    /// [`Case::NoSpace`].
    pub fn no_space(message: impl Into<String>) -> Self {
        Self::new(Case::NoSpace, message)
    }

    /// [`Case::Corrupt`].
    pub fn corrupt(message: impl Into<String>) -> Self {
        Self::new(Case::Corrupt, message)
    }

    /// [`Case::Failed`].
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Case::Failed, message)
    }

    /// [`Case::Cancelled`].
    #[must_use]
    pub fn cancelled() -> Self {
        Self::new(Case::Cancelled, "it was asked to stop")
    }

    /// [`Case::Unsupported`]; the text says what the plugin does instead.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Case::Unsupported, message)
    }

    /// [`Case::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Case::Denied, message)
    }

    /// A case that the contract has no name for. `name` is short and kebab-case.
    pub fn other(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Case::Other(name.into()), message)
    }

    /// Adds the platform's own words, such as the last lines of stderr. Of long ones the end is
    /// kept, [`PLATFORM_BYTES_MAX`] bytes.
    #[must_use]
    pub fn with_platform(mut self, words: impl AsRef<str>) -> Self {
        self.platform = end_of(words.as_ref().trim_end(), PLATFORM_BYTES_MAX).to_owned();
        self
    }

    /// Puts what was attempted before the sentence, so that the operator reads both.
    #[must_use]
    pub fn while_doing(mut self, attempt: impl fmt::Display) -> Self {
        self.message = format!("{attempt}: {}", self.message);
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn case(&self) -> &Case {
        &self.case
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The platform's own words; empty if there are none.
    #[must_use]
    pub fn platform(&self) -> &str {
        &self.platform
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.platform.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.platform) }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Said {
    fn from(error: Error) -> Self {
        Self { message: error.message, platform: error.platform }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        let (case, said) = match error {
            types::Error::InvalidSettings(said) => (Case::InvalidSettings, said),
            types::Error::NotFound(said) => (Case::NotFound, said),
            types::Error::Refused(said) => (Case::Refused, said),
            types::Error::Unreachable(said) => (Case::Unreachable, said),
            types::Error::Conflict(said) => (Case::Conflict, said),
            types::Error::TimedOut(said) => (Case::TimedOut, said),
            types::Error::NoSpace(said) => (Case::NoSpace, said),
            types::Error::Corrupt(said) => (Case::Corrupt, said),
            types::Error::Failed(said) => (Case::Failed, said),
            types::Error::Cancelled => return Self::cancelled(),
            types::Error::Unsupported(text) => return Self::unsupported(text),
            types::Error::Denied(said) => (Case::Denied, said),
            types::Error::Other((name, said)) => (Case::Other(name), said),
        };
        Self { case, message: said.message, platform: said.platform }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        match error.case.clone() {
            Case::InvalidSettings => Self::InvalidSettings(error.into()),
            Case::NotFound => Self::NotFound(error.into()),
            Case::Refused => Self::Refused(error.into()),
            Case::Unreachable => Self::Unreachable(error.into()),
            Case::Conflict => Self::Conflict(error.into()),
            Case::TimedOut => Self::TimedOut(error.into()),
            Case::NoSpace => Self::NoSpace(error.into()),
            Case::Corrupt => Self::Corrupt(error.into()),
            Case::Failed => Self::Failed(error.into()),
            Case::Cancelled => Self::Cancelled,
            Case::Unsupported => Self::Unsupported(error.message),
            Case::Denied => Self::Denied(error.into()),
            Case::Other(name) => Self::Other((name, error.into())),
        }
    }
}

/// The last bytes of a text, at most `bytes_max`, beginning at a whole character.
pub(crate) fn end_of(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_comes_back_from_the_contract_as_it_went_there() {
        let cases = [
            Error::invalid_settings("a"),
            Error::not_found("a"),
            Error::refused("a"),
            Error::unreachable("a"),
            Error::conflict("a"),
            Error::timed_out("a"),
            Error::no_space("a"),
            Error::corrupt("a"),
            Error::failed("a"),
            Error::denied("a"),
            Error::other("odd-case", "a"),
        ];
        for error in cases.map(|error| error.with_platform("said")) {
            assert_eq!(Error::from(types::Error::from(error.clone())), error);
        }
        for error in [Error::cancelled(), Error::unsupported("use `apply`")] {
            assert_eq!(Error::from(types::Error::from(error.clone())), error);
        }
    }

    #[test]
    fn the_end_of_what_the_platform_said_is_kept_at_the_limit_and_cut_one_past_it() {
        let at = "x".repeat(PLATFORM_BYTES_MAX);
        assert_eq!(Error::failed("a").with_platform(&at).platform(), at);
        let past = format!("first{at}");
        assert_eq!(Error::failed("a").with_platform(past).platform(), at);
        let wide = format!("ä{}", &at[1..]);
        assert_eq!(Error::failed("a").with_platform(wide).platform(), &at[1..]);
    }
}
