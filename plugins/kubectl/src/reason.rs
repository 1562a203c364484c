//! Why a pod does not serve, in the words that an operator needs: container, exit status, image,
//! failing probe, what the scheduler says.

use std::collections::BTreeMap;

use serde::Deserialize;
use vaultup_sdk::Error;

use crate::access::Kubectl;
use crate::objects::{ContainerStatus, Metadata, Pod};

/// Lines of a failing container's log that are shown.
const LOG_LINES: &str = "--tail=20";
/// Warnings about how a cluster is set up, which keep no pod from serving.
const CHATTER: [&str; 2] = ["MissingClusterDNS", "DNSConfigForming"];
/// Words by which a container says that nothing is wrong yet.
const ON_THE_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why a pod does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One line.
    pub text: String,
    /// The container whose log tells more, if it has run at all.
    pub logged_by: Option<Logged>,
    /// Whether it will not get better by waiting a little: not a pod that is just being started.
    pub is_trouble: bool,
}

/// Whose log tells more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The container.
    pub container: String,
    /// Whether what it wrote before it was started again is meant.
    pub previous: bool,
}

/// What the cluster warned of, by the name of the object: the last of each.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    by_object: BTreeMap<String, Warning>,
}

#[derive(Clone, Debug)]
struct Warning {
    reason: String,
    text: String,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Event {
    metadata: Metadata,
    involved_object: Metadata,
    reason: String,
    message: String,
    last_timestamp: Option<String>,
    event_time: Option<String>,
}

impl Warnings {
    /// Reads the warnings of a namespace.
    ///
    /// # Errors
    /// If the cluster cannot be asked.
    pub fn look(kubectl: &Kubectl) -> Result<Self, Error> {
        let words = ["get", "events", "--field-selector=type=Warning", "--output=json"];
        let Listed { mut items } = kubectl.json(&words)?;
        // RFC 3339 in UTC sorts as text.
        let at = |event: &Event| event.last_timestamp.clone().or(event.event_time.clone());
        items.sort_by_key(|event| (at(event), event.metadata.name.clone()));
        let weighty = items.into_iter().filter(|its| !CHATTER.contains(&its.reason.as_str()));
        let by_object = weighty.map(|its| {
            let text = said(&its.reason, &its.message);
            (its.involved_object.name, Warning { reason: its.reason, text })
        });
        Ok(Self { by_object: by_object.collect() })
    }

    /// The last warning about an object.
    #[must_use]
    pub fn about(&self, name: &str) -> Option<&str> {
        self.by_object.get(name).map(|warning| warning.text.as_str())
    }

    /// Why the cluster makes no pods of a workload, such as a quota; nothing if it says none.
    #[must_use]
    pub fn creation(&self, workload: &str) -> Option<&str> {
        // A Deployment's ReplicaSets are named after it, with a hash behind a dash.
        let is_its = |name: &str| {
            let rest = name.strip_prefix(workload);
            rest.is_some_and(|rest| rest.is_empty() || is_hash(rest))
        };
        let failed = |warning: &&Warning| warning.reason == "FailedCreate";
        let mut its = self.by_object.iter().filter(|(name, _)| is_its(name)).map(|its| its.1);
        its.find(failed).map(|warning| warning.text.as_str())
    }

