//! `vaultup.lock`: which plugins were installed, and what was granted to them. It lies beside the
//! stack file and belongs into version control with it.
//!
//! ```toml
//! format = 1
//!
//! [[plugin]]
//! name       = "files"
//! version    = "0.1.0"
//! digest     = "blake3:9a0c…"        # of the component; another one is another plugin
//! source     = "./files.wasm"
//! contract   = "0.1"
//! granted    = "blake3:17fe…"        # of the needs below; absent: installed and not granted
//! granted-at = "2026-05-02T14:02:11Z"
//! granted-by = "ana@desk"
//!
//! [plugin.needs]                     # as they were shown when they were granted
//! secrets = ["key"]
//!
//! [[plugin.needs.files]]
//! setting = "directory"
//! access  = "write"
//! beside  = true
//! ```
//!
//! # Invariants
//! - A grant holds for one digest of one plugin, and for exactly the needs beside it: if somebody
//!   edits them, their digest is another, and the file is refused (`VU0021`).
//! - The same lock always has the same text: plugins by name, keys in one order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, code};
use crate::manifest::{ContractVersion, Needs};
use crate::name::Name;
use crate::pattern::shown;
use crate::read::{Node, Reader, Table, all};
use crate::tree::{Spot, Tree};

/// The largest lock file, in bytes: room for the needs of a hundred plugins.
pub const LOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most plugins of one lock.
pub const PLUGINS_MAX: usize = 200;

/// The longest source or name of a person.
const LINE_BYTES_MAX: usize = 4096;
/// What every digest begins with.
const DIGEST_START: &str = "blake3:";
/// Hexadecimal digits of a digest.
const DIGEST_DIGITS: usize = 64;

/// The plugins of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// By name.
    pub plugins: BTreeMap<Name, LockedPlugin>,
}

/// One installed plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPlugin {
    /// Its version, as its manifest says.
    pub version: semver::Version,
    /// `blake3:` and 64 hexadecimal digits of the component.
    pub digest: String,
    /// Where it came from, as the operator named it.
    pub source: String,
    /// The contract that it needs.
    pub contract: ContractVersion,
    /// What was granted; absent: nothing.
    pub grant: Option<Grant>,
}

/// What an operator allowed a plugin to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The needs as they were shown.
    pub needs: Needs,
    /// When.
    pub at: Timestamp,
    /// By whom, such as `ana@desk`.
    pub by: String,
}

