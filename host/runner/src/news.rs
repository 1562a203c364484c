//! What happens while a run is carried out, for whoever shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::act::Outcome;
use engine::decision::Decision;
use engine::machine::{Effect, Ending};
use engine::plan::Plan;
use model::Name;
use serde::Serialize;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "news")]
pub enum News {
    /// A run begins or goes on.
    Run {
        /// Its id.
        run: String,
        /// The version that ran.
        from: String,
        /// The version that is to run.
        to: String,
        /// The backup set that it restores, if a person asked for that.
        restores: Option<String>,
        /// How many steps it has ahead.
        steps: usize,
        /// Whether it goes on after an interruption.
        resumed: bool,
    },
    /// A step begins.
    Begun {
        /// The effect's number.
        number: u32,
        /// What kind of step it is.
        phase: String,
        /// What it is about.
        subject: String,
    },
    /// A step's outcome was missing and was found out.
    Recovered {
        /// The effect's number.
        number: u32,
        /// What was seen.
        seen: String,
    },
    /// How far a step is.
    Progress {
        /// Done so far.
        done: u64,
        /// In all, if known.
        total: Option<u64>,
        /// Of what.
        unit: String,
    },
    /// A line from a plugin or a tool.
    Log {
        /// The line, without secrets and control characters.
        line: String,
    },
    /// A step has ended.
    Ended {
        /// The effect's number.
        number: u32,
        /// What kind of step it was.
        phase: String,
        /// What it was about.
        subject: String,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        elapsed: Duration,
    },
    /// The way back was decided.
    Decided {
        /// What is done.
        choice: String,
        /// Why.
        reason: String,
        /// All inputs.
        decision: Decision,
    },
    /// The run has ended.
    Over {
        /// Its id.
        run: String,
        /// How.
        ending: Ending,
        /// In what state it is now, in a word or two.
        state: String,
        /// The backup set that it made, or that it restored.
        backup: Option<String>,
        /// Where a restore set aside what was live and left it, by datastore.
        aside: BTreeMap<Name, String>,
        /// What to type next.
        next: Vec<String>,
        /// What was lost by a restore: milliseconds during which people could write, rounded up, so
        /// that 0 means nothing.
        lost_ms: u64,
        /// How long it took in all.
        elapsed: Duration,
    },
}

/// Hears what happens.
pub trait Listener: Send + Sync {
    /// Something happened. Must not block.
    fn hear(&self, news: &News);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Listener for Silence {
    fn hear(&self, _news: &News) {}
}

/// The news that an effect begins.
#[must_use]
pub fn begun(effect: &Effect) -> News {
    News::Begun {
        number: effect.number,
        phase: effect.step.act.phase().to_owned(),
        subject: effect.step.act.to_string(),
    }
}

/// The news that an effect has ended.
#[must_use]
pub fn ended(effect: &Effect, outcome: &Outcome, elapsed: Duration) -> News {
    News::Ended {
        number: effect.number,
        phase: effect.step.act.phase().to_owned(),
        subject: effect.step.act.to_string(),
        outcome: outcome.clone(),
        elapsed,
    }
}

/// The news that a run begins or goes on.
#[must_use]
pub fn run(id: &str, plan: &Plan, steps: usize, resumed: bool) -> News {
    News::Run {
        run: id.to_owned(),
        from: plan.from.clone(),
        to: plan.to.clone(),
        restores: plan.restore_from.clone(),
        steps,
        resumed,
    }
}
