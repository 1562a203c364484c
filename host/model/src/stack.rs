//! `vaultup.toml`: what is upgraded together, written once by the operator.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::ProofLevel;
use crate::name::Name;

/// What is upgraded together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stack {
    /// Its name, unique for this user: the journal is kept under it.
    pub name: Name,
    /// Directory with `<version>/release.toml`, relative to the stack file.
    pub releases: String,
    /// What is deployed.
    pub components: BTreeMap<Name, Component>,
    /// What holds state.
    pub datastores: BTreeMap<Name, Datastore>,
    /// Secrets that settings refer to by name.
    pub secrets: BTreeMap<Name, SecretSource>,
    /// What decides.
    pub policy: Policy,
    /// How backups are kept.
    pub backups: Backups,
}

/// A deployable unit; one plugin deploys it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Component {
    /// The plugin that deploys it.
    pub plugin: Name,
    /// Its settings, valid against the plugin's schema. `${…}` not yet filled in.
    pub settings: Value,
    /// Components and datastores that must be up before it: the order of start, reversed to stop.
    pub needs: Vec<Name>,
    /// How the new release is rolled out; at least one wave, the last is everything.
    pub waves: Vec<WaveSize>,
    /// What must hold before, after and after a way back.
    pub health: Vec<Probe>,
    /// Checks from end to end, run once after the deployment.
    pub smoke: Vec<Smoke>,
    /// Settings merged over `settings` when the target is a copy; absent: it cannot be rehearsed.
    pub rehearsal: Option<Value>,
    /// How long one changing operation may take.
    pub within: Duration,
}

/// Something with state; one plugin backs it up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Datastore {
    /// The plugin that backs it up.
    pub plugin: Name,
    /// Its settings. `${…}` not yet filled in.
    pub settings: Value,
    /// Components that write to it: stopped before a restore and for a breaking migration.
    pub written_by: Vec<Name>,
    /// The proof that its backup needs before anything is changed.
    pub proof: ProofLevel,
    /// Settings merged over `settings` when the target is a copy.
    pub rehearsal: Option<Value>,
    /// How long one operation may take.
    pub within: Duration,
}

/// The size of a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WaveSize {
    /// So many instances.
    Instances(u32),
    /// So many percent, rounded up.
    Percent(u32),
}

/// A probe of the operator's: an expectation and a deadline, never a bare loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Probe {
    /// What is asked.
    pub ask: Ask,
    /// Deadline for it to become true.
    pub within: Duration,
}

/// What a probe asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// GET of a URL.
    Http {
        /// The URL; `${…}` not yet filled in.
        url: String,
        /// The status that must be answered.
        status: u16,
        /// JSON pointers and the values that must stand there; `${…}` not yet filled in.
        json: BTreeMap<String, Value>,
    },
    /// A command that must exit with 0.
    Command {
        /// The command; `${…}` not yet filled in.
        command: Vec<String>,
    },
}

/// A check from end to end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Smoke {
    /// The command; `${…}` not yet filled in. Must exit with 0.
    pub run: Vec<String>,
    /// Deadline.
    pub within: Duration,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// An environment variable of vaultup itself.
    Env(String),
    /// A file, relative to the stack file; one trailing line end is dropped.
    File(String),
    /// Standard output of a command; one trailing line end is dropped.
    Command(Vec<String>),
}

/// What is done when something fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Decide on the way back and take it.
    #[default]
    Return,
    /// Stop, keep everything safe and wait for a person.
    Hold,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Policy {
    /// What is done when something fails.
    pub on_failure: OnFailure,
    /// How much a restore may lose, as the time since the backup during which writers ran.
    pub loss_budget: Duration,
}

/// How backups are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Backups {
    /// age recipients; empty: an identity of this user's, made once.
    pub recipients: Vec<String>,
    /// Directory; absent: this user's data directory.
    pub directory: Option<String>,
    /// So many sets are kept at least.
    pub keep_last: u32,
    /// Sets younger than this are kept.
    pub keep_days: u32,
}

impl TryFrom<String> for WaveSize {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{}` is no wave: write a number of instances such as \"1\", or a share such as \
                 \"50%\"",
                crate::pattern::shown(&text)
            )
        };
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text.as_str(), false),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(expected());
        }
        let number: u32 = digits.parse().map_err(|_| expected())?;
        match (number, percent) {
            (0, _) => Err(format!("a wave of `{text}` rolls nothing out: begin with 1 or 1%")),
            (101.., true) => Err(format!("a wave of `{text}` is more than everything: use 100%")),
            (number, true) => Ok(Self::Percent(number)),
            (number, false) => Ok(Self::Instances(number)),
        }
    }
}

impl From<WaveSize> for String {
    fn from(size: WaveSize) -> Self {
        size.to_string()
    }
}

impl std::fmt::Display for WaveSize {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instances(number) => write!(formatter, "{number}"),
            Self::Percent(number) => write!(formatter, "{number}%"),
        }
    }
}
