//! The way back, chosen from what was observed.
//!
//! A pure function over a small table of inputs, tested over the whole table. What was observed
//! outranks what release notes claim: a schema that has not changed needs no restore however
//! «breaking» the release is called, and a «compatible» one that was never rehearsed gets one.
//!
//! 1. schema unchanged and no migration unresolved → redeploy
//! 2. changed, and the previous release is declared and was rehearsed to run on it → redeploy and
//!    keep the data
//! 3. changed, partial or unreadable → restore and redeploy, if the backup is proven well enough
//!    and the restore loses no more than allowed
//! 4. otherwise → hold: the new version stopped and requests held back (see [`crate::machine`])

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::Name;
use model::contract::{ProofLevel, Schema};
use serde::{Deserialize, Serialize};

/// What is known of one datastore when the way back is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Input {
    /// What became of its schema.
    pub schema: SchemaState,
    /// What is known of its migration.
    pub migration: MigrationState,
    /// Whether the previous release runs on the migrated schema.
    pub previous_runs: PreviousRuns,
    /// The proof that this run's backup of it has; absent: there is no backup of this run.
    pub proof: Option<ProofLevel>,
    /// The proof that it needs.
    pub proof_required: ProofLevel,
    /// What a restore would lose: how long writers could write since the backup.
    pub loss: Duration,
    /// What it may lose.
    pub loss_budget: Duration,
    /// Whether its plugin can restore.
    pub restorable: bool,
}

/// What became of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaState {
    /// It is as it was before the run.
    Unchanged,
    /// It is the one that the next release expects.
    Changed,
    /// It is neither.
    Partial,
    /// It could not be observed.
    Unreadable,
}

/// What is known of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationState {
    /// None was begun.
    NotBegun,
    /// One was begun, and it is not known whether it still goes on.
    Unresolved,
    /// One was begun and has ended, well or badly.
    Ended,
}

/// Whether the previous release runs on the migrated schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreviousRuns {
    /// Nothing is claimed, or the release is declared breaking.
    NotDeclared,
    /// It is declared, but no rehearsal showed it.
    Declared,
    /// It is declared, and a rehearsal showed it.
    Rehearsed,
}

/// The way back of one datastore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Redeploy the previous release; the data is as it was.
    Redeploy,
    /// Redeploy the previous release on the migrated data.
    RedeployKeepingData,
    /// Keep what the migration left, restore the backup, redeploy the previous release.
    RestoreAndRedeploy,
    /// Stop on purpose and wait for a person.
    Hold(HoldReason),
}

/// Why a way back is not taken without a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// A migration may still be going on.
    MigrationUnresolved,
    /// There is no backup of this run.
    NoBackup,
    /// The backup is not proven well enough.
    ProofTooLow,
    /// A restore would lose more than is allowed.
    LossOverBudget,
    /// The plugin cannot restore.
    NotRestorable,
}

impl fmt::Display for HoldReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MigrationUnresolved => "a migration may still be going on",
            Self::NoBackup => "there is no backup of this run",
            Self::ProofTooLow => "the backup is not proven well enough",
            Self::LossOverBudget => "a restore would lose more than the loss budget allows",
            Self::NotRestorable => "its plugin cannot restore",
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redeploy => formatter.write_str("redeploy"),
            Self::RedeployKeepingData => formatter.write_str("redeploy and keep the data"),
            Self::RestoreAndRedeploy => formatter.write_str("restore and redeploy"),
            Self::Hold(reason) => write!(formatter, "hold, because {reason}"),
        }
    }
}

/// The way back of the whole stack, with the inputs that led to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decision {
    /// Each datastore's inputs and choice.
    pub datastores: BTreeMap<Name, (Input, Choice)>,
}

impl Decision {
    /// Decides for every datastore.
    #[must_use]
    pub fn of(inputs: BTreeMap<Name, Input>) -> Self {
        let decided = inputs.into_iter().map(|(name, input)| {
            let choice = choose(&input);
            (name, (input, choice))
        });
        Self { datastores: decided.collect() }
    }

    /// The way back of the stack: the gravest of its datastores'.
    #[must_use]
    pub fn choice(&self) -> Choice {
        self.datastores.values().map(|(_, choice)| *choice).max().unwrap_or(Choice::Redeploy)
    }

    /// The datastores that are to be restored.
    #[must_use]
    pub fn restored(&self) -> Vec<Name> {
        let restores = |choice: &Choice| *choice == Choice::RestoreAndRedeploy;
        let named = self.datastores.iter().filter(|(_, (_, choice))| restores(choice));
        named.map(|(name, _)| name.clone()).collect()
    }

    /// What the restores lose: how long writers could write since the backup.
    #[must_use]
    pub fn lost(&self) -> Duration {
        let restored = self.datastores.values();
        let restored = restored.filter(|(_, choice)| *choice == Choice::RestoreAndRedeploy);
        restored.map(|(input, _)| input.loss).max().unwrap_or_default()
    }

