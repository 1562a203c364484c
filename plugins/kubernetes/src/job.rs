//! A migration as a Job: the new image, and everything else as the workload itself has it.
//!
//! `kubectl run` gets none of the workload's variables, secrets and volumes; a Job made from the
//! workload's own template gets all of them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use vaultup_kubectl::objects::Job;
use vaultup_kubectl::{Cluster, digest, follow};
use vaultup_sdk::clock::{Wait, wait_until};
use vaultup_sdk::{Case, Error, log};

use crate::workload::Component;

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

impl Component<'_> {
    /// Runs a command to its end in the next release's image, once for the operation's key.
    ///
    /// # Errors
    /// As soon as it fails, with the end of its log.
    pub(crate) fn run_job(&self, command: &[String]) -> Result<(), Error> {
        let name = self.job_name();
        let workload: Value =
            self.kubectl.json(&["get", &self.operation.settings.workload, "--output=json"])?;
        let cluster = self.cluster()?;
        let container = &self.container(&cluster.workloads[0])?.name;
        let pod = &workload["spec"]["template"]["spec"];
        let made = made_from(pod, container, self.image()?, command, &name);
        match self.kubectl.feed(&["create", "--filename=-", "--output=name"], made.to_string()) {
            Ok(_) => {}
            // An earlier process of this very operation made it.
            Err(error) if error.case() == &Case::Conflict => {
                log::info(format!("Job {name} exists"))
            }
            Err(error) => return Err(error),
        }
        let mut news = follow::News::default();
        let ended = wait_until(self.operation.deadline, INTERVAL, || {
            let cluster = Cluster::look(&self.kubectl)?;
            let Some(job) = job_of(&cluster, &name) else {
                return Err(Error::not_found(format!("Job {name} was removed by somebody")));
            };
            news.tell_of(&self.kubectl, &cluster.pods_of(&job.metadata).collect::<Vec<_>>())?;
            Ok(match job.ended() {
                Some(well) => Wait::Over(well),
                None => Wait::NotYet(format!("Job {name} runs")),
            })
        })?;
        let lines = self.job_log(&name)?;
        lines.lines().for_each(log::info);
        match ended {
            true => Ok(()),
            false => {
                let message = format!("`{}` failed in Job {name}", command.join(" "));
                Err(Error::failed(message).with_platform(lines))
            }
        }
    }

    /// The Job of this operation, if there is one.
    pub(crate) fn job(&self) -> Result<Option<Job>, Error> {
        let cluster = Cluster::look(&self.kubectl)?;
        Ok(job_of(&cluster, &self.job_name()).cloned())
    }

    fn job_name(&self) -> String {
        name_for(&self.operation.key)
    }

    fn job_log(&self, name: &str) -> Result<String, Error> {
        let cluster = Cluster::look(&self.kubectl)?;
        let Some(job) = job_of(&cluster, name) else { return Ok(String::new()) };
        let mut text = String::new();
        let container = format!("--container={CONTAINER}");
        for pod in cluster.pods_of(&job.metadata) {
            // A pod that never ran has no log, and its reason was told.
            let logged = self.kubectl.text(&["logs", &pod.metadata.name, &container]);
            text.push_str(&logged.unwrap_or_default());
        }
        Ok(text)
    }
}

/// The name of an operation's Job: the same for the same operation.
pub(crate) fn name_for(key: &str) -> String {
    let digest = digest::of([key]);
    let digest = digest.trim_start_matches("sha256:");
    format!("vaultup-migrate-{}", &digest[..16])
}

fn job_of<'c>(cluster: &'c Cluster, name: &str) -> Option<&'c Job> {
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
