//! Probes and checks from end to end, of a component and of its rehearsal.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::check::{check_variables, check_variables_within};
use super::super::{Ask, CHECKS_MAX, PROBE_WITHIN_DEFAULT, Probe, SMOKE_WITHIN_DEFAULT, Smoke};
use super::LINE_BYTES_MAX;
use crate::error::code;
use crate::read::{Node, Reader, Table, all};

/// The status that a probe expects, if the stack does not say.
const STATUS_DEFAULT: u16 = 200;

/// The list under `health`; the inner option is absent where there is none, the outer after a
/// fault.
pub(super) fn read_health(
    table: &mut Table<'_>,
    reader: &mut Reader<'_>,
) -> Option<Option<Vec<Probe>>> {
    let Some(node) = table.optional("health") else { return Some(None) };
    let probes = node.tables(reader, CHECKS_MAX)?;
    all(probes.into_iter().map(|probe| read_probe(probe, reader))).map(Some)
}

/// The list under `smoke`, likewise.
pub(super) fn read_smokes(
    table: &mut Table<'_>,
    reader: &mut Reader<'_>,
) -> Option<Option<Vec<Smoke>>> {
    let Some(node) = table.optional("smoke") else { return Some(None) };
    let checks = node.tables(reader, CHECKS_MAX)?;
    all(checks.into_iter().map(|check| read_smoke(check, reader))).map(Some)
}

fn read_probe(mut table: Table<'_>, reader: &mut Reader<'_>) -> Option<Probe> {
    let found = table.exactly_one(&["http", "command"], reader);
    let expect = table.optional("expect");
    let within = match table.optional("within") {
        Some(node) => node.within(reader),
        None => Some(PROBE_WITHIN_DEFAULT),
    };
    table.finish(reader);
    let ask = match found? {
        ("http", node) => {
            let url = read_url(&node, reader);
            let expected = match expect {
                Some(node) => read_expected(&node, reader),
                None => Some((STATUS_DEFAULT, BTreeMap::new())),
            };
            let (status, json) = expected?;
            Ask::Http { url: url?, status, json }
        }
        (_, node) => {
            if let Some(expect) = expect {
                let message = "a command that is asked must exit with 0, and has no `expect`";
                let help = "take `expect` away, or ask by `http`";
                reader.fault(code::ONE_OF, expect.tree.spot, message, help);
            }
            let command = node.command(reader)?;
            check_variables_within(&node, reader);
            Ask::Command { command }
        }
    };
    Some(Probe { ask, within: within? })
}

fn read_url(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let url = node.line(reader, LINE_BYTES_MAX)?;
    check_variables(node, &url, reader);
    if url.starts_with("http://") || url.starts_with("https://") || url.starts_with("${") {
        return Some(url);
    }
    node.wrong_value(reader, "the URL is not absolute", "begin with `http://` or `https://`");
    None
}

fn read_expected(
    node: &Node<'_>,
    reader: &mut Reader<'_>,
) -> Option<(u16, BTreeMap<String, Value>)> {
    let mut table = node.table(reader)?;
    let status = match table.optional("status") {
        Some(node) => node.number(reader, 100, 599).and_then(|status| u16::try_from(status).ok()),
        None => Some(STATUS_DEFAULT),
    };
    let json = match table.optional("json") {
        Some(node) => read_pointers(&node, reader),
        None => Some(BTreeMap::new()),
    };
    table.finish(reader);
    Some((status?, json?))
}

fn read_pointers(node: &Node<'_>, reader: &mut Reader<'_>) -> Option<BTreeMap<String, Value>> {
    let table = node.table(reader)?;
    let mut pointers = BTreeMap::new();
    let mut good = true;
    for (pointer, spot, node) in table.each() {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            let shown = crate::pattern::shown(pointer);
            let message = format!("`{shown}` is no JSON pointer");
            let help = format!("begin with a slash: \"/{shown}\"");
            reader.fault(code::WRONG_VALUE, spot, message, help);
            good = false;
        }
        check_variables_within(&node, reader);
        match node.json(reader) {
            Some(value) => drop(pointers.insert(pointer.to_owned(), value)),
            None => good = false,
        }
    }
    good.then_some(pointers)
}

fn read_smoke(mut table: Table<'_>, reader: &mut Reader<'_>) -> Option<Smoke> {
    let run = table.required("run", reader).and_then(|node| {
        check_variables_within(&node, reader);
        node.command(reader)
    });
    let within = match table.optional("within") {
        Some(node) => node.within(reader),
        None => Some(SMOKE_WITHIN_DEFAULT),
    };
    table.finish(reader);
    Some(Smoke { run: run?, within: within? })
}
