//! Between the contract's generated types and [`model::contract`], which is all that the rest of
//! the host sees.
//!
//! Threat: what a plugin answers is shown to people, journaled and compared. So every text is cut,
//! has secrets blotted out and control characters made visible; every list is counted; every JSON
//! is parsed. What does not fit is an error of the answer, never a value made up.

pub(crate) mod backup;
pub(crate) mod deploy;
pub(crate) mod migrate;

use model::contract::{
    Figure, Measured, Measurement, Observation, Operation, PluginError, ReleaseReference, Said,
    Target, Verdict,
};
use serde_json::Value;
use system::redact::Redactor;

use crate::bindings::health_check::exports::vaultup::plugin::health_check as health_wit;
use crate::bindings::host::vaultup::plugin::types as wit;
use crate::limits::{ANSWER_ELEMENTS_MAX, MESSAGE_BYTES_MAX, PLATFORM_BYTES_MAX, STATE_BYTES_MAX};
use crate::text::{cut_end, cut_start, visible_lines};

/// Why an answer cannot be used, a lower-case sentence.
pub(crate) type Unusable = String;

/// Reads answers of a plugin.
pub(crate) struct Reader<'a> {
    pub(crate) redactor: &'a Redactor,
}

/// A value of the contract, made from what a plugin answered.
pub(crate) trait FromAnswer<Answer>: Sized {
    fn from_answer(answer: Answer, reader: &Reader<'_>) -> Result<Self, Unusable>;
}

impl Reader<'_> {
    /// A text for people and for comparison: at most so many bytes, the beginning kept.
    pub(crate) fn text(&self, text: &str, bytes_max: usize) -> String {
        cut_end(&visible_lines(&self.redactor.redact(text)), bytes_max).to_owned()
    }

    /// A short text: a name, version, unit, digest.
    pub(crate) fn short(&self, text: &str) -> String {
        self.text(text, MESSAGE_BYTES_MAX)
    }

    pub(crate) fn said(&self, said: &wit::Said) -> Said {
        let redacted = self.redactor.redact(&said.platform);
        let platform = visible_lines(&redacted);
        Said {
            message: self.short(&said.message),
            platform: cut_start(&platform, PLATFORM_BYTES_MAX).to_owned(),
        }
    }

    pub(crate) fn error(&self, error: &wit::Error) -> PluginError {
        match error {
            wit::Error::InvalidSettings(said) => PluginError::InvalidSettings(self.said(said)),
            wit::Error::NotFound(said) => PluginError::NotFound(self.said(said)),
            wit::Error::Refused(said) => PluginError::Refused(self.said(said)),
            wit::Error::Unreachable(said) => PluginError::Unreachable(self.said(said)),
            wit::Error::Conflict(said) => PluginError::Conflict(self.said(said)),
            wit::Error::TimedOut(said) => PluginError::TimedOut(self.said(said)),
            wit::Error::NoSpace(said) => PluginError::NoSpace(self.said(said)),
            wit::Error::Corrupt(said) => PluginError::Corrupt(self.said(said)),
            wit::Error::Failed(said) => PluginError::Failed(self.said(said)),
            wit::Error::Cancelled => PluginError::Cancelled,
            wit::Error::Unsupported(text) => PluginError::Unsupported(self.short(text)),
            wit::Error::Denied(said) => PluginError::Denied(self.said(said)),
            wit::Error::Other((kind, said)) => {
                PluginError::Other(self.short(kind), self.said(said))
            }
        }
    }

    pub(crate) fn list<A, T: FromAnswer<A>>(&self, answers: Vec<A>) -> Result<Vec<T>, Unusable> {
        if answers.len() > ANSWER_ELEMENTS_MAX {
            let count = answers.len();
            return Err(format!("a list of {count} elements, {ANSWER_ELEMENTS_MAX} are allowed"));
        }
        answers.into_iter().map(|answer| T::from_answer(answer, self)).collect()
    }

    /// JSON that the plugin wants back later. It is given back as it was, so that it can only be
    /// refused when it holds a secret, not changed.
    pub(crate) fn state(&self, text: &str) -> Result<Value, Unusable> {
        if text.len() > STATE_BYTES_MAX {
            let bytes = text.len();
            return Err(format!("a state of {bytes} bytes, {STATE_BYTES_MAX} are allowed"));
        }
        if self.redactor.redact(text) != text {
            return Err("a state that holds the value of a secret".to_owned());
        }
        match serde_json::from_str(text) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err("a state that is JSON, but no object".to_owned()),
            Err(error) => Err(format!("a state that is no JSON: {error}")),
        }
    }
}

