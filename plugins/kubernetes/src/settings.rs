//! The settings, and what a release file says beside them.

use serde::Deserialize;
use vaultup_kubectl::Access;

/// What the operator says of a component.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// What keeps its pods running, such as `deployment/api`.
    pub workload: String,
    /// The container that a release brings an image for.
    pub container: Option<String>,
    /// File or directory that is applied before the image is set.
    pub manifests: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub access: Access,
    /// Take over fields that somebody else has set.
    #[serde(default)]
    pub take_over_fields: bool,
    /// CronJobs that are suspended while the component is stopped.
    #[serde(default)]
    pub suspend: Vec<String>,
    /// What a copy's namespace gets before anything else.
    pub objects: Option<String>,
}

/// What a release file says of a component.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Entry {
    /// Variables that must be configured before the release is deployed or migrated.
    pub(crate) requires: Vec<String>,
}
