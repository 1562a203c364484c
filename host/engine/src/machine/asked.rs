//! What a person asks of a run.

use super::{Course, Ending, Machine, Refused, Request, STOPPED_BY_A_PERSON};
use crate::act::Failure;
use crate::plan::Intent;

impl Machine {
    pub(super) fn asked(&mut self, request: Request) -> Result<(), Refused> {
        match request {
            Request::Hold => self.asked_to_hold(),
            Request::GoOn => self.asked_to_go_on(),
            Request::RollBack { accept_loss } => self.asked_to_roll_back(accept_loss),
        }
    }

    /// Stops between two steps, and nothing else: what runs goes on running.
    fn asked_to_hold(&mut self) -> Result<(), Refused> {
        if self.begun || self.ending().is_some() {
            return Err(self.not_now("hold"));
        }
        self.in_flight = None;
        let asked = "a person asked for it".to_owned();
        if self.facts.changed {
            self.end(Ending::Held(asked));
        } else {
            let failure =
                Failure { code: STOPPED_BY_A_PERSON, message: asked, ..Failure::default() };
            self.end(Ending::Unchanged(failure));
        }
        Ok(())
    }

    fn asked_to_go_on(&mut self) -> Result<(), Refused> {
        let refused = self.not_now("go on");
        let Course::Ended { ending: Ending::Held(_), stopped } = &mut self.course else {
            return Err(refused);
        };
        let Some(stopped) = stopped.take() else { return Err(refused) };
        self.course = match stopped {
            Course::Surveying { failed_at } => Course::Forward { at: failed_at },
            Course::Holding { steps, failed_at, .. } => self.reopening(&steps, failed_at),
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
