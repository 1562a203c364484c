//! What refers to what: names that nothing has, circles, undeclared secrets, unknown variables.

use std::collections::{BTreeMap, BTreeSet};

use super::order::{Edges, circles};
use crate::error::code;
use crate::interpolate::{HOST_VARIABLES, interpolate_text};
use crate::name::Name;
use crate::nearest::did_you_mean;
use crate::pattern::shown;
use crate::problem::Problem;
use crate::read::{Node, Reader};
use crate::settings::SECRET_KEY;
use crate::tree::{Spot, Tree, TreeValue};

/// A name that stands somewhere for something else.
pub(super) struct Reference {
    pub(super) from: Name,
    pub(super) to: Name,
    pub(super) spot: Spot,
}

/// The names of a stack, and what refers to them. Names of parts that are wrong otherwise count
/// too, so that one fault does not cause a second.
#[derive(Default)]
pub(super) struct Names {
    pub(super) components: BTreeMap<Name, Spot>,
    pub(super) datastores: BTreeMap<Name, Spot>,
    pub(super) secrets: BTreeSet<String>,
    pub(super) needs: Vec<Reference>,
    pub(super) written_by: Vec<Reference>,
    /// Settings in which secrets may stand.
    pub(super) secret_references: Vec<(String, Spot)>,
}

impl Names {
    /// Notes the references to secrets below a value.
    pub(super) fn note_secrets(&mut self, node: &Node<'_>, reader: &mut Reader<'_>) {
        note_secrets(node.tree, &mut self.secret_references, reader);
    }

    /// Checks everything that was noted.
    pub(super) fn check(&self, reader: &mut Reader<'_>) {
        self.check_duplicates(reader);
        self.check_needs(reader);
        self.check_writers(reader);
        self.check_secrets(reader);
    }

    fn check_duplicates(&self, reader: &mut Reader<'_>) {
        for (name, spot) in &self.datastores {
            if self.components.contains_key(name) {
                reader.fault(
                    code::DUPLICATE_NAME,
                    *spot,
                    format!("`{name}` is a component and a datastore"),
                    "give one of them another name: plans and reports use names only",
                );
            }
        }
    }

    fn check_needs(&self, reader: &mut Reader<'_>) {
        let mut edges: Edges = BTreeMap::new();
        for Reference { from, to, spot } in &self.needs {
            if !self.components.contains_key(to) && !self.datastores.contains_key(to) {
                let known = self.components.keys().chain(self.datastores.keys()).map(Name::as_str);
                reader.fault(
                    code::UNKNOWN_NAME,
                    *spot,
                    format!("`{from}` needs `{to}`, and there is no such component or datastore"),
                    did_you_mean(to.as_str(), known.filter(|name| *name != from.as_str())),
                );
            }
            edges.entry(from.clone()).or_default().insert(to.clone());
        }
        for circle in circles(&edges) {
            let way: Vec<&str> = circle.iter().map(Name::as_str).collect();
            let is_step =
                |r: &&Reference| Some(&r.from) == circle.first() && Some(&r.to) == circle.get(1);
            let spot = self.needs.iter().find(is_step).map_or(Spot::START, |r| r.spot);
            reader.fault(
                code::CIRCULAR_NEEDS,
                spot,
                format!("needs go in a circle: {}", way.join(" → ")),
                "take one of these needs away: what starts first cannot need what starts later",
            );
        }
    }

    fn check_writers(&self, reader: &mut Reader<'_>) {
        for Reference { from, to, spot } in &self.written_by {
            if !self.components.contains_key(to) {
                let message = if self.datastores.contains_key(to) {
                    format!("`{from}` is written by `{to}`, which is a datastore")
                } else {
                    format!("`{from}` is written by `{to}`, and there is no such component")
                };
                let known = self.components.keys().map(Name::as_str);
                reader.fault(code::UNKNOWN_NAME, *spot, message, did_you_mean(to.as_str(), known));
            }
        }
    }

    fn check_secrets(&self, reader: &mut Reader<'_>) {
        for (name, spot) in &self.secret_references {
            if !self.secrets.contains(name) {
                let help = did_you_mean(name, self.secrets.iter().map(String::as_str));
                reader.fault(
                    code::UNKNOWN_SECRET,
                    *spot,
                    format!("no secret `{}` is declared", shown(name)),
                    format!("declare it under `[secrets]`, such as `{{ env = \"NAME\" }}`; {help}"),
                );
            }
        }
    }
}

fn note_secrets(tree: &Tree, found: &mut Vec<(String, Spot)>, reader: &mut Reader<'_>) {
    match &tree.value {
        TreeValue::List(items) => {
            items.iter().for_each(|item| note_secrets(item, found, reader));
        }
        TreeValue::Table(entries) => match entries.get(SECRET_KEY) {
            Some(entry) if entries.len() == 1 => match &entry.tree.value {
                TreeValue::Text(name) => found.push((name.clone(), entry.tree.spot)),
                other => reader.fault(
                    code::WRONG_TYPE,
                    entry.tree.spot,
                    format!("expected the name of a secret, got {}", other.words()),
                    "write `{ secret = \"name\" }`",
                ),
            },
            _ => entries.values().for_each(|entry| note_secrets(&entry.tree, found, reader)),
        },
        _ => {}
    }
}

/// Checks that texts which only the host fills in use only variables that it knows.
pub(super) fn check_variables(node: &Node<'_>, text: &str, reader: &mut Reader<'_>) {
    let known = HOST_VARIABLES.map(|name| (name.to_owned(), String::new())).into();
    if let Err(error) = interpolate_text(text, &known) {
        let help = error.next().unwrap_or_default();
        reader.fault(error.code(), node.tree.spot, error.to_string(), help);
    }
}

/// As [`check_variables`], for every text of a list or table.
pub(super) fn check_variables_within(node: &Node<'_>, reader: &mut Reader<'_>) {
    match &node.tree.value {
        TreeValue::Text(text) => check_variables(node, text, reader),
        TreeValue::List(items) => {
            for tree in items {
                check_variables_within(&Node { tree, path: node.path.clone() }, reader);
            }
        }
        TreeValue::Table(entries) => {
            for entry in entries.values() {
                let below = Node { tree: &entry.tree, path: node.path.clone() };
                check_variables_within(&below, reader);
            }
        }
        _ => {}
    }
}
