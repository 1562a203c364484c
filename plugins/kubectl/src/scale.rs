//! To no instance and back.
//!
//! How many there were is written down at the workload itself, in the same change that stops it,
//! so that whoever starts it again needs no other memory. A DaemonSet has no number: it is held by
//! a node selector that fits no node.

use serde_json::{Value, json};
use vaultup_sdk::Error;

use crate::access::Kubectl;
use crate::objects::{Cluster, Kind, REPLICAS_BEFORE, Workload};

/// Who owns the fields that are changed here.
pub const FIELD_MANAGER: &str = "vaultup";
/// Label that no node has: what selects it runs nowhere.
pub const NO_NODE: &str = "vaultup.dev/stopped";

/// How often the places of fields are looked up anew before it is given up.
const ATTEMPTS_MAX: u32 = 20;

/// Takes every workload to no instance. Does not wait.
///
/// # Errors
/// If the cluster refuses it.
pub fn stop(kubectl: &Kubectl, cluster: &Cluster) -> Result<(), Error> {
    cluster.workloads.iter().filter(|its| !is_held(its)).try_for_each(|workload| {
        let before = match workload.kind {
            Kind::DaemonSet => 0,
            Kind::Deployment | Kind::StatefulSet => workload.wanted(),
        };
        let patch = match workload.kind {
            Kind::DaemonSet => held_daemons(Some("true")),
            Kind::Deployment | Kind::StatefulSet => json!({
                "metadata": {"annotations": {REPLICAS_BEFORE: before.to_string()}},
                "spec": {"replicas": 0},
            }),
        };
        change(kubectl, workload, &patch)
    })
}

/// Takes the workloads back to as many instances as they had, or to `instances` if there is only
/// one, and gives the fields back that were changed for it. Does not wait.
///
/// # Errors
/// If the cluster refuses it.
pub fn start(kubectl: &Kubectl, cluster: &Cluster, instances: u32) -> Result<(), Error> {
    let scaled = cluster.workloads.iter().filter(|its| its.kind != Kind::DaemonSet).count();
    cluster.workloads.iter().try_for_each(|workload| {
        let before = workload.metadata.annotations.get(REPLICAS_BEFORE);
        let patch = match (workload.kind, before) {
            (Kind::DaemonSet, None) => return Ok(()),
            (Kind::DaemonSet, Some(_)) => held_daemons(None),
            // What was at no instance of its own stays there.
            (_, None) if scaled > 1 => return Ok(()),
            (_, before) => {
                let before = before.and_then(|text| text.parse().ok());
                let replicas = before.filter(|_| scaled > 1).unwrap_or(instances);
                json!({
                    "metadata": {"annotations": {REPLICAS_BEFORE: null}},
                    "spec": {"replicas": replicas},
                })
            }
        };
        change(kubectl, workload, &patch)?;
        disown(kubectl, workload)
    })
}

/// Removes what [`stop`] wrote down at a workload that runs again, and gives its fields back.
///
/// # Errors
/// If the cluster refuses it.
pub fn forget(kubectl: &Kubectl, workload: &Workload) -> Result<(), Error> {
    let unmarked = json!({"metadata": {"annotations": {REPLICAS_BEFORE: null}}});
    change(kubectl, workload, &unmarked)?;
    disown(kubectl, workload)
}

/// Gives the fields that were changed here back, so that their owner may set them without conflict.
///
/// # Errors
/// If the cluster refuses it.
pub fn disown(kubectl: &Kubectl, workload: &Workload) -> Result<(), Error> {
    let mut attempts = 1;
    loop {
        match disown_once(kubectl, workload) {
            // The cluster itself moves the places between look and change whenever a pod's state
            // changes. Then the test in the patch does not hold, nothing happens, and the places
            // are looked up again.
            Err(error) if has_moved(&error) && attempts < ATTEMPTS_MAX => attempts += 1,
            done => return done,
        }
    }
}

fn has_moved(error: &Error) -> bool {
    let words = error.platform();
    words.contains("the server rejected our request") || words.contains("test failed")
}

