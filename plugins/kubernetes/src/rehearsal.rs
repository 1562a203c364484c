//! A workload, Job or CronJob in the namespace of a rehearsal's copy.
//!
//! A workload's copy knows nothing of the live workload's revisions: its own first complete one,
//! with the image that runs live, is written down at the copy, and that is the one it is brought
//! back to.
//!
//! The copy of a Job or CronJob is suspended, so that nothing of it runs but what a step runs: the
//! next release's Job, and nothing of a CronJob, whose next image the cluster checks.

use serde_json::{Map, Value, json};
use vaultup_kubectl::copy::Scratch;
use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_kubectl::{Kubectl, Workload, follow, scale};
use vaultup_sdk::deploy::Presence;
use vaultup_sdk::{Case, Copied, Error, Observation, log};

use crate::batch::{Batch, Kind, pod_template, without_controller};
use crate::settings::Settings;
use crate::twin::progress;
use crate::workload::{Component, version_of};

/// Annotation of a copy with the revision that is the release which runs live.
const FIRST: &str = "vaultup.dev/first-revision";
/// Volumes that are the copy's own, or of what is in its namespace.
const OF_THE_NAMESPACE: [&str; 6] =
    ["configMap", "downwardAPI", "emptyDir", "ephemeral", "projected", "secret"];

