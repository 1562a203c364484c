//! Label selectors: which pods an object means. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Which labels are meant. An empty selector means every pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Selector {
    /// Labels with these values.
    pub match_labels: BTreeMap<String, String>,
    /// Labels that these hold for.
    pub match_expressions: Vec<Expression>,
}

/// What must hold for one label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Expression {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// The values that `In` and `NotIn` are about.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether something with these labels is meant.
    #[must_use]
    pub fn means(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|its| its.holds(labels))
    }
}

impl Expression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_among = value.is_some_and(|value| self.values.contains(value));
        match self.operator.as_str() {
            "In" => is_among,
            "NotIn" => !is_among,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // What is not known is taken for meant, so that a limit is shown rather than missed.
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_expressions_must_all_hold() {
        let labels = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let means = |selector| serde_json::from_value::<Selector>(selector).unwrap().means(&labels);
        let expression = |operator: &str, values: &[&str]| {
            let its = json!({"key": "app", "operator": operator, "values": values});
            json!({"matchExpressions": [its]})
        };
        assert!(means(json!({})));
        assert!(means(json!({"matchLabels": {"app": "shop"}})));
        assert!(!means(json!({"matchLabels": {"app": "shop", "tier": "web"}})));
        assert!(means(expression("In", &["shop", "other"])));
        assert!(!means(expression("NotIn", &["shop"])));
        assert!(means(expression("Exists", &[])));
        assert!(!means(expression("DoesNotExist", &[])));
    }
}
