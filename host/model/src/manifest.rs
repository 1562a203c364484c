//! `plugin.toml`: what a plugin says of itself. It travels inside the component as the custom
//! section `vaultup:manifest`, so it is read without running a line of the plugin.
//!
//! ```
//! # use vaultup_model as model;
//! let text = r#"
//! format      = 1
//! name        = "helm"
//! version     = "0.1.0"
//! contract    = "0.1"                # a host that offers less refuses, naming both
//! description = "Helm releases on Kubernetes"
//! exports     = ["deploy", "health-check"]
//!
//! [[tools]]
//! name    = "helm"
//! version = ">=3.14, <5"
//! ask     = ["version", "--short"]   # run to learn the version
//!
//! [[process]]                        # everything that may run
//! class = "read"                     # allowed in `check` and `plan`
//! argv  = ["helm", "status", "{release}", "--namespace={namespace}", "--output=json"]
//!
//! [[process]]
//! class = "change"                   # refused there
//! argv  = ["helm", "upgrade", "{release}", "{chart:path}", "--values={values:path}*", "--wait"]
//! environment = ["KUBECONFIG", "HELM_*"]
//!
//! [[process]]
//! class     = "change"
//! setting   = "drain"                # the operator's own command in the settings
//! variables = ["instance"]           # which `${instance}` in it the plugin may fill in
//!
//! [[process]]
//! class   = "change"
//! release = "migrate.command"        # the release's own command in its entry
//!
//! [[files]]
//! setting = "chart"                  # a path of the operator's
//! access  = "read"                   # or "write"
//! beside  = false                    # the default
//!
//! [[http]]
//! setting = "gateway"                # host and port of this URL; or: host = "api.example:443"
//!
//! [literals]                         # SQL and scripts for `{…:literal}` and standard input
//! count = "SELECT count(*) FROM orders"
//!
//! [settings]                         # JSON Schema; without it there are no settings
//! type     = "object"
//! required = ["release", "chart"]
//! additionalProperties = false
//! properties.release = { type = "string", maxLength = 53 }
//! properties.chart   = { type = "string" }
//! properties.gateway = { type = "string" }
//! properties.drain   = { type = "array", items = { type = "string" } }
//! properties.token   = { "$ref" = "vaultup:secret" }     # `{ secret = "name" }`
//! "#;
//! let manifest = model::manifest::Manifest::parse(text, "plugin.toml").unwrap();
//! manifest.check_contract().unwrap();
//! let settings = serde_json::json!({ "release": "shop", "chart": "./chart", "namespce": "x" });
//! let faults = manifest.check_settings(&settings).unwrap_err();
//! assert_eq!(faults[0].pointer, "/namespce");
//! ```
//!
//! Rejected, each with file, line, column and what to write instead:
//! - `argv = ["sh", …]` without a tool `sh`; `argv = ["/bin/sh"]`; see [`crate::pattern`]
//! - `class = "read"` with `{…:text}` or `{…:assignment}`: a command that only reads never carries
//!   text that the plugin made up
//! - `environment = ["LD_PRELOAD"]`, `["PATH"]`, `["*"]`: these decide which code runs
//! - `setting = "drian"` when the schema has `drain` and allows nothing else
//! - a schema that fetches something, or refers to itself in a circle

mod contract_version;
mod granting;
mod needs;
mod read;
mod schema;

pub use granting::NotGranted;
pub use needs::Needs;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::Interface;
use crate::error::Error;
use crate::interpolate::interpolate;
use crate::name::Name;
use crate::pattern::Pattern;
use crate::settings;

/// The largest manifest, in bytes. It is read from components that nobody trusts yet.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// The most commands that a plugin may need; the operator reads each of them once.
pub const PROCESS_NEEDS_MAX: usize = 200;
/// The most entries of any other list in a manifest.
pub const ENTRIES_MAX: usize = 200;

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

