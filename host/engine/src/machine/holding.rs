//! What a decision to hold leaves behind, and how it is taken back when the run goes on.

use super::{Course, Ending, Machine};
use crate::act::{Act, Failure};
use crate::plan::Step;
use crate::way_back;

impl Machine {
    /// Leaves nothing of the next release running, then holds.
    pub(super) fn stand_still(&mut self, reason: String, failed_at: usize) {
        let steps = way_back::stand_still(&self.plan, &self.facts);
        self.course = Course::Holding { steps, at: 0, reason, failed_at };
        self.end_if_still();
    }

    /// The next step of holding. One that failed is told, and keeps no other from being tried.
    pub(super) fn hold_on(&mut self, failed: Option<(&Step, &Failure)>) {
        if let Course::Holding { at, reason, .. } = &mut self.course {
            *at += 1;
            if let Some((step, failure)) = failed {
                let phase = step.act.phase();
                reason.push_str(&format!("; {phase} {} failed: {}", step.act, failure.message));
            }
        }
        self.end_if_still();
    }

    /// Starts again what holding had stopped, and then goes on where it failed.
    pub(super) fn reopening(&self, stilled: &[Step], failed_at: usize) -> Course {
        let then = self.taken_up_at(failed_at);
        match way_back::start_again(&self.plan, stilled, then) {
            steps if steps.is_empty() => Course::Forward { at: then },
            steps => Course::Reopening { steps, at: 0, then },
        }
    }

    fn end_if_still(&mut self) {
        let Course::Holding { steps, at, reason, .. } = &self.course else { return };
        if *at < steps.len() {
            return;
        }
        let stopped = way_back::components_of(steps, |act| matches!(act, Act::Stop(_)));
        let held = way_back::components_of(steps, |act| matches!(act, Act::HoldTraffic(_)));
        let mut said = reason.clone();
        if !stopped.is_empty() {
            said.push_str(&format!("; {stopped} {} was stopped", self.plan.to));
        }
        if !held.is_empty() {
            said.push_str(&format!("; requests to {held} are held back"));
        }
        self.end(Ending::Held(said));
    }

    /// Where to take the plan up after something was stopped: everything is verified again, and a
    /// component whose waves were interrupted gets them from the first.
    fn taken_up_at(&self, failed_at: usize) -> usize {
        let steps = &self.plan.steps;
        let first = |wanted: &dyn Fn(&Act) -> bool| steps.iter().position(|s| wanted(&s.act));
        let verified = first(&|act| matches!(act, Act::Verify(..))).unwrap_or(steps.len());
        let at = failed_at.min(verified);
        match steps.get(at).map(|step| &step.act) {
            Some(Act::Apply(name, _)) => {
                let its = |act: &Act| matches!(act, Act::Apply(other, _) if other == name);
                first(&its).unwrap_or(at)
            }
            _ => at,
        }
    }
}