impl Component<'_> {
    /// Puts the release that runs live in place in the copy: makes it, or goes back to it.
    ///
    /// # Errors
    /// [`Case::Conflict`] if the copy's namespace is somebody else's; those of a deployment.
    pub(crate) fn put_previous(&self, presence: Presence) -> Result<(), Error> {
        self.scratch()?.ensure(self.operation.deadline)?;
        let live = self.live()?;
        if let Some(first) = self.workload_if_any()?.as_ref().and_then(first) {
            return self.go_back(&first, presence);
        }
        if self.workload_if_any()?.is_none() {
            self.make(&live)?;
        }
        let cluster = self.cluster()?;
        let workload = &cluster.workloads[0];
        let image = image_of(&self.copied()?.live, &live)?;
        let version = match &self.operation.previous {
            Some(previous) => previous.version.clone(),
            None => version_of(&image).unwrap_or_default(),
        };
        log::info(format!("{workload} as a copy, with {image}"));
        self.set_image_of(workload, &image, &version, &json!({}))?;
        follow::until_complete(&self.kubectl, self.operation.deadline, || self.cluster())?;
        let cluster = self.cluster()?;
        let workload = &cluster.workloads[0];
        let Some(revision) = self.current(workload)? else {
            return Err(Error::failed(format!("the cluster keeps no revision of {workload}")));
        };
        self.change(workload, &json!({"metadata": {"annotations": {FIRST: revision.name}}}))?;
        match presence {
            Presence::Running => Ok(()),
            Presence::Stopped => {
                scale::stop(&self.kubectl, &cluster)?;
                follow::until_gone(self.operation.deadline, || self.cluster())
            }
        }
    }

    /// Removes the copy.
    pub(crate) fn discard(&self) -> Result<(), Error> {
        self.scratch()?.discard(self.operation.deadline)
    }

    /// What is left of the copy, or why there can be none.
    pub(crate) fn left_of_copy(&self) -> Result<Observation, Error> {
        let scratch = self.scratch()?;
        let live = self.live()?;
        if self.manifests_of_the_copy()?.is_none() {
            as_a_copy(&live)?;
        }
        let made = match Batch::of(self.operation).map(|batch| batch.kind) {
            Some(Kind::Job) => "jobs.batch",
            Some(Kind::CronJob) => "cronjobs.batch",
            None => "deployments.apps",
        };
        scratch.left(&[("create", made), ("list", "pods")])
    }

    /// Whether the copy runs the release that runs live.
    pub(crate) fn previous_in_copy(&self) -> Result<Observation, Error> {
        let Some(workload) = self.workload_if_any()? else { return Ok(Observation::NotStarted) };
        let current = self.current(&workload)?.map(|its| its.name);
        let is_first = first(&workload).is_some_and(|first| Some(first) == current);
        if !is_first || workload.spec.paused || scale::awaits_start(&workload) {
            return Ok(Observation::NotStarted);
        }
        match rollout::of(&workload) {
            Rollout::Complete => Ok(progress(&self.cluster()?)),
            _ => Ok(Observation::NotStarted),
        }
    }

    fn scratch(&self) -> Result<Scratch, Error> {
        Scratch::of(self.operation, |settings| &settings.access)
    }

    /// Makes the copy's workload, and before it what else its namespace is to have.
    fn make(&self, live: &Value) -> Result<(), Error> {
        if let Some(objects) = &self.operation.settings.objects {
            let file = format!("--filename={objects}");
            let words =
                ["apply", "--server-side", "--field-manager=vaultup", &file, "--output=name"];
            self.kubectl.text(&words)?;
        }
        if self.manifests_of_the_copy()?.is_some() {
            return self.apply_manifests_at_rest();
        }
        let copy = as_a_copy(live)?.to_string();
        let words = ["create", "--filename=-", "--output=name"];
        self.kubectl.feed(&words, copy).map(drop)
    }

    /// The live workload's object.
    fn live(&self) -> Result<Value, Error> {
        let live = &self.copied()?.live;
        Kubectl::new(&live.access).json(&["get", &live.workload, "--output=json"])
    }

    /// The manifests that the stack file names for the copy. Those of the live one are not its.
    fn manifests_of_the_copy(&self) -> Result<Option<String>, Error> {
        let copied = self.copied()?;
        let said = copied.differs["manifests"].as_str().map(str::to_owned);
        match (&said, &copied.live.manifests) {
            (None, Some(live)) => Err(Error::invalid_settings(format!(
                "`{live}` is about the live {}: name the copy's own `manifests` under its \
                 `rehearsal.settings`",
                self.operation.subject
            ))),
            _ => Ok(said),
        }
    }

    fn workload_if_any(&self) -> Result<Option<Workload>, Error> {
        match self.cluster() {
            Ok(mut cluster) => Ok(Some(cluster.workloads.remove(0))),
            Err(error) if error.case() == &Case::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn copied(&self) -> Result<&Copied<Settings>, Error> {
        self.operation.copied.as_ref().ok_or_else(|| {
            Error::invalid_settings(format!("{} is no copy", self.operation.subject))
        })
    }
}

impl Batch<'_> {
    /// Puts the release that runs live in place in the copy: makes it, or goes back to it.
    ///
    /// # Errors
    /// [`Case::Conflict`] if the copy's namespace is somebody else's; those of a deployment.
    pub(crate) fn put_previous(&self, presence: Presence) -> Result<(), Error> {
        let component = Component::of(self.operation);
        component.scratch()?.ensure(self.operation.deadline)?;
        let live = component.live()?;
        if self.object_if_there()?.is_none() {
            log::info(format!("{} as a copy, suspended", self.operation.settings.workload));
            component.make(&live)?;
        }
        self.revert(&self.previous(&component, &live)?, presence)
    }

    /// Whether the copy runs the release that runs live.
    pub(crate) fn previous_in_copy(&self, presence: Presence) -> Result<Observation, Error> {
        if self.object_if_there()?.is_none() {
            return Ok(Observation::NotStarted);
        }
        let component = Component::of(self.operation);
        let revision = self.previous(&component, &component.live()?)?;
        self.is_in_place(&self.current()?, &revision, presence)
    }

    /// The revision of the copy that is the release which runs live: of a Job that nothing of it
    /// ran.
    fn previous(&self, component: &Component<'_>, live: &Value) -> Result<String, Error> {
        match self.kind {
            Kind::Job => Ok(self.name().to_owned()),
            Kind::CronJob => image_of(&component.copied()?.live, live),
        }
    }
}

fn first(workload: &Workload) -> Option<String> {
    workload.metadata.annotations.get(FIRST).cloned()
}

/// The image that the container of a live object has.
fn image_of(settings: &Settings, live: &Value) -> Result<String, Error> {
    let containers = pod_template(live)["spec"]["containers"].as_array();
    let mut containers = containers.into_iter().flatten();
    let its = match &settings.container {
        Some(name) => containers.find(|its| its["name"] == **name),
        None => containers.next(),
    };
    let image = its.and_then(|its| its["image"].as_str());
    image.map(str::to_owned).ok_or_else(|| {
        Error::corrupt("the live workload has no such container, or that has no image")
    })
}

