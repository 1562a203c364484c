//! `--set key=value` flags as a stack: they become the tree that a file would have made, so that
//! both have the same rules. See [`Stack::from_flags`].

use std::collections::BTreeMap;

use super::{STACK_BYTES_MAX, Stack, read};
use crate::error::{Error, Fault, code};
use crate::name::Name;
use crate::pattern::shown;
use crate::places::Places;
use crate::problem::Code;
use crate::tree::{Entry, Spot, Tree, TreeValue};

/// The most flags.
const FLAGS_MAX: usize = 1000;
/// The most segments of a key, such as three in `a.b.c`.
const SEGMENTS_MAX: usize = 32;

/// What errors call the flags.
const FILE: &str = "--set";
/// Keys of a datastore that are not its settings.
const DATASTORE_KEYS: [&str; 6] =
    ["plugin", "proof", "rehearsal", "settings", "within", "written-by"];
/// Lists that may be given as one text with commas.
const LIST_KEYS: [&str; 4] = ["needs", "recipients", "waves", "written-by"];

/// A tree under construction. Only branches that flags have made can become lists.
enum Draft {
    Leaf(Tree),
    Branch(BTreeMap<String, (Spot, Draft)>),
}

pub(super) fn parse(plugin: &Name, sets: &[(String, String)]) -> Result<(Stack, Places), Error> {
    check_limits(sets)?;
    let named = sets.iter().position(|(key, _)| key == "name");
    let name = match named {
        Some(index) => Name::parse(&sets[index].1)
            .map_err(|error| faults(code::WRONG_VALUE, key_spot(index), error.to_string()))?,
        None => plugin.clone(),
    };
    let mut root = Draft::Branch(BTreeMap::new());
    let component = ["components", name.as_str()];
    add_text(&mut root, &["stack", "name"], name.as_str());
    add_text(&mut root, &[component[0], component[1], "plugin"], plugin.as_str());
    root.add(&path(&["format"]), key_spot(0), leaf(TreeValue::Integer(1), key_spot(0)))
        .map_err(|reason| faults(code::FLAG_INVALID, key_spot(0), reason))?;
    let mut found: Vec<Fault> = Vec::new();
    for (index, (key, value)) in sets.iter().enumerate() {
        let added = match key.as_str() {
            "name" if named == Some(index) => Ok(()),
            "name" => Err("`name` is set twice".to_owned()),
            _ => add(&mut root, &component, index, key, value),
        };
        if let Err(reason) = added {
            found.push(fault(code::FLAG_INVALID, key_spot(index), reason));
        }
    }
    if !found.is_empty() {
        return Err(Error::Faults(found));
    }
    add_writers(&mut root, name.as_str());
    let tree = root.into_tree(Spot::START);
    let stack = read::read(&tree, FILE)?;
    Ok((stack, Places::of(&tree, FILE)))
}

fn check_limits(sets: &[(String, String)]) -> Result<(), Error> {
    if sets.len() > FLAGS_MAX {
        let message = format!("there are {} flags, {FLAGS_MAX} are allowed", sets.len());
        return Err(faults(code::TOO_MANY, key_spot(FLAGS_MAX), message));
    }
    let bytes: usize = sets.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > STACK_BYTES_MAX {
        let message = format!("the flags have {bytes} bytes, {STACK_BYTES_MAX} are allowed");
        return Err(faults(code::FILE_TOO_LARGE, Spot::START, message));
    }
    Ok(())
}