/// How a plugin stands in the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'l> {
    /// This digest was granted these needs.
    Granted(&'l LockedPlugin, &'l Grant),
    /// This digest is installed, and nothing was granted.
    NotGranted(&'l LockedPlugin),
    /// Another digest of this name is installed: the plugin was changed since.
    Changed(&'l LockedPlugin),
    /// No plugin of this name is installed.
    Absent,
}

impl Lock {
    /// Reads a lock. `file` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Faults`] with everything that is wrong with it.
    pub fn parse(text: &str, file: &str) -> Result<Self, Error> {
        let tree = Tree::parse(text, file, LOCK_BYTES_MAX).map_err(Error::Faults)?;
        let mut reader = Reader::new(file);
        let lock = reader.root(&tree).and_then(|root| read_root(root, &mut reader));
        reader.finish(lock)
    }

    /// The text of the lock, to be written as it is.
    #[must_use]
    pub fn render(&self) -> String {
        let written =
            Written { format: 1, plugin: self.plugins.iter().map(WrittenPlugin::of).collect() };
        // Texts, numbers and lists always become TOML, so there is no other case.
        let text = toml::to_string(&written).unwrap_or_default();
        format!(
            "# Written by vaultup: change it with `vaultup plugin grant NAME` and the like.\n{text}"
        )
    }

    /// How the plugin of this name and digest (`blake3:…`) stands.
    #[must_use]
    pub fn granted(&self, name: &Name, digest: &str) -> Standing<'_> {
        match self.plugins.get(name) {
            None => Standing::Absent,
            Some(plugin) if plugin.digest != digest => Standing::Changed(plugin),
            Some(plugin) => match &plugin.grant {
                Some(grant) => Standing::Granted(plugin, grant),
                None => Standing::NotGranted(plugin),
            },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'l> {
    format: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    plugin: Vec<WrittenPlugin<'l>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WrittenPlugin<'l> {
    name: &'l Name,
    version: &'l semver::Version,
    digest: &'l str,
    source: &'l str,
    contract: ContractVersion,
    granted: Option<String>,
    granted_at: Option<String>,
    granted_by: Option<&'l str>,
    needs: Option<&'l Needs>,
}

impl<'l> WrittenPlugin<'l> {
    fn of((name, plugin): (&'l Name, &'l LockedPlugin)) -> Self {
        let grant = plugin.grant.as_ref();
        Self {
            name,
            version: &plugin.version,
            digest: &plugin.digest,
            source: &plugin.source,
            contract: plugin.contract,
            granted: grant.map(|grant| grant.needs.digest()),
            granted_at: grant.map(|grant| grant.at.to_string()),
            granted_by: grant.map(|grant| grant.by.as_str()),
            needs: grant.map(|grant| &grant.needs),
        }
    }
}

fn read_root(mut root: Table<'_>, reader: &mut Reader<'_>) -> Option<Lock> {
    let plugins = match root.optional("plugin") {
        Some(node) => read_plugins(&node, reader),
        None => Some(BTreeMap::new()),
    };
    root.finish(reader);
    Some(Lock { plugins: plugins? })
}

fn read_plugins(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<BTreeMap<Name, LockedPlugin>> {
    let items = node.list(reader, PLUGINS_MAX)?;
    let read = all(items
        .iter()
        .map(|item| item.table(reader).and_then(|table| read_plugin(table, reader))))?;
    let mut plugins = BTreeMap::new();
    let mut good = true;
    for (name, spot, plugin) in read {
        let message = format!("the plugin `{name}` is locked twice");
        if plugins.insert(name, plugin).is_some() {
            let help = "remove one of the two entries";
            reader.fault(code::DUPLICATE_NAME, spot, message, help);
            good = false;
        }
    }
    good.then_some(plugins)
}

fn read_plugin(
    mut table: Table<'_>,
    reader: &mut Reader<'_>,
) -> Option<(Name, Spot, LockedPlugin)> {
    let spot = table.spot_of("name");
    let name = table.required("name", reader).and_then(|node| node.name(reader));
    let version = table.required("version", reader).and_then(|node| {
        let text = node.text(reader)?;
        let version = text.parse::<semver::Version>();
        let version = version.map_err(|e| format!("`{}` is no semantic version: {e}", shown(text)));
        node.parsed(reader, version, "write three numbers with dots, such as \"0.1.0\"")
    });
    let digest = table.required("digest", reader).and_then(|node| read_digest(&node, reader));
    let source =
        table.required("source", reader).and_then(|node| node.line(reader, LINE_BYTES_MAX));
    let contract = table.required("contract", reader).and_then(|node| {
        let text = node.text(reader)?.to_owned();
        node.parsed(reader, ContractVersion::try_from(text), "write such as \"0.1\"")
    });
    let grant = read_grant(&mut table, reader);
    table.finish(reader);
    let plugin = LockedPlugin {
        version: version?,
        digest: digest?,
        source: source?,
        contract: contract?,
        grant: grant?,
    };
    Some((name?, spot, plugin))
}

/// The outer option is absent after a fault.
fn read_grant(table: &mut Table<'_>, reader: &mut Reader<'_>) -> Option<Option<Grant>> {
    const KEYS: [&str; 4] = ["granted", "granted-at", "granted-by", "needs"];
    let nodes = KEYS.map(|key| table.optional(key));
    if nodes.iter().all(Option::is_none) {
        return Some(None);
    }
    let [Some(granted), Some(at), Some(by), Some(needs)] = nodes else {
        let missing = KEYS.iter().zip(&nodes).find(|(_, node)| node.is_none());
        let missing = missing.map_or("needs", |(key, _)| key);
        let message = format!("a grant in `{}` lacks `{missing}`", table.path);
        let help = "grant it anew: `vaultup plugin grant NAME`";
        reader.fault(code::MISSING_KEY, table.spot, message, help);
        return None;
    };
    let digest = read_digest(&granted, reader);
    let moment = at.text(reader).and_then(|text| {
        let moment = text.parse::<Timestamp>();
        let moment = moment.map_err(|_| format!("`{}` is no time", shown(text)));
        at.parsed(reader, moment, "write such as \"2026-05-02T14:02:11Z\"")
    });
    let by = by.line(reader, LINE_BYTES_MAX);
    let spot = needs.tree.spot;
    let needs = needs.object(reader).and_then(|value| {
        let read = serde_json::from_value::<Needs>(value).map_err(|e| shown(&e.to_string()));
        needs.parsed(reader, read, "grant it anew: `vaultup plugin grant NAME`")
    });
    let (digest, needs) = (digest?, needs?);
    if needs.digest() != digest {
        reader.fault(
            code::LOCK_EDITED,
            spot,
            format!("the needs in `{}` are not those that were granted", table.path),
            "look at them and grant them: `vaultup plugin grant NAME`",
        );
        return None;
    }
    Some(Some(Grant { needs, at: moment?, by: by? }))
}

fn read_digest(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.text(reader)?;
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    let is_digest = text
        .strip_prefix(DIGEST_START)
        .is_some_and(|digits| digits.len() == DIGEST_DIGITS && digits.bytes().all(is_digit));
    if !is_digest {
        let reason = format!("`{}` is no digest", shown(text));
        let help = format!("a digest is `{DIGEST_START}` and {DIGEST_DIGITS} hexadecimal digits");
        node.wrong_value(reader, reason, help);
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use proptest::prelude::{any, proptest};

    use super::{Grant, Lock, LockedPlugin, Standing};
    use crate::error::code;
    use crate::manifest::Manifest;
    use crate::name::Name;
    use crate::problem::Problem;

    const MANIFEST: &str = r#"
        format = 1
        name = "helm"
        version = "0.1.0"
        contract = "0.1"
        description = "a test"
        exports = ["deploy"]
        tools = [{ name = "helm", version = ">=3.14, <5", ask = ["version"] }, { name = "true" }]
        literals.count = "SELECT 1\n-- two \"lines\""
        [[process]]
        class = "change"
        argv = ["helm", "upgrade", "{release}", "--values={values:path}*", "--sql={q:literal}?"]
        environment = ["HELM_*"]
        [[process]]
        class = "read"
        setting = "drain"
        variables = ["instance"]
        [[files]]
        setting = "chart"
        access = "write"
        beside = true
        [[http]]
        host = "api.example:443"
        [settings]
        properties.token = { "$ref" = "vaultup:secret" }
    "#;

    fn lock() -> Lock {
        let manifest = Manifest::parse(MANIFEST, "m").unwrap();
        let digest = format!("blake3:{}", "0f".repeat(32));
        let grant = Grant {
            needs: manifest.needs(),
            at: "2026-05-02T14:02:11.5Z".parse().unwrap(),
            by: "ana@desk".to_owned(),
        };
        let plugin = |grant| LockedPlugin {
            version: manifest.version.clone(),
            digest: digest.clone(),
            source: "./helm \"new\".wasm".to_owned(),
            contract: manifest.contract,
            grant,
        };
        let mut lock = Lock::default();
        lock.plugins.insert(Name::parse("zebra").unwrap(), plugin(None));
        lock.plugins.insert(manifest.name.clone(), plugin(Some(grant)));
        lock
    }

    #[test]
    fn a_lock_is_read_as_it_was_written_and_written_as_it_was_read() {
        let lock = lock();
        let text = lock.render();
        let again = Lock::parse(&text, "vaultup.lock").unwrap();
        assert_eq!(again, lock);
        assert_eq!(again.render(), text);
        assert_eq!(Lock::parse(&Lock::default().render(), "f").unwrap(), Lock::default());
    }

    #[test]
    fn plugins_stand_by_name_with_their_needs_below_them() {
        let text = lock().render();
        let order = ["format = 1", "name = \"helm\"", "[plugin.needs]", "name = \"zebra\""];
        let places: Vec<usize> = order.iter().map(|part| text.find(part).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn a_plugin_is_granted_changed_not_granted_or_absent() {
        let lock = lock();
        let digest = format!("blake3:{}", "0f".repeat(32));
        let standing =
            |name: &str, digest: &str| match lock.granted(&Name::parse(name).unwrap(), digest) {
                Standing::Granted(..) => "granted",
                Standing::NotGranted(_) => "not granted",
                Standing::Changed(_) => "changed",
                Standing::Absent => "absent",
            };
        assert_eq!(standing("helm", &digest), "granted");
        assert_eq!(standing("zebra", &digest), "not granted");
        assert_eq!(standing("helm", "blake3:00"), "changed");
        assert_eq!(standing("zebra", "blake3:00"), "changed");
        assert_eq!(standing("mongo", &digest), "absent");
    }

    #[test]
    fn needs_that_somebody_widened_by_hand_are_refused() {
        let text = lock().render();
        for (old, new) in [
            ("api.example:443", "evil.example:443"),
            ("beside = true", "beside = false"),
            ("HELM_*", "KUBE_*"),
            ("class = \"change\"", "class = \"read\""),
        ] {
            assert!(text.contains(old), "{old} is not in {text}");
            let error = Lock::parse(&text.replacen(old, new, 1), "vaultup.lock").unwrap_err();
            assert_eq!(error.code(), code::LOCK_EDITED, "{old}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Lock::parse(&text, "f");
        }

        #[test]
        fn no_damage_panics_or_widens_a_grant(at in 0_usize..2000, byte in any::<u8>()) {
            let whole = lock();
            let mut bytes = whole.render().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes)
                && let Ok(read) = Lock::parse(&text, "f")
            {
                let granted = &whole.plugins[&Name::parse("helm").unwrap()].grant;
                let needs = granted.as_ref().map(|grant| &grant.needs);
                for plugin in read.plugins.values() {
                    let read = plugin.grant.as_ref().map(|grant| &grant.needs);
                    assert!(read.is_none() || read == needs);
                }
            }
        }
    }
}
