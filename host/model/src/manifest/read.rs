//! Reads a manifest from its text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    Access, Class, ContractVersion, ENTRIES_MAX, FilesNeed, HttpNeed, MANIFEST_BYTES_MAX, Manifest,
    PROCESS_NEEDS_MAX, ProcessNeed, Runs, Tool, contract_offered,
};
use crate::contract::Interface;
use crate::error::{Error, code};
use crate::name::Name;
use crate::nearest::did_you_mean;
use crate::pattern::{Kind, Pattern, shown};
use crate::read::{Node, Reader, Table, all};
use crate::tree::{Spot, Tree};

/// The longest description: it is shown in one line of a list.
const DESCRIPTION_BYTES_MAX: usize = 200;
/// The longest version range, key, host or other single line.
const LINE_BYTES_MAX: usize = 1024;
/// Environment variables that decide which code runs, whatever the command.
const VARIABLES_FORBIDDEN: [&str; 16] = [
    "BASHOPTS",
    "BASH_ENV",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PATH",
    "PERL5OPT",
    "PS4",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELLOPTS",
    "ZDOTDIR",
];
/// Beginnings of names of such variables.
const VARIABLES_FORBIDDEN_STARTS: [&str; 3] = ["BASH_FUNC_", "DYLD_", "LD_"];

/// Decides whether the schema of the settings can be used.
pub(super) type SchemaCheck = fn(&Value) -> Result<(), String>;

pub(super) fn parse(text: &str, file: &str, schema: SchemaCheck) -> Result<Manifest, Error> {
    let tree = Tree::parse(text, file, MANIFEST_BYTES_MAX).map_err(Error::Faults)?;
    let mut reader = Reader::new(file);
    let mut head = Head::default();
    let root = reader.root(&tree);
    let manifest = root.and_then(|root| read_root(root, &mut head, schema, &mut reader));
    reader.finish(manifest).map_err(|error| head.contract_error().unwrap_or(error))
}

/// What decides whether the rest of a manifest can be understood at all.
#[derive(Default)]
struct Head {
    name: Option<Name>,
    version: Option<semver::Version>,
    contract: Option<ContractVersion>,
}

impl Head {
    fn contract_error(&self) -> Option<Error> {
        contract_offered(self.name.as_ref()?, self.version.as_ref()?, self.contract?).err()
    }
}

fn read_root(
    mut root: Table<'_>,
    head: &mut Head,
    check_schema: SchemaCheck,
    reader: &mut Reader<'_>,
) -> Option<Manifest> {
    head.name = root.required("name", reader).and_then(|node| node.name(reader));
    head.version = root.required("version", reader).and_then(|node| {
        let text = node.text(reader)?;
        let version = text.parse::<semver::Version>();
        let version = version.map_err(|e| format!("`{}` is no semantic version: {e}", shown(text)));
        node.parsed(reader, version, "write three numbers with dots, such as \"0.1.0\"")
    });
    head.contract = root.required("contract", reader).and_then(|node| {
        let text = node.text(reader)?;
        let help = "write the contract that the plugin was built for, such as \"0.1\"";
        node.parsed(reader, ContractVersion::try_from(text.to_owned()), help)
    });
    let description = root
        .required("description", reader)
        .and_then(|node| node.line(reader, DESCRIPTION_BYTES_MAX));
    let exports = root.required("exports", reader).and_then(|node| read_exports(&node, reader));
    let tools = read_list(&mut root, "tools", ENTRIES_MAX, reader, read_tool);
    let process = read_list(&mut root, "process", PROCESS_NEEDS_MAX, reader, read_process);
    let files = read_list(&mut root, "files", ENTRIES_MAX, reader, read_files);
    let http = read_list(&mut root, "http", ENTRIES_MAX, reader, read_http);
    let literals = match root.optional("literals") {
        Some(node) => read_literals(&node, reader),
        None => Some(BTreeMap::new()),
    };
    let settings = match root.optional("settings") {
        Some(node) => read_schema(&node, check_schema, reader),
        None => Some(json!({
            "type": "object",
            "properties": {},
            "additionalProperties": false,
        })),
    };
    root.finish(reader);
    check_tools(tools.as_ref(), process.as_ref(), reader);
    check_literals(process.as_ref(), literals.as_ref(), reader);
    if let Some(settings) = &settings {
        check_keys(settings, process.as_ref(), files.as_ref(), http.as_ref(), reader);
    }
    Some(Manifest {
        name: head.name.clone()?,
        version: head.version.clone()?,
        contract: head.contract?,
        description: description?,
        exports: exports?,
        tools: without_spots(tools?),
        process: without_spots(process?),
        files: without_spots(files?),
        http: without_spots(http?),
        literals: literals?,
        settings: settings?,
    })
}