fn add(
    root: &mut Draft,
    component: &[&str; 2],
    index: usize,
    key: &str,
    value: &str,
) -> Result<(), String> {
    let segments: Vec<&str> = key.split('.').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err(format!("`{}` has an empty part between its dots", shown(key)));
    }
    if segments.len() > SEGMENTS_MAX {
        return Err(format!("`{}` has more than {SEGMENTS_MAX} parts", shown(key)));
    }
    let path = target(component, &segments)
        .ok_or_else(|| format!("`{}` says nothing of a datastore or secret", shown(key)))?;
    // In `key=value` the value stands after the key and the `=`.
    let column = u32::try_from(key.chars().count() + 2).unwrap_or(u32::MAX);
    let spot = Spot { column, ..key_spot(index) };
    let is_setting = path.iter().any(|segment| segment == "settings");
    let is_list = segments.last().is_some_and(|last| LIST_KEYS.contains(last)) && !is_setting;
    let tree = match serde_json::from_str(value) {
        Ok(json) if !is_list || matches!(json, serde_json::Value::Array(_)) => {
            converted(json, spot)
        }
        _ if is_list => {
            let item = |text: &str| leaf(TreeValue::Text(text.trim().to_owned()), spot);
            leaf(TreeValue::List(value.split(',').map(item).collect()), spot)
        }
        _ => leaf(TreeValue::Text(value.to_owned()), spot),
    };
    root.add(&path, key_spot(index), tree)
}

/// Where a flag's value belongs in the file that says the same.
fn target(component: &[&str; 2], segments: &[&str]) -> Option<Vec<String>> {
    let in_component = |rest: &[&str]| path(&[component.as_slice(), rest].concat());
    Some(match segments {
        ["component", rest @ ..] if !rest.is_empty() => in_component(rest),
        ["health" | "smoke" | "settings", ..] => in_component(segments),
        ["datastore", name, key, ..] if DATASTORE_KEYS.contains(key) => {
            path(&[&["datastores", name], &segments[2..]].concat())
        }
        ["datastore", name, rest @ ..] if !rest.is_empty() => {
            path(&[&["datastores", name, "settings"], rest].concat())
        }
        ["secret", name, rest @ ..] if !rest.is_empty() => {
            path(&[&["secrets", name], rest].concat())
        }
        ["datastore" | "secret", ..] => return None,
        ["stack", "releases"] | ["policy" | "backups", _, ..] => path(segments),
        _ => in_component(&[&["settings"], segments].concat()),
    })
}

/// A datastore that does not say who writes to it is written by the only component there is.
fn add_writers(root: &mut Draft, name: &str) {
    let Draft::Branch(top) = root else { return };
    let Some((_, Draft::Branch(datastores))) = top.get_mut("datastores") else { return };
    for (_, datastore) in datastores.values_mut() {
        if let Draft::Branch(keys) = datastore {
            keys.entry("written-by".to_owned()).or_insert_with(|| {
                let writer = leaf(TreeValue::Text(name.to_owned()), Spot::START);
                (Spot::START, Draft::Leaf(leaf(TreeValue::List(vec![writer]), Spot::START)))
            });
        }
    }
}

impl Draft {
    fn add(&mut self, path: &[String], key: Spot, tree: Tree) -> Result<(), String> {
        let Some((first, rest)) = path.split_first() else { return Ok(()) };
        let Self::Branch(below) = self else {
            return Err(format!("`{}` is set below something that has a value", shown(first)));
        };
        if rest.is_empty() {
            if below.contains_key(first) {
                return Err(format!("`{}` is set twice", shown(first)));
            }
            below.insert(first.clone(), (key, Self::Leaf(tree)));
            return Ok(());
        }
        let branch = || (key, Self::Branch(BTreeMap::new()));
        below.entry(first.clone()).or_insert_with(branch).1.add(rest, key, tree)
    }

    fn into_tree(self, spot: Spot) -> Tree {
        match self {
            Self::Leaf(tree) => tree,
            Self::Branch(mut below) => {
                let indexes: Vec<String> =
                    (0..below.len()).map(|index| index.to_string()).collect();
                if !below.is_empty() && indexes.iter().all(|index| below.contains_key(index)) {
                    let items = indexes.iter().filter_map(|index| below.remove(index));
                    let items = items.map(|(spot, draft)| draft.into_tree(spot)).collect();
                    return leaf(TreeValue::List(items), spot);
                }
                let entry = |(key, (spot, draft)): (String, (Spot, Self))| {
                    (key, Entry { spot, tree: draft.into_tree(spot) })
                };
                leaf(TreeValue::Table(below.into_iter().map(entry).collect()), spot)
            }
        }
    }
}

