//! The interface `deploy`.

use serde_json::{Value, json};
use vaultup_kubectl::access::Place;
use vaultup_kubectl::objects::Pod;
use vaultup_kubectl::reason::{self, Warnings};
use vaultup_kubectl::{Cluster, Kind, Workload, digest, follow, scale, waves};
use vaultup_sdk::deploy::{
    Change, Claim, Forecast, Instance, Inventory, Lock, Presence, Running, Traffic, Wave,
};
use vaultup_sdk::{Deploy, Error, Observation, Operation};

use crate::KubernetesPlugin;
use crate::batch::Batch;
use crate::settings::Settings;
use crate::workload::{Component, RELEASE, image, version_of};

impl Deploy for KubernetesPlugin {
    fn observe(operation: &Operation<Settings>) -> Result<Running, Error> {
        if let Some(batch) = Batch::of(operation) {
            return batch.observe();
        }
        let component = Component::of(operation);
        let (cluster, live) = (component.ask_cluster(), component.ask_live());
        let place = component.kubectl.ask_place();
        let cluster = cluster.answer()?;
        let workload = &cluster.workloads[0];
        Ok(Running {
            version: component.version(workload)?,
            revision: component.current(workload)?.map(|revision| revision.name),
            artifacts: cluster.images(),
            instances_wanted: workload.wanted_when_open(),
            instances: component.instances(&cluster)?,
            traffic: Traffic::NotApplicable,
            configuration_digest: Some(configuration(&place.answer()?, &live.answer()?)),
            busy: under_way(workload),
        })
    }

    fn way_back(operation: &Operation<Settings>) -> Result<Inventory, Error> {
        if let Some(batch) = Batch::of(operation) {
            return batch.way_back();
        }
        let component = Component::of(operation);
        let cluster = component.cluster()?;
        let workload = &cluster.workloads[0];
        let Some(current) = component.current(workload)? else {
            let reason = format!("the cluster keeps no revision of {workload}");
            return Ok(Inventory { available: false, revision: None, reason });
        };
        let reason = format!(
            "revision {} ({}) is kept as {}; its image is {}",
            current.number,
            workload,
            current.name,
            component.container(workload)?.image
        );
        Ok(Inventory { available: true, revision: Some(current.name), reason })
    }

    fn preview(operation: &Operation<Settings>) -> Result<Forecast, Error> {
        match Batch::of(operation) {
            Some(batch) => batch.forecast(),
            None => Component::of(operation).forecast(),
        }
    }

    fn status(operation: &Operation<Settings>, change: Change) -> Result<Observation, Error> {
        match Batch::of(operation) {
            Some(batch) => batch.status(&change),
            None => Component::of(operation).status(&change),
        }
    }

    fn prefetch(operation: &Operation<Settings>) -> Result<(), Error> {
        // Nodes pull images; that there is one to pull is all that can be said beforehand.
        image(operation).map(drop)
    }

    fn apply(operation: &Operation<Settings>, wave: Wave) -> Result<(), Error> {
        if let Some(batch) = Batch::of(operation) {
            return batch.apply();
        }
        let component = Component::of(operation);
        let cluster = component.cluster()?;
        let workload = &cluster.workloads[0];
        if component.has_next(workload)? && matches!(awaited(&cluster, wave), Ok(None)) {
            return Ok(());
        }
        // Those of a copy were applied when it was made, and would undo what was stopped since.
        let asked = match operation.is_live() {
            true => component.apply_manifests_around(workload)?,
            false => None,
        };
        let looked = component.cluster()?;
        let workload = &looked.workloads[0];
        let mut among = json!({});
        if scale::awaits_start(workload) && workload.kind != Kind::DaemonSet {
            let instances = asked.unwrap_or_else(|| u64::from(workload.wanted_when_open()));
            among["replicas"] = json!(instances);
        }
        match workload.kind {
            Kind::StatefulSet => {
                let left = workload.wanted_when_open().saturating_sub(wave.instances);
                among["updateStrategy"] = json!({"rollingUpdate": {"partition": left}});
            }
            Kind::Deployment => among["paused"] = json!(false),
            Kind::DaemonSet if scale::awaits_start(workload) => {
                scale::start(&component.kubectl, &looked, wave.instances)?;
            }
            Kind::DaemonSet => {}
        }
        component.set_image(workload, &among)?;
        component.suspend(false)?;
        let (kubectl, look) = (&component.kubectl, || component.cluster());
        match share(workload, wave) {
            Some(_) => waves::reach(kubectl, operation.deadline, |its| share(its, wave), look),
            None => follow::until_complete(kubectl, operation.deadline, look),
        }
    }

