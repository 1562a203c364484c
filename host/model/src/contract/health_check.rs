//! Probes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// A number in the unit given.
    Number(f64),
    /// A text.
    Text(String),
    /// A yes or no.
    Truth(bool),
}

impl fmt::Display for Measured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => formatter.write_str(text),
            Self::Truth(truth) => write!(formatter, "{truth}"),
        }
    }
}

/// What the plugin makes of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Healthy,
    /// Worse than it should be.
    Degraded,
    /// Not as it must be.
    Failing,
    /// Not to be told.
    Unknown,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measurement {
    /// What was measured.
    pub name: String,
    /// Its value.
    pub value: Measured,
    /// The unit of a number; empty otherwise.
    pub unit: String,
    /// What the plugin makes of it.
    pub verdict: Verdict,
    /// What an operator needs to know of it.
    pub detail: String,
}