/// What a call is told. Settings and entries are passed on as JSON text.
pub(crate) fn operation(operation: &Operation) -> wit::Operation {
    wit::Operation {
        key: operation.key.clone(),
        target: match &operation.target {
            Target::Live => wit::Target::Live,
            Target::Copy(name) => wit::Target::Copy(name.clone()),
        },
        subject: operation.subject.clone(),
        settings: operation.settings.to_string(),
        deadline_ms: operation.deadline_ms,
        previous: operation.previous.as_ref().map(release),
        next: operation.next.as_ref().map(release),
        copied: operation.copied.as_ref().map(|copied| wit::Copied {
            live: copied.live.to_string(),
            differs: copied.differs.to_string(),
        }),
    }
}

fn release(release: &ReleaseReference) -> wit::Release {
    wit::Release {
        version: release.version.clone(),
        artifact: release.artifact.clone(),
        entry: release.entry.to_string(),
    }
}

/// An error of another plugin, as a guest is told it.
pub(crate) fn error_for_guest(error: PluginError) -> wit::Error {
    let told = |said: Said| wit::Said { message: said.message, platform: said.platform };
    match error {
        PluginError::InvalidSettings(said) => wit::Error::InvalidSettings(told(said)),
        PluginError::NotFound(said) => wit::Error::NotFound(told(said)),
        PluginError::Refused(said) => wit::Error::Refused(told(said)),
        PluginError::Unreachable(said) => wit::Error::Unreachable(told(said)),
        PluginError::Conflict(said) => wit::Error::Conflict(told(said)),
        PluginError::TimedOut(said) => wit::Error::TimedOut(told(said)),
        PluginError::NoSpace(said) => wit::Error::NoSpace(told(said)),
        PluginError::Corrupt(said) => wit::Error::Corrupt(told(said)),
        PluginError::Failed(said) => wit::Error::Failed(told(said)),
        PluginError::Cancelled => wit::Error::Cancelled,
        PluginError::Unsupported(text) => wit::Error::Unsupported(text),
        PluginError::Denied(said) => wit::Error::Denied(told(said)),
        PluginError::Other(kind, said) => wit::Error::Other((kind, told(said))),
    }
}

impl FromAnswer<()> for () {
    fn from_answer((): (), _: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(())
    }
}

impl FromAnswer<Self> for String {
    fn from_answer(text: Self, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(reader.text(&text, PLATFORM_BYTES_MAX))
    }
}

impl<A, T: FromAnswer<A>> FromAnswer<Vec<A>> for Vec<T> {
    fn from_answer(answers: Vec<A>, reader: &Reader<'_>) -> Result<Self, Unusable> {
        reader.list(answers)
    }
}

impl<A, T: FromAnswer<A>> FromAnswer<Option<A>> for Option<T> {
    fn from_answer(answer: Option<A>, reader: &Reader<'_>) -> Result<Self, Unusable> {
        answer.map(|answer| T::from_answer(answer, reader)).transpose()
    }
}

impl FromAnswer<wit::Observation> for Observation {
    fn from_answer(answer: wit::Observation, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(match answer {
            wit::Observation::NotStarted => Self::NotStarted,
            wit::Observation::InProgress(text) => Self::InProgress(reader.short(&text)),
            wit::Observation::Done(text) => Self::Done(reader.short(&text)),
            wit::Observation::Failed(said) => Self::Failed(reader.said(&said)),
            wit::Observation::Unknown(text) => Self::Unknown(reader.short(&text)),
        })
    }
}

impl FromAnswer<wit::Figure> for Figure {
    fn from_answer(answer: wit::Figure, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            name: reader.short(&answer.name),
            count: answer.count,
            bytes: answer.bytes,
            digest: answer.digest.map(|digest| reader.short(&digest)),
        })
    }
}

impl FromAnswer<health_wit::Measurement> for Measurement {
    fn from_answer(answer: health_wit::Measurement, reader: &Reader<'_>) -> Result<Self, Unusable> {
        Ok(Self {
            name: reader.short(&answer.name),
            value: match answer.value {
                // JSON, in which the journal is written, has no word for infinity or no number.
                health_wit::Value::Number(number) if !number.is_finite() => {
                    return Err(format!("a measurement of {number}"));
                }
                health_wit::Value::Number(number) => Measured::Number(number),
                health_wit::Value::Text(text) => Measured::Text(reader.short(&text)),
                health_wit::Value::Truth(truth) => Measured::Truth(truth),
            },
            unit: reader.short(&answer.unit),
            verdict: match answer.verdict {
                health_wit::Verdict::Healthy => Verdict::Healthy,
                health_wit::Verdict::Degraded => Verdict::Degraded,
                health_wit::Verdict::Failing => Verdict::Failing,
                health_wit::Verdict::Unknown => Verdict::Unknown,
            },
            detail: reader.text(&answer.detail, PLATFORM_BYTES_MAX),
        })
    }
}
