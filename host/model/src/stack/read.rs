//! Reads a stack from a tree, which a file or flags have made.

mod checks;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::check::{Names, Reference};
use super::{
    Backups, CHECKS_MAX, COMPONENT_WITHIN_DEFAULT, Component, DATASTORE_WITHIN_DEFAULT, Datastore,
    KEEP_DAYS_DEFAULT, KEEP_LAST_DEFAULT, OnFailure, PARTS_MAX, Policy, RECIPIENTS_MAX, Rehearsal,
    SECRETS_MAX, STACK_BYTES_MAX, SecretSource, Stack, WaveSize,
};
use crate::contract::ProofLevel;
use crate::error::{Error, code};
use crate::name::Name;
use crate::places::Places;
use crate::read::{Node, Reader, Table, all, named};
use crate::tree::{Tree, TreeValue};

/// The longest path, URL or other single line.
const LINE_BYTES_MAX: usize = 4096;
/// Ten years: longer is a slip.
const KEEP_DAYS_MAX: u32 = 3660;
/// More sets than this are an archive, which is another tool's work.
const KEEP_LAST_MAX: u32 = 10_000;

pub(super) fn parse(text: &str, file: &str) -> Result<(Stack, Places), Error> {
    let tree = Tree::parse(text, file, STACK_BYTES_MAX).map_err(Error::Faults)?;
    let stack = read(&tree, file)?;
    Ok((stack, Places::of(&tree, file)))
}

pub(super) fn read(tree: &Tree, file: &str) -> Result<Stack, Error> {
    let mut reader = Reader::new(file);
    let stack = reader.root(tree).and_then(|root| read_root(root, &mut reader));
    reader.finish(stack)
}

fn read_root(mut root: Table<'_>, reader: &mut Reader<'_>) -> Option<Stack> {
    let mut names = Names::default();
    let head = root.required("stack", reader).and_then(|node| read_head(&node, reader));
    let components = match root.optional("components") {
        Some(node) => read_components(&node, &mut names, reader),
        None => Some(BTreeMap::new()),
    };
    let datastores = match root.optional("datastores") {
        Some(node) => read_datastores(&node, &mut names, reader),
        None => Some(BTreeMap::new()),
    };
    let secrets = match root.optional("secrets") {
        Some(node) => read_secrets(&node, &mut names, reader),
        None => Some(BTreeMap::new()),
    };
    let policy = match root.optional("policy") {
        Some(node) => read_policy(&node, reader),
        None => Some(Policy::default()),
    };
    let backups = match root.optional("backups") {
        Some(node) => read_backups(&node, reader),
        None => Some(Backups::default()),
    };
    names.check(reader);
    let is_empty =
        |parts: &Option<BTreeMap<Name, _>>| parts.as_ref().is_some_and(BTreeMap::is_empty);
    if is_empty(&components) && datastores.as_ref().is_some_and(BTreeMap::is_empty) {
        let help = "describe what is deployed under `[components.NAME]`, what holds state under \
                    `[datastores.NAME]`, or let `vaultup init` write it";
        let message = "the stack has neither a component nor a datastore";
        reader.fault(code::EMPTY_STACK, root.spot, message, help);
    }
    root.finish(reader);
    let (name, releases) = head?;
    Some(Stack {
        name,
        releases,
        components: components?,
        datastores: datastores?,
        secrets: secrets?,
        policy: policy?,
        backups: backups?,
    })
}

