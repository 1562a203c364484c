//! What the journal holds of a run, and how a run is read back from it.
//!
//! | kind | body | when |
//! |---|---|---|
//! | `run-begun` | [`Beginning`] | once, first |
//! | `begun` | [`Intent`] | before each effect |
//! | `file-edit` | path, act and what was there before | before a plugin edits a file |
//! | `finished` | [`Ended`] | after each effect |
//! | `asked` | [`engine::Request`] | when a person asks for something |
//! | `decided` | the decision with its inputs | when the way back is chosen; derived |
//! | `ended` | the ending | when the run ends; derived |
//! | `rehearsed` | [`Rehearsed`] | when a rehearsal came there and back |
//!
//! Derived records are for people and reports: replaying does not read them.

use std::collections::VecDeque;

use engine::act::Outcome;
use engine::machine::{Ending, Event, Machine, Request};
use engine::plan::{Intent as PlanIntent, Plan};
use jiff::Timestamp;
use journal::{Journal, Record};
use model::Name;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The first record of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Beginning {
    /// The plan that is carried out.
    pub plan: Plan,
    /// Its id.
    pub plan_id: String,
    /// The version of vaultup that began it.
    pub vaultup: String,
}

/// The intent to perform an effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Intent {
    /// The effect's number.
    pub effect: u32,
    /// Its idempotency key.
    pub key: String,
    /// What it is, for people.
    pub what: String,
}

/// The outcome of an effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// The effect's number.
    pub effect: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub milliseconds: u64,
    /// Whether the outcome was found out after a crash instead of being seen.
    pub recovered: bool,
    /// What ran.
    pub commands: Vec<Ran>,
    /// What the plugin said, and what it ran said: the last lines.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub log: VecDeque<String>,
}

/// A command that ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ran {
    /// Its arguments, without secrets.
    pub argv: Vec<String>,
    /// How it ended; empty if that was not seen.
    pub exit: String,
    /// How long it took.
    pub milliseconds: u64,
}

/// What a rehearsal showed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rehearsed {
    /// The version that it began with.
    pub from: String,
    /// The version that it came to.
    pub to: String,
    /// Datastores on whose migrated schema the previous release ran.
    pub previous_runs_on: Vec<Name>,
}

/// A run as the journal tells it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub machine: Machine,
    /// When it began.
    pub began: Timestamp,
    /// When something was last recorded.
    pub last: Timestamp,
}

/// Reads a run back.
///
/// # Errors
/// [`Error::Record`] when a record is not what this version writes, or does not fit.
pub fn replay(records: &[Record]) -> Result<Option<Run>, Error> {
    let Some(first) = records.first() else { return Ok(None) };
    if first.kind != "run-begun" {
        return Ok(None);
    }
    let beginning: Beginning = body(first)?;
    let (mut machine, _) = Machine::begin(beginning.plan);
    let mut last = first.at;
    for record in records.get(1..).unwrap_or(&[]) {
        last = record.at;
        let event = match record.kind.as_str() {
            "begun" => Event::Begun { effect: body::<Intent>(record)?.effect },
            "finished" => {
                let ended: Ended = body(record)?;
                Event::Finished { effect: ended.effect, outcome: ended.outcome }
            }
            "asked" => Event::Asked(body::<Request>(record)?),
            _ => continue,
        };
        machine.handle(event, record.at).map_err(|refused| Error::Record {
            sequence: record.sequence.0,
            reason: refused.to_string(),
        })?;
    }
    Ok(Some(Run { id: first.run.clone(), machine, began: first.at, last }))
}

/// The runs of a journal, the one that was last worked on first; what a person's `backup` recorded
/// is none.
pub fn runs_newest_first(journal: &Journal) -> impl Iterator<Item = Result<Run, Error>> {
    let (mut runs, failed) = match journal.runs() {
        Ok(runs) => (runs, None),
        Err(error) => (Vec::new(), Some(Err(error.into()))),
    };
    runs.sort_by_key(|run| std::cmp::Reverse(run.last.sequence));
    let runs = runs.into_iter().filter_map(|run| {
        let records = journal.records(Some(&run.id)).map_err(Error::from);
        records.and_then(|records| replay(&records)).transpose()
    });
    failed.into_iter().chain(runs)
}

/// The run that a stack stands in: the last one, unless that was a restore that changed nothing;
/// then it is the one before.
///
/// # Errors
/// [`Error::Journal`]; [`Error::Record`] when it cannot be read back.
pub fn standing_run(journal: &Journal) -> Result<Option<Run>, Error> {
    let mut last = None;
    for run in runs_newest_first(journal) {
        let run = run?;
        let is_restore = run.machine.plan().intent == PlanIntent::Restore;
        if !is_restore || !matches!(run.machine.ending(), Some(Ending::Unchanged(_))) {
            return Ok(Some(run));
        }
        last.get_or_insert(run);
    }
    Ok(last)
}

/// The body of a record.
///
/// # Errors
/// [`Error::Record`] when it is not what this version writes.
pub fn body<T: for<'a> Deserialize<'a>>(record: &Record) -> Result<T, Error> {
    T::deserialize(&record.body)
        .map_err(|error| Error::Record { sequence: record.sequence.0, reason: error.to_string() })
}
