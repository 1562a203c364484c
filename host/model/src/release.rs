//! `release.toml`: one version of the whole stack, as the product's vendor describes it.
//!
//! ```
//! # use vaultup_model as model;
//! let text = r#"
//! format  = 1
//! version = "2.5.0"
//! from    = ["2.4.x"]                # versions from which it can be reached; default: any
//! notes   = "NOTES.md"
//!
//! [components.api]
//! image   = "registry.example/api:2.5.0@sha256:6f1e"   # or chart, directory, assembly, artifact
//! config  = ".env.example"           # variables without a value there must be configured
//! command = ["./api", "--serve"]     # any other key is handed to the plugin
//!
//! [datastores.orders]
//! schema    = 18                     # a text or a whole number
//! migration = "breaking"             # none | compatible | breaking | unknown (the default)
//! migrate   = { with = "api", command = ["./api", "migrate"] }
//! migrations = "migrations"          # their files: what was shipped before may not be edited
//!
//! [datastores.audit]
//! migrate = { with = "api", at-start = true }    # the component migrates when it starts
//! "#;
//! let release = model::release::Release::parse(text, "release.toml").unwrap();
//! assert_eq!(release.version.to_string(), "2.5.0");
//! assert!(release.from[0].matches(&"2.4.7".parse().unwrap()));
//! ```
//!
//! Rejected, each with file, line, column and what to write instead:
//! - `version = "2.5"`: no semantic version (write `2.5.0`)
//! - `from = ["2.*"]`: no version pattern
//! - `image` and `chart` of one component: exactly one artifact
//! - `migrate = { with = "api" }`: neither `command` nor `at-start = true`
//!
//! Names that the stack does not have show when the release meets it: [`Release::check_against`].

mod fit;
mod read;
pub mod variables;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::name::Name;
use crate::places::Places;
use crate::stack::Stack;

/// The largest release file, in bytes.
pub const RELEASE_BYTES_MAX: usize = 1024 * 1024;
/// The most patterns of versions from which a release can be reached.
pub const FROM_MAX: usize = 100;
/// The keys of which at most one says what a component's artifact is.
pub const ARTIFACT_KEYS: [&str; 5] = ["artifact", "assembly", "chart", "directory", "image"];

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
    /// File with the variables that it knows, such as `.env.example`, relative to the release file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
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
    /// Directory with the files of its migrations, relative to the release file. Those that were
    /// shipped before must be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<String>,
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
    /// File with the release notes, relative to the release file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// File with the compatibility matrix, relative to the release file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<String>,
}

/// `2`, `2.4`, `2.4.x`, `2.4.1`: the parts that are given must be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionPattern {
    /// The parts that are given, one to three.
    parts: Vec<u64>,
}

impl Release {
    /// Reads a release file. `file` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Faults`] with everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        Self::parse_with_places(text, file).map(|(release, _)| release)
    }

    /// Reads a release file, and keeps where everything stands.
    ///
    /// # Errors
    /// As [`Release::parse`].
    pub fn parse_with_places(text: &str, file: &str) -> Result<(Self, Places), Error> {
        read::parse(text, file)
    }

    /// Checks that the stack has everything that the release speaks of. A stack may have more.
    ///
    /// # Errors
    /// [`Error::Faults`] with the nearest names that the stack has, at the `places` of the release.
    pub fn check_against(&self, stack: &Stack, places: &Places) -> Result<(), Error> {
        fit::check(self, stack, places)
    }

    /// Whether it can be reached from a version: `from` is empty or has a pattern for it.
    #[must_use]
    pub fn is_reachable_from(&self, version: &semver::Version) -> bool {
        self.from.is_empty() || self.from.iter().any(|pattern| pattern.matches(version))
    }
}

impl ComponentRelease {
    /// Adds variables to those that must be configured before it is deployed or migrated: the list
    /// `requires` of its entry. A plugin refuses what is no list there; it is left alone.
    pub fn require(&mut self, names: Vec<String>) {
        let Some(entry) = self.entry.as_object_mut() else { return };
        let listed = entry.entry("requires").or_insert_with(|| Value::Array(Vec::new()));
        let Some(listed) = listed.as_array_mut() else { return };
        for name in names.into_iter().map(Value::String) {
            if !listed.contains(&name) {
                listed.push(name);
            }
        }
    }
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
        let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
        formatter.write_str(&parts.join("."))?;
        // Three parts are one version; fewer stand for many, which `.x` makes plain.
        formatter.write_str(if parts.len() == 3 { "" } else { ".x" })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use proptest::prelude::{any, proptest};

    use super::{MigrateBy, MigrationClass, Release, VersionPattern};
    use crate::name::Name;

    fn matches(pattern: &str, version: &str) -> bool {
        let pattern = VersionPattern::try_from(pattern.to_owned()).unwrap();
        pattern.matches(&version.parse().unwrap())
    }

    #[test]
    fn the_parts_that_are_given_must_be_equal() {
        for pattern in ["2", "2.x", "2.x.x", "2.4", "2.4.x", "2.4.1"] {
            assert!(matches(pattern, "2.4.1"), "{pattern}");
        }
        for pattern in ["1", "3.x", "2.5.x", "2.4.2", "24"] {
            assert!(!matches(pattern, "2.4.1"), "{pattern}");
        }
        assert!(matches("2.4.1", "2.4.1-rc.1+build"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let wrong = [
            "",
            "x",
            "x.1",
            "2.x.1",
            "2.",
            ".2",
            "2.4.1.0",
            "2.4.1.x",
            "v2",
            "2.*",
            ">=2",
            "-1",
            "2.4.1-rc",
            "99999999999999999999",
            " 2",
            "2 ",
        ];
        for text in wrong {
            assert!(VersionPattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pattern_is_shown_as_it_is_read(text in "[0-9]{1,3}([.][0-9]{1,3}){0,2}([.]x){0,1}") {
            if let Ok(pattern) = VersionPattern::try_from(text) {
                assert_eq!(VersionPattern::try_from(pattern.to_string()).unwrap(), pattern);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = VersionPattern::try_from(text);
        }
    }

    #[test]
    fn an_entry_is_handed_on_as_it_is_written() {
        let text = "format = 1\nversion = \"2.0.0\"\n[components.api]\nchart = \"./c\"\nx.y = 1\n\
                    [datastores.db]\nschema = 18\nmigration = \"breaking\"\n\
                    migrate = { command = [\"up\"] }\n[datastores.log]\nschema = \"2024-01\"\n";
        let release = Release::parse(text, "f").unwrap();
        let name = |text| Name::parse(text).unwrap();
        let api = &release.components[&name("api")];
        assert_eq!(api.artifact.as_deref(), Some("./c"));
        assert_eq!(api.entry, serde_json::json!({"chart": "./c", "x": {"y": 1}}));
        let db = &release.datastores[&name("db")];
        assert_eq!(db.schema.as_deref(), Some("18"));
        assert_eq!(db.migration, MigrationClass::Breaking);
        let command = vec!["up".to_owned()];
        assert_eq!(db.migrate, Some(MigrateBy::Command { with: None, command }));
        assert_eq!(db.entry["schema"], 18);
        let log = &release.datastores[&name("log")];
        assert_eq!(log.schema.as_deref(), Some("2024-01"));
        assert_eq!(log.migration, MigrationClass::Unknown);
        assert!(release.is_reachable_from(&"0.1.0".parse().unwrap()));
    }
}
