//! `release.toml`: one version of the whole stack, as the product's vendor describes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::Name;

/// What a release does to a datastore's schema, as its notes claim. What is observed outranks it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationClass {
    /// The schema stays as it is.
    None,
    /// The previous release runs on the migrated schema.
    Compatible,
    /// The previous release does not run on it.
    Breaking,
    /// Nothing is claimed; treated as breaking.
    #[default]
    Unknown,
}

/// How a migration is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MigrateBy {
    /// A command, run before the deployment by the plugin of `with` (in the new release, with that
    /// component's environment) or, without it, by the datastore's plugin.
    Command {
        /// The component whose new release brings the command.
        with: Option<Name>,
        /// The command.
        command: Vec<String>,
    },
    /// The component migrates by itself when it starts.
    AtStart {
        /// The component.
        with: Name,
    },
}

/// A release's entry for one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComponentRelease {
    /// Image, chart, directory or assembly; absent: the plugin finds it by the version.
    pub artifact: Option<String>,
    /// The whole entry as written, a JSON object, handed to the plugin.
    pub entry: Value,
}

/// A release's entry for one datastore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct DatastoreRelease {
    /// The schema version that this release expects.
    pub schema: Option<String>,
    /// What it does to the schema.
    pub migration: MigrationClass,
    /// How.
    pub migrate: Option<MigrateBy>,
    /// The whole entry as written, a JSON object, handed to the plugin.
    pub entry: Value,
}

/// One version of the whole stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Release {
    /// Its version.
    pub version: semver::Version,
    /// Versions from which it can be reached, such as `2.4.x`; empty: any.
    pub from: Vec<VersionPattern>,
    /// One entry for each component that it says something of.
    pub components: BTreeMap<Name, ComponentRelease>,
    /// One entry for each datastore that it says something of.
    pub datastores: BTreeMap<Name, DatastoreRelease>,
}

/// `2`, `2.4`, `2.4.x`, `2.4.1`: the parts that are given must be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionPattern {
    /// The parts that are given, one to three.
    parts: Vec<u64>,
}

impl VersionPattern {
    /// Whether every part that is given equals the version's. What follows `-` or `+` in the
    /// version does not count.
    #[must_use]
    pub fn matches(&self, version: &semver::Version) -> bool {
        let parts = [version.major, version.minor, version.patch];
        self.parts.iter().zip(parts).all(|(wanted, part)| *wanted == part)
    }
}

impl TryFrom<String> for VersionPattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            let shown = crate::pattern::shown(&text);
            format!("`{shown}` is no version pattern: write \"2\", \"2.4\", \"2.4.x\" or \"2.4.1\"")
        };
        let mut pieces: Vec<&str> = text.split('.').collect();
        if pieces.len() > 3 {
            return Err(wrong());
        }
        while pieces.len() > 1 && pieces.last() == Some(&"x") {
            pieces.pop();
        }
        let part = |piece: &&str| {
            let plain = !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| piece.parse::<u64>().ok()).flatten().ok_or_else(wrong)
        };
        Ok(Self { parts: pieces.iter().map(part).collect::<Result<_, _>>()? })
    }
}

impl From<VersionPattern> for String {
    fn from(pattern: VersionPattern) -> Self {
        pattern.to_string()
    }
}

impl std::fmt::Display for VersionPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for part in &self.parts {
            write!(formatter, "{part}.")?;
        }
        formatter.write_str("x")
    }
}
