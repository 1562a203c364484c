//! Upgrades in waves: workloads that are held by their own means, and let go pod by pod.
//!
//! A StatefulSet is held by its partition, exactly. A Deployment is paused, runs until as many of
//! its pods are new as the wave wants, and is paused again: as its strategy has it, they may be a
//! few more. One that replaces all of its pods at once (`Recreate`) goes as a whole, in the wave
//! that reaches the last of them. A DaemonSet cannot be held.
//!
//! What is held says so itself, in an annotation: whoever goes on after a crash needs no other
//! memory.

use std::time::Duration;

use serde_json::{Value, json};
use vaultup_sdk::clock::{Deadline, Wait, wait_until};
use vaultup_sdk::deploy::{Difference, Severity};
use vaultup_sdk::{Case, Error};

use crate::access::Kubectl;
use crate::objects::{Cluster, Kind, Workload};
use crate::rollout::{self, Rollout};
use crate::{follow, scale};

/// Annotation of a workload that is held: how many pods beside it come before its own.
pub const HELD: &str = "vaultup.dev/held-after";

/// Between two looks at a wave: a Deployment goes on until it is paused.
const INTERVAL: Duration = Duration::from_millis(200);

/// What has to be done for a workload, so that as much of it is new as a wave wants.
#[derive(Clone, Debug, PartialEq)]
enum Next {
    /// Nothing: it is so.
    Nothing,
    /// It is to be let go as a whole.
    LetGo,
    /// Its specification is to be changed like this.
    Change(Value),
    /// It is on its way.
    Wait(String),
}

/// Holds those workloads that can be and are not yet, and of which there is anything, if
/// `may_be_held` does not say otherwise. Pods that are not held count as the first of a wave.
///
/// # Errors
/// If the cluster refuses it.
pub fn hold(
    kubectl: &Kubectl,
    cluster: &Cluster,
    may_be_held: impl Fn(&Workload) -> bool,
) -> Result<(), Error> {
    let wanted = |workload: &&Workload| can_be_held(workload) && may_be_held(workload);
    let beside = cluster.workloads.iter().filter(|its| !wanted(its) && !is_held(its));
    let mut before: u32 = beside.map(Workload::wanted).sum();
    for workload in cluster.workloads.iter().filter(wanted) {
        if !is_held(workload) {
            let spec = match workload.kind {
                Kind::Deployment => json!({"paused": true}),
                Kind::StatefulSet | Kind::DaemonSet => partition(Some(workload.wanted())),
            };
            let marked = json!({"annotations": {HELD: before.to_string()}});
            scale::change(kubectl, workload, &json!({"metadata": marked, "spec": spec}))?;
        }
        before += workload.wanted();
    }
    Ok(())
}

/// Lets a workload go, and gives the fields back that held it.
///
/// # Errors
/// If the cluster refuses it.
pub fn let_go(kubectl: &Kubectl, workload: &Workload) -> Result<(), Error> {
    let spec = match workload.kind {
        Kind::Deployment => json!({"paused": null}),
        Kind::StatefulSet | Kind::DaemonSet => partition(None),
    };
    let patch = json!({"metadata": {"annotations": {HELD: null}}, "spec": spec});
    scale::change(kubectl, workload, &patch)?;
    scale::disown(kubectl, workload)
}

/// As [`let_go`], of every workload that is held.
///
/// # Errors
/// If the cluster refuses it.
pub fn let_all_go(kubectl: &Kubectl, cluster: &Cluster) -> Result<(), Error> {
    let mut held = cluster.workloads.iter().filter(|its| is_held(its));
    held.try_for_each(|workload| let_go(kubectl, workload))
}

/// Whether any workload is held.
#[must_use]
pub fn is_any_held(cluster: &Cluster) -> bool {
    cluster.workloads.iter().any(is_held)
}

/// Whether a workload is held.
#[must_use]
pub fn is_held(workload: &Workload) -> bool {
    workload.metadata.annotations.contains_key(HELD)
}

/// How many pods of a workload a wave of so many instances wants to be new; nothing if it is not
/// held.
#[must_use]
pub fn share_of_held(workload: &Workload, instances: u32) -> Option<u32> {
    let before = workload.metadata.annotations.get(HELD)?;
    // What somebody has made of the annotation does not let a pod go before the last wave.
    let of_it = instances.saturating_sub(before.parse().unwrap_or(u32::MAX));
    let wanted = workload.wanted();
    let is_divided = workload.spec.strategy.kind != "Recreate";
    Some(if of_it >= wanted || is_divided { of_it.min(wanted) } else { 0 })
}

