//! The operator's manifests, applied before the image of the next release is set.
//!
//! # Invariants
//! - Applying them starts no pod of any other release than the one that runs, whatever image they
//!   name: the schema may be the next release's already. What was stopped stays stopped, and the
//!   image that is there stays; it is set afterwards, together with the number of instances.
//! - What runs takes a change up once, with its new image; a DaemonSet, which cannot wait, twice.
//! - Fields that vaultup set by itself, such as the number of instances of what it stopped, are
//!   given back before, so that nobody conflicts with it.

use serde_json::{Value, json};
use vaultup_kubectl::objects::Container;
use vaultup_kubectl::scale::{self, FIELD_MANAGER};
use vaultup_kubectl::{Kind, Workload, access, manifest};
use vaultup_sdk::deploy::{Difference, Severity};
use vaultup_sdk::process::{Asked, Exit, Finished};
use vaultup_sdk::{Error, log};

use crate::preview::difference;
use crate::workload::Component;

/// What `kubectl diff` answers when something differs.
const DIFFERS: i32 = 1;
/// The most characters of a diff that a plan shows.
const DIFF_CHARACTERS_MAX: usize = 4000;

impl Component<'_> {
    /// Applies the manifests as they are, but for the component's own Job or CronJob: of that
    /// nothing runs yet.
    pub(crate) fn apply_manifests_at_rest(&self) -> Result<(), Error> {
        let Some(manifests) = &self.operation.settings.manifests else { return Ok(()) };
        let mut objects = self.written(manifests)?;
        objects.iter_mut().for_each(|object| suspend(object, &self.operation.settings.workload));
        self.apply(objects)
    }

    /// Applies the manifests, so that the workload waits for its image. Says how many instances
    /// they ask for.
    pub(crate) fn apply_manifests_around(&self, workload: &Workload) -> Result<Option<u64>, Error> {
        let Some(manifests) = &self.operation.settings.manifests else { return Ok(None) };
        let mut objects = self.written(manifests)?;
        let container = self.container(workload)?;
        let is_it = |object: &&mut Value| {
            object["kind"] == workload.kind.name()
                && object["metadata"]["name"] == *workload.metadata.name
        };
        let is_held = scale::awaits_start(workload);
        let its = objects.iter_mut().find(is_it);
        let asked = its.and_then(|object| left_as_it_is(object, container, is_held));
        if let Some(waiting) = waiting(workload) {
            self.change(workload, &waiting)?;
        }
        scale::disown(&self.kubectl, workload)?;
        self.apply(objects)?;
        Ok(asked)
    }

    /// Asks what applying the manifests would change, as the cluster itself sees it; nothing if
    /// there are none.
    pub(crate) fn ask_whether_manifests_differ(&self) -> Option<Asked<'_, Option<Difference>>> {
        let manifests = self.operation.settings.manifests.as_ref()?;
        let file = format!("--filename={manifests}");
        let diff = ["diff", "--server-side", "--field-manager=vaultup"];
        let words = diff.into_iter().chain([file.as_str()]);
        Some(self.kubectl.command(words).ask(move |finished| {
            let owners = owners(&finished.errors);
            if owners.is_empty() {
                return differ(manifests, finished);
            }
            let takes_over = self.operation.settings.take_over_fields;
            if !takes_over && owners.iter().any(|owner| *owner != FIELD_MANAGER) {
                let detail = finished.errors.trim().to_owned();
                return Ok(Some(difference(manifests, "change", detail, Severity::Blocking)));
            }
            // Its own fields are given back before the manifests are applied.
            let words = diff.into_iter().chain(["--force-conflicts", &file]);
            differ(manifests, self.kubectl.command(words).attempt()?)
        }))
    }

    /// The objects of manifests.
    fn written(&self, manifests: &str) -> Result<Vec<Value>, Error> {
        let file = format!("--filename={manifests}");
        objects(&self.kubectl.text(&["create", "--dry-run=client", &file, "--output=json"])?)
    }

    fn apply(&self, objects: Vec<Value>) -> Result<(), Error> {
        let mut words = vec!["apply", "--server-side", "--field-manager=vaultup"];
        words.extend(self.operation.settings.take_over_fields.then_some("--force-conflicts"));
        words.extend(["--filename=-", "--output=name"]);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        self.kubectl.feed(&words, list.to_string()).map(drop)
    }
}

/// Takes out of a manifest what is not to change yet: the image, and the number of instances of
/// what was stopped. Gives the number that it says.
fn left_as_it_is(object: &mut Value, container: &Container, is_held: bool) -> Option<u64> {
    let spec = &mut object["spec"];
    let asked = spec["replicas"].as_u64();
    if let Some(spec) = spec.as_object_mut().filter(|_| is_held) {
        spec.remove("replicas");
    }
    let containers = spec["template"]["spec"]["containers"].as_array_mut();
    let its = containers.into_iter().flatten().find(|its| its["name"] == *container.name);
    if let Some(its) = its {
        its["image"] = json!(container.image);
    }
    asked
}

