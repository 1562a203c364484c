//! Custom resource definitions of a chart: helm installs them with the first revision and never
//! again, so an upgrade that needs newer ones fails or, worse, runs with the old ones.

use serde_json::Value;
use vaultup_kubectl::fields;
use vaultup_sdk::deploy::{Difference, Severity};
use vaultup_sdk::{Case, Error};

use crate::release::Release;

impl Release<'_> {
    /// What is missing or old of the definitions that the next release's chart brings.
    pub(crate) fn definitions_left(&self, brought: &[Value]) -> Result<Vec<Difference>, Error> {
        let mut found = Vec::new();
        for definition in brought {
            let Some(name) = definition["metadata"]["name"].as_str() else { continue };
            let words = ["get", "customresourcedefinition", name, "--output=json"];
            let live = match self.kubectl.json_if_there::<Value>(&words) {
                // Definitions belong to the whole cluster, which not everybody may look at.
                Err(error) if error.case() == &Case::Refused => Live::Hidden,
                live => live?.map_or(Live::Missing, Live::Seen),
            };
            found.extend(told(name, definition, &live));
        }
        Ok(found)
    }
}

/// What the cluster has of a definition.
enum Live {
    Missing,
    Hidden,
    Seen(Value),
}

fn told(name: &str, wanted: &Value, live: &Live) -> Option<Difference> {
    let (detail, severity) = match live {
        Live::Missing => (
            "the cluster does not have it, and helm installs definitions with the first revision \
             only: apply it beforehand",
            Severity::Blocking,
        ),
        Live::Hidden => (
            "helm never upgrades definitions, and this one may not be looked at: apply it \
             beforehand if it has changed",
            Severity::Warning,
        ),
        Live::Seen(live) if fields::has_all(&live["spec"], &wanted["spec"]) => return None,
        Live::Seen(_) => (
            "the chart brings another one than the cluster has, and helm never upgrades \
             definitions: apply it beforehand",
            Severity::Warning,
        ),
    };
    let object = format!("CustomResourceDefinition/{name}");
    Some(Difference { object, act: "change".to_owned(), detail: detail.to_owned(), severity })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_definition_is_told_only_if_it_is_missing_hidden_or_another() {
        let wanted = json!({"spec": {"group": "a.example", "versions": [{"name": "v1"}]}});
        let severity = |live: &Live| told("x", &wanted, live).map(|its| its.severity);
        assert_eq!(severity(&Live::Missing), Some(Severity::Blocking));
        assert_eq!(severity(&Live::Hidden), Some(Severity::Warning));
        // The cluster adds defaults, which are no difference.
        let same = json!({"spec": {"group": "a.example", "conversion": {"strategy": "None"},
            "versions": [{"name": "v1", "served": true}]}});
        assert_eq!(severity(&Live::Seen(same)), None);
        let older = json!({"spec": {"group": "a.example", "versions": [{"name": "v1alpha1"}]}});
        assert_eq!(severity(&Live::Seen(older)), Some(Severity::Warning));
    }
}