/// What was read, each with the place that a later check complains about.
type Placed<T> = Vec<(T, Spot)>;

fn without_spots<T>(placed: Placed<T>) -> Vec<T> {
    placed.into_iter().map(|(value, _)| value).collect()
}

fn read_list<T>(
    root: &mut Table<'_>,
    key: &'static str,
    most: usize,
    reader: &mut Reader<'_>,
    read: impl Fn(Table<'_>, &mut Reader<'_>) -> Option<(T, Spot)>,
) -> Option<Placed<T>> {
    let Some(node) = root.optional(key) else { return Some(Vec::new()) };
    let items = node.list(reader, most)?;
    all(items.iter().map(|item| item.table(reader).and_then(|table| read(table, reader))))
}

fn read_exports(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<Vec<Interface>> {
    let choices = Interface::ALL.map(|interface| (interface.as_str(), interface));
    let items = node.list(reader, Interface::ALL.len())?;
    let exports = all(items.iter().map(|item| item.choice(reader, &choices)))?;
    if exports.iter().collect::<BTreeSet<_>>().len() < exports.len() {
        let message = "an interface is exported twice";
        reader.fault(code::DUPLICATE_NAME, node.tree.spot, message, "write each once");
        return None;
    }
    if exports.is_empty() {
        let names = choices.map(|(name, _)| name).join(", ");
        node.wrong_value(reader, "the plugin exports nothing", format!("write some of {names}"));
        return None;
    }
    Some(exports)
}

fn read_tool(mut table: Table<'_>, reader: &mut Reader<'_>) -> Option<(Tool, Spot)> {
    let spot = table.spot_of("name");
    let name = table.required("name", reader).and_then(|node| {
        let name = node.line(reader, LINE_BYTES_MAX)?;
        // The same rule as for the first element of a pattern.
        match Pattern::parse(&[&name]) {
            Ok(_) => Some(name),
            Err(error) => {
                node.wrong_value(reader, error, "write a program name without a slash");
                None
            }
        }
    });
    let version = match table.optional("version") {
        Some(node) => node.text(reader).and_then(|text| {
            let range = text.parse::<semver::VersionReq>();
            let range = range.map_err(|e| format!("`{}` is no version range: {e}", shown(text)));
            node.parsed(reader, range, "write such as \">=3.14, <5\"").map(Some)
        }),
        None => Some(None),
    };
    let ask = match table.optional("ask") {
        Some(node) => node
            .list(reader, ENTRIES_MAX)
            .and_then(|items| all(items.iter().map(|item| item.line(reader, LINE_BYTES_MAX)))),
        None => Some(Vec::new()),
    };
    table.finish(reader);
    Some((Tool { name: name?, version: version?, ask: ask? }, spot))
}

fn read_process(mut table: Table<'_>, reader: &mut Reader<'_>) -> Option<(ProcessNeed, Spot)> {
    let class = table
        .required("class", reader)
        .and_then(|node| node.choice(reader, &[("read", Class::Read), ("change", Class::Change)]));
    let found = table.exactly_one(&["argv", "setting", "release"], reader);
    let spot = found.as_ref().map_or(table.spot, |(_, node)| node.tree.spot);
    let runs = found.and_then(|(key, node)| match key {
        "argv" => read_pattern(&node, class, reader).map(Runs::Arguments),
        "setting" => read_key(&node, reader).map(Runs::Setting),
        _ => read_key(&node, reader).map(Runs::Release),
    });
    let variables = match table.optional("variables") {
        Some(node) if matches!(runs, Some(Runs::Arguments(_))) => {
            let message = "an argument pattern has placeholders and no `variables`";
            let help = "take `variables` away, or name a `setting` or `release` command";
            reader.fault(code::ONE_OF, node.tree.spot, message, help);
            None
        }
        Some(node) => node
            .names(reader, ENTRIES_MAX)
            .map(|names| names.into_iter().map(|(name, _)| String::from(name)).collect()),
        None => Some(Vec::new()),
    };
    let environment = match table.optional("environment") {
        Some(node) => node
            .list(reader, ENTRIES_MAX)
            .and_then(|items| all(items.iter().map(|item| read_variable(item, reader)))),
        None => Some(Vec::new()),
    };
    table.finish(reader);
    let need = ProcessNeed {
        class: class?,
        runs: runs?,
        variables: variables?,
        environment: environment?,
    };
    Some((need, spot))
}

fn read_pattern(node: &Node<'_>, class: Option<Class>, reader: &mut Reader<'_>) -> Option<Pattern> {
    let items = node.list(reader, crate::pattern::ELEMENTS_MAX)?;
    let elements = all(items.iter().map(|item| item.text(reader)))?;
    let pattern = match Pattern::parse(&elements) {
        Ok(pattern) => pattern,
        Err(error) => {
            let spot = items.get(error.element).map_or(node.tree.spot, |item| item.tree.spot);
            let help = "see the accepted and rejected forms in `vaultup explain VU0102`";
            reader.fault(code::PATTERN_INVALID, spot, error.reason, help);
            return None;
        }
    };
    if let (Some(Class::Read), Some((index, element))) = (class, pattern.free_element()) {
        let spot = items.get(index).map_or(node.tree.spot, |item| item.tree.spot);
        let message =
            format!("`{element}` takes text that the plugin makes up, and the command only reads");
        let help = "use a kind whose values others decide (name, setting, literal, path, …), or \
                    `class = \"change\"`";
        reader.fault(code::READ_TAKES_FREE_TEXT, spot, message, help);
        return None;
    }
    Some(pattern)
}

/// A dotted key, such as `commands.start`.
fn read_key(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let key = node.line(reader, LINE_BYTES_MAX)?;
    if key.split('.').any(str::is_empty) {
        let reason = format!("`{}` has an empty part between its dots", shown(&key));
        node.wrong_value(reader, reason, "write such as \"commands.start\"");
        return None;
    }
    Some(key)
}

fn read_variable(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let name = node.line(reader, LINE_BYTES_MAX)?;
    let (start, is_open) = match name.strip_suffix('*') {
        Some(start) => (start, true),
        None => (name.as_str(), false),
    };
    let shape = start.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && start.bytes().next().is_some_and(|b| !b.is_ascii_digit());
    // An open name must have a beginning of its own, so that it cannot cover half the alphabet.
    if !shape || (is_open && !(start.ends_with('_') && start.len() >= 3)) {
        let reason = format!("`{}` names no environment variables", shown(&name));
        node.wrong_value(reader, reason, "write such as \"KUBECONFIG\" or \"HELM_*\"");
        return None;
    }
    let covers_forbidden = is_open
        && VARIABLES_FORBIDDEN
            .iter()
            .chain(&VARIABLES_FORBIDDEN_STARTS)
            .any(|forbidden| forbidden.starts_with(start));
    if covers_forbidden || is_forbidden_variable(start) {
        let message = format!("`{}` decides which code runs", shown(&name));
        let help = "take it away: no plugin may set it";
        reader.fault(code::ENVIRONMENT_FORBIDDEN, node.tree.spot, message, help);
        return None;
    }
    Some(name)
}

/// Whether a variable decides which code a command runs.
pub(super) fn is_forbidden_variable(name: &str) -> bool {
    VARIABLES_FORBIDDEN.contains(&name)
        || VARIABLES_FORBIDDEN_STARTS.iter().any(|start| name.starts_with(start))
}

fn read_files(mut table: Table<'_>, reader: &mut Reader<'_>) -> Option<(FilesNeed, Spot)> {
    let spot = table.spot_of("setting");
    let setting = table.required("setting", reader).and_then(|node| read_key(&node, reader));
    let choices = [("read", Access::Read), ("write", Access::Write)];
    let access = table.required("access", reader).and_then(|node| node.choice(reader, &choices));
    let beside = match table.optional("beside") {
        Some(node) => node.truth(reader),
        None => Some(false),
    };
    table.finish(reader);
    Some((FilesNeed { setting: setting?, access: access?, beside: beside? }, spot))
}

fn read_http(mut table: Table<'_>, reader: &mut Reader<'_>) -> Option<(HttpNeed, Spot)> {
    let found = table.exactly_one(&["setting", "host"], reader);
    table.finish(reader);
    let (key, node) = found?;
    let need = match key {
        "setting" => HttpNeed::Setting(read_key(&node, reader)?),
        _ => HttpNeed::Host(read_host(&node, reader)?),
    };
    Some((need, node.tree.spot))
}

fn read_host(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let text = node.line(reader, LINE_BYTES_MAX)?;
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    let is_host = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && host.bytes().all(inner) && port.parse::<u16>().is_ok_and(|p| p > 0)
    });
    if !is_host {
        let reason = format!("`{}` is no host with port", shown(&text));
        node.wrong_value(
            reader,
            reason,
            "write such as \"api.example:443\"; there are no wildcards",
        );
        return None;
    }
    Some(text)
}

