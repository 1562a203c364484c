//! Jobs and CronJobs as components.
//!
//! A CronJob has no revisions; its way back is the image that it had. It is suspended while it is
//! changed or while the data that it writes is held, its running Jobs are waited for, and it gets
//! back the suspension that it had before, which is written down at the CronJob itself.
//!
//! A Job cannot be changed. A release runs once as a Job of its own, made from the one that the
//! settings name; its name is made from the operation's key, so the cluster itself refuses a second
//! one. On the way back it is removed, and what ran before is not run again.

use serde_json::{Value, json};
use vaultup_kubectl::{Cluster, Kubectl, digest, follow, version};
use vaultup_sdk::clock::{Wait, wait_until};
use vaultup_sdk::deploy::{Difference, Forecast, Inventory, Presence, Running, Severity, Traffic};
use vaultup_sdk::{Case, Error, Operation, log};

use crate::job::run_to_its_end;
use crate::preview::{missing_variables, where_it_is};
use crate::settings::Settings;
use crate::workload::{RELEASE, kubectl_of, version_of};

/// Annotation with the suspension that there was before it was suspended here.
pub(crate) const SUSPENDED_BEFORE: &str = "vaultup.dev/suspended";
/// Label of the Jobs that were made from another, with that one's name.
const MADE_FROM: &str = "vaultup.dev/made-from";
/// Labels that a Job's controller gives, and that a new Job must not bring.
const OF_THE_CONTROLLER: [&str; 4] = [
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];
/// The longest name of a Job whose pods can still be named after it.
const NAME_CHARACTERS_MAX: usize = 63;
/// Digits of the key's digest in a Job's name.
const DIGITS: usize = 16;

/// What runs pods to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Once.
    Job,
    /// Now and then.
    CronJob,
}

/// A Job or CronJob that an operation is about.
pub(crate) struct Batch<'o> {
    pub(crate) operation: &'o Operation<Settings>,
    pub(crate) kubectl: Kubectl,
    pub(crate) kind: Kind,
}

impl<'o> Batch<'o> {
    /// The Job or CronJob that the settings name; nothing if it is something else.
    pub(crate) fn of(operation: &'o Operation<Settings>) -> Option<Self> {
        let kind = match operation.settings.workload.split('/').next() {
            Some("job") => Kind::Job,
            Some("cronjob") => Kind::CronJob,
            _ => return None,
        };
        Some(Self { operation, kubectl: kubectl_of(operation), kind })
    }

    /// What runs now. Nothing of it is an instance that is always there.
    pub(crate) fn observe(&self) -> Result<Running, Error> {
        let current = self.current()?;
        let place = self.kubectl.ask_place().answer()?;
        let template = current["spec"].to_string();
        let texts = place.texts().into_iter().chain([template.as_str()]);
        let busy = match self.kind {
            Kind::Job if is_active(&current) => Some(format!("{} runs", reference(&current))),
            Kind::Job | Kind::CronJob => None,
        };
        Ok(Running {
            version: self.version(&current)?,
            revision: Some(self.revision(&current)?),
            artifacts: vec![self.image_of(&current)?],
            instances_wanted: 0,
            instances: Vec::new(),
            traffic: Traffic::NotApplicable,
            configuration_digest: Some(digest::of(texts)),
            busy,
        })
    }

    pub(crate) fn way_back(&self) -> Result<Inventory, Error> {
        let current = self.current()?;
        let workload = &self.operation.settings.workload;
        if self.operation.settings.manifests.is_some() {
            let reason = format!(
                "{workload} keeps no revisions, so what `manifests` change could not be undone: \
                 leave them out"
            );
            return Ok(Inventory { available: false, revision: None, reason });
        }
        let (image, revision) = (self.image_of(&current)?, self.revision(&current)?);
        let reason = match self.kind {
            Kind::Job => format!("{revision} is kept with what it ran, {image}, and not run again"),
            Kind::CronJob => format!("{workload} keeps no revisions; its image is {image}"),
        };
        Ok(Inventory { available: true, revision: Some(revision), reason })
    }