fn read_head(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<(Name, String)> {
    let mut table = node.table(reader)?;
    let name = table.required("name", reader).and_then(|node| node.name(reader));
    let releases = match table.optional("releases") {
        Some(node) => node.line(reader, LINE_BYTES_MAX),
        None => Some("releases".to_owned()),
    };
    table.finish(reader);
    Some((name?, releases?))
}

fn read_components(
    node: &Node<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<BTreeMap<Name, Component>> {
    let table = node.table(reader)?;
    let mut components = Vec::new();
    for (name, spot, node) in named(&table, "components", PARTS_MAX, reader) {
        names.components.insert(name.clone(), spot);
        let component = read_component(&name, &node, names, reader);
        components.push(component.map(|component| (name, component)));
    }
    all(components.into_iter()).map(|components| components.into_iter().collect())
}

fn read_component(
    name: &Name,
    node: &Node<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Component> {
    let mut table = node.table(reader)?;
    let plugin = table.required("plugin", reader).and_then(|node| node.name(reader));
    let settings = read_settings(&mut table, names, reader);
    let needs = match table.optional("needs") {
        Some(node) => read_references(name, &node, &mut names.needs, reader),
        None => Some(Vec::new()),
    };
    let waves = match table.optional("waves") {
        Some(node) => read_waves(&node, reader),
        None => Some(vec![WaveSize::Percent(100)]),
    };
    let health = checks::read_health(&mut table, reader);
    let smoke = checks::read_smokes(&mut table, reader);
    let rehearsal = read_component_rehearsal(&mut table, names, reader);
    let within = match table.optional("within") {
        Some(node) => node.within(reader),
        None => Some(COMPONENT_WITHIN_DEFAULT),
    };
    table.finish(reader);
    Some(Component {
        plugin: plugin?,
        settings: settings?,
        needs: needs?,
        waves: waves?,
        health: health?.unwrap_or_default(),
        smoke: smoke?.unwrap_or_default(),
        rehearsal: rehearsal?,
        within: within?,
    })
}

fn read_datastores(
    node: &Node<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<BTreeMap<Name, Datastore>> {
    let table = node.table(reader)?;
    let mut datastores = Vec::new();
    for (name, spot, node) in named(&table, "datastores", PARTS_MAX, reader) {
        names.datastores.insert(name.clone(), spot);
        let datastore = read_datastore(&name, &node, names, reader);
        datastores.push(datastore.map(|datastore| (name, datastore)));
    }
    all(datastores.into_iter()).map(|datastores| datastores.into_iter().collect())
}

fn read_datastore(
    name: &Name,
    node: &Node<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Datastore> {
    let mut table = node.table(reader)?;
    let plugin = table.required("plugin", reader).and_then(|node| node.name(reader));
    let settings = read_settings(&mut table, names, reader);
    let written_by = match table.optional("written-by") {
        Some(node) => {
            let writers = read_references(name, &node, &mut names.written_by, reader);
            writers.map(|writers| (writers, true))
        }
        None => Some((Vec::new(), false)),
    };
    let proof = match table.optional("proof") {
        Some(node) => node
            .number(reader, 0, 3)
            .and_then(|level| u8::try_from(level).ok())
            .and_then(|level| ProofLevel::try_from(level).ok()),
        None => Some(ProofLevel::Restored),
    };
    let rehearsal = read_rehearsal(&mut table, names, reader);
    let within = match table.optional("within") {
        Some(node) => node.within(reader),
        None => Some(DATASTORE_WITHIN_DEFAULT),
    };
    table.finish(reader);
    let (written_by, writers_are_named) = written_by?;
    Some(Datastore {
        plugin: plugin?,
        settings: settings?,
        written_by,
        writers_are_named,
        proof: proof?,
        rehearsal: rehearsal?,
        within: within?,
    })
}

fn read_settings(
    table: &mut Table<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Value> {
    let Some(node) = table.optional("settings") else {
        return Some(Value::Object(Map::new()));
    };
    let settings = node.object(reader)?;
    names.note_secrets(&node, reader);
    Some(settings)
}

/// `rehearsal = { settings = {…}, health = […], smoke = […] }` of a component; the outer option is
/// absent after a fault.
fn read_component_rehearsal(
    table: &mut Table<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Option<Rehearsal>> {
    let Some(node) = table.optional("rehearsal") else {
        return Some(None);
    };
    let mut table = node.table(reader)?;
    let settings = read_settings(&mut table, names, reader);
    let health = checks::read_health(&mut table, reader);
    let smoke = checks::read_smokes(&mut table, reader);
    table.finish(reader);
    Some(Some(Rehearsal { settings: settings?, health: health?, smoke: smoke? }))
}

/// `rehearsal = { settings = {…} }` of a datastore; the outer option is absent after a fault.
fn read_rehearsal(
    table: &mut Table<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<Option<Value>> {
    let Some(node) = table.optional("rehearsal") else {
        return Some(None);
    };
    let mut table = node.table(reader)?;
    let settings = read_settings(&mut table, names, reader);
    table.finish(reader);
    settings.map(Some)
}

fn read_references(
    from: &Name,
    node: &Node<'_>,
    references: &mut Vec<Reference>,
    reader: &mut Reader<'_>,
) -> Option<Vec<Name>> {
    let names = node.names(reader, 2 * PARTS_MAX)?;
    for (to, spot) in &names {
        references.push(Reference { from: from.clone(), to: to.clone(), spot: *spot });
    }
    Some(names.into_iter().map(|(name, _)| name).collect())
}

fn read_waves(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Vec<WaveSize>> {
    let help = "write growing waves that end with everything: [\"1\", \"50%\", \"100%\"]";
    let items = node.list(reader, CHECKS_MAX)?;
    let mut waves: Vec<WaveSize> = Vec::new();
    for item in &items {
        let text = match item.tree.value {
            TreeValue::Integer(instances) => instances.to_string(),
            _ => item.text(reader)?.to_owned(),
        };
        let wave = match WaveSize::try_from(text) {
            Ok(wave) => wave,
            Err(reason) => {
                reader.fault(code::WAVES, item.tree.spot, reason, help);
                return None;
            }
        };
        let grows = waves.iter().all(|before| match (before, wave) {
            (WaveSize::Instances(before), WaveSize::Instances(now))
            | (WaveSize::Percent(before), WaveSize::Percent(now)) => *before < now,
            _ => true,
        });
        if !grows {
            let message = format!("the wave `{wave}` is not larger than one before it");
            reader.fault(code::WAVES, item.tree.spot, message, help);
            return None;
        }
        waves.push(wave);
    }
    let message = match waves.last() {
        Some(WaveSize::Percent(100)) => return Some(waves),
        Some(last) => format!("the last wave is `{last}`, and the rest would never be upgraded"),
        None => "there are no waves, and nothing would be upgraded".to_owned(),
    };
    reader.fault(code::WAVES, items.last().unwrap_or(node).tree.spot, message, help);
    None
}

fn read_secrets(
    node: &Node<'_>,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<BTreeMap<Name, SecretSource>> {
    let table = node.table(reader)?;
    let mut secrets = Vec::new();
    for (name, _, node) in named(&table, "secrets", SECRETS_MAX, reader) {
        names.secrets.insert(name.as_str().to_owned());
        secrets.push(read_secret(&node, reader).map(|source| (name, source)));
    }
    all(secrets.into_iter()).map(|secrets| secrets.into_iter().collect())
}

fn read_secret(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<SecretSource> {
    let TreeValue::Table(_) = node.tree.value else {
        let help = "a secret never stands in the file: say where it comes from, such as \
                    `{ env = \"NAME\" }`, `{ file = \"…\" }` or `{ command = [\"…\"] }`";
        node.wrong_type(reader, "a table", help);
        return None;
    };
    let mut table = node.table(reader)?;
    let found = table.exactly_one(&["env", "file", "command"], reader);
    table.finish(reader);
    match found? {
        ("env", node) => {
            let name = node.line(reader, LINE_BYTES_MAX)?;
            if name.contains('=') || name.contains(char::is_whitespace) {
                node.wrong_value(
                    reader,
                    "this is no name of a variable",
                    "write such as \"DB_URI\"",
                );
                return None;
            }
            Some(SecretSource::Env(name))
        }
        ("file", node) => node.line(reader, LINE_BYTES_MAX).map(SecretSource::File),
        (_, node) => node.command(reader).map(SecretSource::Command),
    }
}

fn read_policy(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Policy> {
    let mut table = node.table(reader)?;
    let choices = [("return", OnFailure::Return), ("hold", OnFailure::Hold)];
    let on_failure = match table.optional("on-failure") {
        Some(node) => node.choice(reader, &choices),
        None => Some(OnFailure::default()),
    };
    let loss_budget = match table.optional("loss-budget") {
        Some(node) => node.duration(reader),
        None => Some(Policy::default().loss_budget),
    };
    let downtime_above_bytes = match table.optional("downtime-above") {
        Some(node) => node.size(reader),
        None => Some(Policy::default().downtime_above_bytes),
    };
    table.finish(reader);
    Some(Policy {
        on_failure: on_failure?,
        loss_budget: loss_budget?,
        downtime_above_bytes: downtime_above_bytes?,
    })
}

fn read_backups(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Backups> {
    let mut table = node.table(reader)?;
    let recipients = match table.optional("recipients") {
        Some(node) => node
            .list(reader, RECIPIENTS_MAX)
            .and_then(|items| all(items.iter().map(|item| read_recipient(item, reader)))),
        None => Some(Vec::new()),
    };
    let directory = match table.optional("directory") {
        Some(node) => node.line(reader, LINE_BYTES_MAX).map(Some),
        None => Some(None),
    };
    let keep = match table.optional("keep") {
        Some(node) => read_keep(&node, reader),
        None => Some((KEEP_LAST_DEFAULT, KEEP_DAYS_DEFAULT)),
    };
    table.finish(reader);
    let (keep_last, keep_days) = keep?;
    Some(Backups { recipients: recipients?, directory: directory?, keep_last, keep_days })
}

fn read_recipient(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let recipient = node.line(reader, LINE_BYTES_MAX)?;
    if recipient.starts_with("age1") {
        return Some(recipient);
    }
    // Not repeated here: somebody may have written the secret half of the pair.
    let reason = "this is no age recipient";
    node.wrong_value(reader, reason, "write the public half of a key: \"age1…\"");
    None
}

fn read_keep(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<(u32, u32)> {
    let mut table = node.table(reader)?;
    let last = match table.optional("last") {
        Some(node) => node.number(reader, 1, KEEP_LAST_MAX),
        None => Some(KEEP_LAST_DEFAULT),
    };
    let days = match table.optional("days") {
        Some(node) => node.number(reader, 0, KEEP_DAYS_MAX),
        None => Some(KEEP_DAYS_DEFAULT),
    };
    table.finish(reader);
    Some((last?, days?))
}
