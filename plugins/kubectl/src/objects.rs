//! Workloads and pods of a namespace: the few fields that decisions rest on.
//!
//! A field that is absent has the value that the API server means by its absence; one of another
//! type makes the whole answer an error.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::Value;
use vaultup_sdk::Error;
use vaultup_sdk::process::Asked;

use crate::access::Kubectl;

mod pods;

pub use pods::{ContainerState, ContainerStatus, Pod, PodStatus, Terminated, Waiting};

/// What is asked for at once; the read pattern of the manifests says the same.
pub const WORKLOADS_AND_PODS: &str =
    "deployments.apps,statefulsets.apps,daemonsets.apps,replicasets.apps,jobs.batch,pods";

/// Annotation with the number of instances that a workload had before it was stopped.
pub const REPLICAS_BEFORE: &str = "vaultup.dev/replicas";

/// What keeps pods running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

/// A name and what belongs to it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// The cluster's own id of it.
    pub uid: String,
    /// Grows with each change of what is wanted.
    pub generation: u64,
    /// Changes with each change of anything.
    pub resource_version: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Who it belongs to.
    pub owner_references: Vec<Owner>,
    /// When it is to go, if it is.
    pub deletion_timestamp: Option<String>,
}

/// Who an object belongs to.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// The owner's id.
    pub uid: String,
}

/// Something that keeps pods running.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is.
    pub kind: Kind,
    /// Its name and what belongs to it.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: Specification,
    /// What is.
    pub status: Status,
}

/// What is wanted of a workload.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Specification {
    /// How many pods; absent: one. A DaemonSet has none.
    pub replicas: Option<u32>,
    /// Whether a Deployment's changes wait.
    pub paused: bool,
    /// What its pods are made from.
    pub template: Template,
    /// How a StatefulSet or DaemonSet takes up a change.
    pub update_strategy: UpdateStrategy,
    /// How a Deployment does.
    pub strategy: UpdateStrategy,
}

/// How a workload takes up a change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// `RollingUpdate`, `OnDelete` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: String,
    /// More of it.
    pub rolling_update: RollingUpdate,
}

/// More of a rolling update.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdate {
    /// Pods of a StatefulSet with a number below this stay as they are.
    pub partition: u32,
    /// How many pods may be away at once: a number, or a share such as `25%`.
    pub max_unavailable: Option<Value>,
}

/// What pods are made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Template {
    /// Name and labels.
    pub metadata: Metadata,
    /// What the pods are.
    pub spec: PodSpecification,
}

/// What a pod is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpecification {
    /// Its containers.
    pub containers: Vec<Container>,
    /// Those that run before.
    pub init_containers: Vec<Container>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
}

/// What is of a workload. The names are those of all three kinds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// The generation that the rest is about.
    pub observed_generation: u64,
    /// Pods that exist.
    pub replicas: u32,
    /// Pods that are made from the present template.
    pub updated_replicas: u32,
    /// Pods that are ready.
    pub ready_replicas: u32,
    /// Pods that are ready for long enough.
    pub available_replicas: u32,
    /// The revision that a StatefulSet's pods have.
    pub current_revision: String,
    /// The revision that they are to have.
    pub update_revision: String,
    /// Nodes that a DaemonSet belongs on.
    pub desired_number_scheduled: u32,
    /// Nodes with a pod of the present template.
    pub updated_number_scheduled: u32,
    /// Nodes with an available pod.
    pub number_available: u32,
    /// Nodes with a pod.
    pub current_number_scheduled: u32,
    /// What a Deployment says of itself.
    pub conditions: Vec<Condition>,
}

/// What an object says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Of what.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// Something that runs pods to their end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Job {
    /// Its name and what belongs to it.
    pub metadata: Metadata,
    /// How it is.
    pub status: JobStatus,
}

/// How a Job is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobStatus {
    /// Pods that run or are about to.
    pub active: u32,
    /// Pods that ended well.
    pub succeeded: u32,
    /// Pods that did not.
    pub failed: u32,
    /// What it says of itself.
    pub conditions: Vec<Condition>,
}

/// The workloads and pods of a namespace at one look.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Deployments, StatefulSets and DaemonSets.
    pub workloads: Vec<Workload>,
    /// Jobs.
    pub jobs: Vec<Job>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Which Deployment a ReplicaSet belongs to, by ids.
    replica_sets: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct Bare {
    metadata: Metadata,
    #[serde(default)]
    spec: Specification,
    #[serde(default)]
    status: Status,
}

