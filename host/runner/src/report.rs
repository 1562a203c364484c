//! The record of a run for people and programs: steps, times, the decision and its inputs.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use engine::act::{Answer, Failure, Outcome};
use engine::decision::Decision;
use engine::machine::Ending;
use jiff::Timestamp;
use journal::Journal;
use model::Name;
use model::duration::show_duration;
use serde::Serialize;

use crate::carry_out::{run_named, state_directory};
use crate::error::Error;
use crate::platform::Machinery;
use crate::record::{Beginning, Ended, Intent, Ran, body, runs_newest_first};

/// A run, told from its beginning.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// The version of this form.
    pub format: u32,
    /// The stack.
    pub stack: Name,
    /// The run's id.
    pub run: String,
    /// The plan's id.
    pub plan: String,
    /// The version of vaultup that began it.
    pub vaultup: String,
    /// The version that ran.
    pub from: String,
    /// The version that was to run.
    pub to: String,
    /// When it began.
    pub began: Timestamp,
    /// When something was last recorded.
    pub last: Timestamp,
    /// How it ended.
    pub ending: Option<Ending>,
    /// Its state in a word or two.
    pub state: String,
    /// What made it leave its way.
    pub failure: Option<Failure>,
    /// The way back that was decided, with its inputs.
    pub decision: Option<Decision>,
    /// The backup set of the run, and the one that keeps what a failed upgrade left.
    pub backups: Vec<String>,
    /// Plugins and their digests.
    pub plugins: std::collections::BTreeMap<Name, String>,
    /// What was done, in order.
    pub steps: Vec<StepReport>,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepReport {
    /// Its number.
    pub number: u32,
    /// What it did.
    pub what: String,
    /// When it was begun.
    pub began: Timestamp,
    /// How long it took; absent if its end was never seen.
    pub milliseconds: Option<u64>,
    /// How it ended; absent if that is not known.
    pub outcome: Option<Outcome>,
    /// Whether the outcome was found out after a crash.
    pub recovered: bool,
    /// What ran.
    pub commands: Vec<Ran>,
    /// What the plugin said, and what it ran said: the last lines.
    pub log: VecDeque<String>,
}

/// The report of a run: the last one, or the one whose id begins so.
///
/// # Errors
/// [`Error::NoSuchRun`], [`Error::Journal`].
pub fn report(machinery: &Machinery, stack: &Name, id: Option<&str>) -> Result<Report, Error> {
    let directory = state_directory(machinery, stack);
    let journal = match Journal::open_read_only(&directory) {
        Err(journal::Error::Missing { .. }) => {
            return Err(id.map_or(Error::NoRunYet, |id| Error::NoSuchRun(id.to_owned())));
        }
        other => other?,
    };
    let run = match id {
        Some(id) => run_named(&journal, id)?,
        None => runs_newest_first(&journal).next().ok_or(Error::NoRunYet)??,
    };
    let records = journal.records(Some(&run.id))?;
    let first = records.first().ok_or_else(|| Error::NoSuchRun(run.id.clone()))?;
    let beginning: Beginning = body(first)?;
    let machine = &run.machine;
    let facts = machine.facts();
    Ok(Report {
        format: 1,
        stack: stack.clone(),
        run: run.id.clone(),
        plan: beginning.plan_id,
        vaultup: beginning.vaultup,
        from: machine.plan().from.clone(),
        to: machine.plan().to.clone(),
        began: run.began,
        last: run.last,
        ending: machine.ending().cloned(),
        state: machine.state().to_owned(),
        failure: machine.failure().cloned(),
        decision: machine.decision().cloned(),
        backups: facts.set.iter().chain(&facts.kept).cloned().collect(),
        plugins: machine.plan().preconditions.plugins.clone(),
        steps: steps(&records)?,
    })
}

