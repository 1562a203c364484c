//! What an operator grants: everything that a plugin may do, in words and in comparison.
//!
//! A grant is bound to one digest of the plugin. When another version comes, what it needs is
//! compared with what was granted: only what is *wider* has to be asked again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Access, Class, FilesNeed, HttpNeed, Manifest, ProcessNeed, Runs, Tool};
use crate::pattern::shown;
use crate::settings::SECRET_KEY;

/// Everything that a plugin may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Needs {
    /// Programs that it runs, with the arguments that make them say their version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Commands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub process: Vec<ProcessNeed>,
    /// Paths of the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FilesNeed>,
    /// Hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpNeed>,
    /// Dotted keys of settings in which its schema expects a secret. It uses, and never sees, the
    /// secrets that the operator writes there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Texts that its commands may carry (SQL, scripts), by name: what they do is what is granted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub literals: BTreeMap<String, String>,
}

impl Needs {
    pub(super) fn of(manifest: &Manifest) -> Self {
        let mut secrets = Vec::new();
        secret_keys(&manifest.settings, "", &mut secrets);
        secrets.sort();
        secrets.dedup();
        Self {
            tools: manifest.tools.clone(),
            process: manifest.process.clone(),
            files: manifest.files.clone(),
            http: manifest.http.clone(),
            secrets,
            literals: manifest.literals.clone(),
        }
    }

    /// `blake3:` and the digest of these needs in a fixed form. Equal needs have equal digests.
    #[must_use]
    pub fn digest(&self) -> String {
        // A struct of texts and lists always becomes JSON; were it not so, no grant would hold.
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("blake3:{}", blake3::hash(&json).to_hex())
    }

    /// What is asked for here and was not granted there, one line each, in plain words. Empty: the
    /// old grant is enough.
    #[must_use]
    pub fn wider_than(&self, granted: &Self) -> Vec<String> {
        let mut wider = Vec::new();
        for tool in &self.tools {
            let known = |old: &&Tool| old.name == tool.name && old.ask == tool.ask;
            if !granted.tools.iter().any(|old| known(&old)) {
                wider.push(described_tool(tool));
            }
        }
        let covered = |need: &ProcessNeed| granted.process.iter().any(|old| covers(old, need));
        wider.extend(self.process.iter().filter(|need| !covered(need)).map(described_process));
        for need in &self.files {
            let covered = granted.files.iter().any(|old| {
                old.setting == need.setting
                    && old.access >= need.access
                    && old.beside >= need.beside
            });
            if !covered {
                wider.push(described_files(need));
            }
        }
        let new_hosts = self.http.iter().filter(|need| !granted.http.contains(need));
        wider.extend(new_hosts.map(described_http));
        let new_secrets = self.secrets.iter().filter(|key| !granted.secrets.contains(key));
        wider.extend(new_secrets.map(|key| described_secret(key)));
        for (name, text) in &self.literals {
            match granted.literals.get(name) {
                Some(old) if old == text => {}
                Some(_) => wider.push(format!("{}, changed", described_literal(name, text))),
                None => wider.push(described_literal(name, text)),
            }
        }
        wider
    }

    /// Everything, one line each, in plain words: what `plugin add` shows before it asks.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.tools.iter().map(described_tool).collect();
        lines.extend(self.process.iter().map(described_process));
        lines.extend(self.files.iter().map(described_files));
        lines.extend(self.http.iter().map(described_http));
        lines.extend(self.secrets.iter().map(|key| described_secret(key)));
        lines.extend(self.literals.iter().map(|(name, text)| described_literal(name, text)));
        lines
    }
}

/// Whether an old grant allows everything that a need asks for. Another class is never covered: a
/// change that calls itself a reading would run in `check`, and the other way round the operator
/// was told that nothing changes.
fn covers(old: &ProcessNeed, new: &ProcessNeed) -> bool {
    old.class == new.class
        && old.runs == new.runs
        && new.variables.iter().all(|name| old.variables.contains(name))
        && new.environment.iter().all(|name| {
            old.environment.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            })
        })
}

fn described_tool(tool: &Tool) -> String {
    let words: Vec<&str> =
        std::iter::once(tool.name.as_str()).chain(tool.ask.iter().map(String::as_str)).collect();
    let versions = match &tool.version {
        Some(range) => format!(" (made for {range})"),
        None => String::new(),
    };
    match tool.ask.is_empty() {
        true => format!("uses the program: {}{versions}", shown(&tool.name)),
        false => format!("may run, to learn the version: {}{versions}", shown(&words.join(" "))),
    }
}

fn described_process(need: &ProcessNeed) -> String {
    let how = match need.class {
        Class::Read => "may run, only reading",
        Class::Change => "may run, changing things",
    };
    let what = match &need.runs {
        Runs::Arguments(pattern) => pattern.to_string(),
        Runs::Setting(key) => format!("your command in the setting `{}`", shown(key)),
        Runs::Release(key) => format!("the release's command in `{}`", shown(key)),
    };
    let mut line = format!("{how}: {what}");
    if !need.variables.is_empty() {
        line.push_str(&format!("; fills in {}", listed(&need.variables)));
    }
    if !need.environment.is_empty() {
        line.push_str(&format!("; sets {}", listed(&need.environment)));
    }
    line
}

fn described_files(need: &FilesNeed) -> String {
    let how = match need.access {
        Access::Read => "may read",
        Access::Write => "may read and change",
    };
    let beside = if need.beside { ", and `….vaultup-…` beside them" } else { "" };
    format!("{how} files under the path in the setting `{}`{beside}", shown(&need.setting))
}

fn described_http(need: &HttpNeed) -> String {
    match need {
        HttpNeed::Setting(key) => {
            format!("may talk to the host of the URL in the setting `{}`", shown(key))
        }
        HttpNeed::Host(host) => format!("may talk to {}", shown(host)),
    }
}

fn described_secret(key: &str) -> String {
    format!("may use, without seeing it, the secret in the setting `{}`", shown(key))
}

fn described_literal(name: &str, text: &str) -> String {
    format!("may pass this text (`{}`): {}", shown(name), shown(text))
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ")
}

/// Collects the dotted keys under which a schema has a table with a `secret`.
fn secret_keys(schema: &Value, key: &str, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else { return };
    let is_secret = keywords.get("$ref").and_then(Value::as_str) == Some(super::schema::SECRET)
        || keywords.get("properties").is_some_and(|p| p.get(SECRET_KEY).is_some());
    if is_secret {
        found.push(if key.is_empty() { "(all)".to_owned() } else { key.to_owned() });
    }
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties", Value::Object(properties)) => {
                for (name, schema) in properties {
                    secret_keys(schema, &below(name), found);
                }
            }
            ("items" | "additionalProperties" | "contains", schema) => {
                secret_keys(schema, &below("*"), found);
            }
            ("prefixItems", Value::Array(schemas)) => {
                schemas.iter().for_each(|schema| secret_keys(schema, &below("*"), found));
            }
            ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => {
                schemas.iter().for_each(|schema| secret_keys(schema, key, found));
            }
            ("then" | "else", schema) => secret_keys(schema, key, found),
            // What `$defs` holds counts where it is used; schemas that use it say so in words of
            // their own, so all of it counts under its own name.
            ("$defs" | "definitions", Value::Object(schemas)) => {
                for (name, schema) in schemas {
                    secret_keys(schema, &below(&format!("({name})")), found);
                }
            }
            _ => {}
        }
    }
}
