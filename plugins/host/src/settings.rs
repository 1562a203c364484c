//! The settings, and what their JSON Schema cannot say of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use vaultup_sdk::Error;
use vaultup_sdk::secret::TextOrSecret;

/// The most instances of a component: they are handled one after another, each with a few
/// commands, within one deadline.
pub(crate) const INSTANCES_MAX: usize = 200;

/// A command of the operator's.
pub(crate) type Written = Vec<String>;

/// What the operator says of a component.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// Directory with one directory a release, named by its version.
    pub releases: String,
    /// The link of the only instance.
    pub current: Option<String>,
    /// The directory of the links of several instances.
    pub links: Option<String>,
    /// The instances, in the order in which waves reach them.
    #[serde(default)]
    pub instances: Instances,
    /// Starts an instance.
    pub start: Written,
    /// Stops an instance.
    pub stop: Written,
    /// Says how an instance is.
    pub status: Written,
    /// Waits until no request is in flight at an instance.
    pub drain: Option<Written>,
    /// Holds requests back.
    pub hold_traffic: Option<Written>,
    /// Lets requests in.
    pub release_traffic: Option<Written>,
    /// Says whether requests are held back.
    pub traffic: Option<Written>,
    /// Brings a release directory.
    pub prefetch: Option<Written>,
    /// A path for `${data}`.
    pub data: Option<String>,
    /// Variables of every command.
    #[serde(default)]
    pub environment: BTreeMap<String, TextOrSecret>,
}

/// What a release file says of a component, besides what `migrate` says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Entry {
    /// Variables that must be configured before the release is deployed.
    pub(crate) requires: Vec<String>,
}

/// The instances, as they are written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Instances {
    /// So many, named `1`, `2`, ….
    Count(u32),
    /// These.
    Listed(Vec<Listed>),
}

/// An instance, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Listed {
    /// Its name.
    Name(String),
    /// Its name and more.
    Table(Instance),
}

/// One instance of the component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Instance {
    /// Its name: lower-case letters, digits and `-`.
    pub name: String,
    /// What `${address}` is for it, such as `127.0.0.1:8081`.
    pub address: Option<String>,
}

impl Default for Instances {
    fn default() -> Self {
        Self::Listed(vec![Listed::Name("main".to_owned())])
    }
}

/// Where the link of an instance lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linked<'s> {
    /// It is this path.
    Current(&'s str),
    /// It lies in the directory `links` and is named like its instance.
    InDirectory,
}

impl Settings {
    /// The instances, in order.
    pub(crate) fn instances(&self) -> Result<Vec<Instance>, Error> {
        let instances: Vec<Instance> = match &self.instances {
            Instances::Count(count) => {
                let beyond = INSTANCES_MAX as u32 + 1;
                let named = |number: u32| Instance { name: number.to_string(), address: None };
                (1..=(*count).min(beyond)).map(named).collect()
            }
            Instances::Listed(listed) => listed.iter().map(Listed::instance).collect(),
        };
        if instances.is_empty() || instances.len() > INSTANCES_MAX {
            let message = format!("`instances` must be 1 to {INSTANCES_MAX}");
            return Err(Error::invalid_settings(message));
        }
        let mut names = BTreeSet::new();
        for Instance { name, .. } in &instances {
            if !is_name(name) {
                let message = format!("the instance `{name}` needs a name of a-z, 0-9 and `-`");
                return Err(Error::invalid_settings(message));
            }
            if !names.insert(name) {
                let message = format!("two instances have the name `{name}`");
                return Err(Error::invalid_settings(message));
            }
        }
        Ok(instances)
    }

    /// Where the links lie.
    pub(crate) fn linked(&self, instances: usize) -> Result<Linked<'_>, Error> {
        match (&self.current, &self.links) {
            (Some(_), None) if instances > 1 => Err(Error::invalid_settings(
                "several instances need a link each: give `links`, a directory, and not `current`",
            )),
            (Some(path), None) => Ok(Linked::Current(path)),
            (None, Some(_)) => Ok(Linked::InDirectory),
            _ => Err(Error::invalid_settings("give either `current` or `links`")),
        }
    }

    /// The command under a key, as it is written.
    pub(crate) fn written(&self, key: &str) -> Option<&Written> {
        match key {
            "start" => Some(&self.start),
            "stop" => Some(&self.stop),
            "status" => Some(&self.status),
            "drain" => self.drain.as_ref(),
            "hold-traffic" => self.hold_traffic.as_ref(),
            "release-traffic" => self.release_traffic.as_ref(),
            "traffic" => self.traffic.as_ref(),
            "prefetch" => self.prefetch.as_ref(),
            _ => None,
        }
    }
}

impl Listed {
    fn instance(&self) -> Instance {
        match self {
            Self::Name(name) => Instance { name: name.clone(), address: None },
            Self::Table(instance) => instance.clone(),
        }
    }
}

/// Whether a text can be a part of a file name and of a command without surprise.
fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=40).contains(&text.len())
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
        && text.bytes().next().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::{Value, json};

    use super::*;

    fn settings(over: Value) -> Settings {
        let mut value = json!({
            "releases": "releases", "current": "current",
            "start": ["start"], "stop": ["stop"], "status": ["status"],
        });
        for (key, new) in over.as_object().unwrap() {
            value[key] = new.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn names(over: Value) -> Vec<String> {
        settings(over).instances().unwrap().into_iter().map(|its| its.name).collect()
    }

    #[test]
    fn instances_are_counted_or_listed_or_just_the_one() {
        assert_eq!(names(json!({})), ["main"]);
        assert_eq!(names(json!({"instances": 2})), ["1", "2"]);
        assert_eq!(names(json!({"instances": ["a", {"name": "b", "address": "h:1"}]})), ["a", "b"]);
    }

    #[test]
    fn as_many_instances_as_the_limit_are_taken_and_one_more_is_refused() {
        let most = INSTANCES_MAX as u32;
        assert_eq!(names(json!({"instances": most})).len(), INSTANCES_MAX);
        for wrong in [json!(most + 1), json!(u32::MAX), json!(0), json!([])] {
            settings(json!({"instances": wrong})).instances().unwrap_err();
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_stands_twice_is_refused() {
        for name in ["", "..", "a/b", "-a", "A", "a b"] {
            settings(json!({"instances": [name]})).instances().unwrap_err();
        }
        settings(json!({"instances": ["a", "a"]})).instances().unwrap_err();
    }

    #[test]
    fn several_instances_need_a_link_each() {
        assert_eq!(settings(json!({})).linked(1).unwrap(), Linked::Current("current"));
        settings(json!({})).linked(2).unwrap_err();
        let with_links = settings(json!({"current": null, "links": "links"}));
        assert_eq!(with_links.linked(2).unwrap(), Linked::InDirectory);
        settings(json!({"links": "links"})).linked(1).unwrap_err();
        settings(json!({"current": null})).linked(1).unwrap_err();
    }
}
