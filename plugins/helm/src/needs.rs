//! The rights that an upgrade and its way back need.

use std::collections::BTreeSet;

use serde_json::Value;
use vaultup_kubectl::rights::{Listed, Right, role};
use vaultup_kubectl::{Kubectl, lease, limits, required};
use vaultup_sdk::Error;
use vaultup_sdk::deploy::{Difference, Severity};

/// Rights that every upgrade needs: helm keeps its history in Secrets.
pub(crate) const ALWAYS: [Right<'static>; 19] = [
    ("list", "secrets"),
    ("get", "secrets"),
    ("create", "secrets"),
    ("update", "secrets"),
    ("delete", "secrets"),
    ("list", "pods"),
    ("list", "events"),
    ("get", "pods/log"),
    ("list", "deployments.apps"),
    ("list", "statefulsets.apps"),
    ("list", "daemonsets.apps"),
    ("list", "replicasets.apps"),
    ("list", "jobs.batch"),
    ("get", "replicasets.apps"),
    limits::RIGHTS[0],
    limits::RIGHTS[1],
    lease::RIGHTS[0],
    lease::RIGHTS[1],
    lease::RIGHTS[2],
];

/// Kinds of objects and their resources. Others are the API server's to refuse: the dry run asks
/// it for each object.
const RESOURCES: [(&str, &str); 17] = [
    ("ConfigMap", "configmaps"),
    ("CronJob", "cronjobs.batch"),
    ("DaemonSet", "daemonsets.apps"),
    ("Deployment", "deployments.apps"),
    ("HorizontalPodAutoscaler", "horizontalpodautoscalers.autoscaling"),
    ("Ingress", "ingresses.networking.k8s.io"),
    ("Job", "jobs.batch"),
    ("NetworkPolicy", "networkpolicies.networking.k8s.io"),
    ("PersistentVolumeClaim", "persistentvolumeclaims"),
    ("Pod", "pods"),
    ("PodDisruptionBudget", "poddisruptionbudgets.policy"),
    ("Role", "roles.rbac.authorization.k8s.io"),
    ("RoleBinding", "rolebindings.rbac.authorization.k8s.io"),
    ("Secret", "secrets"),
    ("Service", "services"),
    ("ServiceAccount", "serviceaccounts"),
    ("StatefulSet", "statefulsets.apps"),
];
/// What is done with an object of the chart: to change it, and to make and remove it again.
const VERBS: [&str; 4] = ["get", "patch", "create", "delete"];

/// A finding on rights that are not there, with the Role that would give them.
pub(crate) fn missing<'o>(
    kubectl: &Kubectl,
    given: &Listed,
    objects: impl Iterator<Item = &'o Value>,
    reads_keys: bool,
) -> Result<Option<Difference>, Error> {
    let kinds: BTreeSet<&str> = objects.filter_map(|its| its["kind"].as_str()).collect();
    let of_kinds = RESOURCES.iter().filter(|(kind, _)| kinds.contains(kind));
    let of_kinds = of_kinds.flat_map(|(_, resource)| VERBS.map(|verb| (verb, *resource)));
    let mut needed = ALWAYS.to_vec();
    let of_keys = required::RIGHTS.into_iter().filter(|_| reads_keys);
    for right in of_kinds.chain(of_keys) {
        if !needed.contains(&right) {
            needed.push(right);
        }
    }
    let missing = kubectl.missing_beside(given, &needed)?;
    let detail = role(kubectl.namespace(), &missing);
    let (object, act) = ("rights".to_owned(), "add".to_owned());
    let found = Difference { object, act, detail, severity: Severity::Blocking };
    Ok((!missing.is_empty()).then_some(found))
}