impl Cluster {
    /// Asks for what is in a namespace.
    pub fn ask(kubectl: &Kubectl) -> Asked<'static, Self> {
        kubectl.ask_json(&["get", WORKLOADS_AND_PODS, "--output=json"]).and_then(|answer| {
            Self::read(answer).map_err(|error| {
                let message = "`kubectl get`: workloads and pods are not what was expected";
                Error::corrupt(message).with_platform(error.to_string())
            })
        })
    }

    /// Looks at a namespace.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub fn look(kubectl: &Kubectl) -> Result<Self, Error> {
        Self::ask(kubectl).answer()
    }

    /// Reads what `kubectl get … --output=json` answers.
    ///
    /// # Errors
    /// If a field is of another type than the API's.
    pub fn read(answer: Value) -> Result<Self, serde_json::Error> {
        let listed: Listed = serde_json::from_value(answer)?;
        let mut cluster = Self::default();
        for item in listed.items {
            let kind = item["kind"].as_str().unwrap_or_default().to_owned();
            match kind.as_str() {
                "Pod" => {
                    cluster.pods.push(serde_json::from_value(item)?);
                    continue;
                }
                "Job" => {
                    cluster.jobs.push(serde_json::from_value(item)?);
                    continue;
                }
                _ => {}
            }
            let Bare { metadata, spec, status } = serde_json::from_value(item)?;
            if let Some(kind) = Kind::named(&kind) {
                cluster.workloads.push(Workload { kind, metadata, spec, status });
            } else if let Some(owner) = metadata.owner_references.first() {
                cluster.replica_sets.insert(metadata.uid, owner.uid.clone());
            }
        }
        Ok(cluster)
    }

    /// The same with those workloads only that are wanted.
    #[must_use]
    pub fn only(mut self, is_wanted: impl Fn(&Workload) -> bool) -> Self {
        self.workloads.retain(|workload| is_wanted(workload));
        self
    }

    /// The pods of a workload or Job.
    pub fn pods_of<'c>(&'c self, owner: &'c Metadata) -> impl Iterator<Item = &'c Pod> {
        let owner = &owner.uid;
        self.pods.iter().filter(move |pod| {
            pod.metadata.owner_references.iter().any(|its| {
                its.uid == *owner || self.replica_sets.get(&its.uid).is_some_and(|its| its == owner)
            })
        })
    }

    /// The pods of all workloads.
    pub fn owned_pods(&self) -> impl Iterator<Item = &Pod> {
        self.workloads.iter().flat_map(|workload| self.pods_of(&workload.metadata))
    }

    /// Every image that a workload wants, sorted.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        let images = self.workloads.iter().flat_map(Workload::images).map(str::to_owned);
        images.collect::<BTreeSet<String>>().into_iter().collect()
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// The kind of this name, as objects say it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As objects say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// As commands say it.
    #[must_use]
    pub fn resource(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::DaemonSet => "daemonset",
        }
    }
}

impl Workload {
    /// As commands say it: `deployment/shop`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/{}", self.kind.resource(), self.metadata.name)
    }

    /// The images of its containers.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.spec.template.spec.containers.iter().map(|container| container.image.as_str())
    }

    /// How many pods it is to have now.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        match self.kind {
            Kind::DaemonSet => self.status.desired_number_scheduled,
            Kind::Deployment | Kind::StatefulSet => self.spec.replicas.unwrap_or(1),
        }
    }

    /// How many pods it had before it was stopped, if it is stopped; otherwise as [`Self::wanted`].
    #[must_use]
    pub fn wanted_when_open(&self) -> u32 {
        let before = self.metadata.annotations.get(REPLICAS_BEFORE);
        match before.and_then(|text| text.parse().ok()) {
            Some(before) if self.wanted() == 0 => before,
            _ => self.wanted(),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reference())
    }
}

impl Job {
    /// Whether it has come to its end, and if so whether it ended well.
    #[must_use]
    pub fn ended(&self) -> Option<bool> {
        let is = |kind: &str| {
            let mut conditions = self.status.conditions.iter();
            conditions.any(|its| its.kind == kind && its.status == "True")
        };
        if is("Failed") {
            return Some(false);
        }
        is("Complete").then_some(true)
    }
}
