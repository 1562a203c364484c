//! Whether what a release requires is configured: in the ConfigMaps and Secrets that the workload
//! really references, and in its own variables. Names only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vaultup_kubectl::Kubectl;
use vaultup_sdk::deploy::{Difference, Severity};
use vaultup_sdk::{Error, Operation};

use crate::settings::{Entry, Settings};

/// Where a container has its variables from.
#[derive(Debug, Default, PartialEq, Eq)]
struct Named {
    /// Those that it gives a value itself.
    plain: BTreeSet<String>,
    /// Those whose value is a key of an object: variable, object and key.
    keys: Vec<(String, String, String)>,
    /// Objects of which every key is one, each with the prefix that their names get.
    whole: Vec<(String, String)>,
}

/// Whether the next release requires variables at all.
pub(crate) fn is_required(operation: &Operation<Settings>) -> Result<bool, Error> {
    let Entry { requires } = operation.next()?.entry()?;
    Ok(!requires.is_empty())
}

/// A finding on variables that the next release requires and that nothing gives the container (R8).
pub(crate) fn missing(
    operation: &Operation<Settings>,
    kubectl: &Kubectl,
    container: &Value,
) -> Result<Option<Difference>, Error> {
    let Entry { requires } = operation.next()?.entry()?;
    if requires.is_empty() {
        return Ok(None);
    }
    let Named { plain: mut known, keys, whole } = named(container);
    let mut kept: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let sources = keys.iter().map(|(_, source, _)| source);
    for source in sources.chain(whole.iter().map(|(_, source)| source)) {
        if !kept.contains_key(source) {
            kept.insert(source.clone(), keys_of(kubectl, source)?);
        }
    }
    let has = |source: &String, key: &String| kept.get(source).is_some_and(|its| its.contains(key));
    known.extend(keys.into_iter().filter(|(_, from, key)| has(from, key)).map(|its| its.0));
    for (prefix, source) in whole {
        let its = kept.get(&source).into_iter().flatten();
        known.extend(its.map(|key| format!("{prefix}{key}")));
    }
    let missing: Vec<String> = requires.into_iter().filter(|name| !known.contains(name)).collect();
    let detail = format!(
        "the release requires {}, and nothing that the workload references has it",
        missing.join(", ")
    );
    let object = "configuration".to_owned();
    let act = "add".to_owned();
    let found = Difference { object, act, detail, severity: Severity::Blocking };
    Ok((!missing.is_empty()).then_some(found))
}

/// Names of the keys of a ConfigMap or Secret; none if it is not there.
fn keys_of(kubectl: &Kubectl, source: &str) -> Result<BTreeSet<String>, Error> {
    let template = "--output=go-template={{range $key, $value := .data}}{{$key}}{{\"\\n\"}}{{end}}";
    let text = kubectl.text(&["get", source, "--ignore-not-found", template])?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn named(container: &Value) -> Named {
    let list = |key: &str| container[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut found = Named::default();
    for variable in list("env") {
        let Some(name) = text(&variable["name"]) else { continue };
        let from = &variable["valueFrom"];
        let kinds = [("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")];
        let source = kinds.iter().find_map(|(key, kind)| {
            let its = &from[*key];
            Some((format!("{kind}/{}", its["name"].as_str()?), text(&its["key"])?))
        });
        match source {
            Some((source, key)) => found.keys.push((name, source, key)),
            None => drop(found.plain.insert(name)),
        }
    }
    for its in list("envFrom") {
        let prefix = its["prefix"].as_str().unwrap_or_default();
        let kinds = [("configMapRef", "configmap"), ("secretRef", "secret")];
        found.whole.extend(kinds.iter().find_map(|(key, kind)| {
            Some((prefix.to_owned(), format!("{kind}/{}", its[*key]["name"].as_str()?)))
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::named;

    #[test]
    fn variables_come_from_the_container_and_from_what_it_references() {
        let found = named(&json!({
            "env": [
                {"name": "A", "value": "x"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "b"}}},
                {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            ],
            "envFrom": [
                {"configMapRef": {"name": "c"}},
                {"prefix": "X_", "secretRef": {"name": "s"}},
            ],
        }));
        assert_eq!(found.plain.into_iter().collect::<Vec<_>>(), ["A", "C"]);
        let text = |text: &str| text.to_owned();
        assert_eq!(found.keys, [(text("B"), text("secret/s"), text("b"))]);
        let pair = |prefix: &str, source: &str| (text(prefix), text(source));
        assert_eq!(found.whole, [pair("", "configmap/c"), pair("X_", "secret/s")]);
    }
}
