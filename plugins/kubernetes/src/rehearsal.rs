//! A workload in the namespace of a rehearsal's copy.
//!
//! The copy knows nothing of the live workload's revisions: its own first complete one, with the
//! image that runs live, is written down at the copy, and that is the one it is brought back to.

use serde_json::{Map, Value, json};
use vaultup_kubectl::copy::Scratch;
use vaultup_kubectl::rollout::{self, Rollout};
use vaultup_kubectl::{Kubectl, Workload, follow, scale};
use vaultup_sdk::deploy::Presence;
use vaultup_sdk::{Case, Copied, Error, Observation, log};

use crate::settings::Settings;
use crate::twin::progress;
use crate::workload::{Component, version_of};

/// Annotation of a copy with the revision that is the release which runs live.
const FIRST: &str = "vaultup.dev/first-revision";
/// What a copy's namespace gets at the least.
const RIGHTS: [(&str, &str); 2] = [("create", "deployments.apps"), ("list", "pods")];
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
        let image = self.image_of(&live)?;
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
        scratch.left(&RIGHTS)
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
            return self.apply_manifests();
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

    /// The image that the live workload's container has.
    fn image_of(&self, live: &Value) -> Result<String, Error> {
        let wanted = &self.copied()?.live.container;
        let containers = live["spec"]["template"]["spec"]["containers"].as_array();
        let mut containers = containers.into_iter().flatten();
        let its = match wanted {
            Some(name) => containers.find(|its| its["name"] == **name),
            None => containers.next(),
        };
        let image = its.and_then(|its| its["image"].as_str());
        image.map(str::to_owned).ok_or_else(|| {
            Error::corrupt("the live workload has no such container, or that has no image")
        })
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

fn first(workload: &Workload) -> Option<String> {
    workload.metadata.annotations.get(FIRST).cloned()
}

/// The live workload's object as that of a copy: what people wrote, without what is the cluster's.
///
/// # Errors
/// [`Case::InvalidSettings`] if its pods would get at something that is the live ones'.
fn as_a_copy(live: &Value) -> Result<Value, Error> {
    let name = &live["metadata"]["name"];
    let pod = &live["spec"]["template"]["spec"];
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
    let mut spec = live["spec"].as_object().cloned().unwrap_or_default();
    // What was stopped or paused live would never come up.
    spec.remove("paused");
    let mut copy = Map::new();
    copy.insert("apiVersion".to_owned(), live["apiVersion"].clone());
    copy.insert("kind".to_owned(), live["kind"].clone());
    copy.insert("metadata".to_owned(), json!({"name": name, "labels": labels}));
    copy.insert("spec".to_owned(), Value::Object(spec));
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
