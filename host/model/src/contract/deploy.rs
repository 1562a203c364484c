//! Releases that run, and what changes them.

use serde::{Deserialize, Serialize};

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
