//! The settings, and what a release file says beside them.

use serde::Deserialize;
use vaultup_kubectl::Access;

/// Revisions that helm keeps if the operator says nothing: helm's own default.
const HISTORY_MAX_DEFAULT: u32 = 10;

/// What the operator says of a component.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Settings {
    /// Name of the helm release.
    pub release: String,
    /// Its chart, if the release file does not say.
    pub chart: Option<String>,
    /// Fetch the chart without TLS.
    #[serde(default)]
    pub plain_http: bool,
    /// Where it is.
    #[serde(flatten)]
    pub access: Access,
    /// Values files.
    #[serde(default)]
    pub values: Vec<String>,
    /// Values, `key=value`.
    #[serde(default)]
    pub set: Vec<String>,
    /// Values that are texts, `key=value`.
    #[serde(default)]
    pub set_string: Vec<String>,
    /// Keep values that only the running release has.
    #[serde(default)]
    pub keep_values: bool,
    /// What of the chart is the release's version.
    pub version_in: Option<VersionIn>,
    /// The value that is the release's version.
    pub version_value: Option<String>,
    /// Take over fields that somebody else has set.
    #[serde(default)]
    pub take_over_fields: bool,
    /// Revisions that helm keeps.
    pub history_max: Option<u32>,
    /// What commands of other plugins run inside of.
    pub exec: Option<String>,
    /// Its container.
    pub container: Option<String>,
    /// What a copy's namespace gets before anything else.
    pub objects: Option<String>,
}

/// What of a chart is the release's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionIn {
    /// Its `appVersion`.
    AppVersion,
    /// Its `version`.
    ChartVersion,
}

/// What a release file says of a component.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Entry {
    /// Version of the chart, for charts that are fetched.
    pub(crate) chart_version: Option<String>,
    /// Values files after those of the settings.
    pub(crate) values: Vec<String>,
    /// Values after those of the settings.
    pub(crate) set: Vec<String>,
    /// Values that are texts, after those of the settings.
    pub(crate) set_string: Vec<String>,
    /// Variables that must be configured before the release is deployed.
    pub(crate) requires: Vec<String>,
}

impl Settings {
    /// Revisions that helm keeps.
    pub(crate) fn history_max(&self) -> u32 {
        self.history_max.unwrap_or(HISTORY_MAX_DEFAULT)
    }
}
