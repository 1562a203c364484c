//! A recorded revision in place with no instance running, so that data can be restored before
//! anything of the previous release starts.
//!
//! `helm rollback` starts what it brings. So the revision's own manifest is applied as helm would
//! apply it, with no instances; when the component is started, `helm rollback` to the same revision
//! completes it, and helm's record with it.

use serde_json::{Value, json};
use vaultup_kubectl::scale::NO_NODE;
use vaultup_kubectl::{Cluster, Kind, follow, manifest, scale};
use vaultup_sdk::{Error, log};

use crate::release::Release;

/// Annotation with the revision that is in place and waits to be started.
pub(crate) const STAGED: &str = "vaultup.dev/revision";

impl Release<'_> {
    /// Puts a revision in place with no instance running.
    pub(crate) fn stage(&self, revision: u64) -> Result<(), Error> {
        scale::stop(&self.kubectl, &self.cluster()?)?;
        follow::until_gone(self.operation.deadline, || self.cluster())?;
        let objects = manifest::objects(&self.ask_manifest(revision).answer()?)?;
        let (name, namespace) = (self.name(), self.kubectl.namespace());
        let cluster = self.cluster()?;
        let is_there = |object: &Value| {
            let reference = manifest::reference(object).to_lowercase();
            cluster.workloads.iter().any(|its| its.reference() == reference)
        };
        let staged = objects.into_iter().filter_map(|object| {
            let is_there = is_there(&object);
            at_rest(object, revision, is_there)
        });
        let staged: Vec<Value> = staged.map(|object| owned_by(object, name, namespace)).collect();
        log::info(format!("{} objects of revision {revision}, with no instance", staged.len()));
        let list = json!({"apiVersion": "v1", "kind": "List", "items": staged});
        let words = [
            "apply",
            "--server-side",
            "--field-manager=helm",
            "--force-conflicts",
            "--filename=-",
            "--output=name",
        ];
        self.kubectl.feed(&words, list.to_string())?;
        follow::until_gone(self.operation.deadline, || self.cluster())
    }
}

/// The revision that waits to be started; nothing if none does.
pub(crate) fn staged(cluster: &Cluster) -> Option<u64> {
    let annotations = cluster.workloads.iter().map(|workload| &workload.metadata.annotations);
    let mut staged = annotations.filter_map(|its| its.get(STAGED)?.parse().ok());
    staged.next()
}

/// An object with no instance of it running; nothing of what runs once and ends.
///
/// Where the chart leaves the number of instances to an autoscaler, so does this: the workload was
/// stopped and stays so. One that is made anew would start without a number.
fn at_rest(mut object: Value, revision: u64, is_there: bool) -> Option<Value> {
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    match Kind::named(&kind) {
        Some(Kind::DaemonSet) => {
            object["spec"]["template"]["spec"]["nodeSelector"][NO_NODE] = json!("true");
        }
        Some(_) if is_there && object["spec"]["replicas"].is_null() => {}
        Some(_) => object["spec"]["replicas"] = json!(0),
        None if kind == "Job" || kind == "Pod" => return None,
        None if kind == "CronJob" => object["spec"]["suspend"] = json!(true),
        // An autoscaler would start what must not run.
        None if kind == "HorizontalPodAutoscaler" => return None,
        None => {}
    }
    if Kind::named(&kind).is_some() {
        object["metadata"]["annotations"][STAGED] = json!(revision.to_string());
    }
    Some(object)
}

/// An object with the marks that helm itself gives what it owns.
fn owned_by(mut object: Value, release: &str, namespace: &str) -> Value {
    let metadata = &mut object["metadata"];
    metadata["annotations"]["meta.helm.sh/release-name"] = json!(release);
    metadata["annotations"]["meta.helm.sh/release-namespace"] = json!(namespace);
    metadata["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
    object
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn nothing_of_a_staged_revision_runs_t8() {
        let object = |kind: &str| json!({"kind": kind, "metadata": {"name": "a"}});
        let of = |kind: &str| at_rest(object(kind), 3, false);
        assert_eq!(of("Deployment").unwrap()["spec"]["replicas"], 0);
        assert_eq!(of("StatefulSet").unwrap()["metadata"]["annotations"][STAGED], "3");
        let daemon = of("DaemonSet").unwrap();
        assert_eq!(daemon["spec"]["template"]["spec"]["nodeSelector"][NO_NODE], "true");
        assert_eq!(of("CronJob").unwrap()["spec"]["suspend"], true);
        for kind in ["Job", "Pod", "HorizontalPodAutoscaler"] {
            assert_eq!(of(kind), None, "{kind}");
        }
        assert!(of("Service").is_some());
        let left = at_rest(object("Deployment"), 3, true).unwrap();
        assert_eq!(left["spec"]["replicas"], Value::Null, "an autoscaler's, and at none already");
    }
}