impl Manifest {
    /// Reads a manifest. `file` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Faults`] with everything that is wrong with it. A manifest that was made for a
    /// contract that this host does not offer may have keys that it does not know: then the error
    /// is that of [`Manifest::check_contract`].
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        read::parse(text, file, schema::check_schema)
    }

    /// Reads a manifest that [`Manifest::parse`] accepted before, as that of an installed plugin.
    ///
    /// Everything is checked again but whether the schema of the settings is JSON Schema: telling
    /// that takes longer than all the rest, and it was told. Should it not be after all, checking
    /// settings against it says so.
    ///
    /// # Errors
    /// As [`Manifest::parse`].
    pub fn parse_again(text: &str, file: &str) -> Result<Self, Error> {
        read::parse(text, file, schema::check_form)
    }

    /// Checks that this host offers the contract that the plugin needs.
    ///
    /// # Errors
    /// [`Error::ContractTooNew`] or [`Error::ContractOtherMajor`], naming both versions.
    pub fn check_contract(&self) -> Result<(), Error> {
        contract_offered(&self.name, &self.version, self.contract)
    }

    /// Checks the settings of a component or datastore against the plugin's schema.
    ///
    /// # Errors
    /// Everything that the schema refuses, by pointer; [`crate::Places::settings_faults`] turns
    /// it into faults with file, line and column.
    pub fn check_settings(&self, settings: &Value) -> Result<(), Vec<SettingsFault>> {
        schema::check(&self.settings, settings)
    }

    /// Everything that an operator has to grant.
    #[must_use]
    pub fn needs(&self) -> Needs {
        Needs::of(self)
    }

    /// Fills in `${…}` in the settings of a component or datastore. Commands that the plugin may
    /// run keep what it fills in itself, and are to be interpolated once more when they run; see
    /// [`mod@crate::interpolate`].
    ///
    /// # Errors
    /// As [`interpolate`].
    pub fn interpolate_settings(
        &self,
        settings: &Value,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, Error> {
        let commands = self.process.iter().filter_map(|need| match &need.runs {
            Runs::Setting(key) => Some((key.as_str(), need)),
            _ => None,
        });
        interpolate_beside_commands(settings, commands, variables)
    }

    /// As [`Manifest::interpolate_settings`], for a release's entry.
    ///
    /// # Errors
    /// As [`interpolate`].
    pub fn interpolate_entry(
        &self,
        entry: &Value,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, Error> {
        let commands = self.process.iter().filter_map(|need| match &need.runs {
            Runs::Release(key) => Some((key.as_str(), need)),
            _ => None,
        });
        interpolate_beside_commands(entry, commands, variables)
    }
}

impl ProcessNeed {
    /// Whether a variable may be set for the command. What decides which code runs
    /// (`LD_PRELOAD`, `PATH`, …) never may, whatever the manifest says.
    #[must_use]
    pub fn allows_environment(&self, name: &str) -> bool {
        !read::is_forbidden_variable(name)
            && self.environment.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
    }
}

fn contract_offered(
    plugin: &Name,
    version: &semver::Version,
    needed: ContractVersion,
) -> Result<(), Error> {
    let (plugin, version, offered) = (plugin.clone(), version.clone(), CONTRACT_OFFERED);
    if needed.major != offered.major {
        Err(Error::ContractOtherMajor { plugin, version, needed, offered })
    } else if needed.minor > offered.minor {
        Err(Error::ContractTooNew { plugin, version, needed, offered })
    } else {
        Ok(())
    }
}

/// Interpolates everything for good, except for commands with variables of the plugin's.
fn interpolate_beside_commands<'n>(
    value: &Value,
    commands: impl Iterator<Item = (&'n str, &'n ProcessNeed)>,
    variables: &BTreeMap<String, String>,
) -> Result<Value, Error> {
    let mut reserved: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (key, need) in commands {
        reserved.entry(key).or_default().extend(need.variables.iter().cloned());
    }
    reserved.retain(|key, names| !names.is_empty() && settings::at(value, key).is_some());
    let mut others = value.clone();
    for key in reserved.keys() {
        settings::replace(&mut others, key, Value::Null);
    }
    let mut result = interpolate(&others, variables, &BTreeSet::new())?;
    for (key, names) in &reserved {
        let command = settings::at(value, key).unwrap_or(&Value::Null);
        let command = interpolate(command, variables, names)
            .map_err(|error| error.below(&format!("/{}", key.replace('.', "/"))))?;
        settings::replace(&mut result, key, command);
    }
    Ok(result)
}

/// One thing in settings that a plugin's schema refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsFault {
    /// JSON pointer to it, from the top of the settings.
    pub pointer: String,
    /// Whether the key is meant and not its value.
    pub is_key: bool,
    /// A lower-case sentence: what is wrong. Never repeats the value, which may be confidential.
    pub message: String,
    /// What to write instead.
    pub help: String,
}
