//! helm releases in waves: a Deployment of three pods and a StatefulSet of two.

use serde_json::Value;
use stage::{Namespace, Ran};
use tempfile::TempDir;

use super::stack_file::StackFile;
use super::support::{WITHIN, WITHIN_SHORT, begun, expect, kill_both, namespace, statuses, until};

const BAD: &str = "2.0.1-bad";
const VALUES: [&str; 2] = ["--set=replicas=3", "--set=members=2"];
/// One pod of the Deployment; all three and one of the StatefulSet; everything.
const WAVES: &str = "waves = [\"1\", \"4\", \"100%\"]";

/// Preflights, the chart, three waves, and the check of the release.
const EFFECTS: u32 = 6;

/// The release at 1.0.0, with a stack file that upgrades it in [`WAVES`]. `entry` is more
/// of what each release says of it.
fn shop(within: &str, entry: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm"]);
    for version in ["1.0.0", "2.0.0", BAD] {
        let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n{entry}");
        namespace.chart(version, &entry).unwrap();
    }
    let values = "set = [\"replicas=3\", \"members=2\"]";
    StackFile::new(&namespace, "shop").helm("shop", within, WAVES, values).write();
    let install = ["install", "shop", "charts/1.0.0", "--wait", "--timeout=4m"];
    namespace.helm(&[&install[..], &VALUES].concat()).unwrap();
    (namespace, folder)
}

fn listed(namespace: &Namespace, kinds: &str) -> Vec<Value> {
    let words = ["get", kinds, "--show-managed-fields", "--output=json"];
    let listed = namespace.kubectl(&words).unwrap();
    serde_json::from_str::<Value>(&listed).unwrap()["items"].as_array().unwrap().clone()
}

/// Ids and images of the pods that are to stay, sorted.
fn pods(namespace: &Namespace) -> Vec<(String, String)> {
    let stays = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let id_and_image =
        |pod: &Value| (text(&pod["metadata"]["uid"]), text(&pod["spec"]["containers"][0]["image"]));
    let pods = listed(namespace, "pods");
    let mut pods: Vec<_> = pods.iter().filter(|pod| stays(pod)).map(id_and_image).collect();
    pods.sort();
    pods
}

fn new_pods(namespace: &Namespace) -> usize {
    pods(namespace).iter().filter(|(_, image)| image.ends_with(":2.0.0")).count()
}

/// No workload is held, none remembers that it was, and no field is left that would be vaultup's.
fn nothing_is_held(namespace: &Namespace) {
    for workload in listed(namespace, "deployments,statefulsets") {
        let (metadata, spec) = (&workload["metadata"], &workload["spec"]);
        let partition = &spec["updateStrategy"]["rollingUpdate"]["partition"];
        assert!(spec["paused"] != true && matches!(partition.as_u64(), None | Some(0)), "{spec}");
        assert_eq!(metadata["annotations"]["vaultup.dev/held-after"], Value::Null, "{metadata}");
        let managers = metadata["managedFields"].as_array().unwrap();
        assert!(managers.iter().all(|its| its["manager"] != "vaultup"), "{managers:?}");
    }
}

/// Killed at the end of every effect, so that what each of them has done can be counted.
#[test]
fn each_wave_replaces_as_many_pods_as_it_says_and_nothing_is_held_afterwards() {
    let (namespace, _folder) = shop(WITHIN, "");
    let mut seen = Vec::new();
    let mut words = vec!["run", "--to", "2.0.0"];
    for effect in 1..=EFFECTS {
        let mut command = namespace.command(&words);
        command.env("VAULTUP_TEST_CRASH", format!("{effect}:recorded"));
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.status, None, "{}", ran.shown());
        seen.push(new_pods(&namespace));
        words = vec!["resume"];
    }
    let shown = expect(&namespace.vaultup(&words).unwrap(), 1);
    assert!(shown.contains("is upgraded"), "{shown}");
    seen.dedup();
    // A Deployment goes on until it is paused: by a pod at most, and nobody else's goes.
    assert!(matches!(seen[..], [0, 1 | 2, 4, 5]), "{seen:?}");
    assert_eq!(statuses(&namespace, "shop"), ["1 superseded", "2 deployed"], "one upgrade");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
    nothing_is_held(&namespace);
    let upgrade = ["upgrade", "shop", "charts/1.0.0", "--wait", "--timeout=4m"];
    namespace.helm(&[&upgrade[..], &VALUES].concat()).unwrap();
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

#[test]
fn a_wave_that_never_gets_ready_leads_back_and_no_pod_of_before_was_touched() {
    let hook = "set = [\"hook.enabled=true\", \"hook.event=post-upgrade\"]\n";
    let (namespace, _folder) = shop(WITHIN_SHORT, hook);
    let before = pods(&namespace);
    let shown = expect(&namespace.vaultup(&["run", "--to", BAD]).unwrap(), 3);
    assert!(shown.contains("Readiness probe failed"), "{shown}");
    assert!(shown.contains("the hook shop-migrate runs with this wave"), "{shown}");
    assert_eq!(namespace.history("shop").unwrap().last().unwrap().2, "Rollback to 1");
    let after = pods(&namespace);
    let gone = before.iter().filter(|pod| !after.contains(pod)).count();
    assert_eq!(gone, 0, "a Deployment adds a pod first: {shown}");
    nothing_is_held(&namespace);
}

/// The second wave is under way when vaultup is killed, and the way back is taken instead.
#[test]
fn a_way_back_from_the_middle_of_a_wave_replaces_what_was_new() {
    let (namespace, _folder) = shop(WITHIN, "");
    let mut child = begun(namespace.command(&["run", "--to", "2.0.0"]));
    until("the second wave is under way", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the second wave");
        new_pods(&namespace) > 1
    });
    child.kill().unwrap();
    child.wait().unwrap();
    expect(&namespace.vaultup(&["rollback"]).unwrap(), 3);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    assert_eq!(new_pods(&namespace), 0);
    nothing_is_held(&namespace);
}

/// helm is killed with its revision pending while everything is held.
#[test]
fn vaultup_and_helm_killed_before_the_first_wave_are_resumed_to_the_end() {
    let hook = "set = [\"hook.enabled=true\", \"hook.sleep=8s\"]\n";
    let (namespace, _folder) = shop(WITHIN, hook);
    kill_both(&namespace, "2.0.0");
    expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(statuses(&namespace, "shop").last().unwrap(), "4 deployed");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
    nothing_is_held(&namespace);
}
