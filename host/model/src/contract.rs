//! The facts of the plugin contract (`wit/`), as the host keeps, journals and compares them.
//!
//! One type for each record of the contract that outlives a call, in a file for each interface;
//! what they share is here. The sandbox converts; nothing above it sees a generated type.

mod backup;
mod deploy;
mod health_check;
mod migrate;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use backup::{Consistency, Estimate, Figure, Proof, ProofLevel, Taken};
pub use deploy::{
    DeployChange, Difference, Instance, LockClaim, PlatformLock, Presence, Preview, Running,
    Severity, Traffic, Wave, WayBack,
};
pub use health_check::{Measured, Measurement, Verdict};
pub use migrate::{Extent, MigrateRequest, Migration, Pending, Schema, Watch};

/// An exported interface of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// Takes and proves backups.
    Backup,
    /// Changes schemas.
    Migrate,
    /// Deploys releases.
    Deploy,
    /// Measures health.
    HealthCheck,
    /// Restores backups.
    Restore,
}

impl Interface {
    /// Every interface.
    pub const ALL: [Self; 5] =
        [Self::Backup, Self::Migrate, Self::Deploy, Self::HealthCheck, Self::Restore];

    /// Its name in WIT and in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Migrate => "migrate",
            Self::Deploy => "deploy",
            Self::HealthCheck => "health-check",
            Self::Restore => "restore",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What an operation acts on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The stack that people use.
    Live,
    /// A named copy for rehearsal.
    Copy(String),
}

/// A release as one operation is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReleaseReference {
    /// Version of the whole stack's release.
    pub version: String,
    /// Image, directory, chart or assembly.
    pub artifact: Option<String>,
    /// The release's entry for the subject, a JSON object.
    pub entry: Value,
}

/// What every call of a plugin is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Operation {
    /// Idempotency key.
    pub key: String,
    /// What to act on.
    pub target: Target,
    /// The component or datastore.
    pub subject: String,
    /// Its settings, a JSON object.
    pub settings: Value,
    /// Milliseconds until the host gives up.
    pub deadline_ms: u64,
    /// The release that ran when the run began.
    pub previous: Option<ReleaseReference>,
    /// The release that the run leads to.
    pub next: Option<ReleaseReference>,
    /// What the copy is a copy of; nothing for [`Target::Live`].
    pub copied: Option<Copied>,
}

/// What a copy is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Copied {
    /// Settings of the live component or datastore, a JSON object.
    pub live: Value,
    /// What the stack file says otherwise for the copy, a JSON object.
    pub differs: Value,
}

/// A plugin's sentence and the platform's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Said {
    /// A lower-case sentence.
    pub message: String,
    /// What the platform answered; may be empty.
    pub platform: String,
}

/// What the platform knows of a changing operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// Nothing of it has happened.
    NotStarted,
    /// It is under way.
    InProgress(String),
    /// It has happened completely.
    Done(String),
    /// It was tried and failed.
    Failed(Said),
    /// The platform cannot tell.
    Unknown(String),
}

/// Why a plugin could not carry an operation out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginError {
    /// The settings cannot be used.
    InvalidSettings(Said),
    /// Something named does not exist.
    NotFound(Said),
    /// A right is missing.
    Refused(Said),
    /// The platform cannot be reached.
    Unreachable(Said),
    /// Somebody else is at work.
    Conflict(Said),
    /// The plugin's waiting ran out.
    TimedOut(Said),
    /// No room.
    NoSpace(Said),
    /// What was read is damaged.
    Corrupt(Said),
    /// It ran and failed.
    Failed(Said),
    /// It was asked to stop.
    Cancelled,
    /// The plugin does not do this.
    Unsupported(String),
    /// The host refused a call of the plugin.
    Denied(Said),
    /// Anything else, with a short name of the case.
    Other(String, Said),
}

impl PluginError {
    /// The case's name, kebab-case.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::InvalidSettings(_) => "invalid-settings",
            Self::NotFound(_) => "not-found",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Conflict(_) => "conflict",
            Self::TimedOut(_) => "timed-out",
            Self::NoSpace(_) => "no-space",
            Self::Corrupt(_) => "corrupt",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::Unsupported(_) => "unsupported",
            Self::Denied(_) => "denied",
            Self::Other(kind, _) => kind,
        }
    }

    /// What was said, by plugin and platform.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::InvalidSettings(said)
            | Self::NotFound(said)
            | Self::Refused(said)
            | Self::Unreachable(said)
            | Self::Conflict(said)
            | Self::TimedOut(said)
            | Self::NoSpace(said)
            | Self::Corrupt(said)
            | Self::Failed(said)
            | Self::Denied(said)
            | Self::Other(_, said) => said.clone(),
            Self::Cancelled => {
                Said { message: "it was asked to stop".to_owned(), platform: String::new() }
            }
            Self::Unsupported(text) => Said { message: text.clone(), platform: String::new() },
        }
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.said();
        formatter.write_str(&said.message)?;
        match said.platform.trim() {
            "" => Ok(()),
            platform => write!(formatter, ": {platform}"),
        }
    }
}
