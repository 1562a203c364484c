//! Carries a plan out, event by event.
//!
//! | course | event | next |
//! |---|---|---|
//! | forward | step done | next step; after the last: ended `upgraded` |
//! | forward | step failed, nothing changed yet | ended `unchanged` |
//! | forward | step failed, outcome unknown or policy says hold | ended `held` |
//! | forward | step failed otherwise | surveying |
//! | surveying | survey done | decide: returning, or holding |
//! | surveying | survey failed | ended `held` |
//! | holding | step done or failed | next step; after the last: ended `held` |
//! | returning | step done | next step; after the last: ended `rolled-back` |
//! | returning | step failed | ended `held`; it never turns round again |
//! | cleaning (rehearsal) | step done or failed | next step; after the last: ended |
//! | any but ended and cleaning | asked to hold while nothing is begun | ended `held` (`unchanged` if nothing changed; a rehearsal: cleaning) |
//! | held | asked to go on | the step at which it stopped, again; first reopening, if the decision to hold had stopped something |
//! | reopening | step done | next step; after the last: forward |
//! | reopening | step failed | ended `held` |
//! | held, upgraded | asked to roll back | surveying |
//!
//! Holding is what a *decision* to hold does: the next release is stopped and requests are held
//! back, because nobody knows whether what it writes can be kept (see [`crate::way_back`]). A
//! person who asks a run to hold, and a policy that holds on failure, stop nothing that runs.
//!
//! One act is in flight at a time: first offered, then begun (its intent is in the journal), then
//! finished. Replaying the same events gives the same state.

mod asked;
mod holding;
mod restoring;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::act::{Act, Answer, Failure, Outcome, Survey};
use crate::decision::{Choice, Decision, HoldReason};
use crate::facts::Facts;
use crate::plan::{Intent, Plan, Step};
use crate::way_back;

/// The number of the page about a run that a person stopped before anything was changed.
pub const STOPPED_BY_A_PERSON: u16 = 426;

/// Something to be done: journal the intent, perform it, journal the outcome, and say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Effect {
    /// Counts from 1 within a run.
    pub number: u32,
    /// The number that its idempotency key is made of: its own, but for the later stages of a
    /// restore, which share the key of the stage that filled the target.
    pub key: u32,
    /// What is to be done.
    pub step: Step,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The intent to perform an effect is in the journal: from now on it may have happened.
    Begun {
        /// The effect's number.
        effect: u32,
    },
    /// An effect has ended.
    Finished {
        /// The effect's number.
        effect: u32,
        /// How.
        outcome: Outcome,
    },
    /// A person asked for something.
    Asked(Request),
}

/// What a person can ask of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Stop before the next effect, and keep everything safe.
    Hold,
    /// Go on where it stopped.
    GoOn,
    /// Decide on the way back and take it.
    RollBack {
        /// Restore even if that loses more than the loss budget.
        accept_loss: bool,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The next release runs and is verified (for a rehearsal: the copy came there and back).
    Upgraded,
    /// It failed before anything was changed.
    Unchanged(Failure),
    /// The previous release runs again and is verified.
    RolledBack,
    /// Stopped on purpose with the backup intact.
    Held(String),
}

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The effect is not the one in flight.
    #[error("effect {found} has ended, but effect {expected:?} is in flight")]
    NotInFlight {
        /// The effect in flight.
        expected: Option<u32>,
        /// The one that was reported.
        found: u32,
    },
    /// The request makes no sense in this state.
    #[error("the run cannot {request} now: it is {state}")]
    NotNow {
        /// What was asked.
        request: &'static str,
        /// What state the run is in.
        state: &'static str,
    },
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Course {
    Forward { at: usize },
    Surveying { failed_at: usize },
    Holding { steps: Vec<Step>, at: usize, reason: String, failed_at: usize },
    Reopening { steps: Vec<Step>, at: usize, then: usize },
    Returning { steps: Vec<Step>, at: usize, failed_at: usize },
    Cleaning { steps: Vec<Step>, at: usize, failure: Option<Failure> },
    Ended { ending: Ending, stopped: Box<Option<Course>> },
}

/// A run as it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Machine {
    plan: Plan,
    course: Course,
    facts: Facts,
    in_flight: Option<Effect>,
    begun: bool,
    issued: u32,
    failure: Option<Failure>,
    decision: Option<Decision>,
    loss_accepted: bool,
    /// What decisions to hold have stopped, until the run goes on or back.
    stilled: Vec<Step>,
}

impl Machine {
    /// Begins a plan, and says what to do first.
    #[must_use]
    pub fn begin(plan: Plan) -> (Self, Option<Effect>) {
        let mut machine = Self {
            plan,
            course: Course::Forward { at: 0 },
            facts: Facts::default(),
            in_flight: None,
            begun: false,
            issued: 0,
            failure: None,
            decision: None,
            loss_accepted: false,
            stilled: Vec::new(),
        };
        let effect = machine.issue();
        (machine, effect)
    }