    fn stop(operation: &Operation<Settings>) -> Result<(), Error> {
        if let Some(batch) = Batch::of(operation) {
            return batch.stop();
        }
        let component = Component::of(operation);
        component.suspend(true)?;
        scale::stop(&component.kubectl, &component.cluster()?)?;
        follow::until_gone(operation.deadline, || component.cluster())
    }

    fn start(operation: &Operation<Settings>, instances: u32) -> Result<(), Error> {
        if let Some(batch) = Batch::of(operation) {
            return batch.start();
        }
        let component = Component::of(operation);
        let cluster = component.cluster()?;
        component.resume(&cluster.workloads[0])?;
        scale::start(&component.kubectl, &cluster, instances)?;
        component.suspend(false)?;
        let look = || component.cluster();
        follow::until_complete(&component.kubectl, operation.deadline, look)
    }

    fn revert(
        operation: &Operation<Settings>,
        revision: &str,
        presence: Presence,
    ) -> Result<(), Error> {
        if let Some(batch) = Batch::of(operation) {
            return match operation.is_live() {
                true => batch.revert(revision, presence),
                false => batch.put_previous(presence),
            };
        }
        let component = Component::of(operation);
        match operation.is_live() {
            true => component.go_back(revision, presence),
            false => component.put_previous(presence),
        }
    }

    fn inside(operation: &Operation<Settings>) -> Result<Vec<String>, Error> {
        let settings = &operation.settings;
        let container = settings.container.as_ref().map(|name| format!("--container={name}"));
        let mut words = vec!["exec", "--stdin", settings.workload.as_str()];
        words.extend(container.as_deref());
        let mut prefix = Component::of(operation).kubectl.shown(&words);
        prefix.push("--".to_owned());
        Ok(prefix)
    }

    fn discard(operation: &Operation<Settings>) -> Result<(), Error> {
        Component::of(operation).discard()
    }

    fn lock_state(operation: &Operation<Settings>) -> Result<Lock, Error> {
        Component::of(operation).lease().state()
    }

    fn acquire_lock(operation: &Operation<Settings>, claim: &Claim) -> Result<Lock, Error> {
        Component::of(operation).lease().acquire(claim)
    }

    fn renew_lock(
        operation: &Operation<Settings>,
        claim: &Claim,
        epoch: u64,
    ) -> Result<Lock, Error> {
        Component::of(operation).lease().renew(claim, epoch)
    }

    fn release_lock(
        operation: &Operation<Settings>,
        holder: &str,
        epoch: u64,
    ) -> Result<(), Error> {
        Component::of(operation).lease().release(holder, epoch)
    }
}