    /// What restores would lose at most, whether or not they were chosen.
    #[must_use]
    pub fn at_stake(&self) -> Duration {
        self.datastores.values().map(|(input, _)| input.loss).max().unwrap_or_default()
    }

    /// Why, in one sentence for people.
    #[must_use]
    pub fn reason(&self) -> String {
        let choice = self.choice();
        let decisive = self.datastores.iter().find(|(_, (_, its))| *its == choice);
        let Some((name, (input, _))) = decisive else {
            return "the stack has no datastore".to_owned();
        };
        match choice {
            Choice::Redeploy => "no schema changed".to_owned(),
            Choice::RedeployKeepingData => {
                format!(
                    "the schema of {name} changed, and a rehearsal showed that the previous \
                         release runs on it"
                )
            }
            Choice::RestoreAndRedeploy => format!(
                "the schema of {name} {}, and the previous release {} on it",
                match input.schema {
                    SchemaState::Unchanged => "is as it was",
                    SchemaState::Changed => "changed",
                    SchemaState::Partial => "changed in part",
                    SchemaState::Unreadable => "cannot be read",
                },
                match input.previous_runs {
                    PreviousRuns::NotDeclared => "does not run",
                    PreviousRuns::Declared => "was never rehearsed to run",
                    PreviousRuns::Rehearsed => "was rehearsed to run only on a complete migration",
                }
            ),
            Choice::Hold(reason) => format!("{name}: {reason}"),
        }
    }
}

/// Chooses the way back of one datastore.
#[must_use]
pub fn choose(input: &Input) -> Choice {
    let unresolved = input.migration == MigrationState::Unresolved;
    match (input.schema, input.previous_runs) {
        (_, _) if unresolved => Choice::Hold(HoldReason::MigrationUnresolved),
        (SchemaState::Unchanged, _) => Choice::Redeploy,
        (SchemaState::Changed, PreviousRuns::Rehearsed) => Choice::RedeployKeepingData,
        (SchemaState::Changed | SchemaState::Partial | SchemaState::Unreadable, _) => {
            restore_or_hold(input)
        }
    }
}

/// What became of a schema, from what was seen before and after.
///
/// A datastore without a known schema counts as unchanged as long as no migration was begun.
#[must_use]
pub fn schema_state(
    before: Option<&Schema>,
    after: &Result<Option<Schema>, String>,
    expected: Option<&str>,
    migration: MigrationState,
) -> SchemaState {
    match (before, after) {
        (_, Err(_)) | (Some(_), Ok(None)) => SchemaState::Unreadable,
        (None, Ok(None)) if migration == MigrationState::NotBegun => SchemaState::Unchanged,
        (None, Ok(None)) => SchemaState::Unreadable,
        (_, Ok(Some(after))) if after.dirty => SchemaState::Partial,
        (Some(before), Ok(Some(after)))
            if before.fingerprint == after.fingerprint && before.version == after.version =>
        {
            SchemaState::Unchanged
        }
        (_, Ok(Some(after))) => match expected {
            Some(version) if after.version.as_deref() == Some(version) => SchemaState::Changed,
            _ => SchemaState::Partial,
        },
    }
}

