//! What a restore must not remove.

use super::{Course, Ending, Machine};
use crate::act::Act;
use crate::plan::{Intent, Step};

impl Machine {
    /// What a restore replaced and no backup set keeps stays where it was set aside.
    pub(super) fn leave_out_what_was_not_kept(&mut self) {
        let Course::Forward { at } = &mut self.course else { return };
        if self.plan.intent != Intent::Restore {
            return;
        }
        let rest = self.plan.steps.get(*at..).unwrap_or(&[]);
        let stays = |step: &&Step| match &step.act {
            Act::DiscardAside(name) => !self.facts.kept_of.contains(name),
            _ => false,
        };
        *at += rest.iter().take_while(stays).count();
        if *at == self.plan.steps.len() {
            self.end(Ending::Upgraded);
        }
    }
}