impl Component<'_> {
    /// Whether the workload's template is the next release.
    pub(crate) fn has_next(&self, workload: &Workload) -> Result<bool, Error> {
        let next = &self.operation.next()?.version;
        let named = workload.spec.template.metadata.annotations.get(RELEASE) == Some(next);
        Ok(self.container(workload)?.image == self.image()? && named)
    }

    /// The pods of the component, each with the version that its image says.
    fn instances(&self, cluster: &Cluster) -> Result<Vec<Instance>, Error> {
        let pods: Vec<&Pod> = cluster.owned_pods().filter(|pod| !pod.is_over()).collect();
        let all_ready = pods.iter().all(|pod| pod.is_ready());
        let warnings = if all_ready { Warnings::default() } else { Warnings::look(&self.kubectl)? };
        let container = self.container(&cluster.workloads[0])?;
        let version = |pod: &Pod| {
            let its = pod.spec.containers.iter().find(|its| its.name == container.name)?;
            version_of(&its.image).or_else(|| pod.metadata.annotations.get(RELEASE).cloned())
        };
        let instance = |pod: &&Pod| Instance {
            name: pod.metadata.name.clone(),
            version: version(pod),
            running: pod.is_running(),
            ready: pod.is_ready(),
            reason: reason::of(pod, &warnings).map(|reason| reason.text).unwrap_or_default(),
        };
        Ok(pods.iter().map(instance).collect())
    }

    /// Puts a recorded revision of the workload in place again.
    ///
    /// # Errors
    /// [`vaultup_sdk::Case::NotFound`] if the cluster keeps no such revision.
    pub(crate) fn go_back(&self, revision: &str, presence: Presence) -> Result<(), Error> {
        let cluster = self.cluster()?;
        let workload = &cluster.workloads[0];
        let revisions = self.revisions(workload)?;
        let Some(wanted) = revisions.iter().find(|its| its.name == revision) else {
            let message = format!("the cluster keeps no revision {revision} of {workload}");
            return Err(Error::not_found(message));
        };
        if presence == Presence::Stopped {
            scale::stop(&self.kubectl, &cluster)?;
            follow::until_gone(self.operation.deadline, || self.cluster())?;
        }
        // A paused Deployment cannot be undone, and a partition would keep new pods.
        self.resume(workload)?;
        if revisions.last() != Some(wanted) {
            let number = format!("--to-revision={}", wanted.number);
            self.kubectl.text(&["rollout", "undo", &workload.reference(), &number])?;
        }
        match presence {
            Presence::Stopped => Ok(()),
            Presence::Running => {
                if scale::awaits_start(workload) {
                    let instances = workload.wanted_when_open();
                    scale::start(&self.kubectl, &self.cluster()?, instances)?;
                }
                self.suspend(false)?;
                let look = || self.cluster();
                follow::until_complete(&self.kubectl, self.operation.deadline, look)
            }
        }
    }

    /// Lets changes of the workload reach all of its pods.
    fn resume(&self, workload: &Workload) -> Result<(), Error> {
        if workload.spec.paused {
            self.change(workload, &json!({"spec": {"paused": false}}))?;
        }
        if workload.spec.update_strategy.rolling_update.partition > 0 {
            let whole = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
            self.change(workload, &whole)?;
        }
        Ok(())
    }
}

/// What a wave still waits for.
pub(crate) fn awaited(cluster: &Cluster, wave: Wave) -> Result<Option<String>, Error> {
    let is_held = |its: &Workload| {
        // What an earlier wave held back is no part of a complete rollout.
        let partition = its.spec.update_strategy.rolling_update.partition;
        share(its, wave).is_none() && (partition > 0 || scale::awaits_start(its))
    };
    match cluster.workloads.iter().find(|its| is_held(its)) {
        Some(workload) => Ok(Some(format!("{workload} is held"))),
        None => waves::awaited(cluster, |its| share(its, wave)),
    }
}

/// How many pods a wave wants to be new, if that is not all of them and can be held.
fn share(workload: &Workload, wave: Wave) -> Option<u32> {
    let is_part = wave.number < wave.of && wave.instances < workload.wanted_when_open();
    (is_part && workload.kind != Kind::DaemonSet).then_some(wave.instances)
}

/// Digest of what decides how the component runs: the cluster itself and the template.
fn configuration(place: &Place, live: &Value) -> String {
    let template = live["spec"]["template"].to_string();
    digest::of(place.texts().into_iter().chain([template.as_str()]))
}

/// What somebody else is at: a rollout that has not ended.
fn under_way(workload: &Workload) -> Option<String> {
    let status = &workload.status;
    let mixed = workload.kind == Kind::Deployment
        && status.updated_replicas > 0
        && status.updated_replicas < status.replicas
        && !workload.spec.paused;
    mixed.then(|| {
        let (new, all) = (status.updated_replicas, status.replicas);
        format!("a rollout of {workload} is under way: {new} of {all} pods are new")
    })
}