    /// The last probe of a pod that failed.
    fn probe(&self, name: &str) -> Option<&str> {
        let warning = self.by_object.get(name).filter(|its| its.reason == "Unhealthy")?;
        Some(&warning.text)
    }
}

/// Why a pod does not serve; nothing if it does.
#[must_use]
pub fn of(pod: &Pod, warnings: &Warnings) -> Option<Reason> {
    let name = &pod.metadata.name;
    if pod.is_ready() || pod.status.phase == "Succeeded" {
        return None;
    }
    let calm = |text: String| Some(Reason { text, logged_by: None, is_trouble: false });
    if pod.metadata.deletion_timestamp.is_some() {
        return calm(format!("pod {name} is being removed"));
    }
    if let Some(reason) = unschedulable(pod) {
        return Some(reason);
    }
    let statuses = pod.status.init_container_statuses.iter().chain(&pod.status.container_statuses);
    for status in statuses.clone() {
        if let Some(reason) = stuck(name, status) {
            return Some(reason);
        }
    }
    if let Some(running) = statuses.clone().find(|its| its.state.running.is_some() && !its.ready) {
        let container = &running.name;
        let text = format!("pod {name}: container `{container}` runs and is not ready");
        return Some(match warnings.probe(name) {
            Some(warning) => Reason {
                text: format!("{text}: {warning}"),
                logged_by: Some(Logged { container: container.clone(), previous: false }),
                is_trouble: true,
            },
            None => Reason { text, logged_by: None, is_trouble: false },
        });
    }
    if !pod.status.reason.is_empty() {
        let text = format!("pod {name}: {}", said(&pod.status.reason, &pod.status.message));
        return Some(Reason { text, logged_by: None, is_trouble: true });
    }
    match warnings.about(name) {
        Some(warning) => Some(Reason {
            text: format!("pod {name} is {}: {warning}", pod.status.phase.to_lowercase()),
            logged_by: None,
            is_trouble: true,
        }),
        None => calm(format!("pod {name} is {}", pod.status.phase.to_lowercase())),
    }
}

/// The last lines of the log that tells more; empty if there are none.
#[must_use]
pub fn last_lines(kubectl: &Kubectl, pod: &Pod, logged: &Logged) -> String {
    let container = format!("--container={}", logged.container);
    let mut words = vec!["logs", &pod.metadata.name, &container, LOG_LINES];
    if logged.previous {
        words.push("--previous");
    }
    // Without the log the reason itself still stands.
    kubectl.text(&words).map(|text| text.trim_end().to_owned()).unwrap_or_default()
}

/// A pod's reason with the end of its log.
#[must_use]
pub fn with_log(kubectl: &Kubectl, pod: &Pod, reason: &Reason) -> String {
    let lines = reason.logged_by.as_ref().map(|logged| last_lines(kubectl, pod, logged));
    match lines.filter(|lines| !lines.is_empty()) {
        Some(lines) => format!("{}\n{lines}", reason.text),
        None => reason.text.clone(),
    }
}

fn unschedulable(pod: &Pod) -> Option<Reason> {
    let mut conditions = pod.status.conditions.iter();
    let its = conditions.find(|its| its.kind == "PodScheduled" && its.status == "False")?;
    let text =
        format!("pod {} has no node: {}", pod.metadata.name, said(&its.reason, &its.message));
    Some(Reason { text, logged_by: None, is_trouble: true })
}

fn stuck(pod: &str, status: &ContainerStatus) -> Option<Reason> {
    let container = &status.name;
    let ended = status.state.terminated.as_ref();
    let before = status.last_state.terminated.as_ref();
    if let Some(waiting) = &status.state.waiting {
        if ON_THE_WAY.contains(&waiting.reason.as_str()) {
            return None;
        }
        let why = match before {
            Some(before) => format!(
                "exited with status {} ({}), started {} times",
                before.exit_code,
                before.reason,
                status.restart_count + 1
            ),
            None => said(&waiting.reason, &waiting.message),
        };
        let logged_by = before.map(|_| Logged { container: container.clone(), previous: true });
        let text = format!("pod {pod}: container `{container}` {}: {why}", waiting.reason);
        let text = if before.is_some() {
            text
        } else {
            format!("pod {pod}: container `{container}`: {why}")
        };
        return Some(Reason { text, logged_by, is_trouble: true });
    }
    let ended = ended.filter(|its| its.exit_code != 0 || its.signal != 0)?;
    let by = match (ended.signal, ended.message.as_str()) {
        (0, "") => ended.reason.clone(),
        (0, message) => format!("{}: {message}", ended.reason),
        (signal, _) => format!("{}, signal {signal}", ended.reason),
    };
    Some(Reason {
        text: format!(
            "pod {pod}: container `{container}` exited with status {} ({by})",
            ended.exit_code
        ),
        logged_by: Some(Logged { container: container.clone(), previous: false }),
        is_trouble: true,
    })
}

fn is_hash(rest: &str) -> bool {
    rest.strip_prefix('-').is_some_and(|hash| !hash.is_empty() && !hash.contains('-'))
}

fn said(reason: &str, message: &str) -> String {
    match (reason, message.trim()) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "shop-1"}, "status": status})).unwrap()
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{"name": "app", "ready": false,
            "state": {"waiting": {"reason": reason, "message": message}}}]})
    }

    fn text(status: Value) -> String {
        of(&pod(status), &Warnings::default()).unwrap().text
    }

    #[test]
    fn an_image_that_cannot_be_had_is_named() {
        let message = "failed to resolve image \"localhost/app:v9\"";
        assert_eq!(
            text(waiting("ErrImagePull", message)),
            format!("pod shop-1: container `app`: ErrImagePull: {message}")
        );
    }

    #[test]
    fn a_container_that_ends_again_and_again_says_with_which_status() {
        let mut status = waiting("CrashLoopBackOff", "back-off 10s");
        status["containerStatuses"][0]["restartCount"] = json!(2);
        status["containerStatuses"][0]["lastState"] =
            json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        let reason = of(&pod(status), &Warnings::default()).unwrap();
        assert!(reason.text.ends_with(
            "container `app` CrashLoopBackOff: exited with status 1 (Error), started 3 times"
        ));
        assert_eq!(reason.logged_by, Some(Logged { container: "app".to_owned(), previous: true }));
    }

    #[test]
    fn a_probe_that_fails_is_told_from_what_the_cluster_warned_of() {
        let status = json!({"phase": "Running", "containerStatuses": [
            {"name": "app", "ready": false, "state": {"running": {"startedAt": "x"}}}]});
        let mut warnings = Warnings::default();
        assert!(!of(&pod(status.clone()), &warnings).unwrap().is_trouble);
        let failing = "Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503";
        let warning =
            |reason: &str| Warning { reason: reason.to_owned(), text: failing.to_owned() };
        warnings.by_object.insert("shop-1".to_owned(), warning("BackOff"));
        assert!(!of(&pod(status.clone()), &warnings).unwrap().is_trouble);
        warnings.by_object.insert("shop-1".to_owned(), warning("Unhealthy"));
        let reason = of(&pod(status), &warnings).unwrap();
        assert!(reason.is_trouble && reason.text.ends_with(failing), "{}", reason.text);
    }

    #[test]
    fn pods_that_the_cluster_does_not_make_are_told_by_their_workload() {
        let mut warnings = Warnings::default();
        let text = "FailedCreate: exceeded quota: small".to_owned();
        let warning = Warning { reason: "FailedCreate".to_owned(), text: text.clone() };
        warnings.by_object.insert("shop-5d8f".to_owned(), warning);
        assert_eq!(warnings.creation("shop"), Some(text.as_str()));
        for other in ["sho", "shop-5d8", "other"] {
            assert_eq!(warnings.creation(other), None, "{other}");
        }
    }

    #[test]
    fn a_pod_without_a_node_says_what_the_scheduler_says() {
        let status = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled",
            "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: no cpu"}]});
        assert_eq!(text(status), "pod shop-1 has no node: Unschedulable: 0/1 nodes: no cpu");
    }

    #[test]
    fn a_pod_that_is_being_started_is_no_trouble_and_a_ready_one_has_no_reason() {
        let reason = of(&pod(waiting("ContainerCreating", "")), &Warnings::default()).unwrap();
        assert!(!reason.is_trouble);
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(of(&pod(ready), &Warnings::default()), None);
    }
}