fn converted(json: serde_json::Value, spot: Spot) -> Tree {
    use serde_json::Value;
    let value = match json {
        // TOML has no such value, and a plugin's schema would not expect it.
        Value::Null => TreeValue::Text("null".to_owned()),
        Value::Bool(truth) => TreeValue::Truth(truth),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => TreeValue::Integer(whole),
            (None, Some(real)) if number.is_f64() => TreeValue::Number(real),
            _ => TreeValue::OutOfRange(number.to_string()),
        },
        Value::String(text) => TreeValue::Text(text),
        Value::Array(items) => {
            TreeValue::List(items.into_iter().map(|item| converted(item, spot)).collect())
        }
        Value::Object(entries) => {
            let entry = |(key, item)| (key, Entry { spot, tree: converted(item, spot) });
            TreeValue::Table(entries.into_iter().map(entry).collect())
        }
    };
    leaf(value, spot)
}

fn add_text(root: &mut Draft, at: &[&str], text: &str) {
    // The root is a branch and these come first, so nothing can stand in the way.
    let tree = leaf(TreeValue::Text(text.to_owned()), Spot::START);
    let _ = root.add(&path(at), Spot::START, tree);
}

fn path(segments: &[&str]) -> Vec<String> {
    segments.iter().map(|segment| (*segment).to_owned()).collect()
}

fn leaf(value: TreeValue, spot: Spot) -> Tree {
    Tree { spot, value }
}

/// The place of a flag: its number from 1 is the line.
fn key_spot(index: usize) -> Spot {
    Spot { line: u32::try_from(index + 1).unwrap_or(u32::MAX), column: 1 }
}

fn fault(code: Code, spot: Spot, message: String) -> Fault {
    let help = "write `--set KEY=VALUE`, with dots between the parts of KEY".to_owned();
    Fault { code, place: spot.in_file(FILE), message, help }
}

