//! A migration as a Job: the new image, and everything else as the workload itself has it.
//!
//! `kubectl run` gets none of the workload's variables, secrets and volumes; a Job made from the
//! workload's own template gets all of them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use vaultup_kubectl::objects::Job;
use vaultup_kubectl::{Cluster, Kubectl, digest, follow};
use vaultup_sdk::clock::{Deadline, Wait, wait_until};
use vaultup_sdk::{Case, Error, Operation, log};

use crate::batch::{Batch, pod_template};
use crate::settings::Settings;
use crate::workload::{Component, image, kubectl_of};

/// The container of the Job.
const CONTAINER: &str = "migrate";
/// How long the cluster keeps a Job that ended, so that its outcome can be asked for.
const KEPT_SECONDS: u32 = 24 * 3600;
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// Parts of a container that are about serving.
const OF_SERVING: [&str; 6] =
    ["lifecycle", "livenessProbe", "ports", "readinessProbe", "startupProbe", "args"];
/// Parts of a pod that are the workload's own; what is not here is the scheduler's.
const OF_THE_POD: [&str; 12] = [
    "affinity",
    "automountServiceAccountToken",
    "dnsPolicy",
    "hostAliases",
    "imagePullSecrets",
    "nodeSelector",
    "priorityClassName",
    "runtimeClassName",
    "securityContext",
    "serviceAccountName",
    "tolerations",
    "volumes",
];

/// Runs a release's own command to its end, in the next release's image, once for the operation's
/// key.
///
/// # Errors
/// As soon as it fails, with the end of its log.
pub(crate) fn migrate(operation: &Operation<Settings>, command: &[String]) -> Result<(), Error> {
    let name = name_for(&operation.key);
    let kubectl = kubectl_of(operation);
    let (pod, container) = match Batch::of(operation) {
        Some(batch) => {
            let current = batch.current()?;
            let name = batch.container(&current)?["name"].as_str().unwrap_or_default().to_owned();
            (pod_template(&current)["spec"].clone(), name)
        }
        None => {
            let component = Component::of(operation);
            let words = ["get", &operation.settings.workload, "--output=json"];
            let workload: Value = kubectl.json(&words)?;
            let cluster = component.cluster()?;
            let name = component.container(&cluster.workloads[0])?.name.clone();
            (pod_template(&workload)["spec"].clone(), name)
        }
    };
    let made = made_from(&pod, &container, image(operation)?, command, &name);
    run_to_its_end(&kubectl, operation.deadline, &name, &made).map_err(|error| {
        let message = format!("`{}`: {}", command.join(" "), error.message());
        Error::new(error.case().clone(), message).with_platform(error.platform())
    })
}

/// Makes a Job, unless an earlier process of the same operation did, and waits for its end.
///
/// # Errors
/// As soon as it fails, with the end of its log.
pub(crate) fn run_to_its_end(
    kubectl: &Kubectl,
    deadline: Deadline,
    name: &str,
    made: &Value,
) -> Result<(), Error> {
    match kubectl.feed(&["create", "--filename=-", "--output=name"], made.to_string()) {
        Ok(_) => {}
        Err(error) if error.case() == &Case::Conflict => log::info(format!("Job {name} exists")),
        Err(error) => return Err(error),
    }
    let mut news = follow::News::default();
    let waited = wait_until(Deadline::after(follow::patience(deadline)), INTERVAL, || {
        let cluster = match Cluster::look(kubectl) {
            Err(error) if error.case() == &Case::Unreachable => {
                return Ok(Wait::NotYet(error.message().to_owned()));
            }
            looked => looked?,
        };
        let Some(job) = job_of(&cluster, name) else {
            return Err(Error::not_found(format!("Job {name} was removed by somebody")));
        };
        let pods: Vec<_> = cluster.pods_of(&job.metadata).collect();
        if let Err(error) = news.tell_of(kubectl, &pods) {
            log::debug(error.to_string());
        }
        Ok(match job.ended() {
            Some(well) => Wait::Over(well),
            None => Wait::NotYet(format!("Job {name} runs")),
        })
    });
    let ended = match waited {
        Err(error) if error.case() == &Case::TimedOut => {
            let cluster = Cluster::look(kubectl)?;
            let pods = job_of(&cluster, name)
                .into_iter()
                .flat_map(|job| cluster.pods_of(&job.metadata).collect::<Vec<_>>());
            let reasons = follow::reasons_of(kubectl, pods).join("\n");
            return Err(error.with_platform(reasons));
        }
        waited => waited?,
    };
    let lines = job_log(kubectl, name)?;
    lines.lines().for_each(log::info);
    match ended {
        true => Ok(()),
        false => Err(Error::failed(format!("Job {name} failed")).with_platform(lines)),
    }
}