    pub(crate) fn forecast(&self) -> Result<Forecast, Error> {
        let (kubectl, place) = (version::ask(), self.kubectl.ask_place());
        let given = self.kubectl.ask_rights();
        kubectl.answer()?;
        let current = self.current()?;
        let (before, image) = (self.image_of(&current)?, self.image()?);
        let workload = &self.operation.settings.workload;
        let detail = match self.kind {
            Kind::Job => format!("{before} → {image}, run once as {}", self.job_name()),
            Kind::CronJob => format!("{before} → {image}, suspended meanwhile"),
        };
        let mut differences = vec![
            where_it_is(&place.answer()?, workload),
            difference(workload, "change", detail, Severity::Information),
        ];
        if self.kind == Kind::CronJob && current["spec"]["suspend"] == true {
            let detail = "it is suspended, and stays so".to_owned();
            differences.push(difference(workload, "change", detail, Severity::Warning));
        }
        let container = self.container(&current)?;
        differences.extend(missing_variables(self.operation, &self.kubectl, container)?);
        let needed = match self.kind {
            Kind::Job => &[("create", "jobs.batch"), ("delete", "jobs.batch")][..],
            Kind::CronJob => &[("get", "cronjobs.batch"), ("patch", "cronjobs.batch")][..],
        };
        let missing =
            self.kubectl.missing_beside(&given.answer()?, &[&READ[..], needed].concat())?;
        if !missing.is_empty() {
            let detail = vaultup_kubectl::rights::role(self.kubectl.namespace(), &missing);
            differences.push(difference("rights", "add", detail, Severity::Blocking));
        }
        let commands = match self.kind {
            Kind::Job => vec![self.kubectl.shown(&["create", "--filename=-"])],
            Kind::CronJob => vec![self.kubectl.shown(&["patch", workload, "--type=strategic"])],
        };
        Ok(Forecast { differences, commands, seconds: None })
    }

    /// Makes the next release the one that runs: a Job to its end, a CronJob from now on.
    pub(crate) fn apply(&self) -> Result<(), Error> {
        match self.kind {
            Kind::Job => self.run(),
            Kind::CronJob => {
                let current = self.current()?;
                if self.has_next(&current)? && !awaits(&current) {
                    return Ok(());
                }
                self.stop()?;
                let (image, version) = (self.image()?.to_owned(), &self.operation.next()?.version);
                self.set_image(&image, Some(version))?;
                self.start()
            }
        }
    }

