//! Verifying a component after it was deployed or brought back, and its checks from end to end.

use engine::act::{Answer, Failure};
use engine::machine::Effect;
use model::Name;

use super::{Trouble, Worker};
use crate::error::failures;
use crate::operation::Releases;

impl Worker {
    /// Waits until a component is well, at a version if it is known which.
    pub(super) async fn verify(
        &self,
        effect: &Effect,
        name: &Name,
        version: Option<&str>,
    ) -> Result<Answer, Trouble> {
        let releases = Releases { version, ..self.releases() };
        let (target, within) = (&effect.step.target, effect.step.within);
        self.platform.healthy(name, target, version, releases, within).await.map(Answer::Measured)
    }

    /// Runs a component's checks from end to end, once. `${release.version}` in them is the version
    /// that runs, which on the way back is not the one that the run leads to.
    pub(super) async fn smoke(&self, effect: &Effect, name: &Name) -> Result<Answer, Trouble> {
        let target = &effect.step.target;
        let its = self.platform.project.stack.components.get(name);
        let checks = its.map(|its| its.smoke_on(target)).unwrap_or_default();
        let running = match checks.is_empty() {
            true => None,
            false => {
                let session = self.platform.quiet();
                self.platform.running(&session, name, target, self.releases()).await?.version
            }
        };
        let releases = Releases { version: running.as_deref(), ..self.releases() };
        let variables = self.platform.variables(target, releases);
        for check in checks {
            let ran = self
                .platform
                .command(&check.run, &variables, check.within, &self.key(effect))
                .await;
            if let Err(fault) = ran {
                let message = format!("check `{}` of {name} failed", check.run.join(" "));
                return Err(Trouble::Failed(Failure {
                    code: failures::SMOKE,
                    message,
                    causes: vec![fault],
                    unknown: false,
                }));
            }
        }
        Ok(Answer::Text(format!("{} checks passed", checks.len())))
    }
}