/// A finding on a workload that would not take up a change: paused by somebody else, it stops the
/// plan; left held by an earlier run, it is let go.
#[must_use]
pub fn finding(workload: &Workload) -> Option<Difference> {
    let (detail, severity) = match (is_held(workload), workload.spec.paused) {
        (true, _) => {
            ("a run that did not end holds it for a wave; it is let go", Severity::Warning)
        }
        (false, true) => (
            "it is paused, so changes would wait; `kubectl rollout resume` it, or find out who \
             paused it",
            Severity::Blocking,
        ),
        (false, false) => return None,
    };
    let (object, act) = (workload.reference(), "change".to_owned());
    Some(Difference { object, act, detail: detail.to_owned(), severity })
}

/// Lets as many pods of each workload go as `share` says, and waits until they are ready. A
/// workload without a share is to be complete.
///
/// # Errors
/// As [`follow::until_complete`].
pub fn reach(
    kubectl: &Kubectl,
    deadline: Deadline,
    share: impl Fn(&Workload) -> Option<u32>,
    mut look: impl FnMut() -> Result<Cluster, Error>,
) -> Result<(), Error> {
    let mut news = follow::News::default();
    let waited = wait_until(Deadline::after(follow::patience(deadline)), INTERVAL, || {
        let stepped = look().and_then(|cluster| {
            let seen = step(kubectl, &cluster, &share)?;
            news.tell(kubectl, &cluster).map(|()| seen)
        });
        match stepped {
            Ok(None) => Ok(Wait::Over(())),
            Ok(Some(seen)) => Ok(Wait::NotYet(seen)),
            Err(error) if error.case() == &Case::Unreachable => {
                Ok(Wait::NotYet(error.message().to_owned()))
            }
            Err(error) => Err(error),
        }
    });
    waited.map_err(|error| match error.case() {
        Case::TimedOut | Case::Failed => follow::with_reasons(kubectl, error, look()),
        _ => error,
    })
}

/// What a wave still waits for; nothing if its pods are new and every pod is ready.
///
/// # Errors
/// [`Case::Failed`] if the cluster itself gave up on a workload.
pub fn awaited(
    cluster: &Cluster,
    share: impl Fn(&Workload) -> Option<u32>,
) -> Result<Option<String>, Error> {
    let mut awaited = None;
    for workload in &cluster.workloads {
        let seen = match next(workload, share(workload))? {
            Next::Nothing => continue,
            Next::Wait(seen) => seen,
            Next::LetGo | Next::Change(_) => format!("{workload} is held"),
        };
        awaited.get_or_insert(seen);
    }
    Ok(awaited)
}

/// Does what can be done for a wave now, and says what it waits for.
fn step(
    kubectl: &Kubectl,
    cluster: &Cluster,
    share: impl Fn(&Workload) -> Option<u32>,
) -> Result<Option<String>, Error> {
    for workload in &cluster.workloads {
        match next(workload, share(workload))? {
            Next::Nothing | Next::Wait(_) => {}
            Next::LetGo => let_go(kubectl, workload)?,
            Next::Change(spec) => scale::change(kubectl, workload, &json!({"spec": spec}))?,
        }
    }
    awaited(cluster, share)
}

fn next(workload: &Workload, share: Option<u32>) -> Result<Next, Error> {
    let Some(share) = share else {
        return match rollout::of(workload) {
            Rollout::Complete => Ok(Next::Nothing),
            Rollout::UnderWay(seen) => Ok(Next::Wait(seen)),
            Rollout::GivenUp(why) => Err(Error::failed(why)),
        };
    };
    let Workload { metadata, spec, status, .. } = workload;
    let wanted = workload.wanted();
    if share == 0 {
        return Ok(Next::Nothing);
    }
    if share >= wanted {
        return Ok(Next::LetGo);
    }
    if status.observed_generation < metadata.generation {
        return Ok(Next::Wait(format!("{workload}: the change was not taken up yet")));
    }
    let left = wanted - share;
    if workload.kind == Kind::StatefulSet && spec.update_strategy.rolling_update.partition > left {
        return Ok(Next::Change(partition(Some(left))));
    }
    let new = status.updated_replicas;
    if new < share {
        let is_paused = workload.kind == Kind::Deployment && spec.paused;
        return Ok(match is_paused {
            true => Next::Change(json!({"paused": false})),
            false => Next::Wait(format!("{workload}: {new} of {share} pods are new")),
        });
    }
    if workload.kind == Kind::Deployment && !spec.paused {
        return Ok(Next::Change(json!({"paused": true})));
    }
    let (ready, all) = (status.ready_replicas, status.replicas);
    Ok(match ready < all {
        true => Next::Wait(format!("{workload}: {ready} of {all} pods are ready")),
        false => Next::Nothing,
    })
}

fn can_be_held(workload: &Workload) -> bool {
    let by_hand = workload.spec.update_strategy.kind == "OnDelete";
    workload.kind != Kind::DaemonSet && !by_hand && workload.wanted() > 0
}

