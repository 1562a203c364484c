//! Where a stack is: what runs, what the last run came to, who is at work, and how to go on.

use engine::act::Failure;
use engine::machine::Ending;
use jiff::Timestamp;
use journal::{Holder, Journal};
use model::Name;
use serde::Serialize;

use crate::carry_out::state_directory;
use crate::error::Error;
use crate::platform::Machinery;
use crate::record::{Run, replay};
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
    /// Its backup set.
    pub backup: Option<String>,
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
    let run = match journal.last_run()? {
        Some(last) => replay(&journal.records(Some(&last.id))?)?,
        None => None,
    };
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
        backup: machine.facts().set.clone(),
    }
}

fn next(run: Option<&Run>, holder: Option<&Holder>) -> Vec<String> {
    let commands: &[&str] = match (run.map(|run| run.machine.ending()), holder) {
        (_, Some(_)) => &["`vaultup hold` stops it before its next step"],
        (None, None) => &["`vaultup plan --to VERSION`"],
        (Some(None), None) => {
            &["`vaultup resume` goes on where it was interrupted", "`vaultup rollback` goes back"]
        }
        (Some(Some(Ending::Held(_))), None) => &[
            "`vaultup rollback` decides on the way back and takes it",
            "`vaultup resume` tries the step again at which it stopped",
        ],
        (Some(Some(Ending::Upgraded)), None) => {
            &["`vaultup verify`", "`vaultup rollback` goes back"]
        }
        (Some(Some(Ending::RolledBack | Ending::Unchanged(_))), None) => {
            &["`vaultup report`", "`vaultup plan --to VERSION`"]
        }
    };
    commands.iter().map(|text| (*text).to_owned()).collect()
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
