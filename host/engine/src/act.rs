//! What a step does, and what is known afterwards.
//!
//! One act is one journaled effect: intent before, outcome after. What makes acts differ is
//! written here as properties, so that neither the machine nor the runner knows special cases.

use std::collections::BTreeMap;
use std::fmt;

use model::Name;
use model::contract::{
    DeployChange, Figure, Measurement, MigrateRequest, Presence, ProofLevel, Running, Said, Schema,
    Wave,
};
use serde::{Deserialize, Serialize};

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// All preflights, and that the plan's preconditions still hold.
    Check,
    /// Bring a component's next release to the platform.
    Fetch(Name),
    /// Hold requests to a component back.
    HoldTraffic(Name),
    /// Stop every instance of a component.
    Stop(Name),
    /// Back all these datastores up as one set.
    BackUp(Purpose, Vec<Name>),
    /// Prove this run's backup of a datastore.
    Prove(Name, ProofLevel),
    /// Apply a datastore's migrations by the plugin of a component or of the datastore.
    Migrate(Migrate),
    /// Run the next release on some instances of a component.
    Apply(Name, Wave),
    /// Observe a datastore's schema and compare it with the version expected.
    CheckSchema(Name, Option<String>),
    /// Probe a component until it is healthy, at this version if it is known which it should be.
    Verify(Name, Option<String>),
    /// Run a component's checks from end to end.
    Smoke(Name),
    /// Let requests to a component in.
    ReleaseTraffic(Name),
    /// Observe everything in order to decide the way back.
    Survey,
    /// Put a component's recorded revision in place.
    Revert(Name, String, Presence),
    /// Start so many instances of a component.
    Start(Name, u32),
    /// Restore this run's backup into an empty target beside the datastore.
    Fill(Name),
    /// Put the restored copy in the datastore's place.
    Switch(Name),
    /// Remove what a restore left beside the datastore.
    DiscardAside(Name),
    /// Remove a component's copy.
    DiscardCopy(Name),
}

/// Why a backup is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The way back of this run.
    BeforeUpgrade,
    /// What a failed upgrade left, kept before it is replaced.
    FailedState,
    /// What is there before a person's restore replaces it, kept as far as it can be read.
    BeforeRestore,
}

/// How a datastore is migrated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Migrate {
    /// The datastore.
    pub datastore: Name,
    /// The component whose plugin applies it; absent: the datastore's own.
    pub with: Option<Name>,
    /// What to apply.
    pub request: MigrateRequest,
}

/// What happens after a crash to an act whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing that anybody relies on: it is done anew.
    Freely,
    /// Its read-only twin is asked; unless it is done, it is done again, which is idempotent.
    AfterObserving,
    /// Its twin and the schema are asked; it is done only if nothing of it has happened.
    OnlyIfNotStarted,
}