fn restore_or_hold(input: &Input) -> Choice {
    if !input.restorable {
        return Choice::Hold(HoldReason::NotRestorable);
    }
    match input.proof {
        None => Choice::Hold(HoldReason::NoBackup),
        Some(proof) if proof < input.proof_required => Choice::Hold(HoldReason::ProofTooLow),
        Some(_) if input.loss > input.loss_budget => Choice::Hold(HoldReason::LossOverBudget),
        Some(_) => Choice::RestoreAndRedeploy,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{
        Choice, Decision, HoldReason, Input, MigrationState, PreviousRuns, SchemaState, choose,
        schema_state,
    };
    use model::Name;
    use model::contract::{ProofLevel, Schema};
    use std::time::Duration;

    const SCHEMAS: [SchemaState; 4] = [
        SchemaState::Unchanged,
        SchemaState::Changed,
        SchemaState::Partial,
        SchemaState::Unreadable,
    ];
    const MIGRATIONS: [MigrationState; 3] =
        [MigrationState::NotBegun, MigrationState::Unresolved, MigrationState::Ended];
    const PREVIOUS: [PreviousRuns; 3] =
        [PreviousRuns::NotDeclared, PreviousRuns::Declared, PreviousRuns::Rehearsed];
    const LEVELS: [ProofLevel; 4] =
        [ProofLevel::Exists, ProofLevel::Readable, ProofLevel::Checked, ProofLevel::Restored];

    /// Every input there is: the durations only matter by how they compare.
    fn whole_table() -> Vec<Input> {
        let proofs = || std::iter::once(None).chain(LEVELS.map(Some));
        let mut inputs = Vec::new();
        for schema in SCHEMAS {
            for migration in MIGRATIONS {
                for previous_runs in PREVIOUS {
                    for proof in proofs() {
                        for proof_required in LEVELS {
                            for loss_seconds in [0, 60, 61] {
                                for restorable in [true, false] {
                                    inputs.push(Input {
                                        schema,
                                        migration,
                                        previous_runs,
                                        proof,
                                        proof_required,
                                        loss: Duration::from_secs(loss_seconds),
                                        loss_budget: Duration::from_secs(60),
                                        restorable,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
        inputs
    }

    /// The four rules, written a second time as conditions instead of as a match.
    fn by_the_rules(input: &Input) -> Choice {
        let resolved = input.migration != MigrationState::Unresolved;
        let same = input.schema == SchemaState::Unchanged;
        let complete = input.schema == SchemaState::Changed;
        let proven = input.proof.is_some_and(|proof| proof >= input.proof_required);
        let affordable = input.loss <= input.loss_budget;
        if same && resolved {
            Choice::Redeploy
        } else if complete && resolved && input.previous_runs == PreviousRuns::Rehearsed {
            Choice::RedeployKeepingData
        } else if !same && resolved && proven && affordable && input.restorable {
            Choice::RestoreAndRedeploy
        } else {
            let reason = match () {
                () if !resolved => HoldReason::MigrationUnresolved,
                () if !input.restorable => HoldReason::NotRestorable,
                () if input.proof.is_none() => HoldReason::NoBackup,
                () if !proven => HoldReason::ProofTooLow,
                () => HoldReason::LossOverBudget,
            };
            Choice::Hold(reason)
        }
    }

    #[test]
    fn every_input_of_the_whole_table_is_decided_by_the_four_rules() {
        let table = whole_table();
        assert_eq!(table.len(), 4 * 3 * 3 * 5 * 4 * 3 * 2);
        for input in table {
            assert_eq!(choose(&input), by_the_rules(&input), "{input:?}");
        }
    }

    #[test]
    fn nothing_is_restored_without_a_proof_that_is_good_enough() {
        for input in whole_table() {
            if choose(&input) == Choice::RestoreAndRedeploy {
                assert!(input.proof.unwrap() >= input.proof_required, "{input:?}");
                assert!(input.loss <= input.loss_budget, "{input:?}");
            }
        }
    }

    #[test]
    fn the_gravest_datastore_decides_for_the_stack_and_hold_is_the_gravest() {
        let mut order: Vec<Choice> = whole_table().iter().map(choose).collect();
        order.sort();
        assert_eq!(order.first(), Some(&Choice::Redeploy));
        assert!(matches!(order.last(), Some(Choice::Hold(_))));
        let restore = whole_table()
            .into_iter()
            .find(|input| choose(input) == Choice::RestoreAndRedeploy)
            .unwrap();
        let keep = Input { schema: SchemaState::Unchanged, ..restore.clone() };
        let decision = Decision::of(
            [("a", keep), ("b", restore)]
                .into_iter()
                .map(|(name, input)| (Name::parse(name).unwrap(), input))
                .collect(),
        );
        assert_eq!(decision.choice(), Choice::RestoreAndRedeploy);
        assert_eq!(decision.restored(), [Name::parse("b").unwrap()]);
    }

    #[test]
    fn a_schema_is_changed_only_if_it_is_exactly_what_was_expected() {
        let schema = |version: &str, fingerprint: &str, dirty| Schema {
            version: Some(version.to_owned()),
            fingerprint: fingerprint.to_owned(),
            dirty,
            applied: Vec::new(),
        };
        let before = schema("2", "aa", false);
        let state = |after| schema_state(Some(&before), &after, Some("3"), MigrationState::Ended);
        assert_eq!(state(Ok(Some(schema("2", "aa", false)))), SchemaState::Unchanged);
        assert_eq!(state(Ok(Some(schema("3", "bb", false)))), SchemaState::Changed);
        assert_eq!(state(Ok(Some(schema("3", "bb", true)))), SchemaState::Partial);
        assert_eq!(state(Ok(Some(schema("2", "ab", false)))), SchemaState::Partial);
        assert_eq!(state(Ok(Some(schema("3", "aa", true)))), SchemaState::Partial);
        assert_eq!(state(Ok(None)), SchemaState::Unreadable);
        assert_eq!(state(Err("gone".to_owned())), SchemaState::Unreadable);
    }

    #[test]
    fn a_datastore_without_a_schema_is_unchanged_only_while_no_migration_was_begun() {
        let state = |migration| schema_state(None, &Ok(None), None, migration);
        assert_eq!(state(MigrationState::NotBegun), SchemaState::Unchanged);
        assert_eq!(state(MigrationState::Ended), SchemaState::Unreadable);
    }
}
