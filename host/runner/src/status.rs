//! Where a stack is: what runs, what the last run came to, who is at work, and how to go on.

use std::collections::BTreeMap;

use engine::act::Failure;
use engine::decision::HoldReason;
use engine::machine::{Ending, Machine};
use engine::plan::Intent;
use jiff::Timestamp;
use journal::{Holder, Journal};
use model::Name;
use model::duration::show_duration;
use serde::Serialize;

use crate::carry_out::state_directory;
use crate::error::Error;
use crate::platform::Machinery;
use crate::record::{Run, replay, standing_run};
use crate::writer::is_alive;

/// Where a stack is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// The stack.
    pub stack: Name,
    /// The last run; absent before the first.
    pub run: Option<RunStatus>,
    /// Who carries a run out now.
    pub holder: Option<String>,
    /// What to type next.
    pub next: Vec<String>,
}

/// Where a run is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RunStatus {
    /// Its id.
    pub id: String,
    /// The version that ran.
    pub from: String,
    /// The version that is to run.
    pub to: String,
    /// Its state in one word or two.
    pub state: String,
    /// When it began.
    pub began: Timestamp,
    /// When something was last recorded.
    pub last: Timestamp,
    /// The step that is under way, or at which it was interrupted.
    pub step: Option<String>,
    /// What made it leave its way.
    pub failure: Option<Failure>,
    /// Why it holds.
    pub held: Option<String>,
    /// The backup set that it made, or that it restores.
    pub backup: Option<String>,
    /// Where a restore set aside what was live and left it, by datastore.
    pub aside: BTreeMap<Name, String>,
}

/// Where a stack is, from its journal alone.
///
/// # Errors
/// [`Error::Journal`] when the journal is damaged.
pub fn status(machinery: &Machinery, stack: &Name) -> Result<Status, Error> {
    let directory = state_directory(machinery, stack);
    let journal = match Journal::open_read_only(&directory) {
        Err(journal::Error::Missing { .. }) => {
            let next = vec!["`vaultup plan --to VERSION`".to_owned()];
            return Ok(Status { stack: stack.clone(), run: None, holder: None, next });
        }
        other => other?,
    };
    let run = standing_run(&journal)?;
    let holder = journal.holder()?.filter(|holder| is_alive(&holder.owner));
    let next = next(run.as_ref(), holder.as_ref());
    Ok(Status {
        stack: stack.clone(),
        run: run.map(of_run),
        holder: holder.map(|holder| shown(&holder)),
        next,
    })
}

/// Every run of a stack, oldest first.
///
/// # Errors
/// As [`status`].
pub fn history(machinery: &Machinery, stack: &Name) -> Result<Vec<RunStatus>, Error> {
    let journal = match Journal::open_read_only(&state_directory(machinery, stack)) {
        Err(journal::Error::Missing { .. }) => return Ok(Vec::new()),
        other => other?,
    };
    let mut runs = Vec::new();
    for summary in journal.runs()? {
        runs.extend(replay(&journal.records(Some(&summary.id))?)?.map(of_run));
    }
    Ok(runs)
}

fn of_run(run: Run) -> RunStatus {
    let machine = &run.machine;
    let held = match machine.ending() {
        Some(Ending::Held(reason)) => Some(reason.clone()),
        _ => None,
    };
    let step = machine
        .in_flight()
        .map(|effect| format!("{} {}", effect.step.act.phase(), effect.step.act));
    RunStatus {
        id: run.id,
        from: machine.plan().from.clone(),
        to: machine.plan().to.clone(),
        state: machine.state().to_owned(),
        began: run.began,
        last: run.last,
        step,
        failure: machine.failure().cloned(),
        held,
        backup: backup_of(machine).map(str::to_owned),
        aside: machine.facts().aside.clone(),
    }
}

fn next(run: Option<&Run>, holder: Option<&Holder>) -> Vec<String> {
    match (run, holder) {
        (_, Some(_)) => vec!["`vaultup hold` stops it before its next step".to_owned()],
        (None, None) => vec!["`vaultup plan --to VERSION`".to_owned()],
        (Some(run), None) => next_commands(&run.machine),
    }
}

/// The backup set that a run made, or that it restores.
#[must_use]
pub fn backup_of(machine: &Machine) -> Option<&str> {
    machine.plan().restore_from.as_deref().or(machine.facts().set.as_deref())
}

/// What can be typed in the state that a run is in, the most likely first.
#[must_use]
pub fn next_commands(machine: &Machine) -> Vec<String> {
    let to = &machine.plan().to;
    let all: Vec<String> = match (machine.ending(), &machine.plan().intent) {
        (None, Intent::Upgrade) => vec![
            "`vaultup resume` goes on where it was interrupted".to_owned(),
            "`vaultup rollback` goes back".to_owned(),
        ],
        (None, _) => vec!["`vaultup resume` goes on where it was interrupted".to_owned()],
        (Some(Ending::Held(_)), Intent::Upgrade) => held(machine),
        (Some(Ending::Held(_)), _) => vec![
            "`vaultup resume` tries the step again at which it stopped".to_owned(),
            ANOTHER_SET.to_owned(),
        ],
        (Some(Ending::Upgraded), Intent::Upgrade) => {
            vec!["`vaultup verify`".to_owned(), "`vaultup rollback` goes back".to_owned()]
        }
        (Some(Ending::Upgraded), Intent::Rehearsal) => vec![format!("`vaultup run --to {to}`")],
        (Some(Ending::Upgraded), Intent::Restore) => {
            vec!["`vaultup verify`".to_owned(), "`vaultup report`".to_owned()]
        }
        (Some(Ending::RolledBack | Ending::Unchanged(_)), Intent::Restore) => {
            vec!["`vaultup report`".to_owned(), ANOTHER_SET.to_owned()]
        }
        (Some(Ending::RolledBack | Ending::Unchanged(_)), _) => {
            vec!["`vaultup report`".to_owned(), format!("`vaultup plan --to {to}`")]
        }
    };
    all
}

/// What always remains: another backup.
const ANOTHER_SET: &str = "`vaultup restore SET` restores a set of `vaultup backup list`";

fn held(machine: &Machine) -> Vec<String> {
    let to = &machine.plan().to;
    let forward = format!("`vaultup resume` starts {to} again and goes on");
    match machine.held_by_decision() {
        Some(HoldReason::LossOverBudget) => {
            let lost = machine.decision().map(engine::Decision::at_stake).unwrap_or_default();
            let back = format!(
                "`vaultup rollback --accept-loss` goes back; what was written during {} is lost",
                show_duration(lost)
            );
            vec![back, forward]
        }
        Some(HoldReason::MigrationUnresolved) => {
            vec![
                "`vaultup rollback` decides again when the migration has ended".to_owned(),
                forward,
            ]
        }
        Some(HoldReason::NoBackup | HoldReason::ProofTooLow | HoldReason::NotRestorable) => {
            vec![forward, ANOTHER_SET.to_owned()]
        }
        None => vec![
            "`vaultup rollback` decides on the way back and takes it".to_owned(),
            "`vaultup resume` tries the step again at which it stopped".to_owned(),
            ANOTHER_SET.to_owned(),
        ],
    }
}

fn shown(holder: &Holder) -> String {
    format!(
        "{} on {}, process {}, since {}: {}",
        holder.owner.user,
        holder.owner.host,
        holder.owner.process_id,
        holder.since,
        holder.owner.command
    )
}
