//! Whether a workload runs what it should, from what the cluster says of it. Pure.

use crate::objects::{Cluster, Kind, Pod, Workload};

/// How far a workload is with what is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// Every pod is of the present template and available, and no other is left.
    Complete,
    /// Not yet, for this reason.
    UnderWay(String),
    /// The cluster itself gave up.
    GivenUp(String),
}

/// How far a workload is.
#[must_use]
pub fn of(workload: &Workload) -> Rollout {
    let Workload { metadata, spec, status, .. } = workload;
    if status.observed_generation < metadata.generation {
        return Rollout::UnderWay(format!("{workload}: the change was not taken up yet"));
    }
    if spec.paused {
        return Rollout::UnderWay(format!("{workload} is paused"));
    }
    match workload.kind {
        Kind::Deployment => deployment(workload),
        Kind::StatefulSet => stateful_set(workload),
        Kind::DaemonSet => daemon_set(workload),
    }
}

/// The first workload that is not complete.
#[must_use]
pub fn of_all(cluster: &Cluster) -> Rollout {
    let incomplete = cluster.workloads.iter().map(of).find(|its| *its != Rollout::Complete);
    incomplete.unwrap_or(Rollout::Complete)
}

/// Whether no pod of any workload is left, the number of those that are otherwise.
#[must_use]
pub fn left(cluster: &Cluster) -> Vec<&Pod> {
    cluster.owned_pods().filter(|pod| !pod.is_over()).collect()
}

fn deployment(workload: &Workload) -> Rollout {
    let status = &workload.status;
    let late = status.conditions.iter().find(|its| its.reason == "ProgressDeadlineExceeded");
    if let Some(late) = late {
        return Rollout::GivenUp(format!("{workload}: {}", late.message));
    }
    let wanted = workload.wanted();
    let ready = status.available_replicas.min(status.updated_replicas);
    if status.updated_replicas < wanted {
        let updated = status.updated_replicas;
        return Rollout::UnderWay(format!("{workload}: {updated} of {wanted} pods are new"));
    }
    if status.replicas > status.updated_replicas {
        let old = status.replicas - status.updated_replicas;
        return Rollout::UnderWay(format!("{workload}: {old} old pods are left"));
    }
    available(workload, ready, wanted)
}

fn stateful_set(workload: &Workload) -> Rollout {
    let Workload { spec, status, .. } = workload;
    let wanted = workload.wanted();
    if spec.update_strategy.kind == "OnDelete" {
        return available(workload, status.ready_replicas, wanted);
    }
    let partition = spec.update_strategy.rolling_update.partition;
    let new = wanted.saturating_sub(partition);
    if status.updated_replicas < new {
        let updated = status.updated_replicas;
        return Rollout::UnderWay(format!("{workload}: {updated} of {new} pods are new"));
    }
    if partition == 0 && status.current_revision != status.update_revision {
        return Rollout::UnderWay(format!("{workload}: old pods are left"));
    }
    available(workload, status.ready_replicas, wanted)
}

fn daemon_set(workload: &Workload) -> Rollout {
    let status = &workload.status;
    let wanted = status.desired_number_scheduled;
    let on_delete = workload.spec.update_strategy.kind == "OnDelete";
    if status.updated_number_scheduled < wanted && !on_delete {
        let updated = status.updated_number_scheduled;
        return Rollout::UnderWay(format!("{workload}: {updated} of {wanted} pods are new"));
    }
    available(workload, status.number_available, wanted)
}

fn available(workload: &Workload, available: u32, wanted: u32) -> Rollout {
    if available >= wanted {
        Rollout::Complete
    } else {
        Rollout::UnderWay(format!("{workload}: {available} of {wanted} pods are ready"))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::{Value, json};

    use super::*;

    fn workload(kind: &str, spec: Value, status: Value) -> Workload {
        let item = json!({"kind": kind, "spec": spec, "status": status,
            "metadata": {"name": "shop", "generation": 2}});
        Cluster::read(json!({"items": [item]})).unwrap().workloads.remove(0)
    }

    fn deployment(updated: u32, replicas: u32, available: u32) -> Rollout {
        of(&workload(
            "Deployment",
            json!({"replicas": 3}),
            json!({"observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated,
                "availableReplicas": available}),
        ))
    }

    fn under_way(text: &str) -> Rollout {
        Rollout::UnderWay(text.to_owned())
    }

    #[test]
    fn a_deployment_is_complete_when_all_pods_are_new_and_available_and_no_old_one_is_left() {
        assert_eq!(deployment(3, 3, 3), Rollout::Complete);
        assert_eq!(deployment(1, 4, 3), under_way("deployment/shop: 1 of 3 pods are new"));
        assert_eq!(deployment(3, 4, 3), under_way("deployment/shop: 1 old pods are left"));
        assert_eq!(deployment(3, 3, 2), under_way("deployment/shop: 2 of 3 pods are ready"));
    }

    #[test]
    fn what_the_cluster_has_not_taken_up_yet_says_nothing() {
        let old = json!({"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3,
            "availableReplicas": 3});
        let seen = of(&workload("Deployment", json!({"replicas": 3}), old));
        assert!(matches!(seen, Rollout::UnderWay(_)));
        // A server of another mind leaves the field away.
        let seen = of(&workload("Deployment", json!({"replicas": 0}), json!({})));
        assert!(matches!(seen, Rollout::UnderWay(_)));
    }

    #[test]
    fn a_deployment_past_its_progress_deadline_is_given_up_and_a_paused_one_is_not_complete() {
        let late = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing",
            "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}]});
        let seen = of(&workload("Deployment", json!({}), late));
        assert_eq!(seen, Rollout::GivenUp("deployment/shop: timed out".to_owned()));
        let all = json!({"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1,
            "availableReplicas": 1});
        let seen = of(&workload("Deployment", json!({"paused": true}), all));
        assert_eq!(seen, under_way("deployment/shop is paused"));
    }

    #[test]
    fn a_stateful_set_counts_only_what_is_above_its_partition() {
        let status = |updated: u32, update: &str| {
            json!({"observedGeneration": 2, "updatedReplicas": updated, "readyReplicas": 3,
                "currentRevision": "a", "updateRevision": update})
        };
        let whole = json!({"replicas": 3});
        assert_eq!(of(&workload("StatefulSet", whole.clone(), status(3, "a"))), Rollout::Complete);
        let seen = of(&workload("StatefulSet", whole, status(2, "b")));
        assert_eq!(seen, under_way("statefulset/shop: 2 of 3 pods are new"));
        let part = json!({"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}});
        assert_eq!(of(&workload("StatefulSet", part, status(1, "b"))), Rollout::Complete);
    }

    #[test]
    fn a_daemon_set_is_complete_when_each_node_has_the_new_pod() {
        let status = |updated: u32, available: u32| {
            json!({"observedGeneration": 2, "desiredNumberScheduled": 2,
                "updatedNumberScheduled": updated, "numberAvailable": available})
        };
        assert_eq!(of(&workload("DaemonSet", json!({}), status(2, 2))), Rollout::Complete);
        assert!(matches!(
            of(&workload("DaemonSet", json!({}), status(1, 2))),
            Rollout::UnderWay(_)
        ));
    }

    #[test]
    fn a_field_of_another_type_is_an_error_and_no_guess() {
        let item = json!({"kind": "Deployment", "metadata": {"name": "shop"},
            "spec": {"replicas": "3"}});
        Cluster::read(json!({"items": [item]})).unwrap_err();
        Cluster::read(json!({"items": null})).unwrap_err();
        Cluster::read(json!([])).unwrap_err();
    }
}