impl Report {
    /// The report as Markdown, to be copied into a ticket.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        // Writing to a text cannot fail.
        let _ = self.write(&mut text);
        text
    }

    /// Failures of steps other than the one that made the run leave its way: of its way back, or
    /// of holding.
    fn failed_afterwards(&self) -> impl Iterator<Item = &Failure> {
        let failures = self.steps.iter().filter_map(|step| match &step.outcome {
            Some(Outcome::Failed(failure)) => Some(failure),
            _ => None,
        });
        failures.filter(|&failure| Some(failure) != self.failure.as_ref())
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { stack, run, from, to, state, .. } = self;
        writeln!(text, "# {stack} {from} → {to}: {state}\n")?;
        writeln!(text, "- run `{run}`, plan `{}`, vaultup {}", self.plan, self.vaultup)?;
        writeln!(text, "- began {}, last recorded {}", self.began, self.last)?;
        for set in &self.backups {
            writeln!(text, "- backup set `{set}`")?;
        }
        for (plugin, digest) in &self.plugins {
            writeln!(text, "- plugin {plugin} `{digest}`")?;
        }
        if let Some(failure) = &self.failure {
            writeln!(text, "\n## What failed")?;
            write_failure(text, failure)?;
        }
        if let Some(Ending::Held(reason)) = &self.ending {
            writeln!(text, "\n## Why it holds\n\n{reason}")?;
        }
        let mut afterwards = self.failed_afterwards().peekable();
        if afterwards.peek().is_some() {
            writeln!(text, "\n## What failed afterwards")?;
        }
        afterwards.try_for_each(|failure| write_failure(text, failure))?;
        if let Some(decision) = &self.decision {
            write_decision(text, decision)?;
        }
        writeln!(text, "\n## Steps\n\n| # | step | took | outcome |\n|---|---|---|---|")?;
        for step in &self.steps {
            let took = step.milliseconds.map_or("–".to_owned(), |ms| format!("{ms} ms"));
            let outcome = shown(step);
            writeln!(text, "| {} | {} | {took} | {outcome} |", step.number, step.what)?;
        }
        writeln!(text, "\n## Commands\n")?;
        for step in self.steps.iter().filter(|step| !step.commands.is_empty()) {
            for ran in &step.commands {
                writeln!(text, "- {}: `{}` → {}", step.number, ran.argv.join(" "), ran.exit)?;
            }
        }
        writeln!(text, "\n## Logs")?;
        for step in self.steps.iter().filter(|step| !step.log.is_empty()) {
            writeln!(text, "\n{}: {}\n", step.number, step.what)?;
            // Indented, no line can end the block.
            step.log.iter().try_for_each(|line| writeln!(text, "    {line}"))?;
        }
        Ok(())
    }
}

fn write_failure(text: &mut String, failure: &Failure) -> std::fmt::Result {
    writeln!(text, "\n{} (VU{:04})", failure.message, failure.code)?;
    let mut causes = failure.causes.iter().map(|cause| cause.trim().replace('\n', "\n  "));
    causes.try_for_each(|cause| writeln!(text, "- {cause}"))
}

fn write_decision(text: &mut String, decision: &Decision) -> std::fmt::Result {
    writeln!(text, "\n## Decision: {}\n\nBecause {}.", decision.choice(), decision.reason())?;
    if decision.datastores.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n| datastore | schema | migration | previous release | proof | loss | choice |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for (name, (input, choice)) in &decision.datastores {
        let proof = input.proof.map_or("none".to_owned(), |proof| proof.to_string());
        // The budget of somebody who accepts every loss has no end.
        let budget = match input.loss_budget {
            Duration::MAX => "any".to_owned(),
            budget => show_duration(budget),
        };
        writeln!(
            text,
            "| {name} | {} | {} | {} | {proof} of {} | {} of {budget} | {choice} |",
            word(&input.schema),
            word(&input.migration),
            word(&input.previous_runs),
            input.proof_required,
            show_duration(input.loss),
        )?;
    }
    Ok(())
}

fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn shown(step: &StepReport) -> String {
    let found = if step.recovered { " (found out after an interruption)" } else { "" };
    let outcome = match &step.outcome {
        None => "not known".to_owned(),
        Some(Outcome::Failed(failure)) => format!("failed: {}", failure.message),
        Some(Outcome::Done(answer)) => match answer {
            Answer::Text(said) => format!("done: {said}"),
            Answer::BackedUp { set, .. } => format!("done: set {set}"),
            Answer::Proven { level, .. } => format!("done: proof {level}"),
            Answer::Schema(Some(schema)) => {
                format!("done: schema {}", schema.version.as_deref().unwrap_or("none"))
            }
            _ => "done".to_owned(),
        },
    };
    (outcome + found).replace('|', "\\|").replace('\n', " ")
}

fn steps(records: &[journal::Record]) -> Result<Vec<StepReport>, Error> {
    let mut steps: Vec<StepReport> = Vec::new();
    for record in records {
        match record.kind.as_str() {
            "begun" => {
                let intent: Intent = body(record)?;
                steps.push(StepReport {
                    number: intent.effect,
                    what: intent.what,
                    began: record.at,
                    milliseconds: None,
                    outcome: None,
                    recovered: false,
                    commands: Vec::new(),
                    log: VecDeque::new(),
                });
            }
            "finished" => {
                let ended: Ended = body(record)?;
                let step = steps.iter_mut().rev().find(|step| step.number == ended.effect);
                if let Some(step) = step {
                    step.milliseconds = Some(ended.milliseconds);
                    step.outcome = Some(ended.outcome);
                    step.recovered = ended.recovered;
                    step.commands = ended.commands;
                    step.log = ended.log;
                }
            }
            _ => {}
        }
    }
    Ok(steps)
}
