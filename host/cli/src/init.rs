//! What a stack file can be made from: charts, Compose files, CDK apps, pods, release directories.

use std::fmt::Write as _;
use std::path::Path;

use model::Name;

/// A file or directory that tells the platform, and the plugin for it.
const SIGNS: &[(&str, &str)] = &[
    ("Chart.yaml", "helm"),
    ("compose.yaml", "compose"),
    ("compose.yml", "compose"),
    ("docker-compose.yaml", "compose"),
    ("docker-compose.yml", "compose"),
    ("cdk.json", "cdk"),
    ("pod.yaml", "podman"),
    ("releases", "host"),
];

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What was seen.
    pub seen: String,
    /// The plugin that deploys it.
    pub plugin: Name,
}

impl Found {
    /// What a person said.
    #[must_use]
    pub(crate) fn named(plugin: Name) -> Self {
        Self { seen: format!("--plugin {plugin}"), plugin }
    }
}

/// What is found in a directory, each plugin once.
#[must_use]
pub(crate) fn find(directory: &Path) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (sign, plugin) in SIGNS {
        let Ok(plugin) = Name::parse(plugin) else { continue };
        let known = found.iter().any(|its| its.plugin == plugin);
        if !known && directory.join(sign).exists() {
            found.push(Found { seen: (*sign).to_owned(), plugin });
        }
    }
    found
}

/// The text of a stack file, to be read and completed by a person.
#[must_use]
pub(crate) fn stack_file(name: &Name, found: &[Found]) -> String {
    let mut text = format!(
        "format = 1\n\n[stack]\nname = \"{name}\"\n# <releases>/<version>/release.toml describes a \
         release.\nreleases = \"releases\"\n"
    );
    for its in found {
        let component = if found.len() == 1 { "app" } else { its.plugin.as_str() };
        // Writing to a text cannot fail.
        let _ = write!(text, "\n# Found: {}\n", its.seen);
        let _ = write!(text, "[components.{component}]\nplugin = \"{}\"\n", its.plugin);
        text.push_str("# needs = [\"a-datastore-or-component\"]\n");
        text.push_str("# waves = [\"1\", \"50%\", \"100%\"]\n\n");
        let _ =
            write!(text, "[components.{component}.settings]\n{}", settings(its.plugin.as_str()));
        let _ = write!(
            text,
            "\n# [components.{component}.health]\n# http = \"http://127.0.0.1:8080/health\"\n\
             # expect = {{ status = 200, json = {{ \"/version\" = \"${{release.version}}\" }} }}\n\
             # within = \"2m\"\n"
        );
    }
    let writer = if found.len() == 1 { "app" } else { found[0].plugin.as_str() };
    text.push_str(&DATASTORE.replace("WRITER", writer));
    text
}

fn settings(plugin: &str) -> &'static str {
    match plugin {
        "host" => {
            "releases = \"releases\"\ncurrent = \"current\"\n\
             start = [\"current/bin/start\"]\nstop = [\"current/bin/stop\"]\n\
             # Only looks: prints {\"running\": true, \"ready\": true, \"version\": \"1.2.3\"}.\n\
             status = [\"current/bin/status\"]\n"
        }
        "helm" => "release = \"app\"\nchart = \".\"\nnamespace = \"default\"\n",
        _ => "",
    }
}

const DATASTORE: &str = r#"
# What holds state; without one there is nothing to back up, and no way back of its data.
# [datastores.data]
# plugin = "files"
# written-by = ["WRITER"]
# proof = 3
# settings = { path = "data" }

[policy]
on-failure = "return"
# A restore that loses more than this holds and asks.
loss-budget = "0s"
"#;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Found, SIGNS, find, stack_file};
    use model::Name;
    use model::stack::Stack;

    #[test]
    fn what_is_written_for_each_platform_can_be_read() {
        for (seen, plugin) in SIGNS {
            let plugin = Name::parse(plugin).unwrap();
            let found = [Found { seen: (*seen).to_owned(), plugin }];
            let text = stack_file(&Name::parse("shop").unwrap(), &found);
            let stack = Stack::parse(&text, "vaultup.toml");
            assert!(stack.is_ok(), "{seen}: {stack:?}\n{text}");
        }
    }

    #[test]
    fn a_directory_without_a_sign_gives_nothing() {
        assert_eq!(find(std::path::Path::new("/proc/self/fd")), []);
    }
}
