//! What a person asks of a run.

use super::{Course, Ending, Machine, Refused, Request, STOPPED_BY_A_PERSON};
use crate::act::Failure;
use crate::plan::Intent;
use crate::way_back;

impl Machine {
    pub(super) fn asked(&mut self, request: Request) -> Result<(), Refused> {
        match request {
            Request::Hold => self.asked_to_hold(),
            Request::GoOn => self.asked_to_go_on(),
            Request::RollBack { accept_loss } => self.asked_to_roll_back(accept_loss),
        }
    }

    /// Stops between two steps, and nothing else: what runs goes on running. Of a rehearsal nothing
    /// is to stay: its copy is removed.
    fn asked_to_hold(&mut self) -> Result<(), Refused> {
        if self.begun || self.ending().is_some() || self.is_cleaning_up() {
            return Err(self.not_now("hold"));
        }
        self.in_flight = None;
        let asked = "a person asked for it".to_owned();
        if self.facts.changed && self.plan.intent == Intent::Rehearsal {
            let failure =
                Failure { code: STOPPED_BY_A_PERSON, message: asked, ..Failure::default() };
            self.failure = Some(failure.clone());
            self.clean_up_after(failure);
        } else if self.facts.changed {
            self.end(Ending::Held(asked));
        } else {
            let failure =
                Failure { code: STOPPED_BY_A_PERSON, message: asked, ..Failure::default() };
            self.end(Ending::Unchanged(failure));
        }
        Ok(())
    }

    /// Leaves a rehearsal that cannot go on: its copy is removed first.
    pub(super) fn clean_up_after(&mut self, failure: Failure) {
        let steps = way_back::clean_up(&self.plan);
        self.course = Course::Cleaning { steps, at: 0, failure: Some(failure) };
        self.end_if_clean();
    }

    fn asked_to_go_on(&mut self) -> Result<(), Refused> {
        let refused = self.not_now("go on");
        let Course::Ended { ending: Ending::Held(_), stopped } = &mut self.course else {
            return Err(refused);
        };
        let Some(stopped) = stopped.take() else { return Err(refused) };
        self.course = match stopped {
            Course::Surveying { failed_at } => Course::Forward { at: failed_at },
            Course::Holding { failed_at, .. } => self.reopening(failed_at),
            other => other,
        };
        self.failure = None;
        if self.remaining().is_empty() {
            self.end(Ending::Upgraded);
        }
        Ok(())
    }

    fn asked_to_roll_back(&mut self, accept_loss: bool) -> Result<(), Refused> {
        let refused = self.not_now("roll back");
        let failed_at = match &self.course {
            Course::Ended { ending: Ending::Upgraded, .. } => self.plan.steps.len(),
            Course::Ended { ending: Ending::Held(_), stopped } => match stopped.as_ref() {
                Some(
                    Course::Forward { at: failed_at }
                    | Course::Surveying { failed_at }
                    | Course::Holding { failed_at, .. }
                    | Course::Reopening { then: failed_at, .. }
                    | Course::Returning { failed_at, .. },
                ) => *failed_at,
                _ => return Err(refused),
            },
            _ => return Err(refused),
        };
        if self.plan.intent != Intent::Upgrade {
            return Err(refused);
        }
        self.loss_accepted = accept_loss;
        self.course = Course::Surveying { failed_at };
        Ok(())
    }

    fn not_now(&self, request: &'static str) -> Refused {
        Refused::NotNow { request, state: self.state() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::time::Duration;

    use jiff::Timestamp;
    use model::contract::Target;

    use super::*;
    use crate::act::{Act, Answer, Outcome};
    use crate::machine::Event;
    use crate::plan::{Estimate, PLAN_FORMAT, Plan, Preconditions, Step};
    use crate::snapshot::Snapshot;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// A run whose first step only looks and whose second fills something.
    fn begun(intent: Intent) -> Machine {
        let store = model::Name::parse("store").unwrap();
        let target = intent.target();
        let fill = Step { target, ..Step::plain(Act::Fill(store), Duration::from_secs(1)) };
        let plan = Plan {
            format: PLAN_FORMAT,
            stack: model::Name::parse("shop").unwrap(),
            intent,
            from: "1.0.0".to_owned(),
            to: "2.0.0".to_owned(),
            preconditions: Preconditions::default(),
            snapshot: Snapshot::default(),
            datastores: std::iter::once((model::Name::parse("store").unwrap(), datastore()))
                .collect(),
            order: Vec::new(),
            within: std::collections::BTreeMap::new(),
            smoke: Vec::new(),
            steps: vec![Step::plain(Act::Check, Duration::from_secs(1)), fill.clone(), fill],
            point_of_no_return: None,
            estimate: Estimate::default(),
            restore_from: None,
            loss_budget: Duration::ZERO,
            hold_on_failure: false,
        };
        Machine::begin(plan).0
    }

    fn datastore() -> crate::plan::DatastorePlan {
        crate::plan::DatastorePlan {
            written_by: Vec::new(),
            migrated_at_start_by: None,
            proof_required: model::contract::ProofLevel::Exists,
            expected: None,
            declared_compatible: false,
            rehearsed_compatible: false,
            restorable: true,
            lives_in: None,
            held: None,
        }
    }

    fn done(machine: &mut Machine) {
        let effect = machine.in_flight().unwrap().number;
        machine.handle(Event::Begun { effect }, NOW).unwrap();
        let outcome = Outcome::Done(Answer::Nothing);
        machine.handle(Event::Finished { effect, outcome }, NOW).unwrap();
    }

    #[test]
    fn a_rehearsal_that_is_stopped_removes_its_copy_and_nothing_stops_that() {
        let mut machine = begun(Intent::Rehearsal);
        done(&mut machine);
        done(&mut machine);
        machine.handle(Event::Asked(Request::Hold), NOW).unwrap();
        assert!(machine.is_cleaning_up());
        let removal = machine.in_flight().unwrap().step.clone();
        assert!(matches!(removal.act, Act::DiscardAside(_)) && removal.target != Target::Live);
        machine.handle(Event::Asked(Request::Hold), NOW).unwrap_err();
        done(&mut machine);
        let stopped = |ending: &Ending| match ending {
            Ending::Unchanged(failure) => failure.code == STOPPED_BY_A_PERSON,
            _ => false,
        };
        assert!(machine.ending().is_some_and(stopped), "{:?}", machine.ending());
    }

    #[test]
    fn a_rehearsal_that_made_nothing_yet_just_ends_and_an_upgrade_holds() {
        let mut machine = begun(Intent::Rehearsal);
        done(&mut machine);
        machine.handle(Event::Asked(Request::Hold), NOW).unwrap();
        assert!(matches!(machine.ending(), Some(Ending::Unchanged(_))));
        let mut machine = begun(Intent::Upgrade);
        done(&mut machine);
        done(&mut machine);
        machine.handle(Event::Asked(Request::Hold), NOW).unwrap();
        assert!(matches!(machine.ending(), Some(Ending::Held(_))));
    }
}
