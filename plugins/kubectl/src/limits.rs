//! What limits how many pods of a workload there may be: autoscalers, which own the number, and
//! disruption budgets, which say how few may be well.
//!
//! A rollout is not held to a budget by the cluster itself, only evictions are. So a budget that is
//! not met stops a plan, and a strategy that may break one is told.

use serde::Deserialize;
use serde_json::Value;
use vaultup_sdk::deploy::{Difference, Severity};
use vaultup_sdk::process::Asked;
use vaultup_sdk::{Case, Error};

use crate::access::{self, Kubectl, read_json};
use crate::objects::{Kind, Metadata, Workload};
use crate::selector::Selector;

/// What is asked for at once; the read pattern of the manifests says the same.
pub const AUTOSCALERS_AND_BUDGETS: &str =
    "horizontalpodautoscalers.autoscaling,poddisruptionbudgets.policy";
/// The rights that it needs.
pub const RIGHTS: [(&str, &str); 2] =
    [("list", "horizontalpodautoscalers.autoscaling"), ("list", "poddisruptionbudgets.policy")];

/// How errors name the question.
const ATTEMPT: &str = "`kubectl get`";
/// How many percent of a Deployment's pods may be away if it does not say.
const SHARE_DEFAULT: u32 = 25;

/// The autoscalers and disruption budgets of a namespace.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    autoscalers: Vec<Autoscaler>,
    budgets: Vec<Budget>,
}

#[derive(Clone, Debug, Deserialize)]
struct Autoscaler {
    metadata: Metadata,
    spec: AutoscalerSpecification,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoscalerSpecification {
    scale_target_ref: Target,
    min_replicas: Option<u32>,
    max_replicas: u32,
}

#[derive(Clone, Debug, Deserialize)]
struct Target {
    kind: String,
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Budget {
    metadata: Metadata,
    #[serde(default)]
    spec: BudgetSpecification,
    #[serde(default)]
    status: BudgetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct BudgetSpecification {
    selector: Option<Selector>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BudgetStatus {
    current_healthy: u32,
    desired_healthy: u32,
    disruptions_allowed: u32,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<Value>,
}

impl Limits {
    /// Asks for those of a namespace. Who may not look sees none: the missing right is told on its
    /// own.
    pub fn ask(kubectl: &Kubectl) -> Asked<'static, Self> {
        let command = kubectl.command(["get", AUTOSCALERS_AND_BUDGETS, "--output=json"]);
        command.ask(|finished| match access::told(finished, ATTEMPT) {
            Err(error) if error.case() == &Case::Refused => Ok(Self::default()),
            text => Self::read(read_json(&text?, ATTEMPT)?),
        })
    }

    /// Reads what `kubectl get … --output=json` answers.
    ///
    /// # Errors
    /// [`Case::Corrupt`] if a field is of another type than the API's.
    pub fn read(answer: Value) -> Result<Self, Error> {
        let text = answer.to_string();
        let Listed { items } = read_json(&text, ATTEMPT)?;
        let mut limits = Self::default();
        for item in items {
            let text = item.to_string();
            match item["kind"].as_str() {
                Some("HorizontalPodAutoscaler") => {
                    limits.autoscalers.push(read_json(&text, ATTEMPT)?);
                }
                Some("PodDisruptionBudget") => limits.budgets.push(read_json(&text, ATTEMPT)?),
                _ => {}
            }
        }
        Ok(limits)
    }

    /// Whether an autoscaler owns the number of a workload's instances.
    #[must_use]
    pub fn is_scaled(&self, kind: Kind, name: &str) -> bool {
        self.autoscalers.iter().any(|its| its.is_of(kind, name))
    }

    /// What an operator wants to know of them before the workload is changed.
    #[must_use]
    pub fn findings(&self, workload: &Workload) -> Vec<Difference> {
        let mut found = Vec::new();
        let name = &workload.metadata.name;
        for its in self.autoscalers.iter().filter(|its| its.is_of(workload.kind, name)) {
            let (least, most) = (its.spec.min_replicas.unwrap_or(1), its.spec.max_replicas);
            let detail = format!(
                "keeps {workload} between {least} and {most} instances, and sleeps while it is \
                 stopped"
            );
            found.push(told("HorizontalPodAutoscaler", its, detail, Severity::Information));
        }
        for its in self.budgets.iter().filter(|its| its.is_of(workload)) {
            found.extend(its.findings(workload));
        }
        found
    }
}

impl Autoscaler {
    fn is_of(&self, kind: Kind, name: &str) -> bool {
        let target = &self.spec.scale_target_ref;
        target.kind == kind.name() && target.name == name
    }
}

impl Budget {
    fn is_of(&self, workload: &Workload) -> bool {
        let labels = &workload.spec.template.metadata.labels;
        // Without a selector it means no pod.
        self.spec.selector.as_ref().is_some_and(|selector| selector.means(labels))
    }

    fn findings(&self, workload: &Workload) -> Vec<Difference> {
        let BudgetStatus { current_healthy, desired_healthy, disruptions_allowed } = self.status;
        let detail = format!(
            "{current_healthy} of its pods are well, {desired_healthy} must be, so \
             {disruptions_allowed} may be away"
        );
        if current_healthy < desired_healthy {
            let detail = format!("{detail}: it is not met, and a rollout would make it worse");
            return vec![told("PodDisruptionBudget", self, detail, Severity::Blocking)];
        }
        let mut found = vec![told("PodDisruptionBudget", self, detail, Severity::Information)];
        let away = away_at_once(workload);
        if away > disruptions_allowed {
            let detail = format!(
                "the strategy of {workload} may take {away} pods away at once, more than the \
                 budget allows; a rollout is not held to it by the cluster"
            );
            found.push(told("PodDisruptionBudget", self, detail, Severity::Warning));
        }
        found
    }
}

/// How many pods a rollout may take away at once, by the workload's own strategy.
fn away_at_once(workload: &Workload) -> u32 {
    let wanted = workload.wanted_when_open();
    let (strategy, default) = match workload.kind {
        Kind::Deployment if workload.spec.strategy.kind == "Recreate" => return wanted,
        Kind::Deployment => (&workload.spec.strategy, share_of(wanted, SHARE_DEFAULT)),
        Kind::StatefulSet | Kind::DaemonSet => (&workload.spec.update_strategy, 1),
    };
    match &strategy.rolling_update.max_unavailable {
        Some(Value::Number(number)) => {
            number.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(wanted)
        }
        Some(text) => {
            let share = text.as_str().and_then(|text| text.strip_suffix('%')?.parse().ok());
            share.map_or(wanted, |share| share_of(wanted, share))
        }
        None => default,
    }
}

/// So many percent, rounded down as the cluster does it.
fn share_of(wanted: u32, percent: u32) -> u32 {
    (u64::from(wanted) * u64::from(percent) / 100).try_into().unwrap_or(wanted)
}

/// What limits and finds something, by name.
trait Named {
    fn name(&self) -> &str;
}

impl Named for Autoscaler {
    fn name(&self) -> &str {
        &self.metadata.name
    }
}

impl Named for Budget {
    fn name(&self) -> &str {
        &self.metadata.name
    }
}

fn told(kind: &str, its: &impl Named, detail: String, severity: Severity) -> Difference {
    Difference {
        object: format!("{kind}/{}", its.name()),
        act: "change".to_owned(),
        detail,
        severity,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;

    use super::*;
    use crate::objects::Cluster;

    fn workload(strategy: Value) -> Workload {
        let item = json!({"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {
            "replicas": 4, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "shop"}}},
        }});
        Cluster::read(json!({"items": [item]})).unwrap().workloads.remove(0)
    }