fn partition(pods: Option<u32>) -> Value {
    json!({"updateStrategy": {"rollingUpdate": {"partition": pods}}})
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    fn workload(kind: &str, after: Option<u32>, spec: Value, status: Value) -> Workload {
        let held = after.map(|after| json!({HELD: after.to_string()})).unwrap_or(json!({}));
        let item = json!({"kind": kind, "spec": spec, "status": status,
            "metadata": {"name": "a", "generation": 2, "annotations": held}});
        Cluster::read(json!({"items": [item]})).unwrap().workloads.remove(0)
    }

    fn held(workload: &Workload, instances: u32) -> Next {
        next(workload, share_of_held(workload, instances)).unwrap()
    }

    fn deployment(paused: bool, updated: u32, ready: u32, instances: u32) -> Next {
        let status = json!({"observedGeneration": 2, "replicas": 4, "updatedReplicas": updated,
            "readyReplicas": ready});
        let spec = json!({"replicas": 4, "paused": paused});
        held(&workload("Deployment", Some(2), spec, status), instances)
    }

    #[test]
    fn a_deployment_runs_until_as_many_pods_are_new_as_the_wave_wants_and_waits_then() {
        let paused = |paused: bool| Next::Change(json!({"paused": paused}));
        assert_eq!(deployment(true, 0, 4, 2), Next::Nothing, "others come first");
        assert_eq!(deployment(true, 0, 4, 3), paused(false));
        let way = Next::Wait("deployment/a: 0 of 1 pods are new".to_owned());
        assert_eq!(deployment(false, 0, 4, 3), way);
        assert_eq!(deployment(false, 1, 3, 3), paused(true));
        let way = Next::Wait("deployment/a: 3 of 4 pods are ready".to_owned());
        assert_eq!(deployment(true, 1, 3, 3), way);
        assert_eq!(deployment(true, 1, 4, 3), Next::Nothing);
        assert_eq!(deployment(true, 1, 4, 6), Next::LetGo);
        assert_eq!(deployment(true, 3, 4, 3), Next::Nothing, "an earlier wave once more");
    }

    #[test]
    fn a_stateful_set_is_let_go_pod_by_pod_and_never_taken_back() {
        let set = |partition: u32, updated: u32| {
            let spec = json!({"replicas": 3,
                "updateStrategy": {"rollingUpdate": {"partition": partition}}});
            let status = json!({"observedGeneration": 2, "replicas": 3, "readyReplicas": 3,
                "updatedReplicas": updated});
            held(&workload("StatefulSet", Some(0), spec, status), 2)
        };
        assert_eq!(set(3, 0), Next::Change(partition(Some(1))));
        assert_eq!(set(1, 1), Next::Wait("statefulset/a: 1 of 2 pods are new".to_owned()));
        assert_eq!(set(1, 2), Next::Nothing);
        assert_eq!(set(0, 2), Next::Nothing);
    }

    #[test]
    fn what_replaces_all_pods_at_once_goes_in_the_wave_that_reaches_the_last() {
        let of = |instances| {
            let spec = json!({"replicas": 3, "paused": true, "strategy": {"type": "Recreate"}});
            held(&workload("Deployment", Some(0), spec, json!({})), instances)
        };
        assert_eq!([of(1), of(2), of(3)], [Next::Nothing, Next::Nothing, Next::LetGo]);
    }

    #[test]
    fn what_is_not_held_has_to_be_complete() {
        let status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1,
            "availableReplicas": 2});
        let seen = held(&workload("Deployment", None, json!({"replicas": 2}), status), 1);
        assert_eq!(seen, Next::Wait("deployment/a: 1 of 2 pods are new".to_owned()));
        let late = json!({"observedGeneration": 2, "conditions": [
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]});
        next(&workload("Deployment", None, json!({}), late), None).unwrap_err();
    }

    #[test]
    fn what_somebody_else_has_paused_stops_a_plan_and_what_an_earlier_run_holds_does_not() {
        let found = |after, paused| {
            let workload = workload("Deployment", after, json!({"paused": paused}), json!({}));
            finding(&workload).map(|found| found.severity)
        };
        assert_eq!(found(None, false), None);
        assert_eq!(found(None, true), Some(Severity::Blocking));
        assert_eq!(found(Some(0), true), Some(Severity::Warning));
    }

    #[test]
    fn what_cannot_be_held_or_has_no_pod_is_left() {
        let daemons = workload("DaemonSet", None, json!({}), json!({"desiredNumberScheduled": 2}));
        let by_hand = json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}});
        let by_hand = workload("StatefulSet", None, by_hand, json!({}));
        let stopped = workload("Deployment", None, json!({"replicas": 0}), json!({}));
        for left in [&daemons, &by_hand, &stopped] {
            assert!(!can_be_held(left), "{left}");
        }
        assert!(can_be_held(&workload("Deployment", None, json!({}), json!({}))));
    }
}
