//! What a release would change, and what would keep it from succeeding.

use serde_json::Value;
use vaultup_kubectl::access::Place;
use vaultup_kubectl::rights::{self, Listed};
use vaultup_kubectl::rollout::Rollout;
use vaultup_kubectl::{Kind, Kubectl, Limits, lease, limits, required, rollout, version, waves};
use vaultup_sdk::deploy::{Difference, Forecast, Severity};
use vaultup_sdk::process::Asked;
use vaultup_sdk::{Error, Operation};

use crate::settings::{Entry, Settings};
use crate::workload::Component;

/// The rights that a deployment needs, whatever the workload.
const RIGHTS: [(&str, &str); 11] = [
    ("list", "pods"),
    ("list", "events"),
    ("get", "pods/log"),
    ("list", "replicasets.apps"),
    ("list", "deployments.apps"),
    ("list", "statefulsets.apps"),
    ("list", "daemonsets.apps"),
    ("list", "jobs.batch"),
    ("create", "jobs.batch"),
    limits::RIGHTS[0],
    limits::RIGHTS[1],
];

impl Component<'_> {
    pub(crate) fn forecast(&self) -> Result<Forecast, Error> {
        // Each of these tools takes a core for a moment, and none waits for what another says.
        let (kubectl, cluster, place) =
            (version::ask(), self.ask_cluster(), self.kubectl.ask_place());
        let live = self.ask_live();
        let manifests = self.ask_whether_manifests_differ();
        let (limits, given) = (Limits::ask(&self.kubectl), self.kubectl.ask_rights());
        kubectl.answer()?;
        let cluster = cluster.answer()?;
        let workload = &cluster.workloads[0];
        let reference = workload.reference();
        let (image, container) = (self.image()?, self.container(workload)?);
        let mut found = vec![where_it_is(&place.answer()?, &reference)];
        if container.image != image {
            let detail = format!("{}: {} → {image}", container.name, container.image);
            found.push(difference(&reference, "change", detail, Severity::Information));
        }
        found.extend(waves::finding(workload));
        if let Rollout::GivenUp(why) = rollout::of(workload) {
            found.push(difference(&reference, "change", why, Severity::Blocking));
        }
        let live = live.answer()?;
        let containers = live["spec"]["template"]["spec"]["containers"].as_array();
        let its = containers.into_iter().flatten().find(|its| its["name"] == *container.name);
        let its = its.unwrap_or(&Value::Null);
        found.extend(missing_variables(self.operation, &self.kubectl, its)?);
        found.extend(manifests.map(Asked::answer).transpose()?.flatten());
        found.extend(limits.answer()?.findings(workload));
        found.extend(self.missing_rights(workload.kind, &given.answer()?)?);
        Ok(Forecast {
            differences: found,
            commands: self.commands_shown(&reference),
            seconds: None,
        })
    }

    fn missing_rights(&self, kind: Kind, given: &Listed) -> Result<Option<Difference>, Error> {
        let patched = match kind {
            Kind::Deployment => "deployments.apps",
            Kind::StatefulSet => "statefulsets.apps",
            Kind::DaemonSet => "daemonsets.apps",
        };
        let mut needed = [&RIGHTS[..], &lease::RIGHTS].concat();
        needed.extend([("get", patched), ("patch", patched)]);
        if kind != Kind::Deployment {
            needed.push(("list", "controllerrevisions.apps"));
        }
        if !self.operation.settings.suspend.is_empty() {
            needed.push(("patch", "cronjobs.batch"));
        }
        if self.operation.settings.manifests.is_some() {
            needed.push(("create", patched));
        }
        if !self.operation.next()?.entry::<Entry>()?.requires.is_empty() {
            needed.extend(required::RIGHTS);
        }
        let missing = self.kubectl.missing_beside(given, &needed)?;
        Ok((!missing.is_empty()).then(|| {
            let detail = rights::role(self.kubectl.namespace(), &missing);
            difference("rights", "add", detail, Severity::Blocking)
        }))
    }

    fn commands_shown(&self, reference: &str) -> Vec<Vec<String>> {
        let mut commands = Vec::new();
        if let Some(manifests) = &self.operation.settings.manifests {
            let file = format!("--filename={manifests}");
            let words = ["apply", "--server-side", "--field-manager=vaultup", &file];
            commands.push(self.kubectl.shown(&words));
        }
        commands.push(self.kubectl.shown(&["patch", reference, "--type=strategic"]));
        commands
    }
}

/// A finding on variables that the next release requires and that nothing gives the container (R8).
pub(crate) fn missing_variables(
    operation: &Operation<Settings>,
    kubectl: &Kubectl,
    container: &Value,
) -> Result<Option<Difference>, Error> {
    let Entry { requires } = operation.next()?.entry()?;
    required::missing(&requires, [container], |source| required::keys_of(kubectl, source))
}

/// The cluster, context and namespace that everything will go to.
pub(crate) fn where_it_is(place: &Place, reference: &str) -> Difference {
    difference(reference, "change", format!("in {place}"), Severity::Information)
}

pub(crate) fn difference(
    object: &str,
    act: &str,
    detail: String,
    severity: Severity,
) -> Difference {
    Difference { object: object.to_owned(), act: act.to_owned(), detail, severity }
}
