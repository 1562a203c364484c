//! Whether what a release requires is configured: in the ConfigMaps and Secrets that the workload
//! really references, and in its own variables. Names only.

use std::collections::BTreeSet;

use serde_json::Value;
use vaultup_sdk::Error;

use crate::settings::Entry;
use crate::workload::Component;

impl Component<'_> {
    /// Variables that the next release requires and that nothing gives the workload (R8).
    pub(crate) fn missing_variables(&self) -> Result<Vec<String>, Error> {
        let Entry { requires } = self.operation.next()?.entry()?;
        if requires.is_empty() {
            return Ok(Vec::new());
        }
        let words = ["get", &self.operation.settings.workload, "--output=json"];
        let workload: Value = self.kubectl.json(&words)?;
        let cluster = self.cluster()?;
        let name = &self.container(&cluster.workloads[0])?.name;
        let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
        let its = containers.into_iter().flatten().find(|its| its["name"] == **name);
        let (mut known, sources) = its.map(named).unwrap_or_default();
        for (prefix, source) in sources {
            let keys = self.keys(&source)?;
            known.extend(keys.lines().map(|key| format!("{prefix}{key}")));
        }
        Ok(requires.into_iter().filter(|name| !known.contains(name)).collect())
    }

    /// Names of the keys of a ConfigMap or Secret; none if it is not there.
    fn keys(&self, source: &str) -> Result<String, Error> {
        let template =
            "--output=go-template={{range $key, $value := .data}}{{$key}}{{\"\\n\"}}{{end}}";
        self.kubectl.text(&["get", source, "--ignore-not-found", template])
    }
}

/// The variables that a container names itself, and what else it takes variables from, each with
/// the prefix that their names get.
fn named(container: &Value) -> (BTreeSet<String>, Vec<(String, String)>) {
    let texts = |key: &str| container[key].as_array().cloned().unwrap_or_default();
    let name = |its: &Value| its["name"].as_str().map(str::to_owned);
    let variables = texts("env").iter().filter_map(name).collect();
    let source = |its: &Value| {
        let prefix = its["prefix"].as_str().unwrap_or_default().to_owned();
        let kinds = [("configMapRef", "configmap"), ("secretRef", "secret")];
        kinds.iter().find_map(|(key, kind)| {
            Some((prefix.clone(), format!("{kind}/{}", its[key]["name"].as_str()?)))
        })
    };
    (variables, texts("envFrom").iter().filter_map(source).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::named;

    #[test]
    fn variables_come_from_the_container_and_from_what_it_references() {
        let (variables, sources) = named(&json!({
            "env": [{"name": "A", "valueFrom": {}}],
            "envFrom": [
                {"configMapRef": {"name": "c"}},
                {"prefix": "X_", "secretRef": {"name": "s"}},
            ],
        }));
        assert!(variables.contains("A"));
        let pair = |prefix: &str, source: &str| (prefix.to_owned(), source.to_owned());
        assert_eq!(sources, [pair("", "configmap/c"), pair("X_", "secret/s")]);
    }
}
