//! `plugin.toml`: what a plugin says of itself. It travels inside the component as the custom
//! section `vaultup:manifest`, so it is read without running a line of the plugin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::Interface;
use crate::name::Name;
use crate::pattern::Pattern;

/// Name of the custom section that holds the manifest's text.
pub const MANIFEST_SECTION: &str = "vaultup:manifest";

/// The contract that this host offers, `major.minor`.
pub const CONTRACT_OFFERED: ContractVersion = ContractVersion { major: 0, minor: 1 };

/// A version of the plugin contract. Minor versions only add.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContractVersion {
    /// Changes when something is taken away or means something else.
    pub major: u32,
    /// Grows with additions.
    pub minor: u32,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The plugin's name.
    pub name: Name,
    /// The plugin's version.
    pub version: semver::Version,
    /// The contract that it needs.
    pub contract: ContractVersion,
    /// One sentence.
    pub description: String,
    /// The interfaces that it exports, checked against the component itself.
    pub exports: Vec<Interface>,
    /// The tools that its patterns run.
    pub tools: Vec<Tool>,
    /// Everything that may run.
    pub process: Vec<ProcessNeed>,
    /// Everything of the operator's that it may touch.
    pub files: Vec<FilesNeed>,
    /// Hosts that it may talk to.
    pub http: Vec<HttpNeed>,
    /// Texts (SQL, scripts) that `{…:literal}` placeholders and standard input of `read`
    /// commands may carry, by name.
    pub literals: BTreeMap<String, String>,
    /// JSON Schema of its settings.
    pub settings: Value,
}

/// A tool, found on PATH, pinned by digest in the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tool {
    /// Program name without a slash.
    pub name: String,
    /// Versions that the plugin was made for; absent: any.
    pub version: Option<semver::VersionReq>,
    /// Arguments that make it say its version.
    pub ask: Vec<String>,
}

/// Whether a command changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// It only reads; allowed in `check` and `plan`.
    Read,
    /// It may change something; refused in `check` and `plan`.
    Change,
}

/// What a need allows to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// Argument lists of this shape; the first element is one of the manifest's tools.
    Arguments(Pattern),
    /// The operator's own command that stands in the settings under this dotted key.
    Setting(String),
    /// The release's own command that stands in its entry under this dotted key.
    Release(String),
}

/// Something that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProcessNeed {
    /// Whether it changes anything.
    pub class: Class,
    /// What it is.
    pub runs: Runs,
    /// `${name}` variables that the plugin may fill in a setting or release command. Values are
    /// checked like `{name}` placeholders.
    pub variables: Vec<String>,
    /// Environment variables that may be set; a trailing `*` matches any ending.
    pub environment: Vec<String>,
}

/// Whether files may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read only.
    Read,
    /// Read and change.
    Write,
}

/// A path of the operator's that may be touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FilesNeed {
    /// Dotted key in the settings under which the path stands.
    pub setting: String,
    /// Whether it may be changed.
    pub access: Access,
    /// Whether entries beside it named `<its name>.vaultup-…` belong to it: the empty target of a
    /// restore and what a switch sets aside. The root that `files.root.open` gives is then the
    /// parent directory, restricted to the path itself and such entries.
    pub beside: bool,
}

/// A host that may be talked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpNeed {
    /// The host and port of the URL that stands in the settings under this dotted key.
    Setting(String),
    /// This host and port, such as `api.example:443`.
    Host(String),
}

impl TryFrom<String> for ContractVersion {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let digits = |part: &str| {
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse::<u32>().ok()).flatten()
        };
        text.split_once('.')
            .and_then(|(major, minor)| Some((digits(major)?, digits(minor)?)))
            .map(|(major, minor)| Self { major, minor })
            .ok_or_else(|| {
                let shown = crate::pattern::shown(&text);
                format!("`{shown}` is no contract version: write `major.minor`, such as \"0.1\"")
            })
    }
}

impl From<ContractVersion> for String {
    fn from(version: ContractVersion) -> Self {
        version.to_string()
    }
}

impl std::fmt::Display for ContractVersion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}