fn read_literals(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<BTreeMap<String, String>> {
    let table = node.table(reader)?;
    let literals = crate::read::named(&table, "literals", ENTRIES_MAX, reader);
    let read = |(name, _, node): &(Name, Spot, Node<'_>)| {
        let text = node.text(reader)?;
        if text.is_empty() {
            node.wrong_value(reader, "the literal is empty", "write its text");
            return None;
        }
        Some((String::from(name.clone()), text.to_owned()))
    };
    all(literals.iter().map(read)).map(|literals| literals.into_iter().collect())
}

fn read_schema(node: &Node<'_>, check: SchemaCheck, reader: &mut Reader<'_>) -> Option<Value> {
    let settings = node.object(reader)?;
    match check(&settings) {
        Ok(()) => Some(settings),
        Err(reason) => {
            let message = format!("the settings schema cannot be used: {reason}");
            let help = "write a JSON Schema that stands for itself";
            reader.fault(code::SCHEMA_INVALID, node.tree.spot, message, help);
            None
        }
    }
}

fn check_tools(
    tools: Option<&Placed<Tool>>,
    process: Option<&Placed<ProcessNeed>>,
    reader: &mut Reader<'_>,
) {
    let Some(tools) = tools else { return };
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (tool, spot) in tools {
        if !known.insert(&tool.name) {
            let message = format!("the tool `{}` is declared twice", shown(&tool.name));
            reader.fault(code::DUPLICATE_NAME, *spot, message, "declare it once");
        }
    }
    for (need, spot) in process.into_iter().flatten() {
        if let Runs::Arguments(pattern) = &need.runs
            && !known.contains(pattern.tool())
        {
            let tool = pattern.tool();
            let message = format!("`{tool}` is run and not declared under `[[tools]]`");
            let help = did_you_mean(tool, known.iter().copied());
            let help = format!("add `[[tools]]` with `name = \"{tool}\"`; {help}");
            reader.fault(code::TOOL_UNDECLARED, *spot, message, help);
        }
    }
}

fn check_literals(
    process: Option<&Placed<ProcessNeed>>,
    literals: Option<&BTreeMap<String, String>>,
    reader: &mut Reader<'_>,
) {
    if literals.is_none_or(|literals| !literals.is_empty()) {
        return;
    }
    for (need, spot) in process.into_iter().flatten() {
        let Runs::Arguments(pattern) = &need.runs else { continue };
        let takes_literal = |e: &&crate::pattern::Element| {
            e.placeholder.as_ref().is_some_and(|p| p.kind == Kind::Literal)
        };
        if let Some(element) = pattern.elements().iter().find(takes_literal) {
            let message = format!("`{element}` takes a literal, and the manifest has none");
            let help = "write the text under `[literals]`";
            reader.fault(code::LITERAL_MISSING, *spot, message, help);
        }
    }
}

/// Checks that settings which needs name can exist.
fn check_keys(
    schema: &Value,
    process: Option<&Placed<ProcessNeed>>,
    files: Option<&Placed<FilesNeed>>,
    http: Option<&Placed<HttpNeed>>,
    reader: &mut Reader<'_>,
) {
    let mut keys: Vec<(&str, Spot)> = Vec::new();
    for (need, spot) in process.into_iter().flatten() {
        if let Runs::Setting(key) = &need.runs {
            keys.push((key, *spot));
        }
    }
    keys.extend(files.into_iter().flatten().map(|(need, spot)| (need.setting.as_str(), *spot)));
    for (need, spot) in http.into_iter().flatten() {
        if let HttpNeed::Setting(key) = need {
            keys.push((key, *spot));
        }
    }
    for (key, spot) in keys {
        if let Some((segment, known)) = missing_in_schema(schema, key) {
            let message = format!(
                "the settings cannot have `{}`: the schema has no `{}`",
                shown(key),
                shown(segment)
            );
            let help = did_you_mean(segment, known.iter().map(String::as_str));
            reader.fault(code::SETTING_NOT_IN_SCHEMA, spot, message, help);
        }
    }
}

/// The first segment of a dotted key that a closed schema does not have, with those that it has.
/// Where a schema is open, or says it in another way than by `properties`, anything may be.
fn missing_in_schema<'k>(schema: &Value, key: &'k str) -> Option<(&'k str, Vec<String>)> {
    let mut schema = schema;
    for segment in key.split('.') {
        let known = schema.get("properties").and_then(Value::as_object);
        match known.and_then(|known| known.get(segment)) {
            Some(below) => schema = below,
            None if schema.get("additionalProperties") == Some(&Value::Bool(false))
                && schema.get("patternProperties").is_none() =>
            {
                return Some((segment, known.into_iter().flat_map(Map::keys).cloned().collect()));
            }
            None => return None,
        }
    }
    None
}
