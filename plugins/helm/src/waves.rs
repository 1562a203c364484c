//! Waves of a release.
//!
//! helm upgrades a release as a whole. So its workloads are held before, see
//! [`vaultup_kubectl::waves`]: helm changes what their pods are made from, runs the hooks, and no
//! pod is replaced until a wave lets it go. helm cannot wait for what is held; whoever lets it go
//! does. What the release brings anew, a DaemonSet, and what the chart holds itself are not held.

use serde_json::Value;
use vaultup_kubectl::{Cluster, Workload, follow, manifest, waves};
use vaultup_sdk::deploy::Wave;
use vaultup_sdk::{Error, log};

use crate::deploy::is_stopped;
use crate::history::History;
use crate::release::Release;

impl Release<'_> {
    /// Upgrades as far as a wave goes; the release itself with the first.
    ///
    /// # Errors
    /// As [`Release::upgrade`] and [`waves::reach`].
    pub(crate) fn upgrade_in_waves(
        &self,
        history: &History,
        cluster: Cluster,
        wave: Wave,
        is_upgraded: bool,
    ) -> Result<(), Error> {
        if !is_upgraded {
            self.upgrade(history, &self.hold(cluster)?)?;
        }
        let share = |workload: &Workload| waves::share_of_held(workload, wave.instances);
        waves::reach(&self.kubectl, self.operation.deadline, share, || self.cluster())
    }

    /// Holds what can be held, and gives what is there afterwards. What was stopped starts whole.
    fn hold(&self, cluster: Cluster) -> Result<Cluster, Error> {
        if is_stopped(&cluster) {
            log::warning("it was stopped, and starts as a whole: there are no waves");
            return Ok(cluster);
        }
        let rendered = self.ask_rendered(&self.source()?).answer()?;
        let holds = |workload: &Workload| {
            let reference = workload.reference();
            let is_its = |its: &&Value| manifest::reference(its).to_lowercase() == reference;
            rendered.objects.iter().find(is_its).is_some_and(holds_itself)
        };
        for workload in cluster.workloads.iter().filter(|its| holds(its)) {
            log::warning(format!("{workload}: the chart holds it itself, and no wave does"));
        }
        for hook in rendered.hooks.iter().filter(|hook| runs_afterwards(hook)) {
            let hook = hook["name"].as_str().unwrap_or("?");
            log::warning(format!(
                "the hook {hook} runs with this wave: helm knows of no later one"
            ));
        }
        waves::hold(&self.kubectl, &cluster, |workload| !holds(workload))?;
        self.cluster()
    }

    /// Starts the upgraded release, which was stopped, without waves.
    ///
    /// # Errors
    /// As [`follow::until_complete`].
    pub(crate) fn start_whole(&self, cluster: &Cluster) -> Result<(), Error> {
        waves::let_all_go(&self.kubectl, cluster)?;
        self.start_what_waits(true)
    }

    /// Lets everything that is held go, and waits until its pods are replaced. Without anything
    /// held, helm has waited already.
    ///
    /// # Errors
    /// As [`follow::until_complete`].
    pub(crate) fn let_go(&self, cluster: &Cluster) -> Result<(), Error> {
        if !waves::is_any_held(cluster) {
            return Ok(());
        }
        waves::let_all_go(&self.kubectl, cluster)?;
        follow::until_complete(&self.kubectl, self.operation.deadline, || self.cluster())
    }
}

/// Whether a rendered workload says itself how much of it is replaced.
fn holds_itself(object: &Value) -> bool {
    let spec = &object["spec"];
    let partition = &spec["updateStrategy"]["rollingUpdate"]["partition"];
    !spec["paused"].is_null() || !partition.is_null()
}

/// Whether a hook was written for when the release is upgraded.
fn runs_afterwards(hook: &Value) -> bool {
    let events = hook["events"].as_array();
    events.into_iter().flatten().any(|event| event == "post-upgrade")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_chart_that_pauses_or_parts_a_workload_is_left_to_it() {
        assert!(!holds_itself(&json!({"spec": {"replicas": 2}})));
        assert!(holds_itself(&json!({"spec": {"paused": false}})));
        let parted = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
        assert!(holds_itself(&parted));
    }

    #[test]
    fn a_hook_for_after_the_upgrade_is_told_from_one_for_before() {
        assert!(runs_afterwards(&json!({"events": ["post-install", "post-upgrade"]})));
        assert!(!runs_afterwards(&json!({"events": ["pre-upgrade"]})));
    }
}
