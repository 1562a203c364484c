//! What a release would change, and what would keep it from succeeding.

use serde_json::Value;
use vaultup_kubectl::rollout::Rollout;
use vaultup_kubectl::{Kind, Kubectl, Limits, access, lease, limits, rights, rollout, version};
use vaultup_sdk::deploy::{Difference, Forecast, Severity};
use vaultup_sdk::process::Exit;
use vaultup_sdk::{Error, log};

use crate::configuration;
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
/// The most bytes of a diff that a plan shows.
const DIFF_BYTES_MAX: usize = 4000;
/// What `kubectl diff` answers when something differs.
const DIFFERS: i32 = 1;

impl Component<'_> {
    pub(crate) fn forecast(&self) -> Result<Forecast, Error> {
        version::check()?;
        let cluster = self.cluster()?;
        let workload = &cluster.workloads[0];
        let reference = workload.reference();
        let (image, container) = (self.image()?, self.container(workload)?);
        let mut found = vec![where_it_is(&self.kubectl, &reference)?];
        if container.image != image {
            let detail = format!("{}: {} → {image}", container.name, container.image);
            found.push(difference(&reference, "change", detail, Severity::Information));
        }
        if workload.spec.paused {
            let detail = "it is paused, so changes would wait; `kubectl rollout resume` it, or \
                          find out who paused it"
                .to_owned();
            found.push(difference(&reference, "change", detail, Severity::Blocking));
        }
        if let Rollout::GivenUp(why) = rollout::of(workload) {
            found.push(difference(&reference, "change", why, Severity::Blocking));
        }
        let words = ["get", reference.as_str(), "--output=json"];
        let live: Value = self.kubectl.json(&words)?;
        let containers = live["spec"]["template"]["spec"]["containers"].as_array();
        let its = containers.into_iter().flatten().find(|its| its["name"] == *container.name);
        let its = its.unwrap_or(&Value::Null);
        found.extend(configuration::missing(self.operation, &self.kubectl, its)?);
        found.extend(self.manifests_differ()?);
        found.extend(Limits::look(&self.kubectl)?.findings(workload));
        found.extend(self.missing_rights(workload.kind)?);
        Ok(Forecast {
            differences: found,
            commands: self.commands_shown(&reference),
            seconds: None,
        })
    }

    /// What applying the manifests would change, as the cluster itself sees it.
    fn manifests_differ(&self) -> Result<Option<Difference>, Error> {
        let Some(manifests) = &self.operation.settings.manifests else { return Ok(None) };
        let file = format!("--filename={manifests}");
        let words = ["diff", "--server-side", "--field-manager=vaultup", &file];
        let finished = self.kubectl.command(words).attempt()?;
        let is_conflict = finished.errors.contains("conflict");
        if finished.exit == Exit::Status(DIFFERS) && !finished.output.is_empty() {
            let plain = without_secrets(&finished.output);
            return Ok(Some(difference(manifests, "change", plain, Severity::Information)));
        }
        if is_conflict && !self.operation.settings.take_over_fields {
            let detail = finished.errors.trim().to_owned();
            return Ok(Some(difference(manifests, "change", detail, Severity::Blocking)));
        }
        access::told(finished, "`kubectl diff`").map(|_| None)
    }

    fn missing_rights(&self, kind: Kind) -> Result<Option<Difference>, Error> {
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
        if configuration::is_required(self.operation)? {
            // Names of keys are read, and the API has no right to names alone.
            needed.extend([("get", "configmaps"), ("get", "secrets")]);
        }
        let missing = self.kubectl.missing(&needed)?;
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

/// The cluster, context and namespace that everything will go to.
pub(crate) fn where_it_is(kubectl: &Kubectl, reference: &str) -> Result<Difference, Error> {
    let place = kubectl.place()?;
    let detail = format!("in {place}");
    Ok(difference(reference, "change", detail, Severity::Information))
}

/// A diff without the values of Secrets, whose objects are left out as a whole.
fn without_secrets(diff: &str) -> String {
    let parts = diff.split("\ndiff ");
    let shown = parts.filter(|part| !part.contains(".Secret."));
    let text = shown.collect::<Vec<_>>().join("\ndiff ");
    if text.len() > DIFF_BYTES_MAX {
        log::debug("the diff of the manifests is longer than a plan shows");
    }
    text.chars().take(DIFF_BYTES_MAX).collect()
}

fn difference(object: &str, act: &str, detail: String, severity: Severity) -> Difference {
    Difference { object: object.to_owned(), act: act.to_owned(), detail, severity }
}