fn disown_once(kubectl: &Kubectl, workload: &Workload) -> Result<(), Error> {
    let reference = workload.reference();
    let words = ["get", &reference, "--show-managed-fields", "--output=json"];
    let seen: Value = kubectl.json(&words)?;
    let managers = seen["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let ours = |its: &Value| its["manager"] == FIELD_MANAGER && its["operation"] == "Update";
    // From the last one on, so that the places of the others stay.
    let places = managers.iter().enumerate().filter(|(_, its)| ours(its)).map(|(place, _)| place);
    let mut steps = Vec::new();
    for place in places.collect::<Vec<usize>>().into_iter().rev() {
        let path = format!("/metadata/managedFields/{place}");
        let named =
            json!({"op": "test", "path": format!("{path}/manager"), "value": FIELD_MANAGER});
        steps.extend([named, json!({"op": "remove", "path": path})]);
    }
    if steps.is_empty() {
        return Ok(());
    }
    patch(kubectl, workload, "json", &Value::Array(steps))
}

/// Whether a workload is held at no instance by [`stop`].
#[must_use]
pub fn is_held(workload: &Workload) -> bool {
    match workload.kind {
        Kind::DaemonSet => workload.metadata.annotations.contains_key(REPLICAS_BEFORE),
        Kind::Deployment | Kind::StatefulSet => workload.wanted() == 0,
    }
}

/// Whether a workload was stopped by [`stop`] and not started since.
#[must_use]
pub fn awaits_start(workload: &Workload) -> bool {
    is_held(workload) && workload.metadata.annotations.contains_key(REPLICAS_BEFORE)
}

/// Changes a workload by a merge patch, as vaultup.
///
/// # Errors
/// If the cluster refuses it.
pub fn change(kubectl: &Kubectl, workload: &Workload, patched: &Value) -> Result<(), Error> {
    patch(kubectl, workload, "merge", patched)
}

fn patch(kubectl: &Kubectl, workload: &Workload, kind: &str, value: &Value) -> Result<(), Error> {
    let reference = workload.reference();
    let (kind, value) = (format!("--type={kind}"), format!("--patch={value}"));
    let manager = format!("--field-manager={FIELD_MANAGER}");
    kubectl.text(&["patch", &reference, &kind, &value, &manager]).map(drop)
}

fn held_daemons(mark: Option<&str>) -> Value {
    json!({
        "metadata": {"annotations": {REPLICAS_BEFORE: mark.map(|_| "0")}},
        "spec": {"template": {"spec": {"nodeSelector": {NO_NODE: mark}}}},
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::testing::{Installed, Machine, Reply};

    use super::*;
    use crate::access::Access;

    fn kubectl() -> Kubectl {
        Kubectl::new(&Access { kubeconfig: None, context: None, namespace: "shop".to_owned() })
    }

    fn cluster(items: Value) -> Cluster {
        Cluster::read(json!({"items": items})).unwrap()
    }

    fn deployment(name: &str, replicas: u32, before: Option<&str>) -> Value {
        let annotations = before.map_or(json!({}), |before| json!({REPLICAS_BEFORE: before}));
        json!({"kind": "Deployment", "metadata": {"name": name, "annotations": annotations},
            "spec": {"replicas": replicas}})
    }

    fn machine() -> Installed {
        let machine = Machine::new().install();
        machine.answer("kubectl", |_| Reply::output("{}"));
        machine
    }

    #[test]
    fn what_is_stopped_remembers_how_many_it_had_and_is_stopped_once() {
        let machine = machine();
        stop(
            &kubectl(),
            &cluster(json!([deployment("a", 3, None), deployment("b", 0, Some("2"))])),
        )
        .unwrap();
        let calls = machine.take_calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert!(calls[0].contains(r#"{"vaultup.dev/replicas":"3"}},"spec":{"replicas":0}"#));
    }

    #[test]
    fn each_workload_gets_back_what_it_had() {
        let machine = machine();
        let both = json!([deployment("a", 0, Some("3")), deployment("b", 0, Some("2"))]);
        start(&kubectl(), &cluster(both), 5).unwrap();
        let patches = |machine: &Installed| {
            let calls = machine.take_calls().into_iter();
            calls.filter(|call| call.starts_with("kubectl patch")).collect::<Vec<_>>()
        };
        let calls = patches(&machine);
        assert!(calls[0].contains("patch deployment/a") && calls[0].contains(r#""replicas":3"#));
        assert!(calls[1].contains("patch deployment/b") && calls[1].contains(r#""replicas":2"#));
        start(&kubectl(), &cluster(json!([deployment("a", 0, None)])), 4).unwrap();
        assert!(patches(&machine)[0].contains(r#""replicas":4"#));
    }

    #[test]
    fn fields_that_move_between_look_and_change_are_looked_up_again_and_not_for_ever() {
        let machine = Machine::new().install();
        let refused = std::cell::Cell::new(0);
        machine.answer("kubectl", move |call| match call.arguments[0].as_str() {
            "get" => Reply::output(
                json!({"metadata": {"managedFields": [
                    {"manager": "vaultup", "operation": "Update"}]}})
                .to_string(),
            ),
            _ if refused.replace(refused.get() + 1) % 3 < 2 => Reply::exit(1).with_errors(
                "The request is invalid: the server rejected our request due to an error",
            ),
            _ => Reply::output("patched"),
        });
        let workload = cluster(json!([deployment("a", 0, None)])).workloads.remove(0);
        disown(&kubectl(), &workload).unwrap();
        assert_eq!(machine.take_calls().len(), 6);
        machine.answer("kubectl", |call| match call.arguments[0].as_str() {
            "get" => Reply::output(
                json!({"metadata": {"managedFields": [
                    {"manager": "vaultup", "operation": "Update"}]}})
                .to_string(),
            ),
            _ => Reply::exit(1).with_errors("the server rejected our request"),
        });
        disown(&kubectl(), &workload).unwrap_err();
        assert_eq!(machine.take_calls().len(), 2 * ATTEMPTS_MAX as usize);
    }

    #[test]
    fn only_our_own_fields_are_given_back() {
        let machine = Machine::new().install();
        machine.answer("kubectl", |call| match call.arguments[0].as_str() {
            "get" => Reply::output(
                json!({"metadata": {"managedFields": [
                    {"manager": "helm", "operation": "Apply"},
                    {"manager": "vaultup", "operation": "Update"},
                    {"manager": "kubectl-set", "operation": "Update"},
                    {"manager": "vaultup", "operation": "Update"},
                ]}})
                .to_string(),
            ),
            _ => Reply::output("patched"),
        });
        let workload = cluster(json!([deployment("a", 0, None)])).workloads.remove(0);
        disown(&kubectl(), &workload).unwrap();
        let patch = machine.take_calls().remove(1);
        assert!(patch.contains("--type=json"), "{patch}");
        let (last, first) = (patch.find("managedFields/3"), patch.find("managedFields/1"));
        assert!(last.unwrap() < first.unwrap(), "{patch}");
        assert!(!patch.contains("managedFields/2"), "{patch}");
    }
}