    fn limits(well: u32, wanted: u32, allowed: u32) -> Limits {
        let autoscaler = json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "shop"},
                "minReplicas": 2, "maxReplicas": 9}});
        let budget = json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "spec": {"selector": {"matchLabels": {"app": "shop"}}},
            "status": {"currentHealthy": well, "desiredHealthy": wanted,
                "disruptionsAllowed": allowed}});
        Limits::read(json!({"items": [autoscaler, budget]})).unwrap()
    }

    #[test]
    fn autoscaler_and_budget_are_told() {
        let rolling = json!({"rollingUpdate": {"maxUnavailable": 1}});
        let found = limits(4, 3, 1).findings(&workload(rolling));
        assert!(found[0].detail.starts_with("keeps deployment/shop between 2 and 9"), "{found:?}");
        assert!(found[1].detail.contains("so 1 may be away"), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_strategy_that_takes_more_pods_away_than_the_budget_allows_is_told() {
        for strategy in
            [json!({"rollingUpdate": {"maxUnavailable": "50%"}}), json!({"type": "Recreate"})]
        {
            let found = limits(4, 3, 1).findings(&workload(strategy));
            assert_eq!(found[2].severity, Severity::Warning, "{found:?}");
        }
        assert_eq!(limits(4, 3, 1).findings(&workload(json!({}))).len(), 2, "25 % of 4 is 1");
    }

    #[test]
    fn a_budget_that_is_not_met_stops_the_plan() {
        let found = limits(2, 3, 0).findings(&workload(json!({})));
        assert_eq!(found[1].severity, Severity::Blocking);
    }

    #[test]
    fn a_field_of_another_type_is_an_error_and_no_guess() {
        let wrong = json!({"items": [{"kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "status": {"currentHealthy": "two"}}]});
        assert_eq!(Limits::read(wrong).unwrap_err().case(), &Case::Corrupt);
    }
}
