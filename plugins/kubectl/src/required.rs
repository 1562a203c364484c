//! Whether what a release requires is configured: in the ConfigMaps and Secrets that a container
//! really references, and in its own variables. Names only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use vaultup_sdk::Error;
use vaultup_sdk::deploy::{Difference, Severity};

use crate::access::Kubectl;
use crate::rights;

/// The rights that it needs: names of keys are read, and the API has no right to names alone.
pub const RIGHTS: [(&str, &str); 2] = [("get", "configmaps"), ("get", "secrets")];

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

/// A finding on variables that a release requires and that nothing gives any container (R8).
/// `keys_of` tells the names of the keys of a ConfigMap or Secret, such as `secret/shop`.
///
/// # Errors
/// Those of `keys_of`.
pub fn missing<'c>(
    required: &[String],
    containers: impl IntoIterator<Item = &'c Value>,
    keys_of: impl Fn(&str) -> Result<BTreeSet<String>, Error>,
) -> Result<Option<Difference>, Error> {
    if required.is_empty() {
        return Ok(None);
    }
    let mut known = BTreeSet::new();
    let mut kept: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for container in containers {
        let Named { plain, keys, whole } = named(container);
        let sources = keys.iter().map(|(_, source, _)| source);
        for source in sources.chain(whole.iter().map(|(_, source)| source)) {
            if !kept.contains_key(source) {
                kept.insert(source.clone(), keys_of(source)?);
            }
        }
        let has = |from: &str, key: &str| kept.get(from).is_some_and(|its| its.contains(key));
        known.extend(plain);
        known.extend(keys.into_iter().filter(|(_, from, key)| has(from, key)).map(|its| its.0));
        for (prefix, source) in whole {
            let its = kept.get(&source).into_iter().flatten();
            known.extend(its.map(|key| format!("{prefix}{key}")));
        }
    }
    let missing: Vec<&str> =
        required.iter().filter(|name| !known.contains(*name)).map(String::as_str).collect();
    let detail = format!(
        "the release requires {}, and nothing that the workload references has it",
        missing.join(", ")
    );
    let (object, act) = ("configuration".to_owned(), "add".to_owned());
    let found = Difference { object, act, detail, severity: Severity::Blocking };
    Ok((!missing.is_empty()).then_some(found))
}

/// Names of the keys of a ConfigMap or Secret of the cluster; none if it is not there.
///
/// # Errors
/// If the cluster cannot be asked; with the Role that would do if it refuses.
pub fn keys_of(kubectl: &Kubectl, source: &str) -> Result<BTreeSet<String>, Error> {
    let template = "--output=go-template={{range $key, $value := .data}}{{$key}}{{\"\\n\"}}{{end}}";
    let text = kubectl.text(&["get", source, "--ignore-not-found", template]);
    let text = text.map_err(|error| rights::explained(kubectl, error, &RIGHTS))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Names of the keys that a rendered ConfigMap or Secret brings; nothing if it is another one.
#[must_use]
pub fn keys_brought(object: &Value, source: &str) -> Option<BTreeSet<String>> {
    let (kind, name) = source.split_once('/')?;
    let is_it = object["kind"].as_str().is_some_and(|its| its.eq_ignore_ascii_case(kind))
        && object["metadata"]["name"] == *name;
    let parts = ["data", "binaryData", "stringData"];
    let keys = parts.iter().filter_map(|part| object[*part].as_object()).flat_map(|its| its.keys());
    is_it.then(|| keys.cloned().collect())
}

/// The containers of every pod that an object makes, those that run before too; none if it makes no
/// pods.
pub fn containers(object: &Value) -> impl Iterator<Item = &Value> {
    let spec = match object["kind"].as_str() {
        Some("CronJob") => &object["spec"]["jobTemplate"]["spec"]["template"]["spec"],
        Some("Pod") => &object["spec"],
        _ => &object["spec"]["template"]["spec"],
    };
    let list = |key: &str| spec[key].as_array().into_iter().flatten();
    list("containers").chain(list("initContainers"))
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
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;
    use vaultup_sdk::Case;
    use vaultup_sdk::testing::{Machine, Reply};

    use super::*;
    use crate::access::Access;

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

    #[test]
    fn a_variable_is_missing_only_if_no_container_has_it() {
        let pods = json!({"spec": {"containers": [{"env": [{"name": "A", "value": "x"}]}]}});
        let cron =
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": pods}}}});
        let deployment = json!({"kind": "Deployment", "spec": {"template": {"spec": {
            "containers": [{"envFrom": [{"secretRef": {"name": "s"}}]}]}}}});
        let both = [&cron, &deployment].into_iter().flat_map(containers);
        let keys_of = |source: &str| {
            assert_eq!(source, "secret/s");
            Ok(BTreeSet::from(["B".to_owned()]))
        };
        let required = ["A", "B", "C"].map(str::to_owned);
        let found = missing(&required, both, keys_of).unwrap().unwrap();
        assert!(found.detail.contains("requires C, and"), "{}", found.detail);
        assert_eq!(missing(&required[..1], containers(&cron), keys_of).unwrap(), None);
        assert_eq!(missing(&[], [], keys_of).unwrap(), None);
    }

    #[test]
    fn who_may_not_read_the_keys_is_told_the_role_that_would_do() {
        let machine = Machine::new().install();
        machine.answer("kubectl", |call| match call.arguments[0].as_str() {
            "get" => Reply::exit(1).with_errors("Error from server (Forbidden): secrets"),
            _ if call.arguments[2] == "--list" => Reply::output(""),
            _ => Reply::exit(1).with_output("no\n"),
        });
        let access = Access { kubeconfig: None, context: None, namespace: "shop".to_owned() };
        let error = keys_of(&Kubectl::new(&access), "secret/keys").unwrap_err();
        assert_eq!(error.case(), &Case::Refused);
        assert!(error.message().contains("not allowed: get configmaps, get secrets"), "{error}");
    }

    #[test]
    fn keys_that_a_chart_brings_are_known_before_the_cluster_has_them() {
        let secret = json!({"kind": "Secret", "metadata": {"name": "s"},
            "data": {"A": "eA=="}, "stringData": {"B": "x"}});
        let keys = keys_brought(&secret, "secret/s").unwrap();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(keys_brought(&secret, "secret/t"), None);
        assert_eq!(keys_brought(&secret, "configmap/s"), None);
    }
}
