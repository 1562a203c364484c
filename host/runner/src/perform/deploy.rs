//! Effects of the `deploy` interface, each with its read-only twin.

use engine::act::{Answer, Failure};
use engine::machine::Effect;
use model::Name;
use model::contract::{DeployChange, Observation, PluginError};
use sandbox::CallError;

use super::{ProvenSet, Trouble, Worker, call_failed, not_known};
use crate::error::failures;

impl Worker {
    /// Runs the next release. It may migrate data when it starts: hence the proof.
    pub(super) async fn apply(
        &self,
        effect: &Effect,
        _proven: &ProvenSet,
    ) -> Result<Answer, Trouble> {
        self.deploy(effect).await
    }

    /// Any other change of a deployment.
    pub(super) async fn deploy(&self, effect: &Effect) -> Result<Answer, Trouble> {
        let Some((name, change)) = effect.step.act.deploy_change() else {
            return Ok(Answer::Nothing);
        };
        let key = self.key(effect);
        let operation = self.platform.operation(&self.call(effect, name, &key))?;
        let plugin = self.platform.plugin(name)?;
        let (session, _uncancelled) = self.session_for(&effect.step);
        let (session, operation) = (&session, &operation);
        let done = match &change {
            DeployChange::Prefetch => plugin.deploy_prefetch(session, operation).await,
            DeployChange::Apply(wave) => plugin.deploy_apply(session, operation, *wave).await,
            DeployChange::Stop => plugin.deploy_stop(session, operation).await,
            DeployChange::Start(count) => plugin.deploy_start(session, operation, *count).await,
            DeployChange::HoldTraffic => plugin.deploy_hold_traffic(session, operation).await,
            DeployChange::ReleaseTraffic => plugin.deploy_release_traffic(session, operation).await,
            DeployChange::Revert(revision, presence) => {
                plugin.deploy_revert(session, operation, revision, *presence).await
            }
            DeployChange::Discard => plugin.deploy_discard(session, operation).await,
        };
        match done {
            Ok(()) => Ok(Answer::Nothing),
            Err(error) => self.after_failure(effect, name, &change, &error).await,
        }
    }

    /// What the platform knows of a change of a deployment.
    pub(crate) async fn deployment_status(
        &self,
        effect: &Effect,
        name: &Name,
        change: &DeployChange,
    ) -> Result<Observation, Trouble> {
        let key = self.key(effect);
        let operation = self.platform.operation(&self.call(effect, name, &key))?;
        let plugin = self.platform.plugin(name)?;
        let seen = plugin.deploy_status(&self.platform.quiet(), &operation, change).await;
        Ok(seen.unwrap_or_else(|error| Observation::Unknown(error.to_string())))
    }

    /// A call that broke off may have done its work all the same: the platform is asked. One that
    /// the plugin itself ended has said what it knows.
    async fn after_failure(
        &self,
        effect: &Effect,
        name: &Name,
        change: &DeployChange,
        error: &CallError,
    ) -> Result<Answer, Trouble> {
        let message = format!("{} of {} failed", effect.step.act.phase(), effect.step.act);
        let broke_off = match error.plugin_error() {
            None => true,
            Some(PluginError::TimedOut(_) | PluginError::Unreachable(_)) => true,
            Some(_) => false,
        };
        if !broke_off {
            return Err(call_failed(failures::DEPLOYMENT, message, error));
        }
        match self.deployment_status(effect, name, change).await? {
            Observation::Done(_) => Ok(Answer::Nothing),
            Observation::Unknown(seen) => {
                let mut failure = not_known(message, &seen);
                failure.causes.insert(0, error.to_string());
                Err(Trouble::Failed(failure))
            }
            Observation::Failed(said) => {
                Err(Trouble::Failed(Failure::new(failures::DEPLOYMENT, message, &said)))
            }
            Observation::NotStarted | Observation::InProgress(_) => {
                Err(call_failed(failures::DEPLOYMENT, message, error))
            }
        }
    }
}