    /// Lets nothing of it run: no new Job begins, and those that run are waited for.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        let current = self.current()?;
        if self.kind == Kind::CronJob && !awaits(&current) {
            let before = current["spec"]["suspend"] == true;
            self.patch(&json!({
                "metadata": {"annotations": {SUSPENDED_BEFORE: before.to_string()}},
                "spec": {"suspend": true},
            }))?;
        }
        let mut news = follow::News::default();
        wait_until(self.operation.deadline, follow::INTERVAL, || {
            let cluster = match Cluster::look(&self.kubectl) {
                Err(error) if error.case() == &Case::Unreachable => {
                    return Ok(Wait::NotYet(error.message().to_owned()));
                }
                looked => looked?,
            };
            let left = self.active(&cluster, &current);
            let Some(first) = left.first() else { return Ok(Wait::Over(())) };
            let pods: Vec<_> = left.iter().flat_map(|job| cluster.pods_of(&job.metadata)).collect();
            news.tell_of(&self.kubectl, &pods)?;
            Ok(Wait::NotYet(format!("job/{} still runs", first.metadata.name)))
        })
    }

    /// Gives a CronJob the suspension back that it had.
    pub(crate) fn start(&self) -> Result<(), Error> {
        let current = self.current()?;
        if !awaits(&current) {
            return Ok(());
        }
        let before = current["metadata"]["annotations"][SUSPENDED_BEFORE] == "true";
        self.patch(&json!({
            "metadata": {"annotations": {SUSPENDED_BEFORE: null}},
            "spec": {"suspend": before},
        }))
    }

    pub(crate) fn revert(&self, revision: &str, presence: Presence) -> Result<(), Error> {
        match self.kind {
            Kind::Job => self.remove_since(revision),
            Kind::CronJob => {
                if presence == Presence::Stopped {
                    self.stop()?;
                }
                if self.image_of(&self.current()?)? != revision {
                    self.set_image(revision, None)?;
                }
                match presence {
                    Presence::Stopped => Ok(()),
                    Presence::Running => self.start(),
                }
            }
        }
    }

    /// Runs the next release's Job to its end, once for the operation's key.
    fn run(&self) -> Result<(), Error> {
        let name = self.job_name();
        let made = next_job(&self.object()?, &name, self.image()?, self)?;
        run_to_its_end(&self.kubectl, self.operation.deadline, &name, &made)
    }

    /// The newest of the Jobs, or the CronJob.
    pub(crate) fn current(&self) -> Result<Value, Error> {
        let object = self.object()?;
        if self.kind == Kind::CronJob {
            return Ok(object);
        }
        Ok(self.made()?.pop().unwrap_or(object))
    }

    /// What the settings name, if it is there.
    ///
    /// # Errors
    /// [`Case::Corrupt`] if what the cluster answers is something else.
    pub(crate) fn object_if_there(&self) -> Result<Option<Value>, Error> {
        let workload = &self.operation.settings.workload;
        let seen: Option<Value> =
            self.kubectl.json_if_there(&["get", workload, "--output=json"])?;
        let wanted = match self.kind {
            Kind::Job => "Job",
            Kind::CronJob => "CronJob",
        };
        match seen {
            Some(object) if object["kind"] != wanted => {
                let message = format!("`kubectl get {workload}` answered something else");
                Err(Error::corrupt(message).with_platform(object.to_string()))
            }
            seen => Ok(seen),
        }
    }

    fn object(&self) -> Result<Value, Error> {
        self.object_if_there()?.ok_or_else(|| {
            let workload = &self.operation.settings.workload;
            let namespace = self.kubectl.namespace();
            Error::not_found(format!("there is no {workload} in namespace `{namespace}`"))
        })
    }

    /// The Jobs that were made from the one that the settings name, oldest first.
    fn made(&self) -> Result<Vec<Value>, Error> {
        let answer: Value = self.kubectl.json(&["get", "jobs.batch", "--output=json"])?;
        let items = answer["items"].as_array().cloned();
        let items = items.ok_or_else(|| Error::corrupt("`kubectl get jobs` lists nothing"))?;
        let name = self.name();
        let is_made = |job: &Value| job["metadata"]["labels"][MADE_FROM] == *name;
        let mut made: Vec<Value> = items.into_iter().filter(is_made).collect();
        let at = |job: &Value| job["metadata"]["creationTimestamp"].to_string();
        made.sort_by_key(at);
        Ok(made)
    }

    /// Removes the Jobs that came after a revision.
    fn remove_since(&self, revision: &str) -> Result<(), Error> {
        let made = self.made()?;
        let names: Vec<&str> =
            made.iter().filter_map(|job| job["metadata"]["name"].as_str()).collect();
        let kept = match names.iter().position(|name| *name == revision) {
            Some(place) => place + 1,
            None if revision == self.name() => 0,
            None => return Err(Error::not_found(format!("there is no job/{revision} any more"))),
        };
        names.iter().skip(kept).try_for_each(|name| {
            log::info(format!("job/{name} is removed; what ran before is not run again"));
            let words = ["delete", "job", name, "--ignore-not-found", "--cascade=foreground"];
            self.kubectl.text(&words).map(drop)
        })
    }

    /// The Jobs that run now and are the component's.
    pub(crate) fn active<'c>(
        &self,
        cluster: &'c Cluster,
        current: &Value,
    ) -> Vec<&'c vaultup_kubectl::objects::Job> {
        let uid = current["metadata"]["uid"].as_str().unwrap_or_default();
        let name = self.name();
        let jobs = cluster.jobs.iter().filter(|job| match self.kind {
            Kind::CronJob => job.metadata.owner_references.iter().any(|its| its.uid == uid),
            Kind::Job => {
                let made_from = job.metadata.labels.get(MADE_FROM);
                job.metadata.name == name || made_from.is_some_and(|its| its == name)
            }
        });
        jobs.filter(|job| job.status.active > 0).collect()
    }

    fn set_image(&self, image: &str, version: Option<&str>) -> Result<(), Error> {
        let current = self.current()?;
        let container = self.container(&current)?["name"].clone();
        self.patch_as(
            "strategic",
            &json!({"spec": {"jobTemplate": {"spec": {"template": {
                "metadata": {"annotations": {RELEASE: version}},
                "spec": {"containers": [{"name": container, "image": image}]},
            }}}}}),
        )
    }

    pub(crate) fn patch(&self, patch: &Value) -> Result<(), Error> {
        self.patch_as("merge", patch)
    }

    fn patch_as(&self, kind: &str, patch: &Value) -> Result<(), Error> {
        let (kind, patch) = (format!("--type={kind}"), format!("--patch={patch}"));
        let workload = &self.operation.settings.workload;
        let words = ["patch", workload, &kind, &patch, "--field-manager=vaultup"];
        self.kubectl.text(&words).map(drop)
    }

    /// Whether it is the next release.
    pub(crate) fn has_next(&self, current: &Value) -> Result<bool, Error> {
        let annotated = &pod_template(current)["metadata"]["annotations"][RELEASE];
        let next = &self.operation.next()?.version;
        Ok(self.image_of(current)? == self.image()? && *annotated == **next)
    }

    /// What `revert` takes: the newest Job's name, the CronJob's image.
    pub(crate) fn revision(&self, current: &Value) -> Result<String, Error> {
        match self.kind {
            Kind::Job => Ok(current["metadata"]["name"].as_str().unwrap_or_default().to_owned()),
            Kind::CronJob => self.image_of(current),
        }
    }

    fn version(&self, current: &Value) -> Result<Option<String>, Error> {
        let annotated = &pod_template(current)["metadata"]["annotations"][RELEASE];
        let tag = version_of(&self.image_of(current)?);
        Ok(tag.or_else(|| annotated.as_str().map(str::to_owned)))
    }

    pub(crate) fn image_of(&self, current: &Value) -> Result<String, Error> {
        let image = self.container(current)?["image"].as_str().map(str::to_owned);
        image.ok_or_else(|| Error::corrupt("a container names no image"))
    }

    /// The container that releases bring an image for.
    ///
    /// # Errors
    /// [`Case::InvalidSettings`] if it is not said and not plain.
    pub(crate) fn container<'v>(&self, current: &'v Value) -> Result<&'v Value, Error> {
        let containers = pod_template(current)["spec"]["containers"].as_array();
        let containers = containers.ok_or_else(|| {
            Error::corrupt(format!("{} has no containers", self.operation.settings.workload))
        })?;
        let its = match (&self.operation.settings.container, containers.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), all) => all.iter().find(|its| its["name"] == **name),
        };
        its.ok_or_else(|| {
            let names = containers.iter().filter_map(|its| its["name"].as_str());
            let names = names.collect::<Vec<_>>().join(", ");
            let workload = &self.operation.settings.workload;
            Error::invalid_settings(format!("say with `container` which of {workload}: {names}"))
        })
    }

    fn image(&self) -> Result<&str, Error> {
        crate::workload::image(self.operation)
    }

    pub(crate) fn name(&self) -> &str {
        let workload = &self.operation.settings.workload;
        workload.split_once('/').map_or(workload, |(_, name)| name)
    }

    /// The Job of this operation: the same for the same operation.
    pub(crate) fn job_name(&self) -> String {
        let digest = digest::of([self.operation.key.as_str()]);
        let digits = &digest.trim_start_matches("sha256:")[..DIGITS];
        let name: String = self.name().chars().take(NAME_CHARACTERS_MAX - DIGITS - 1).collect();
        format!("{}-{digits}", name.trim_end_matches(['-', '.']))
    }
}

