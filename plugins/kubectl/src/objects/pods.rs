//! Pods, and how their containers are.

use serde::Deserialize;
use serde_json::Value;

use super::{Condition, Metadata, PodSpecification};

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Its name and what belongs to it.
    pub metadata: Metadata,
    /// What it is.
    pub spec: PodSpecification,
    /// How it is.
    pub status: PodStatus,
}

/// How a pod is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: String,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// What it says of itself.
    pub conditions: Vec<Condition>,
    /// How its containers are.
    pub container_statuses: Vec<ContainerStatus>,
    /// How those are that run before.
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// How a container is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Whether it can serve.
    pub ready: bool,
    /// How often it was started again.
    pub restart_count: u32,
    /// How it is now.
    pub state: ContainerState,
    /// How it was before it was started again.
    pub last_state: ContainerState,
}

/// How a container is or was.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It waits.
    pub waiting: Option<Waiting>,
    /// It runs.
    pub running: Option<Value>,
    /// It has ended.
    pub terminated: Option<Terminated>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// In a word.
    pub reason: String,
    /// In a sentence.
    pub message: String,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Terminated {
    /// Its exit status.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: i32,
    /// Why, in a word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

impl Pod {
    /// Whether it says that it can serve.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let ready = |its: &Condition| its.kind == "Ready" && its.status == "True";
        self.metadata.deletion_timestamp.is_none() && self.status.conditions.iter().any(ready)
    }

    /// Whether any of its containers runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let statuses = self.status.init_container_statuses.iter();
        statuses.chain(&self.status.container_statuses).any(|its| its.state.running.is_some())
    }

    /// Whether it has come to its end and will not run again.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}