/// Suspends an object, if it is this Job or CronJob.
fn suspend(object: &mut Value, workload: &str) {
    let is_batch = object["kind"] == "Job" || object["kind"] == "CronJob";
    if is_batch && manifest::reference(object).to_lowercase() == workload {
        object["spec"]["suspend"] = json!(true);
    }
}

/// The patch that makes a workload wait with what changes of its pods.
fn waiting(workload: &Workload) -> Option<Value> {
    match workload.kind {
        Kind::Deployment => Some(json!({"spec": {"paused": true}})),
        Kind::StatefulSet => {
            let all = workload.wanted();
            Some(json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": all}}}}))
        }
        Kind::DaemonSet => None,
    }
}

fn differ(manifests: &str, finished: Finished) -> Result<Option<Difference>, Error> {
    if finished.exit == Exit::Status(DIFFERS) && !finished.output.is_empty() {
        let plain = without_secrets(&finished.output);
        return Ok(Some(difference(manifests, "change", plain, Severity::Information)));
    }
    access::told(finished, "`kubectl diff`").map(|_| None)
}

/// A diff without the values of Secrets, whose objects are left out as a whole.
fn without_secrets(diff: &str) -> String {
    let parts = diff.split("\ndiff ");
    let shown = parts.filter(|part| !part.contains(".Secret."));
    let text = shown.collect::<Vec<_>>().join("\ndiff ");
    if text.chars().count() > DIFF_CHARACTERS_MAX {
        log::debug("the diff of the manifests is longer than a plan shows");
    }
    text.chars().take(DIFF_CHARACTERS_MAX).collect()
}

/// Who owns the fields that the cluster says conflict: `conflict with "helm" using …`.
fn owners(errors: &str) -> Vec<&str> {
    let said = errors.split("conflict with \"").flat_map(|part| part.split("conflicts with \""));
    said.skip(1).filter_map(|part| Some(part.split_once('"')?.0)).collect()
}

/// The objects that `kubectl create --dry-run=client` writes, one after another.
fn objects(written: &str) -> Result<Vec<Value>, Error> {
    let each = serde_json::Deserializer::from_str(written).into_iter::<Value>();
    let read: Result<Vec<Value>, _> = each.collect();
    let mut objects = Vec::new();
    for mut object in read.map_err(|error| {
        let message = "`kubectl create --dry-run`: the answer is not what was expected";
        Error::corrupt(message).with_platform(error.to_string())
    })? {
        match object.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => objects.extend(items),
            _ => objects.push(object),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn a_manifest_changes_neither_the_image_nor_how_many_there_are_of_what_was_stopped() {
        let containers =
            json!([{"name": "app", "image": "api:1"}, {"name": "side", "image": "s:2"}]);
        let mut object = json!({"kind": "Deployment",
            "spec": {"replicas": 3, "template": {"spec": {"containers": containers}}}});
        let live = Container { name: "app".to_owned(), image: "api:7".to_owned() };
        assert_eq!(left_as_it_is(&mut object, &live, false), Some(3));
        assert_eq!(object["spec"]["replicas"], 3);
        let containers = &object["spec"]["template"]["spec"]["containers"];
        assert_eq!([&containers[0]["image"], &containers[1]["image"]], ["api:7", "s:2"]);
        assert_eq!(left_as_it_is(&mut object, &live, true), Some(3));
        assert!(object["spec"].get("replicas").is_none(), "what was stopped stays so");
    }

    #[test]
    fn of_a_copy_s_manifests_its_own_job_is_suspended_and_no_other() {
        let suspended = |kind: &str, name: &str| {
            let mut object = json!({"kind": kind, "metadata": {"name": name}, "spec": {}});
            suspend(&mut object, "job/digest");
            object["spec"]["suspend"] == true
        };
        assert!(suspended("Job", "digest"));
        assert!(!suspended("Job", "seed"), "the copy may need it");
        assert!(!suspended("CronJob", "digest") && !suspended("Deployment", "digest"));
    }

    #[test]
    fn whose_fields_conflict_is_read_from_what_the_cluster_says() {
        let one = "error: Apply failed with 1 conflict: conflict with \"vaultup\" using apps/v1: \
                   .spec.replicas\nPlease review";
        assert_eq!(owners(one), ["vaultup"]);
        let two = "error: Apply failed with 3 conflicts: conflicts with \"kubectl-set\" using \
                   apps/v1:\n- .a\n- .b\nconflicts with \"vaultup\" using apps/v1:\n- .c";
        assert_eq!(owners(two), ["kubectl-set", "vaultup"]);
        assert_eq!(owners("error: no such file"), [""; 0]);
    }

    #[test]
    fn objects_come_one_after_another_or_as_a_list() {
        let written = "{\"kind\": \"A\"}\n{\"kind\": \"List\", \"items\": [{\"kind\": \"B\"}]}";
        let kinds: Vec<Value> =
            objects(written).unwrap().iter().map(|o| o["kind"].clone()).collect();
        assert_eq!(kinds, ["A", "B"]);
        assert!(objects("{\"kind\": \"A\"}").unwrap()[0].get("items").is_none());
        objects("{").unwrap_err();
    }
}
