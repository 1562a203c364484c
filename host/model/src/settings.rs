//! Settings: JSON values that the host hands on without knowing what they mean.
//!
//! What the host does know: `{ secret = "name" }` stands for a declared secret, a dotted key
//! (`commands.start`, `hosts.0`) names a place, and a rehearsal's settings are merged over the
//! live ones.

use std::collections::BTreeSet;

use serde_json::Value;

/// The key of a table that refers to a secret.
pub const SECRET_KEY: &str = "secret";

/// The value under a dotted key. Numbers index lists. The empty key is the value itself.
///
/// With `{"commands": {"start": ["./start"]}}`: `commands.start.0` is `./start`.
#[must_use]
pub fn at<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    if key.is_empty() {
        return Some(value);
    }
    key.split('.').try_fold(value, |value, segment| match value {
        Value::Object(entries) => entries.get(segment),
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Puts another value under a dotted key, if there is one.
pub(crate) fn replace(value: &mut Value, key: &str, by: Value) {
    let found =
        key.split('.').filter(|segment| !segment.is_empty()).try_fold(value, |value, segment| {
            match value {
                Value::Object(entries) => entries.get_mut(segment),
                Value::Array(items) => items.get_mut(segment.parse::<usize>().ok()?),
                _ => None,
            }
        });
    if let Some(place) = found {
        *place = by;
    }
}

/// `over` laid over `base`: tables are merged key by key, everything else is replaced.
#[must_use]
pub fn merged(base: &Value, over: &Value) -> Value {
    let (Value::Object(base), Value::Object(over)) = (base, over) else {
        return over.clone();
    };
    let mut merged_entries = base.clone();
    for (key, value) in over {
        let value = match base.get(key) {
            Some(below) if !is_reference(below) && !is_reference(value) => merged(below, value),
            _ => value.clone(),
        };
        merged_entries.insert(key.clone(), value);
    }
    Value::Object(merged_entries)
}

fn is_reference(value: &Value) -> bool {
    secret_reference(value).is_some()
}

/// The name in `{ secret = "name" }`; nothing for any other value.
#[must_use]
pub fn secret_reference(value: &Value) -> Option<&str> {
    match value {
        Value::Object(entries) if entries.len() == 1 => entries.get(SECRET_KEY)?.as_str(),
        _ => None,
    }
}

/// The names of all secrets that a value refers to, at any depth.
#[must_use]
pub fn secrets_in(value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    walk(value, &mut |value| {
        if let Some(name) = secret_reference(value) {
            names.insert(name.to_owned());
        }
    });
    names
}

/// Every text that stands in a value, at any depth, and every number and truth value as text: what
/// a `setting` placeholder accepts. Keys and the names of secrets do not count.
#[must_use]
pub fn texts_in(value: &Value) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    walk(value, &mut |value| match value {
        Value::String(text) => drop(texts.insert(text.clone())),
        Value::Number(number) => drop(texts.insert(number.to_string())),
        Value::Bool(truth) => drop(texts.insert(truth.to_string())),
        _ => {}
    });
    texts
}

/// Visits a value and everything in it, but not what is inside of a reference to a secret.
fn walk<'v>(value: &'v Value, visit: &mut impl FnMut(&'v Value)) {
    visit(value);
    match value {
        _ if is_reference(value) => {}
        Value::Array(items) => items.iter().for_each(|item| walk(item, visit)),
        Value::Object(entries) => entries.values().for_each(|item| walk(item, visit)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{at, merged, secret_reference, secrets_in, texts_in};

    #[test]
    fn a_dotted_key_leads_through_tables_and_lists() {
        let value = json!({"commands": {"start": ["./start", "now"]}, "a.b": 1});
        assert_eq!(at(&value, "commands.start.1"), Some(&json!("now")));
        assert_eq!(at(&value, ""), Some(&value));
        for key in ["commands.stop", "commands.start.2", "commands.start.x", "a.b", "commands."] {
            assert_eq!(at(&value, key), None, "{key}");
        }
    }

    #[test]
    fn a_rehearsal_changes_only_what_it_names() {
        let live = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "uri": {"secret": "live"}});
        let copy = json!({"a": {"c": 3}, "list": [9], "uri": {"secret": "copy"}});
        let expected = json!({"a": {"b": 1, "c": 3}, "list": [9], "uri": {"secret": "copy"}});
        assert_eq!(merged(&live, &copy), expected);
    }

    #[test]
    fn a_secret_gives_way_to_a_table_and_not_to_a_mixture() {
        let live = json!({"uri": {"secret": "live"}});
        assert_eq!(merged(&live, &json!({"uri": {"file": "x"}})), json!({"uri": {"file": "x"}}));
    }

    #[test]
    fn references_to_secrets_are_found_at_any_depth_and_are_no_texts() {
        let value = json!({"a": [{"secret": "one"}], "b": {"c": {"secret": "two"}}, "n": 7});
        assert_eq!(secrets_in(&value).into_iter().collect::<Vec<_>>(), ["one", "two"]);
        assert_eq!(texts_in(&value).into_iter().collect::<Vec<_>>(), ["7"]);
        assert_eq!(secret_reference(&json!({"secret": "x", "more": 1})), None);
        assert_eq!(secret_reference(&json!({"secret": 1})), None);
    }
}
