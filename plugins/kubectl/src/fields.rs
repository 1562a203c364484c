//! What differs between two objects, what of it cannot be changed in place, and which fields
//! somebody else owns. Pure.

use serde_json::{Map, Value};

/// The longest value that is shown.
const VALUE_CHARACTERS_MAX: usize = 60;
/// Parts of objects whose values may be confidential: only that they differ is shown.
const HIDDEN: [&str; 6] = ["args", "command", "data", "binaryData", "env", "stringData"];

/// Fields that the API refuses to change, by kind.
const IMMUTABLE: [(&str, &str); 13] = [
    ("Deployment", "/spec/selector"),
    ("StatefulSet", "/spec/selector"),
    ("StatefulSet", "/spec/serviceName"),
    ("StatefulSet", "/spec/podManagementPolicy"),
    ("StatefulSet", "/spec/volumeClaimTemplates"),
    ("DaemonSet", "/spec/selector"),
    ("ReplicaSet", "/spec/selector"),
    ("Job", "/spec/selector"),
    ("Job", "/spec/template"),
    ("Job", "/spec/completions"),
    ("Service", "/spec/clusterIP"),
    ("PersistentVolumeClaim", "/spec/accessModes"),
    ("PersistentVolumeClaim", "/spec/storageClassName"),
];

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Where, with dots: `spec.replicas`.
    pub path: String,
    /// What it becomes, as people may see it: `3 → 5`.
    pub detail: String,
}

/// A field that somebody else owns and that would be set to something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub owner: String,
    /// Where.
    pub path: String,
}

/// Every field that differs, in the order of paths.
#[must_use]
pub fn changed(old: &Value, new: &Value) -> Vec<Changed> {
    let mut found = Vec::new();
    let is_secret = new["kind"] == "Secret" || old["kind"] == "Secret";
    compare(old, new, &mut Vec::new(), is_secret, &mut found);
    found
}

/// Fields that differ and that the API refuses to change in place.
#[must_use]
pub fn immutable(old: &Value, new: &Value) -> Vec<&'static str> {
    let kind = new["kind"].as_str().unwrap_or_default();
    let of_kind = IMMUTABLE.iter().filter(|(its, _)| *its == kind);
    let differs = |pointer: &str| match (old.pointer(pointer), new.pointer(pointer)) {
        (Some(old), Some(new)) => old != new,
        // What is left away keeps its value, or the default that it had.
        (None, None) | (Some(_), None) | (None, Some(_)) => false,
    };
    of_kind.map(|(_, pointer)| *pointer).filter(|pointer| differs(pointer)).collect()
}

/// Fields of `wanted` that differ from the live object and that others than `ours` own. The live
/// object has its `managedFields`.
#[must_use]
pub fn conflicts(live: &Value, wanted: &Value, ours: &[&str]) -> Vec<Conflict> {
    let managers = live["metadata"]["managedFields"].as_array();
    let mut found = Vec::new();
    for manager in managers.into_iter().flatten() {
        let owner = manager["manager"].as_str().unwrap_or("?");
        if ours.contains(&owner) || manager["subresource"] == "status" {
            continue;
        }
        let mut paths = Vec::new();
        owned(&manager["fieldsV1"], live, wanted, "", &mut paths);
        let conflict = |path| Conflict { owner: owner.to_owned(), path };
        found.extend(paths.into_iter().map(conflict));
    }
    found
}

/// Whether a live object has all that is wanted; what it has besides does not count.
#[must_use]
pub fn has_all(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            wanted.is_null() || live.get(key).is_some_and(|live| has_all(live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(a, b)| has_all(a, b))
        }
        (live, wanted) => live == wanted,
    }
}

fn compare(
    old: &Value,
    new: &Value,
    path: &mut Vec<String>,
    hidden: bool,
    found: &mut Vec<Changed>,
) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
            for key in keys {
                let hidden = hidden || HIDDEN.contains(&key.as_str());
                path.push(key.clone());
                let (old, new) = (before.get(key), after.get(key));
                compare(
                    old.unwrap_or(&Value::Null),
                    new.unwrap_or(&Value::Null),
                    path,
                    hidden,
                    found,
                );
                path.pop();
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (old, new)) in aligned(before, after).into_iter().enumerate() {
                let name = old.or(new).and_then(|item| item["name"].as_str());
                path.push(name.map_or_else(|| index.to_string(), str::to_owned));
                compare(
                    old.unwrap_or(&Value::Null),
                    new.unwrap_or(&Value::Null),
                    path,
                    hidden,
                    found,
                );
                path.pop();
            }
        }
        _ => {
            let detail = match hidden {
                true => "differs".to_owned(),
                false => format!("{} → {}", shown(old), shown(new)),
            };
            found.push(Changed { path: path.join("."), detail });
        }
    }
}