impl Act {
    /// What the step is called on screen, in the journal and in reports.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Fetch(_) => "fetch",
            Self::HoldTraffic(_) | Self::Stop(_) => "hold",
            Self::BackUp(Purpose::BeforeUpgrade, _) => "back up",
            Self::BackUp(Purpose::FailedState | Purpose::BeforeRestore, _) => "keep",
            Self::Prove(..) => "prove",
            Self::Migrate(_) | Self::CheckSchema(..) => "migrate",
            Self::Apply(..) => "deploy",
            Self::Verify(..) | Self::Smoke(_) => "verify",
            Self::ReleaseTraffic(_) => "open",
            Self::Survey => "observe",
            Self::Revert(..) => "redeploy",
            Self::Start(..) => "start",
            Self::Fill(_) | Self::Switch(_) => "restore",
            Self::DiscardAside(_) | Self::DiscardCopy(_) => "discard",
        }
    }

    /// The component or datastore that it is about, if it is about one.
    #[must_use]
    pub fn subject(&self) -> Option<&Name> {
        match self {
            Self::Check | Self::Survey | Self::BackUp(..) => None,
            Self::Fetch(name)
            | Self::HoldTraffic(name)
            | Self::Stop(name)
            | Self::Prove(name, _)
            | Self::Apply(name, _)
            | Self::CheckSchema(name, _)
            | Self::Verify(name, _)
            | Self::Smoke(name)
            | Self::ReleaseTraffic(name)
            | Self::Revert(name, ..)
            | Self::Start(name, _)
            | Self::Fill(name)
            | Self::Switch(name)
            | Self::DiscardAside(name)
            | Self::DiscardCopy(name) => Some(name),
            Self::Migrate(migrate) => Some(&migrate.datastore),
        }
    }

    /// Whether people can notice it: afterwards, stopping needs a way back.
    #[must_use]
    pub fn changes_the_stack(&self) -> bool {
        !matches!(
            self,
            Self::Check
                | Self::Fetch(_)
                | Self::BackUp(..)
                | Self::Prove(..)
                | Self::CheckSchema(..)
                | Self::Verify(..)
                | Self::Smoke(_)
                | Self::Survey
        )
    }

    /// Whether it can destroy data, so that a proven backup of this run must exist before it.
    #[must_use]
    pub fn needs_proof(&self) -> bool {
        matches!(self, Self::Migrate(_) | Self::Apply(..) | Self::Switch(_) | Self::DiscardAside(_))
    }

    /// What happens to it after a crash when its outcome is not known.
    #[must_use]
    pub fn repeat(&self) -> Repeat {
        match self {
            Self::Migrate(_) => Repeat::OnlyIfNotStarted,
            Self::Check
            | Self::Prove(..)
            | Self::CheckSchema(..)
            | Self::Verify(..)
            | Self::Smoke(_)
            | Self::Survey => Repeat::Freely,
            _ => Repeat::AfterObserving,
        }
    }

    /// The change of the `deploy` interface that it is, if it is one.
    #[must_use]
    pub fn deploy_change(&self) -> Option<(&Name, DeployChange)> {
        match self {
            Self::Fetch(name) => Some((name, DeployChange::Prefetch)),
            Self::HoldTraffic(name) => Some((name, DeployChange::HoldTraffic)),
            Self::Stop(name) => Some((name, DeployChange::Stop)),
            Self::Apply(name, wave) => Some((name, DeployChange::Apply(*wave))),
            Self::ReleaseTraffic(name) => Some((name, DeployChange::ReleaseTraffic)),
            Self::Revert(name, revision, presence) => {
                Some((name, DeployChange::Revert(revision.clone(), *presence)))
            }
            Self::Start(name, instances) => Some((name, DeployChange::Start(*instances))),
            Self::DiscardCopy(name) => Some((name, DeployChange::Discard)),
            _ => None,
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check => formatter.write_str("preflights"),
            Self::Fetch(name) | Self::Smoke(name) => write!(formatter, "{name}"),
            Self::HoldTraffic(name) => write!(formatter, "requests to {name}"),
            Self::Stop(name) => write!(formatter, "{name}, all instances stopped"),
            Self::BackUp(_, names) => {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                formatter.write_str(&names.join(", "))
            }
            Self::Prove(name, level) => write!(formatter, "{name} at level {level}"),
            Self::Migrate(migrate) => match &migrate.request.expected {
                Some(version) => write!(formatter, "{} to schema {version}", migrate.datastore),
                None => write!(formatter, "{}", migrate.datastore),
            },
            Self::Apply(name, wave) => {
                write!(formatter, "{name}, wave {} of {}", wave.number, wave.of)
            }
            Self::CheckSchema(name, Some(version)) => {
                write!(formatter, "{name} has schema {version}")
            }
            Self::CheckSchema(name, None) => write!(formatter, "{name} has the schema it had"),
            Self::Verify(name, Some(version)) => write!(formatter, "{name} {version}"),
            Self::Verify(name, None) => write!(formatter, "{name}"),
            Self::ReleaseTraffic(name) => write!(formatter, "requests to {name}"),
            Self::Survey => formatter.write_str("components and datastores"),
            Self::Revert(name, revision, Presence::Running) => {
                write!(formatter, "{name} at revision {revision}")
            }
            Self::Revert(name, revision, Presence::Stopped) => {
                write!(formatter, "{name} at revision {revision}, not started yet")
            }
            Self::Start(name, instances) => write!(formatter, "{name}, {instances} instances"),
            Self::Fill(name) => write!(formatter, "{name} into an empty target"),
            Self::Switch(name) => write!(formatter, "{name} put in place"),
            Self::DiscardAside(name) => write!(formatter, "what was set aside of {name}"),
            Self::DiscardCopy(name) => write!(formatter, "the copy of {name}"),
        }
    }
}

/// How an act ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is done, and this was learnt.
    Done(Answer),
    /// It failed.
    Failed(Failure),
}

/// What was learnt by an act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing beyond that it is done.
    Nothing,
    /// A sentence for people.
    Text(String),
    /// A backup set was published.
    BackedUp {
        /// Its id.
        set: String,
        /// Bytes of each datastore before and after compression.
        bytes: BTreeMap<Name, (u64, u64)>,
        /// Datastores that could not be read, and why; only what is kept before a restore may
        /// lack some.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        left_out: BTreeMap<Name, String>,
    },
    /// A proof was reached.
    Proven {
        /// Its level.
        level: ProofLevel,
        /// Figures that were found equal.
        figures: Vec<Figure>,
        /// Answers of the check queries.
        answers: Vec<String>,
    },
    /// A schema was observed.
    Schema(Option<Schema>),
    /// Measurements were taken.
    Measured(Vec<Measurement>),
    /// Everything was observed.
    Surveyed(Survey),
}

/// What is observed before the way back is decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Survey {
    /// The schema of each datastore; the text says why it could not be read.
    pub schemas: BTreeMap<Name, Result<Option<Schema>, String>>,
    /// What runs of each component; the text says why that could not be told.
    pub running: BTreeMap<Name, Result<Running, String>>,
}

/// Why an act failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// The number of the error's page.
    pub code: u16,
    /// What happened, a lower-case sentence.
    pub message: String,
    /// Its causes, outermost first.
    pub causes: Vec<String>,
    /// Whether the platform cannot tell what happened: the run holds.
    pub unknown: bool,
}

impl Failure {
    /// A failure with one cause from what plugin and platform said.
    #[must_use]
    pub fn new(code: u16, message: impl Into<String>, said: &Said) -> Self {
        let causes = [&said.message, &said.platform];
        Self {
            code,
            message: message.into(),
            causes: causes.into_iter().filter(|text| !text.trim().is_empty()).cloned().collect(),
            unknown: false,
        }
    }
}