    /// Takes an event in, and says what to do next; nothing when the run has ended.
    ///
    /// # Errors
    /// [`Refused`] when the event does not fit; the state is as it was.
    pub fn handle(&mut self, event: Event, now: Timestamp) -> Result<Option<Effect>, Refused> {
        match event {
            Event::Begun { effect } => {
                self.begun(effect, now)?;
                return Ok(None);
            }
            Event::Finished { effect, outcome } => self.finished(effect, outcome, now)?,
            Event::Asked(request) => self.asked(request)?,
        }
        Ok(self.issue())
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was learnt.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The effect that is offered or begun.
    #[must_use]
    pub fn in_flight(&self) -> Option<&Effect> {
        self.in_flight.as_ref()
    }

    /// Whether the effect in flight was begun, so that it may have happened.
    #[must_use]
    pub fn in_flight_is_begun(&self) -> bool {
        self.begun
    }

    /// Whether a rehearsal's copy is being removed after a failure: nothing stops that.
    #[must_use]
    pub fn is_cleaning_up(&self) -> bool {
        matches!(self.course, Course::Cleaning { .. })
    }

    /// How the run ended, if it has.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        match &self.course {
            Course::Ended { ending, .. } => Some(ending),
            _ => None,
        }
    }

    /// What made the run leave its way forward.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The way back that was decided, with its inputs.
    #[must_use]
    pub fn decision(&self) -> Option<&Decision> {
        self.decision.as_ref()
    }

    /// Why the decision about the way back was to hold, if the run holds because of it.
    #[must_use]
    pub fn held_by_decision(&self) -> Option<HoldReason> {
        let Course::Ended { ending: Ending::Held(_), stopped } = &self.course else { return None };
        match (stopped.as_ref(), self.decision.as_ref()?.choice()) {
            (Some(Course::Holding { .. }), Choice::Hold(reason)) => Some(reason),
            _ => None,
        }
    }

    /// What state the run is in, in one word.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match &self.course {
            Course::Forward { .. } => match self.plan.intent {
                Intent::Upgrade => "upgrading",
                Intent::Rehearsal => "rehearsing",
                Intent::Restore => "restoring",
            },
            Course::Surveying { .. } => "deciding",
            Course::Holding { .. } => "holding",
            Course::Reopening { .. } => "going on",
            Course::Returning { .. } => "rolling back",
            Course::Cleaning { .. } => "cleaning up",
            Course::Ended { ending, .. } => match ending {
                Ending::Upgraded => match self.plan.intent {
                    Intent::Upgrade => "upgraded",
                    Intent::Rehearsal => "rehearsed",
                    Intent::Restore => "restored",
                },
                Ending::Unchanged(_) => "unchanged",
                Ending::RolledBack => "rolled back",
                Ending::Held(_) => "held",
            },
        }
    }

    /// The steps that are still to come on the present course, the one in flight included.
    #[must_use]
    pub fn remaining(&self) -> &[Step] {
        let (steps, at) = match &self.course {
            Course::Forward { at } => (&self.plan.steps, *at),
            Course::Holding { steps, at, .. }
            | Course::Reopening { steps, at, .. }
            | Course::Returning { steps, at, .. }
            | Course::Cleaning { steps, at, .. } => (steps, *at),
            Course::Surveying { .. } | Course::Ended { .. } => return &[],
        };
        steps.get(at..).unwrap_or(&[])
    }

    fn begun(&mut self, number: u32, now: Timestamp) -> Result<(), Refused> {
        match &self.in_flight {
            Some(effect) if effect.number == number && !self.begun => {
                self.facts.begun(&self.plan, number, &effect.step.act, now);
                self.begun = true;
                Ok(())
            }
            other => {
                let expected = other.as_ref().map(|effect| effect.number);
                Err(Refused::NotInFlight { expected, found: number })
            }
        }
    }

    fn finished(&mut self, number: u32, outcome: Outcome, now: Timestamp) -> Result<(), Refused> {
        let effect = match self.in_flight.take() {
            Some(effect) if effect.number == number && self.begun => effect,
            other => {
                let expected = other.as_ref().map(|effect| effect.number);
                self.in_flight = other;
                return Err(Refused::NotInFlight { expected, found: number });
            }
        };
        self.begun = false;
        match outcome {
            Outcome::Done(answer) => {
                self.facts.done(&self.plan, &effect.step.act, &answer, now);
                self.advance(&answer, now);
            }
            Outcome::Failed(failure) => {
                if !failure.unknown {
                    self.facts.ended(&self.plan, &effect.step.act);
                }
                self.failed(&effect.step, failure);
            }
        }
        Ok(())
    }

    fn advance(&mut self, answer: &Answer, now: Timestamp) {
        match &mut self.course {
            Course::Forward { at } => {
                *at += 1;
                if *at == self.plan.steps.len() {
                    self.end(Ending::Upgraded);
                }
            }
            Course::Returning { steps, at, .. } => {
                *at += 1;
                if *at == steps.len() {
                    self.end(Ending::RolledBack);
                }
            }
            Course::Holding { .. } => self.hold_on(None),
            Course::Reopening { steps, at, then } => {
                *at += 1;
                if *at == steps.len() {
                    self.course = Course::Forward { at: *then };
                    self.stilled.clear();
                    if self.remaining().is_empty() {
                        self.end(Ending::Upgraded);
                    }
                }
            }
            Course::Cleaning { .. } => self.clean_on(),
            Course::Surveying { failed_at } => match answer {
                Answer::Surveyed(survey) => {
                    let failed_at = *failed_at;
                    self.decide(survey, failed_at, now);
                }
                _ => self.end(Ending::Held("what is there could not be observed".to_owned())),
            },
            Course::Ended { .. } => {}
        }
    }

    fn failed(&mut self, step: &Step, failure: Failure) {
        match &mut self.course {
            Course::Forward { at } if step.may_fail => {
                let rest = self.plan.steps.get(*at..).unwrap_or(&[]);
                *at += rest.iter().take_while(|step| step.may_fail).count();
                self.facts.previous_failed.extend(step.act.subject().cloned());
            }
            Course::Forward { at } => {
                let failed_at = *at;
                self.failure = Some(failure.clone());
                if self.plan.intent == Intent::Rehearsal {
                    self.clean_up_after(failure);
                } else if !self.facts.changed {
                    self.end(Ending::Unchanged(failure));
                } else if failure.unknown {
                    self.end(Ending::Held(format!(
                        "it is not known what became of: {}",
                        failure.message
                    )));
                } else if self.plan.hold_on_failure || self.plan.intent == Intent::Restore {
                    self.end(Ending::Held(failure.message));
                } else {
                    self.course = Course::Surveying { failed_at };
                }
            }
            Course::Cleaning { failure: kept, .. } => {
                kept.get_or_insert(failure);
                self.clean_on();
            }
            Course::Surveying { .. } => {
                self.end(Ending::Held(format!(
                    "the way back could not be decided: {}",
                    failure.message
                )));
            }
            Course::Holding { .. } => self.hold_on(Some((step, &failure))),
            Course::Reopening { .. } => {
                self.end(Ending::Held(format!("going on failed: {}", failure.message)));
            }
            Course::Returning { .. } => {
                self.end(Ending::Held(format!("the way back failed: {}", failure.message)));
            }
            Course::Ended { .. } => {}
        }
    }

    fn decide(&mut self, survey: &Survey, failed_at: usize, now: Timestamp) {
        self.facts.surveyed(&self.plan, survey);
        let mut inputs = self.facts.inputs(&self.plan, survey, now);
        if self.loss_accepted {
            inputs.values_mut().for_each(|input| input.loss_budget = std::time::Duration::MAX);
        }
        let decision = Decision::of(inputs);
        let choice = decision.choice();
        let reason = decision.reason();
        let steps = way_back::steps(&self.plan, &self.facts, &decision);
        self.decision = Some(decision);
        match choice {
            Choice::Hold(_) => self.stand_still(reason, failed_at),
            _ if steps.is_empty() => self.end(Ending::RolledBack),
            _ => {
                self.stilled.clear();
                self.course = Course::Returning { steps, at: 0, failed_at };
            }
        }
    }

    fn clean_on(&mut self) {
        if let Course::Cleaning { at, .. } = &mut self.course {
            *at += 1;
        }
        self.end_if_clean();
    }

    fn end_if_clean(&mut self) {
        if let Course::Cleaning { steps, at, failure } = &self.course
            && *at == steps.len()
        {
            let ending = failure.clone().map_or(Ending::Upgraded, Ending::Unchanged);
            self.end(ending);
        }
    }

    fn end(&mut self, ending: Ending) {
        let ended = Course::Ended { ending, stopped: Box::new(None) };
        let stopped = std::mem::replace(&mut self.course, ended);
        if let Course::Ended { stopped: kept, .. } = &mut self.course {
            **kept = Some(stopped);
        }
    }

    /// Says what to do next, and holds instead of doing anything that would break an invariant.
    fn issue(&mut self) -> Option<Effect> {
        if self.in_flight.is_some() {
            return None;
        }
        self.leave_out_what_was_not_kept();
        let step = match &self.course {
            Course::Ended { .. } => return None,
            Course::Surveying { .. } => Step::plain(Act::Survey, self.plan.survey_within()),
            _ => self.remaining().first()?.clone(),
        };
        if step.needs_proof() && !self.everything_is_proven() {
            self.end(Ending::Held(format!("{} needs a proven backup of this run", step.act)));
            return None;
        }
        self.issued += 1;
        let number = self.issued;
        let key = match &step.act {
            Act::Switch(name) | Act::DiscardAside(name) => {
                self.facts.filled.get(name).copied().unwrap_or(number)
            }
            _ => number,
        };
        let effect = Effect { number, key, step };
        self.in_flight = Some(effect.clone());
        Some(effect)
    }

    fn everything_is_proven(&self) -> bool {
        self.plan.datastores.iter().all(|(name, its)| {
            self.facts.proofs.get(name).is_some_and(|level| *level >= its.proof_required)
        })
    }
}
