//! What the plugins that deploy to Kubernetes share: asking a cluster through `kubectl`, and
//! understanding what it answers.
//!
//! - [`access`]: which cluster, as whom, in which namespace; what a failed command means
//! - [`objects`]: the few fields of workloads and pods that decisions rest on
//! - [`rollout`]: whether a workload runs what it should (pure)
//! - [`reason`]: why a pod does not, in the words that an operator needs
//! - [`scale`]: to no instance and back, remembered at the workload itself
//! - [`follow`]: waiting, with news of what hinders
//! - [`fields`]: who owns which field, and what differs between two objects (pure)
//! - [`copy`]: the namespace of a rehearsal's copy
//! - [`lease`]: the lock of a release or workload, which every machine sees
//! - [`moment`]: moments as the cluster writes them (pure)
//! - [`manifest`]: the objects of a YAML text
//! - [`required`]: variables that a release requires, and where they are configured
//! - [`rights`]: rights that are missing, and the Role that would give them
//! - [`limits`]: autoscalers and disruption budgets
//! - [`selector`]: which pods an object means (pure)
//! - [`version`]: which versions of kubectl are understood
//! - [`waves`]: workloads held by their own means, and let go pod by pod
//!
//! # Invariants
//! - A command that only reads carries nothing but names and texts of the operator's.
//! - What an answer does not have is never guessed: a field of another type is an error that names
//!   the command.
//! - Values of Secrets never get into a text that is shown.

pub mod access;
pub mod copy;
pub mod digest;
pub mod fields;
pub mod follow;
pub mod lease;
pub mod limits;
pub mod manifest;
pub mod moment;
pub mod objects;
pub mod reason;
pub mod required;
pub mod rights;
pub mod rollout;
pub mod scale;
pub mod selector;
pub mod version;
pub mod waves;

pub use access::{Access, Kubectl};
pub use limits::Limits;
pub use objects::{Cluster, Kind, Pod, Workload};