/// The live workload's object as that of a copy: what people wrote, without what is the cluster's.
///
/// # Errors
/// [`Case::InvalidSettings`] if its pods would get at something that is the live ones'.
fn as_a_copy(live: &Value) -> Result<Value, Error> {
    let name = &live["metadata"]["name"];
    let pod = &pod_template(live)["spec"];
    let outside = |volume: &&Value| {
        let fields = volume.as_object();
        let mut kinds =
            fields.into_iter().flatten().map(|(key, _)| key).filter(|key| *key != "name");
        !kinds.all(|kind| OF_THE_NAMESPACE.contains(&kind.as_str()))
    };
    let volumes = pod["volumes"].as_array();
    let outside: Vec<&str> = volumes
        .into_iter()
        .flatten()
        .filter(outside)
        .map(|volume| volume["name"].as_str().unwrap_or("?"))
        .collect();
    let shares = ["hostNetwork", "hostPID", "hostIPC"].iter().filter(|key| pod[**key] == true);
    let outside: Vec<&str> = outside.into_iter().chain(shares.copied()).collect();
    if !outside.is_empty() {
        return Err(Error::invalid_settings(format!(
            "a copy of {} would get at what is live by {}: name the copy's own `manifests` under \
             its `rehearsal.settings`",
            name.as_str().unwrap_or("it"),
            outside.join(", ")
        )));
    }
    let labels = live["metadata"].get("labels").cloned().unwrap_or_else(|| json!({}));
    let mut spec = live["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        // What was stopped or paused live would never come up.
        spec.remove("paused");
    }
    match live["kind"].as_str() {
        Some("Job") => {
            without_controller(&mut spec);
            spec["suspend"] = json!(true);
        }
        Some("CronJob") => spec["suspend"] = json!(true),
        _ => {}
    }
    let mut copy = Map::new();
    copy.insert("apiVersion".to_owned(), live["apiVersion"].clone());
    copy.insert("kind".to_owned(), live["kind"].clone());
    copy.insert("metadata".to_owned(), json!({"name": name, "labels": labels}));
    copy.insert("spec".to_owned(), spec);
    Ok(Value::Object(copy))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    fn live(volumes: Value) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 1},
            "metadata": {"name": "api", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"app": "api"}, "annotations": {FIRST: "x"}},
            "spec": {"replicas": 2, "paused": true, "template": {"spec": {"volumes": volumes,
                "containers": [{"name": "app", "image": "api:1"}]}}},
        })
    }

    #[test]
    fn a_copy_has_what_people_wrote_and_nothing_of_the_live_objects_own() {
        let copy =
            as_a_copy(&live(json!([{"name": "a", "secret": {}}, {"name": "b", "emptyDir": {}}])));
        let copy = copy.unwrap();
        assert_eq!(copy["metadata"], json!({"name": "api", "labels": {"app": "api"}}));
        assert_eq!(copy["spec"]["replicas"], 2);
        assert_eq!((&copy["status"], &copy["spec"]["paused"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn a_copy_of_a_job_or_a_cron_job_is_suspended_and_has_no_controller_yet() {
        let template = json!({"metadata": {"labels": {"app": "seed", "controller-uid": "u"}},
            "spec": {"containers": [{"name": "app", "image": "seed:1"}]}});
        let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "seed"},
            "spec": {"selector": {"matchLabels": {"controller-uid": "u"}}, "template": template}});
        let copy = as_a_copy(&job).unwrap();
        assert_eq!(copy["spec"]["suspend"], true);
        assert_eq!(copy["spec"]["selector"], Value::Null);
        assert_eq!(copy["spec"]["template"]["metadata"]["labels"], json!({"app": "seed"}));
        let mounts = json!([{"name": "data", "hostPath": {"path": "/srv"}}]);
        let mut template = template;
        template["spec"]["volumes"] = mounts;
        let cron_job = json!({"apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "digest"},
            "spec": {"suspend": false, "jobTemplate": {"spec": {"template": template}}}});
        assert!(as_a_copy(&cron_job).unwrap_err().message().contains("by data: name"));
        let mut plain = cron_job;
        plain["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"] = json!([]);
        assert_eq!(as_a_copy(&plain).unwrap()["spec"]["suspend"], true);
    }

    #[test]
    fn a_copy_that_would_get_at_live_data_is_refused_by_the_volumes_name() {
        for kind in ["hostPath", "nfs", "persistentVolumeClaim", "csi", "somethingNew"] {
            let mut volume = json!({"name": "data"});
            volume[kind] = json!({});
            let error = as_a_copy(&live(json!([{"name": "a", "secret": {}}, volume]))).unwrap_err();
            assert_eq!(error.case(), &Case::InvalidSettings, "{kind}");
            assert!(error.message().contains("by data: name"), "{error}");
        }
        let mut shares = live(json!([]));
        shares["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
        assert!(as_a_copy(&shares).unwrap_err().message().contains("hostNetwork"));
    }
}