/// The rights that looking needs.
const READ: [(&str, &str); 4] =
    [("list", "jobs.batch"), ("list", "pods"), ("list", "events"), ("get", "pods/log")];

/// What a Job or a CronJob makes pods from.
pub(crate) fn pod_template(object: &Value) -> &Value {
    match object["kind"].as_str() {
        Some("CronJob") => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => &object["spec"]["template"],
    }
}

/// Whether a CronJob was suspended here and not resumed since.
pub(crate) fn awaits(object: &Value) -> bool {
    !object["metadata"]["annotations"][SUSPENDED_BEFORE].is_null()
}

/// Whether a Job has pods that run or are about to.
pub(crate) fn is_active(job: &Value) -> bool {
    job["status"]["active"].as_u64().is_some_and(|active| active > 0)
}

fn reference(job: &Value) -> String {
    format!("job/{}", job["metadata"]["name"].as_str().unwrap_or("?"))
}

/// Takes away from a Job's `spec` what its controller added, so that a new Job can have it.
pub(crate) fn without_controller(spec: &mut Value) {
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("selector");
        spec.remove("manualSelector");
    }
    if let Some(labels) = spec["template"]["metadata"]["labels"].as_object_mut() {
        OF_THE_CONTROLLER.iter().for_each(|key| drop(labels.remove(*key)));
    }
}

/// A Job made from another, with another image.
fn next_job(object: &Value, name: &str, image: &str, batch: &Batch<'_>) -> Result<Value, Error> {
    let version = &batch.operation.next()?.version;
    let container = batch.container(object)?["name"].clone();
    let mut spec = object["spec"].clone();
    without_controller(&mut spec);
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("suspend");
        spec.remove("ttlSecondsAfterFinished");
    }
    spec["template"]["metadata"]["annotations"][RELEASE] = json!(version);
    let containers = spec["template"]["spec"]["containers"].as_array_mut();
    for its in containers.into_iter().flatten().filter(|its| its["name"] == container) {
        its["image"] = json!(image);
    }
    let labels = json!({"app.kubernetes.io/managed-by": "vaultup", MADE_FROM: batch.name()});
    Ok(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": labels}, "spec": spec,
    }))
}

fn difference(object: &str, act: &str, detail: String, severity: Severity) -> Difference {
    Difference { object: object.to_owned(), act: act.to_owned(), detail, severity }
}
