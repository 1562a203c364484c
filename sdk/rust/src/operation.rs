//! What every call is told: on what it acts, with which settings, from which release to which.
//!
//! Every changing call is idempotent under [`Operation::key`]: the host may make the same call
//! again after a crash, in another process, and expects that what is done already is left alone. A
//! plugin keeps nothing between calls; what it needs to know it observes at the platform.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::Error;
use crate::bindings::imports::vaultup::plugin::types;
#[doc(inline)]
pub use crate::bindings::imports::vaultup::plugin::types::{
    Commands, Figure, Observation, Said, Target,
};
use crate::clock::Deadline;

/// What every plugin says first: the settings that it reads.
pub trait Plugin {
    /// The settings of a component or datastore, valid against the JSON Schema of `plugin.toml`
    /// and with the host's `${…}` filled in. A secret stands as `{"secret": "NAME"}`: see
    /// [`crate::secret`].
    type Settings: DeserializeOwned;
}

/// What a call is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation<Settings> {
    /// The same key means the same operation, however often it is called. 1 to 128 bytes of
    /// lower-case letters, digits, `.` and `-`: it can be a part of a file name.
    pub key: String,
    /// What to act on: the stack that people use, or a named copy of it. The settings are those
    /// of the target already.
    pub target: Target,
    /// Name of the component or datastore in the stack file.
    pub subject: String,
    /// Its settings.
    pub settings: Settings,
    /// When the host gives up on this call.
    pub deadline: Deadline,
    /// The release that ran when the run began, if one was known.
    pub previous: Option<Release>,
    /// The release that the run leads to; absent in operations that concern no upgrade.
    pub next: Option<Release>,
    /// What the copy is a copy of; absent if it acts on what is live.
    pub copied: Option<Copied<Settings>>,
}

/// What a copy is a copy of.
#[derive(Clone, Debug, PartialEq)]
pub struct Copied<Settings> {
    /// Settings of the live component or datastore.
    pub live: Settings,
    /// What the stack file says otherwise for the copy, as JSON: it is in
    /// [`Operation::settings`] already. Here it can be told what was said from what was not.
    pub differs: serde_json::Value,
}

/// One release of the stack, as it concerns the component or datastore of the operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Semantic version of the whole stack's release, such as `2.5.0`.
    pub version: String,
    /// Where the release's artifact lies: an image reference, a directory, a chart.
    pub artifact: Option<String>,
    /// The release's entry for this component or datastore, as JSON.
    pub entry: String,
}

impl<Settings> Operation<Settings> {
    /// The release that the run leads to.
    ///
    /// # Errors
    /// [`crate::Case::InvalidSettings`] in an operation that concerns no upgrade.
    pub fn next(&self) -> Result<&Release, Error> {
        let missing = || {
            let subject = &self.subject;
            Error::invalid_settings(format!("no release of {subject} was named to lead to"))
        };
        self.next.as_ref().ok_or_else(missing)
    }

    /// Whether it acts on what people use, and not on a copy.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.target == Target::Live
    }
}

impl Release {
    /// The release's entry, read as `Entry`.
    ///
    /// # Errors
    /// [`crate::Case::InvalidSettings`] that names what does not fit.
    pub fn entry<Entry: DeserializeOwned>(&self) -> Result<Entry, Error> {
        serde_json::from_str(&self.entry).map_err(|error| {
            let version = &self.version;
            Error::invalid_settings(format!("the entry of release {version} cannot be used"))
                .with_platform(error.to_string())
        })
    }
}

impl Observation {
    /// It has happened completely; `seen` says by what it was recognised.
    pub fn done(seen: impl Into<String>) -> Self {
        Self::Done(seen.into())
    }

    /// It is under way now; `seen` says what was seen.
    pub fn in_progress(seen: impl Into<String>) -> Self {
        Self::InProgress(seen.into())
    }

    /// It was tried and has failed; `left` says what it left behind.
    pub fn failed(left: impl Into<String>) -> Self {
        Self::Failed(Said { message: left.into(), platform: String::new() })
    }

    /// The platform cannot tell; the host holds rather than guesses.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown(why.into())
    }
}

impl Figure {
    /// A figure of this name, of which nothing was measured yet.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), count: None, bytes: None, digest: None }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        let mut separator = ": ";
        let numbers = [(self.count, "entries"), (self.bytes, "bytes")];
        for (number, unit) in numbers.iter().filter_map(|(number, unit)| Some(((*number)?, unit))) {
            write!(formatter, "{separator}{number} {unit}")?;
            separator = ", ";
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(formatter, "{separator}{digest}"))
    }
}

/// A call as the contract says it, understood.
pub(crate) fn understood<Settings: DeserializeOwned>(
    raw: types::Operation,
) -> Result<Operation<Settings>, Error> {
    let deadline = crate::clock::begin_call(raw.deadline_ms);
    let unusable = |error: serde_json::Error| {
        Error::invalid_settings(format!("the settings of {} cannot be used", raw.subject))
            .with_platform(error.to_string())
    };
    let settings = serde_json::from_str(&raw.settings).map_err(unusable)?;
    let copied = match &raw.copied {
        None => None,
        Some(copied) => Some(Copied {
            live: serde_json::from_str(&copied.live).map_err(unusable)?,
            differs: serde_json::from_str(&copied.differs).map_err(unusable)?,
        }),
    };
    Ok(Operation {
        key: raw.key,
        target: raw.target,
        subject: raw.subject,
        settings,
        deadline,
        previous: raw.previous.map(Release::from),
        next: raw.next.map(Release::from),
        copied,
    })
}

impl From<types::Release> for Release {
    fn from(raw: types::Release) -> Self {
        Self { version: raw.version, artifact: raw.artifact, entry: raw.entry }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::Case;
    use crate::testing::Machine;

    #[derive(Debug, serde::Deserialize)]
    struct Settings {
        path: String,
    }

    fn raw(settings: &str) -> types::Operation {
        types::Operation {
            key: "k1".to_owned(),
            target: Target::Live,
            subject: "store".to_owned(),
            settings: settings.to_owned(),
            deadline_ms: 1000,
            previous: None,
            next: None,
            copied: None,
        }
    }

    #[test]
    fn settings_are_typed_and_a_wrong_one_is_named() {
        let _machine = Machine::new().install();
        let operation = understood::<Settings>(raw(r#"{"path": "/srv"}"#)).unwrap();
        assert_eq!(operation.settings.path, "/srv");
        let error = understood::<Settings>(raw(r#"{"path": 3}"#)).unwrap_err();
        assert_eq!(error.case(), &Case::InvalidSettings);
        assert_eq!(error.message(), "the settings of store cannot be used");
        assert!(error.platform().contains("expected a string"), "{error}");
    }

    #[test]
    fn an_operation_without_a_next_release_says_so() {
        let _machine = Machine::new().install();
        let operation = understood::<Settings>(raw(r#"{"path": "/srv"}"#)).unwrap();
        assert_eq!(operation.next().unwrap_err().case(), &Case::InvalidSettings);
    }

    #[test]
    fn a_figure_reads_as_a_sentence_would() {
        let mut figure = Figure::named("tree");
        assert_eq!(figure.to_string(), "tree");
        (figure.count, figure.digest) = (Some(2), Some("blake3:0a".to_owned()));
        assert_eq!(figure.to_string(), "tree: 2 entries, blake3:0a");
    }
}
