//! Reads a release from its file.

use std::collections::BTreeMap;

use super::{
    ARTIFACT_KEYS, ComponentRelease, DatastoreRelease, FROM_MAX, MigrateBy, MigrationClass,
    RELEASE_BYTES_MAX, Release, VersionPattern,
};
use crate::error::{Error, code};
use crate::name::Name;
use crate::nearest::did_you_mean;
use crate::places::Places;
use crate::read::{Node, Reader, Table, all, named};
use crate::stack::PARTS_MAX;
use crate::tree::{Tree, TreeValue};

/// The longest version, artifact, path or other single line.
const LINE_BYTES_MAX: usize = 4096;

/// Keys of a component's entry that a plugin would not miss.
const COMPONENT_KEYS: [&str; 2] = ["config", "requires"];
/// The keys of a datastore's entry that are not the plugin's own.
const DATASTORE_KEYS: [&str; 4] = ["schema", "migration", "migrate", "migrations"];
/// So many letters may a key differ from a known one to have been meant as it.
const MISSPELT_BY_MAX: usize = 2;

const CLASSES: [(&str, MigrationClass); 4] = [
    ("none", MigrationClass::None),
    ("compatible", MigrationClass::Compatible),
    ("breaking", MigrationClass::Breaking),
    ("unknown", MigrationClass::Unknown),
];

pub(super) fn parse(text: &str, file: &str) -> Result<(Release, Places), Error> {
    let tree = Tree::parse(text, file, RELEASE_BYTES_MAX).map_err(Error::Faults)?;
    let mut reader = Reader::new(file);
    let release = reader.root(&tree).and_then(|root| read_root(root, &mut reader));
    Ok((reader.finish(release)?, Places::of(&tree, file)))
}

fn read_root(mut root: Table<'_>, reader: &mut Reader<'_>) -> Option<Release> {
    let version = root.required("version", reader).and_then(|node| {
        let text = node.text(reader)?;
        let help = "write three numbers with dots, such as \"2.5.0\"";
        node.parsed(reader, version(text), help)
    });
    let from = match root.optional("from") {
        Some(node) => node
            .list(reader, FROM_MAX)
            .and_then(|items| all(items.iter().map(|item| read_pattern(item, reader)))),
        None => Some(Vec::new()),
    };
    let notes = read_line(&mut root, "notes", reader);
    let matrix = read_line(&mut root, "matrix", reader);
    let components = match root.optional("components") {
        Some(node) => read_each(&node, reader, read_component),
        None => Some(BTreeMap::new()),
    };
    let datastores = match root.optional("datastores") {
        Some(node) => read_each(&node, reader, read_datastore),
        None => Some(BTreeMap::new()),
    };
    root.finish(reader);
    Some(Release {
        version: version?,
        from: from?,
        components: components?,
        datastores: datastores?,
        notes: notes?,
        matrix: matrix?,
    })
}

fn version(text: &str) -> Result<semver::Version, String> {
    let shown = crate::pattern::shown(text);
    text.parse().map_err(|error| format!("`{shown}` is no semantic version: {error}"))
}