/// What the pods of a Job wrote.
fn job_log(kubectl: &Kubectl, name: &str) -> Result<String, Error> {
    let cluster = Cluster::look(kubectl)?;
    let Some(job) = job_of(&cluster, name) else { return Ok(String::new()) };
    let mut text = String::new();
    for pod in cluster.pods_of(&job.metadata) {
        for container in &pod.spec.containers {
            let container = format!("--container={}", container.name);
            // A pod that never ran has no log, and its reason was told.
            let logged = kubectl.text(&["logs", &pod.metadata.name, &container]);
            text.push_str(&logged.unwrap_or_default());
        }
    }
    Ok(text)
}

/// The name of an operation's Job: the same for the same operation.
pub(crate) fn name_for(key: &str) -> String {
    let digest = digest::of([key]);
    let digest = digest.trim_start_matches("sha256:");
    format!("vaultup-migrate-{}", &digest[..16])
}

/// The Job of this name.
pub(crate) fn job_of<'c>(cluster: &'c Cluster, name: &str) -> Option<&'c Job> {
    cluster.jobs.iter().find(|job| job.metadata.name == name)
}

/// The Job that a workload's pod makes.
fn made_from(pod: &Value, container: &str, image: &str, command: &[String], name: &str) -> Value {
    let containers = pod["containers"].as_array().cloned().unwrap_or_default();
    let mut its = containers.into_iter().find(|its| its["name"] == container).unwrap_or_default();
    if let Some(its) = its.as_object_mut() {
        OF_SERVING.iter().for_each(|key| drop(its.remove(*key)));
    }
    its["name"] = json!(CONTAINER);
    its["image"] = json!(image);
    its["command"] = json!(command);
    let kept =
        OF_THE_POD.iter().filter_map(|key| Some(((*key).to_owned(), pod.get(*key)?.clone())));
    let mut spec: Map<String, Value> = kept.collect();
    spec.insert("restartPolicy".to_owned(), json!("Never"));
    spec.insert("containers".to_owned(), json!([its]));
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "vaultup"}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": {"vaultup.dev/job": name}}, "spec": spec},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_has_the_workloads_own_environment_and_the_new_image_t4() {
        let pod = json!({
            "serviceAccountName": "api", "restartPolicy": "Always", "schedulerName": "x",
            "volumes": [{"name": "data"}],
            "containers": [{"name": "proxy"}, {
                "name": "api", "image": "api:1", "args": ["serve"], "ports": [{}],
                "readinessProbe": {}, "envFrom": [{"secretRef": {"name": "api"}}],
                "env": [{"name": "A"}], "volumeMounts": [{"name": "data"}],
            }],
        });
        let command = ["api".to_owned(), "migrate".to_owned()];
        let job = made_from(&pod, "api", "api:2", &command, "m");
        let spec = &job["spec"]["template"]["spec"];
        assert_eq!(spec["serviceAccountName"], "api");
        assert_eq!(spec["restartPolicy"], "Never");
        assert_eq!(spec["schedulerName"], Value::Null);
        let only = json!([{"name": "migrate", "image": "api:2", "command": command,
            "envFrom": [{"secretRef": {"name": "api"}}], "env": [{"name": "A"}],
            "volumeMounts": [{"name": "data"}]}]);
        assert_eq!(spec["containers"], only);
        assert_eq!(job["spec"]["backoffLimit"], 0);
    }
}
