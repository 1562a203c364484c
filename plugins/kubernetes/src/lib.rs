//! Deployments, StatefulSets, DaemonSets, Jobs and CronJobs on Kubernetes.
//!
//! A release is an image (and manifests, if the settings name some). The cluster's own revision
//! history is the way back: a recorded revision is named by the ReplicaSet or ControllerRevision
//! that holds it, because the numbers that `rollout history` shows change when one is undone.
//!
//! # Settings
//! | key | meaning |
//! |---|---|
//! | `workload` | `deployment/NAME`, `statefulset/`, `daemonset/`, `job/` or `cronjob/NAME` |
//! | `container` | the container that a release brings an image for; default: the only one |
//! | `manifests` | file or directory that is applied (server-side) before the image is set |
//! | `namespace`, `kubeconfig`, `context` | where; default: `default`, and what `kubectl` finds |
//! | `take-over-fields` | let `manifests` take over fields that somebody else has set |
//! | `suspend` | CronJobs that are suspended while the component is stopped |
//! | `objects` | under `rehearsal.settings`: file or directory that a copy's namespace gets first |
//!
//! A release file says, under `[components.NAME]`, `image`, and may say `requires`, the variables
//! that must be configured before it is deployed or migrated; a file of variables (`.env.example`)
//! that its `config` names adds those that have no default.
//!
//! # Versions
//! The release's version is the image's tag. An image by digest alone is known by the annotation
//! that the deployment left at the pods.
//!
//! # Waves
//! A StatefulSet is upgraded in waves by its partition, exactly. A Deployment is paused when a wave
//! is complete; its strategy (`maxSurge`, `maxUnavailable`) decides how many pods change at once. A
//! DaemonSet has no waves.
//!
//! # Jobs and CronJobs
//! A CronJob is suspended while it is changed or held, its running Jobs are waited for, and it is
//! resumed as it was; its way back is the image that it had. The Job that `workload` names is what
//! a release's Job is made from: that runs once, and is removed on the way back.
//!
//! # What limits it
//! Autoscalers own the number of instances: they sleep while a workload is stopped at none, and the
//! number that it had is given back. A disruption budget that is not met stops the plan.
//!
//! # A lock that every machine sees
//! A run holds the Lease `vaultup-<kind>-<name>` of the workload in its namespace: see
//! [`vaultup_kubectl::lease`].
//!
//! # Rehearsal
//! A copy is a namespace of its own: `namespace` under `rehearsal.settings`, or else the live one's
//! name followed by `-rehearsal`. What else the pods need (Secrets, ConfigMaps) comes from
//! `objects`. The copy's workload comes from `manifests` under `rehearsal.settings`; without them
//! it is the live workload's own object, which is refused if it mounts anything that lies outside
//! of its namespace or whose data is the live one's. It gets the image that runs live, then the
//! upgrade runs as it would live, and `rollout undo` brings it back. The copy of a Job or CronJob
//! is suspended: only the next release's Job runs. The namespace is removed with all in it.
//!
//! # Invariants
//! - A migration runs as a Job with the new image and the workload's *own* environment, service
//!   account and volumes; its name is made from the operation's key, so it never runs twice.
//! - Names of keys are read from ConfigMaps and Secrets, never their values.
//! - A paused Deployment is resumed before it is undone: the cluster would refuse otherwise.

mod batch;
#[cfg(test)]
mod batch_tests;
mod deploy;
mod health;
mod job;
mod manifests;
mod migrate;
mod preview;
mod rehearsal;
mod revision;
mod settings;
#[cfg(test)]
mod tests;
mod twin;
mod workload;

pub use settings::Settings;

/// The plugin.
pub struct KubernetesPlugin;

impl vaultup_sdk::Plugin for KubernetesPlugin {
    type Settings = Settings;
}

vaultup_sdk::plugin!(KubernetesPlugin: deploy, migrate, health-check);