/// Items of two lists side by side: by their names if they have them, else by their places.
fn aligned<'v>(
    before: &'v [Value],
    after: &'v [Value],
) -> Vec<(Option<&'v Value>, Option<&'v Value>)> {
    let named = |items: &[Value]| items.iter().all(|item| item["name"].is_string());
    if !named(before) || !named(after) {
        let most = before.len().max(after.len());
        return (0..most).map(|place| (before.get(place), after.get(place))).collect();
    }
    let same = |name: &Value, items: &'v [Value]| items.iter().find(|item| item["name"] == *name);
    let kept = before.iter().map(|item| (Some(item), same(&item["name"], after)));
    let added = after.iter().filter(|item| same(&item["name"], before).is_none());
    kept.chain(added.map(|item| (None, Some(item)))).collect()
}

/// Walks a set of owned fields along the live and the wanted object.
fn owned(fields: &Value, live: &Value, wanted: &Value, path: &str, found: &mut Vec<String>) {
    let Some(fields) = fields.as_object() else { return };
    for (key, below) in fields {
        let (name, live, wanted) = match key.split_once(':') {
            Some(("f", name)) => (name.to_owned(), live.get(name), wanted.get(name)),
            Some(("k", text)) => {
                let Ok(Value::Object(keys)) = serde_json::from_str(text) else { continue };
                (named(&keys), element(live, &keys), element(wanted, &keys))
            }
            // A field's own mark, and members of sets, which nobody can set otherwise.
            _ => continue,
        };
        let (Some(live), Some(wanted)) = (live, wanted) else { continue };
        let path = if path.is_empty() { name } else { format!("{path}.{name}") };
        if below.as_object().is_some_and(Map::is_empty) {
            if live != wanted {
                found.push(path);
            }
        } else {
            owned(below, live, wanted, &path, found);
        }
    }
}

fn element<'v>(list: &'v Value, keys: &Map<String, Value>) -> Option<&'v Value> {
    let is_it = |item: &&Value| {
        keys.iter().all(|(key, value)| item.get(key).is_none_or(|present| present == value))
    };
    list.as_array()?.iter().find(is_it)
}

fn named(keys: &Map<String, Value>) -> String {
    let values = keys.values().map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
    values.collect::<Vec<_>>().join(",")
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(image: &str, replicas: u32) -> Value {
        json!({"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "shop"}},
            "template": {"spec": {"containers": [
                {"name": "app", "image": image, "env": [{"name": "KEY", "value": "secret"}]},
            ]}},
        }})
    }

    #[test]
    fn what_differs_is_told_by_path_and_value() {
        let found = changed(&deployment("app:1", 3), &deployment("app:2", 5));
        let told: Vec<String> =
            found.iter().map(|its| format!("{} {}", its.path, its.detail)).collect();
        assert_eq!(
            told,
            ["spec.replicas 3 → 5", "spec.template.spec.containers.app.image app:1 → app:2"]
        );
        assert_eq!(changed(&deployment("a", 1), &deployment("a", 1)), []);
    }

    #[test]
    fn values_that_may_be_confidential_are_not_shown() {
        let mut new = deployment("app:1", 3);
        new["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!("other");
        let found = changed(&deployment("app:1", 3), &new);
        assert_eq!(found[0].detail, "differs");
        let secret = |value: &str| json!({"kind": "Secret", "type": value});
        assert_eq!(changed(&secret("a"), &secret("b"))[0].detail, "differs");
    }

    #[test]
    fn a_selector_cannot_be_changed_in_place_and_replicas_can() {
        let old = deployment("app:1", 3);
        let mut new = deployment("app:1", 5);
        assert_eq!(immutable(&old, &new), Vec::<&str>::new());
        new["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
        assert_eq!(immutable(&old, &new), ["/spec/selector"]);
    }

    fn live(manager: &str, fields: &Value) -> Value {
        let mut live = deployment("app:9", 4);
        live["metadata"]["managedFields"] =
            json!([{"manager": manager, "operation": "Update", "fieldsV1": fields}]);
        live
    }

    #[test]
    fn a_field_of_somebody_else_conflicts_only_if_it_would_change() {
        let image = json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {
            "k:{\"name\":\"app\"}": {"f:image": {}}}}}}});
        let found = conflicts(&live("kubectl-set", &image), &deployment("app:2", 4), &["helm"]);
        let path = "spec.template.spec.containers.app.image".to_owned();
        assert_eq!(found, [Conflict { owner: "kubectl-set".to_owned(), path }]);
        let same = deployment("app:9", 4);
        assert_eq!(conflicts(&live("kubectl-set", &image), &same, &["helm"]), []);
        assert_eq!(conflicts(&live("helm", &image), &deployment("app:2", 4), &["helm"]), []);
    }

    #[test]
    fn an_autoscaler_owns_the_number_of_instances() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let live = live("kube-controller-manager", &replicas);
        assert_eq!(conflicts(&live, &deployment("app:9", 3), &["helm"])[0].path, "spec.replicas");
        let mut without = deployment("app:9", 3);
        without["spec"].as_object_mut().map(|spec| spec.remove("replicas"));
        assert_eq!(conflicts(&live, &without, &["helm"]), []);
    }
}
