//! A plan: the content-addressed list of steps that a run carries out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::Name;
use model::contract::{ProofLevel, Target};
use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::snapshot::Snapshot;

/// The version of the plan's form. A plan of another form is refused.
pub const PLAN_FORMAT: u32 = 1;

/// The name of the copy that a rehearsal works on. One at a time: the journal's lock sees to it.
pub const REHEARSAL_COPY: &str = "rehearsal";

/// What is going to be done, to the last argument. Equal plans have equal ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// The stack.
    pub stack: Name,
    /// What the plan is for.
    pub intent: Intent,
    /// The version that runs.
    pub from: String,
    /// The version that is to run.
    pub to: String,
    /// What must still be so when the plan is run.
    pub preconditions: Preconditions,
    /// What was observed when the plan was made.
    pub snapshot: Snapshot,
    /// What the decision needs to know of each datastore.
    pub datastores: BTreeMap<Name, DatastorePlan>,
    /// Components, datastores and what they need, in the order of start.
    pub order: Vec<Name>,
    /// How long one operation on each of them may take.
    pub within: BTreeMap<Name, Duration>,
    /// The components that have checks from end to end.
    pub smoke: Vec<Name>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Index of the first step that changes data so that the way back needs the backup.
    pub point_of_no_return: Option<usize>,
    /// How long it will take.
    pub estimate: Estimate,
    /// The set that a [`Intent::Restore`] restores; absent: this run's own.
    pub restore_from: Option<String>,
    /// How much a restore may lose.
    pub loss_budget: Duration,
    /// Whether a failure holds instead of deciding the way back.
    pub hold_on_failure: bool,
}

/// What a plan is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// To upgrade the stack that people use.
    Upgrade,
    /// To upgrade a copy and to bring it back; afterwards the copy is gone.
    Rehearsal,
    /// To restore a backup set over what is there.
    Restore,
}

impl Intent {
    /// What the steps that change something act on.
    #[must_use]
    pub fn target(&self) -> Target {
        match self {
            Self::Upgrade | Self::Restore => Target::Live,
            Self::Rehearsal => Target::Copy(REHEARSAL_COPY.to_owned()),
        }
    }
}

/// What must still be so when a plan is run. Digests are `blake3:hex`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Preconditions {
    /// The stack file and the release files, by the path that the operator knows.
    pub files: BTreeMap<String, String>,
    /// The plugins.
    pub plugins: BTreeMap<Name, String>,
    /// The tools that the plugins run, by resolved path.
    pub tools: BTreeMap<String, String>,
}

/// What the decision needs to know of a datastore, beyond what is observed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatastorePlan {
    /// The components that write to it.
    pub written_by: Vec<Name>,
    /// The component that migrates it when it starts.
    pub migrated_at_start_by: Option<Name>,
    /// The proof that its backup needs.
    pub proof_required: ProofLevel,
    /// The schema version that the next release expects.
    pub expected: Option<String>,
    /// Whether the release declares that the previous one runs on the migrated schema.
    pub declared_compatible: bool,
    /// Whether a rehearsal showed it.
    pub rehearsed_compatible: bool,
    /// Whether its plugin can restore.
    pub restorable: bool,
    /// The component that it lives in: it must run while the datastore is backed up or restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lives_in: Option<Name>,
    /// Why its writers are stopped from before the backup until it is migrated; absent: they go
    /// on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<WhyHeld>,
}

/// Why the writers of a datastore are stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyHeld {
    /// The previous release may not survive the migration.
    Migration,
    /// Migrating a table of this size would lock it for too long.
    LargeTable {
        /// The largest.
        table: String,
        /// Its bytes.
        bytes: u64,
    },
    /// It cannot be copied at one moment while they write.
    Moments,
}

impl fmt::Display for WhyHeld {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration => {
                formatter.write_str("the previous release may not run on the migrated schema")
            }
            Self::LargeTable { table, bytes } => {
                write!(formatter, "{table} has {bytes} bytes, and migrating it takes downtime")
            }
            Self::Moments => {
                formatter.write_str("it cannot be copied at one moment while they write")
            }
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// What it does.
    pub act: Act,
    /// What it acts on.
    pub target: Target,
    /// How long it may take.
    pub within: Duration,
    /// The exact commands that it would run, as its plugin says.
    pub commands: Vec<Vec<String>>,
    /// How it is undone, for people.
    pub way_back: String,
    /// Whether the run goes on if it fails; only a rehearsal asks questions that way.
    pub may_fail: bool,
}

/// How long it will take and how long people will notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Estimate {
    /// Of the whole run.
    pub total_seconds: u64,
    /// During which writers or requests are held.
    pub held_seconds: u64,
    /// Of the way back after the point of no return.
    pub way_back_seconds: u64,
}

/// How long observing everything may take.
const SURVEY_WITHIN: Duration = Duration::from_secs(120);

impl Step {
    /// A step on the live stack that no plan lists: it runs no command of its own.
    #[must_use]
    pub fn plain(act: Act, within: Duration) -> Self {
        Self {
            act,
            target: Target::Live,
            within,
            commands: Vec::new(),
            way_back: String::new(),
            may_fail: false,
        }
    }

    /// Whether it can destroy data, so that a proven backup of this run must exist before it.
    /// Removing a copy is always allowed: nobody's data lies there.
    #[must_use]
    pub fn needs_proof(&self) -> bool {
        let removes_copy = self.target != Target::Live && matches!(self.act, Act::DiscardAside(_));
        self.act.needs_proof() && !removes_copy
    }
}

impl Plan {
    /// The datastores that a component migrates when it starts.
    #[must_use]
    pub fn migrated_at_start_by(&self, component: &Name) -> Vec<Name> {
        let by_it = |its: &DatastorePlan| its.migrated_at_start_by.as_ref() == Some(component);
        let named = self.datastores.iter().filter(|(_, its)| by_it(its));
        named.map(|(name, _)| name.clone()).collect()
    }

    /// Whether one of the datastores lives in a component: a database server, by itself no writer.
    #[must_use]
    pub fn is_home(&self, component: &Name) -> bool {
        self.datastores.values().any(|its| its.lives_in.as_ref() == Some(component))
    }

    /// How long observing everything may take.
    #[must_use]
    pub fn survey_within(&self) -> Duration {
        SURVEY_WITHIN
    }

    /// How long an operation on a component or datastore may take.
    #[must_use]
    pub fn within(&self, name: &Name) -> Duration {
        self.within.get(name).copied().unwrap_or(SURVEY_WITHIN)
    }

    /// The components of the stack in the order of start.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &Name> {
        self.order.iter().filter(|name| self.snapshot.components.contains_key(*name))
    }

    /// The plan's id: the first 16 hexadecimal digits of BLAKE3 over its canonical JSON.
    ///
    /// Canonical: fields in the order of these types, maps in the order of their keys.
    ///
    /// # Errors
    /// None in practice; JSON of these types always exists.
    pub fn id(&self) -> Result<String, serde_json::Error> {
        let bytes = serde_json::to_vec(self)?;
        Ok(blake3::hash(&bytes).to_hex()[..16].to_owned())
    }
}