fn faults(code: Code, spot: Spot, message: String) -> Error {
    Error::Faults(vec![fault(code, spot, message)])
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use proptest::prelude::{any, prop, proptest};
    use serde_json::json;

    use super::{FLAGS_MAX, SEGMENTS_MAX};
    use crate::error::{Error, code};
    use crate::name::Name;
    use crate::problem::Problem;
    use crate::stack::{Ask, SecretSource, Stack, WaveSize};

    fn stack(sets: &[(&str, &str)]) -> Result<Stack, Error> {
        let sets: Vec<(String, String)> =
            sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Stack::from_flags(&Name::parse("host").unwrap(), &sets)
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn flags_say_what_a_file_says() {
        let flags = stack(&[
            ("name", "api"),
            ("directory", "/srv/api"),
            ("instances.0.name", "one"),
            ("instances.1.name", "two"),
            ("port", "8080"),
            ("commands.start", "[\"./start\", \"now\"]"),
            ("settings.health", "deep"),
            ("key.secret", "api-key"),
            ("component.waves", "1,50%,100%"),
            ("component.within", "10m"),
            ("health.0.http", "http://127.0.0.1/health"),
            ("health.0.within", "1m"),
            ("health.1.command", "[\"true\"]"),
            ("smoke.run", "[\"./smoke\"]"),
            ("datastore.orders.plugin", "files"),
            ("datastore.orders.directory", "/srv/orders"),
            ("datastore.orders.proof", "2"),
            ("secret.api-key.env", "API_KEY"),
            ("policy.on-failure", "hold"),
            ("backups.keep.last", "2"),
            ("stack.releases", "./r"),
        ]);
        let file = Stack::parse(
            "format = 1\nstack = { name = \"api\", releases = \"./r\" }\n\
             [components.api]\nplugin = \"host\"\nwaves = [\"1\", \"50%\", \"100%\"]\n\
             within = \"10m\"\n\
             settings = { directory = \"/srv/api\", port = 8080, health = \"deep\", \
             instances = [{ name = \"one\" }, { name = \"two\" }], \
             commands.start = [\"./start\", \"now\"], key = { secret = \"api-key\" } }\n\
             smoke = { run = [\"./smoke\"] }\n\
             [[components.api.health]]\nhttp = \"http://127.0.0.1/health\"\nwithin = \"1m\"\n\
             [[components.api.health]]\ncommand = [\"true\"]\n\
             [datastores.orders]\nplugin = \"files\"\nproof = 2\nwritten-by = [\"api\"]\n\
             settings = { directory = \"/srv/orders\" }\n\
             [secrets]\napi-key = { env = \"API_KEY\" }\n\
             [policy]\non-failure = \"hold\"\n[backups]\nkeep = { last = 2 }\n",
            "f",
        );
        assert_eq!(flags.unwrap(), file.unwrap());
    }

    #[test]
    fn a_component_is_named_like_its_plugin_and_a_value_that_is_no_json_is_a_text() {
        let stack = stack(&[("a", "x y"), ("b", "\"3\""), ("c", "3"), ("d", "null")]).unwrap();
        let component = &stack.components[&name("host")];
        assert_eq!(component.settings, json!({"a": "x y", "b": "3", "c": 3, "d": "null"}));
        assert_eq!(component.waves, [WaveSize::Percent(100)]);
        assert_eq!(stack.name, name("host"));
    }

    #[test]
    fn one_probe_needs_no_number_and_a_secret_may_be_a_command() {
        let stack = stack(&[
            ("health.http", "https://localhost/"),
            ("secret.s.command", "[\"pass\", \"s\"]"),
        ])
        .unwrap();
        assert!(matches!(stack.components[&name("host")].health[0].ask, Ask::Http { .. }));
        assert!(matches!(stack.secrets[&name("s")], SecretSource::Command(_)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_number_of_the_flag() {
        type Flags = [(&'static str, &'static str)];
        let cases: [(&Flags, _, u32, &str); 10] = [
            (&[("a", "1"), ("a", "2")], code::FLAG_INVALID, 2, "set twice"),
            (&[("a", "1"), ("a.b", "2")], code::FLAG_INVALID, 2, "has a value"),
            (&[("a.b", "1"), ("a", "2")], code::FLAG_INVALID, 2, "set twice"),
            (&[("a..b", "1")], code::FLAG_INVALID, 1, "empty part"),
            (&[("", "1")], code::FLAG_INVALID, 1, "empty part"),
            (&[("datastore.x", "files")], code::FLAG_INVALID, 1, "says nothing"),
            (&[("name", "Not A Name")], code::WRONG_VALUE, 1, "not a name"),
            (&[("x", "1"), ("component.wihtin", "1m")], code::UNKNOWN_KEY, 2, "wihtin"),
            (&[("datastore.x.directory", "/")], code::MISSING_KEY, 1, "plugin"),
            (&[("health.http", "nowhere")], code::WRONG_VALUE, 1, "not absolute"),
        ];
        for (sets, code, line, fragment) in cases {
            let error = stack(sets).unwrap_err();
            assert_eq!(error.code(), code, "{sets:?}: {error}");
            let place = error.place().unwrap();
            assert_eq!((place.file.as_str(), place.line), ("--set", line), "{sets:?}: {error}");
            assert!(error.to_string().contains(fragment), "{sets:?}: {error}");
        }
    }

    #[test]
    fn flags_and_parts_at_their_limits_are_read_and_one_more_is_refused() {
        let keys: Vec<String> = (0..=FLAGS_MAX).map(|number| format!("k{number}")).collect();
        let sets: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "1")).collect();
        stack(&sets[..FLAGS_MAX]).unwrap();
        assert_eq!(stack(&sets).unwrap_err().code(), code::TOO_MANY);
        let deep = vec!["a"; SEGMENTS_MAX].join(".");
        stack(&[(&deep, "1")]).unwrap();
        let deeper = vec!["a"; SEGMENTS_MAX + 1].join(".");
        assert_eq!(stack(&[(&deeper, "1")]).unwrap_err().code(), code::FLAG_INVALID);
    }

    proptest! {
        #[test]
        fn no_flags_panic(
            sets in prop::collection::vec(
                ("(health|datastore|component|secret|a|0|[.]){0,5}", any::<String>()), 0..6),
        ) {
            let _ = Stack::from_flags(&name("host"), &sets);
        }
    }
}