fn read_pattern(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<VersionPattern> {
    let text = node.text(reader)?;
    node.parsed(reader, VersionPattern::try_from(text.to_owned()), "write such as \"2.4.x\"")
}

/// A line that may be left out; the outer option is absent after a fault.
fn read_line(
    table: &mut Table<'_>,
    key: &'static str,
    reader: &mut Reader<'_>,
) -> Option<Option<String>> {
    match table.optional(key) {
        Some(node) => node.line(reader, LINE_BYTES_MAX).map(Some),
        None => Some(None),
    }
}

fn read_each<T>(
    node: &Node<'_>,
    reader: &mut Reader<'_>,
    read: impl Fn(&Node<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<BTreeMap<Name, T>> {
    let table = node.table(reader)?;
    let mut parts = Vec::new();
    for (name, _, node) in named(&table, "entries", PARTS_MAX, reader) {
        parts.push(read(&node, reader).map(|part| (name, part)));
    }
    all(parts.into_iter()).map(|parts| parts.into_iter().collect())
}

fn read_component(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<ComponentRelease> {
    let mut table = node.table(reader)?;
    let config = read_line(&mut table, "config", reader);
    let mut artifact = None;
    let mut good = true;
    for (key, spot, node) in table.each() {
        if !ARTIFACT_KEYS.contains(&key) {
            continue;
        }
        if artifact.is_some() {
            let message = format!("`{}` has more than one artifact", table.path);
            let help = format!("write at most one of {}", ARTIFACT_KEYS.join(", "));
            reader.fault(code::ONE_OF, spot, message, help);
            good = false;
        }
        artifact = node.line(reader, LINE_BYTES_MAX);
        good &= artifact.is_some();
    }
    refuse_misspelt(&table, &COMPONENT_KEYS, reader);
    let entry = node.json(reader)?;
    good.then_some(ComponentRelease { artifact, config: config?, entry })
}

fn read_datastore(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<DatastoreRelease> {
    let mut table = node.table(reader)?;
    let schema = match table.optional("schema") {
        Some(node) => read_schema(&node, reader).map(Some),
        None => Some(None),
    };
    let migration = match table.optional("migration") {
        Some(node) => node.choice(reader, &CLASSES),
        None => Some(MigrationClass::default()),
    };
    let migrate = match table.optional("migrate") {
        Some(node) => read_migrate(&node, reader).map(Some),
        None => Some(None),
    };
    let migrations = read_line(&mut table, "migrations", reader);
    let entry = node.json(reader)?;
    refuse_misspelt(&table, &DATASTORE_KEYS, reader);
    Some(DatastoreRelease {
        schema: schema?,
        migration: migration?,
        migrate: migrate?,
        migrations: migrations?,
        entry,
    })
}

/// What else stands in an entry is for the plugin, so that any key may; but one that is nearly a
/// known one was meant to be it: a migration that is not seen is not carried out, and variables
/// that are not seen are not looked for.
fn refuse_misspelt(table: &Table<'_>, known: &[&'static str], reader: &mut Reader<'_>) {
    for (key, spot, _) in table.each().filter(|(key, ..)| !known.contains(key)) {
        let differs_by = |known: &&str| strsim::damerau_levenshtein(key, known);
        if known.iter().map(differs_by).any(|by| by <= MISSPELT_BY_MAX) {
            let message =
                format!("unknown key `{}` in `{}`", crate::pattern::shown(key), table.path);
            reader.fault(
                code::UNKNOWN_KEY,
                spot,
                message,
                did_you_mean(key, known.iter().copied()),
            );
        }
    }
}

fn read_schema(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    match node.tree.value {
        TreeValue::Integer(number) => Some(number.to_string()),
        TreeValue::Text(_) => node.line(reader, LINE_BYTES_MAX),
        _ => {
            node.wrong_type(reader, "a text or a whole number", "write the schema's version");
            None
        }
    }
}

fn read_migrate(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<MigrateBy> {
    let mut table = node.table(reader)?;
    let with = match table.optional("with") {
        Some(node) => node.name(reader).map(Some),
        None => Some(None),
    };
    let command = match table.optional("command") {
        Some(node) => node.command(reader).map(Some),
        None => Some(None),
    };
    let at_start = match table.optional("at-start") {
        Some(node) => node.truth(reader),
        None => Some(false),
    };
    let spot = table.spot;
    table.finish(reader);
    let (message, help) = match (at_start?, with?, command?) {
        (false, with, Some(command)) => return Some(MigrateBy::Command { with, command }),
        (true, Some(with), None) => return Some(MigrateBy::AtStart { with }),
        (true, _, Some(_)) => (
            "a migration is either a command or happens at start",
            "take `command` or `at-start` away",
        ),
        (true, None, None) => {
            ("a migration at start needs the component that starts", "add `with = \"COMPONENT\"`")
        }
        (false, _, None) => (
            "a migration has neither `command` nor `at-start = true`",
            "add `command = [\"…\"]`, run with the new release of `with`, or `at-start = true`",
        ),
    };
    reader.fault(code::ONE_OF, spot, message, help);
    None
}
