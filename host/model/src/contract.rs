//! The facts of the plugin contract (`wit/`), as the host keeps, journals and compares them.
//!
//! One type for each record of the contract that outlives a call. The sandbox converts; nothing
//! above it sees a generated type.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// A measured quantity by which backup and restored data show to be equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Rows, documents or files.
    pub count: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
    /// `algorithm:hex` of the content.
    pub digest: Option<String>,
}

/// How well a backup is known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum ProofLevel {
    /// 0: it exists.
    Exists,
    /// 1: its structure was read.
    Readable,
    /// 2: every byte was read by a reader that checks it.
    Checked,
    /// 3: it was restored to scratch and queried.
    Restored,
}

impl From<ProofLevel> for u8 {
    fn from(level: ProofLevel) -> Self {
        level as Self
    }
}

impl TryFrom<u8> for ProofLevel {
    type Error = String;
    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            0 => Ok(Self::Exists),
            1 => Ok(Self::Readable),
            2 => Ok(Self::Checked),
            3 => Ok(Self::Restored),
            _ => Err(format!("proof level {number} does not exist: use 0, 1, 2 or 3")),
        }
    }
}

impl fmt::Display for ProofLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", u8::from(*self))
    }
}

/// How the moments of the parts of a backup relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Writers were held for the whole time.
    WritersHeld,
    /// The datastore gave one moment.
    OneMoment,
    /// Parts may be of different moments.
    None,
}

/// What `backup.take` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Taken {
    /// Figures that a restore must show again.
    pub figures: Vec<Figure>,
    /// How its parts relate in time.
    pub consistency: Consistency,
    /// What the plugin needs for restoring, a JSON object.
    pub state: Value,
}

/// What `backup.prove` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proof {
    /// The level that was reached.
    pub level: ProofLevel,
    /// Figures measured on what was read or restored.
    pub figures: Vec<Figure>,
    /// Answers of the check queries.
    pub answers: Vec<String>,
}

/// What `backup.estimate` or `restore.estimate` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// Bytes that will be written.
    pub bytes: u64,
    /// Bytes free where the datastore lies.
    pub bytes_free: Option<u64>,
    /// What a backup would reach if writers went on; absent in an estimate of a restore.
    pub consistency: Option<Consistency>,
    /// Commands that would run.
    pub commands: Vec<Vec<String>>,
}

/// Whether requests reach a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// They do.
    Open,
    /// They are held back.
    Held,
    /// The platform has no notion of it.
    NotApplicable,
    /// It could not be told.
    Unknown,
}

/// One process, pod or container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Instance {
    /// Name on the platform.
    pub name: String,
    /// Version that it runs.
    pub version: Option<String>,
    /// Whether it runs at all.
    pub running: bool,
    /// Whether it can serve.
    pub ready: bool,
    /// Why not.
    pub reason: String,
}

/// What runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Running {
    /// Version that is deployed.
    pub version: Option<String>,
    /// The platform's revision.
    pub revision: Option<String>,
    /// Images or artifacts.
    pub artifacts: Vec<String>,
    /// How many instances there should be.
    pub instances_wanted: u32,
    /// The instances that exist.
    pub instances: Vec<Instance>,
    /// Whether requests reach it.
    pub traffic: Traffic,
    /// Digest of the configuration.
    pub configuration_digest: Option<String>,
    /// What somebody else is doing to it.
    pub busy: Option<String>,
}

/// Whether the running release could be deployed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct WayBack {
    /// Whether everything is at hand.
    pub available: bool,
    /// The revision for `deploy.revert`.
    pub revision: Option<String>,
    /// What is kept where, or what is missing.
    pub reason: String,
}

/// What the host asks for when it locks a component at the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockClaim {
    /// Who asks, for comparison.
    pub holder: String,
    /// Who that is, for people.
    pub owner: String,
    /// Seconds for which the lock holds if it is not renewed.
    pub seconds: u32,
}

/// The lock of a component, as the platform has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlatformLock {
    /// Where it lies; two components with the same place have one lock.
    pub place: String,
    /// Who holds it.
    pub holder: Option<String>,
    /// Who that is, for people.
    pub owner: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Grows with each acquisition.
    pub epoch: u64,
    /// Seconds until somebody else may take it.
    pub seconds_left: u32,
    /// Who held it before its holder.
    pub before: Option<String>,
}

/// How serious a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Information,
    /// Worth a look.
    Warning,
    /// The plan stops.
    Blocking,
}

/// One difference that applying would make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// Which object.
    pub object: String,
    /// `add`, `change`, `replace` or `delete`.
    pub act: String,
    /// What differs.
    pub detail: String,
    /// How serious it is.
    pub severity: Severity,
}

/// What applying would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preview {
    /// Differences in the platform's order.
    pub differences: Vec<Difference>,
    /// Commands that would run.
    pub commands: Vec<Vec<String>>,
    /// Seconds that it should take.
    pub seconds: Option<u32>,
}

/// How much of a component runs the new release after an apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Wave {
    /// From 1.
    pub number: u32,
    /// How many waves there are.
    pub of: u32,
    /// Instances that run the new release when this wave is complete.
    pub instances: u32,
}

/// How `revert` leaves a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Deployed and running.
    Running,
    /// In place with no instance running.
    Stopped,
}

/// A changing operation of `deploy`, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeployChange {
    /// Bring the artifact to the platform.
    Prefetch,
    /// Run the next release on some instances.
    Apply(Wave),
    /// Stop every instance.
    Stop,
    /// Start so many instances.
    Start(u32),
    /// Hold requests back.
    HoldTraffic,
    /// Let requests in.
    ReleaseTraffic,
    /// Put a recorded revision in place.
    Revert(String, Presence),
    /// Remove a copy.
    Discard,
}

/// A migration as its tool names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Migration {
    /// Version or file name.
    pub id: String,
    /// What it is called.
    pub description: String,
    /// `algorithm:hex`, if recorded.
    pub checksum: Option<String>,
}

/// The schema as observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Schema {
    /// Version that the migration tool records.
    pub version: Option<String>,
    /// Digest of the normalised schema.
    pub fingerprint: String,
    /// Whether a migration was begun and not ended.
    pub dirty: bool,
    /// Applied migrations, oldest first.
    pub applied: Vec<Migration>,
}

/// Something that a migration touches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Extent {
    /// A table or collection.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its rows or documents.
    pub count: Option<u64>,
}

/// What is still to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pending {
    /// In the order of application.
    pub migrations: Vec<Migration>,
    /// What they touch, largest first.
    pub extents: Vec<Extent>,
    /// Commands that would run.
    pub commands: Vec<Vec<String>>,
}

/// What to migrate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MigrateRequest {
    /// The datastore.
    pub datastore: String,
    /// The release's command.
    pub command: Vec<String>,
    /// The schema version expected afterwards.
    pub expected: Option<String>,
}

/// How to follow a service that migrates when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Watch {
    /// A matching line means success.
    pub success: Vec<String>,
    /// A matching line means failure, and wins.
    pub failure: Vec<String>,
    /// Seconds after which neither means unknown.
    pub seconds: u32,
}

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
