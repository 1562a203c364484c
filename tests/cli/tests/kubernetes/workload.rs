//! Plain workloads, and a datastore that they write to.

use std::fs;

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{
    StackFile, api_with_store, apply, image, schema, write_release, write_store,
};
use super::support::{Gate, WITHIN, WITHIN_SHORT, begun, expect, namespace, until};

const SEED: &str = "apiVersion: batch/v1
kind: Job
metadata: {name: seed}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
      - {name: app, image: localhost/app:1.0.0, imagePullPolicy: IfNotPresent, args: [job, seeding]}
";

/// The most effects at which a run is killed; one that has more is killed at these.
const MOMENTS_MAX: usize = 40;

/// An API at 1.0.0 with a store of schema 1, and releases that run on it or migrate it.
fn api(within: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["kubernetes", "files"]);
    write_store(namespace.folder());
    namespace.kubectl(&["create", "secret", "generic", "api", "--from-literal=TOKEN=x"]).unwrap();
    let objects = api_with_store(&namespace.folder().join("data"));
    apply(&namespace, &objects, &["deployment/api"]);
    release(&namespace, "1.0.0", "", "schema = 1");
    release(&namespace, "2.0.0", "", "schema = 1");
    release(&namespace, "2.0.1-bad", "", "schema = 1");
    write_stack(&namespace, within, "");
    (namespace, folder)
}

fn release(namespace: &Namespace, version: &str, component: &str, datastore: &str) {
    let entries =
        format!("{}{component}\n[datastores.orders]\n{datastore}\n", image("api", version));
    write_release(namespace.folder(), version, &entries);
}

/// A release that migrates the store with these words after `/app`.
fn migrating(namespace: &Namespace, words: &str) {
    let migrate = format!(
        "schema = 3\nmigration = \"breaking\"\n\
         migrate = {{ with = \"api\", command = [\"/app\", {words}, \"/data\", \"3\"] }}"
    );
    release(namespace, "3.0.0", "", &migrate);
}

fn write_stack(namespace: &Namespace, within: &str, component: &str) {
    StackFile::new(namespace, "api")
        .workload("deployment/api", within, &format!("needs = [\"orders\"]\n{component}"))
        .store("orders", "\"api\"")
        .write();
}

#[test]
fn a_deployment_is_upgraded_by_its_image_r41() {
    let (namespace, _folder) = api(WITHIN);
    expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn an_image_that_never_gets_ready_is_undone_r53() {
    let (namespace, _folder) = api(WITHIN_SHORT);
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.1-bad"]).unwrap(), 3);
    assert!(shown.contains("Readiness probe failed"), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

#[test]
fn a_migration_runs_as_a_job_before_the_new_pods_with_writers_stopped_r32_t9() {
    let (namespace, _folder) = api(WITHIN);
    migrating(&namespace, "\"migrate\"");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert!(shown.contains("migrating from schema 1 to 3"), "{shown}");
    assert!(schema(&namespace).contains(r#""version":3"#), "{}", schema(&namespace));
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
    // The Job is gone one day; what it said stays.
    let report = expect(&namespace.vaultup(&["report"]).unwrap(), 0);
    assert!(report.contains("\n    migrating from schema 1 to 3"), "{report}");
}

/// The manifests name the first release's image for ever: no pod of it starts on the migrated
/// store, and what vaultup itself set in an earlier run is no conflict.
#[test]
fn manifests_are_applied_before_the_image_and_start_nothing_of_what_they_name_t4() {
    let (namespace, _folder) = api(WITHIN);
    let objects = api_with_store(&namespace.folder().join("data"));
    let changed = objects.replace("env: [", "env: [{name: ADDED, value: later}, ");
    fs::write(namespace.folder().join("api.yaml"), changed).unwrap();
    StackFile::new(&namespace, "api")
        .workload("deployment/api", WITHIN, "needs = [\"orders\"]")
        .lines("manifests = \"api.yaml\"")
        .store("orders", "\"api\"")
        .write();
    expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
    migrating(&namespace, "\"migrate\"");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
    // One for each release: none for what the manifests alone would have been.
    let images = "--output=jsonpath={.items[*].spec.template.spec.containers[0].image}";
    let sets = namespace.kubectl(&["get", "replicasets", images]).unwrap();
    let mut sets: Vec<&str> = sets.split_whitespace().collect();
    sets.sort_unstable();
    let of = |version: &str| format!("localhost/app:{version}");
    assert_eq!(sets, ["1.0.0", "2.0.0", "3.0.0"].map(of));
    let environment = ["get", "deployment/api", "--output=yaml"];
    assert!(namespace.kubectl(&environment).unwrap().contains("ADDED"), "what they say is there");
}

#[test]
fn a_migration_that_fails_half_way_is_restored_before_anything_starts_t4_t8() {
    let (namespace, _folder) = api(WITHIN);
    migrating(&namespace, "\"migrate\", \"-fail\"");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    assert!(shown.contains("duplicate key in `orders`"), "{shown}");
    assert_eq!(schema(&namespace), r#"{"version":1}"#);
    assert_eq!(fs::read_to_string(namespace.folder().join("data/orders")).unwrap(), "one\ntwo\n");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

#[test]
fn a_variable_that_nothing_configures_stops_the_plan_by_its_name_r8() {
    let (namespace, _folder) = api(WITHIN);
    release(&namespace, "2.0.0", "requires = [\"TOKEN\", \"DATA\", \"SIGNING_KEY\"]", "schema = 1");
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("requires SIGNING_KEY, and"), "{shown}");
    let configure = [
        "patch",
        "secret",
        "api",
        "--type=merge",
        "--patch={\"stringData\":{\"SIGNING_KEY\":\"s3cr3t-value\"}}",
    ];
    namespace.kubectl(&configure).unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[test]
fn a_paused_deployment_is_told_before_and_is_no_obstacle_on_the_way_back_t4() {
    let (namespace, _folder) = api(WITHIN);
    namespace.kubectl(&["rollout", "pause", "deployment/api"]).unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("it is paused"), "{shown}");
    namespace.kubectl(&["rollout", "resume", "deployment/api"]).unwrap();
    // A wave pauses it; what fails after that is undone all the same.
    write_stack(&namespace, WITHIN_SHORT, "waves = [\"1\", \"100%\"]");
    expect(&namespace.vaultup(&["run", "--to", "2.0.1-bad"]).unwrap(), 3);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    write_stack(&namespace, WITHIN, "waves = [\"1\", \"100%\"]");
    expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn rights_that_are_missing_are_named_with_the_role_that_gives_them() {
    let (namespace, _folder) = api(WITHIN);
    let as_viewer = namespace.as_viewer().unwrap();
    let shown = expect(&as_viewer(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("not allowed: ") && shown.contains("patch deployments.apps"), "{shown}");
    assert!(shown.contains(r#""kind":"Role""#), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

/// The cluster is gone while pods are replaced: nothing is guessed, and the end is as it should be.
#[test]
fn a_cluster_that_is_gone_in_the_middle_and_comes_back_leads_to_a_known_end() {
    let (namespace, _folder) = api(WITHIN);
    let gate = Gate::before(&namespace);
    let mut child = begun(gate.command(&namespace, &["run", "--to", "2.0.0"]));
    let image = ["get", "deployment/api", "--output=jsonpath={..image}"];
    until("the image is set", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the image was set");
        namespace.kubectl(&image).unwrap().contains("2.0.0")
    });
    gate.close();
    std::thread::sleep(std::time::Duration::from_secs(3));
    gate.open();
    let mut status = child.wait().unwrap().code();
    if status == Some(4) {
        status = namespace.vaultup(&["resume"]).unwrap().status;
    }
    let expected = match status {
        Some(0) => "localhost/app:2.0.0",
        Some(3) => "localhost/app:1.0.0",
        other => panic!("{other:?}"),
    };
    assert_eq!(namespace.serving().unwrap(), [expected]);
}

/// Killed between each effect and its record: ten moments and more, a migration among them.
#[test]
fn vaultup_killed_at_each_effect_of_a_migrating_run_is_resumed_to_the_end() {
    let (namespace, _folder) = api(WITHIN);
    migrating(&namespace, "\"migrate\"");
    let mut command = namespace.command(&["run", "--to", "3.0.0"]);
    let mut killed = 0;
    for effect in 1..=MOMENTS_MAX {
        command.env("VAULTUP_TEST_CRASH", format!("{effect}:unrecorded"));
        let status = command.output().unwrap().status.code();
        if status.is_some() {
            assert_eq!(status, Some(0), "effect {effect}");
            break;
        }
        killed += 1;
        command = namespace.command(&["resume"]);
    }
    assert!(killed >= 8, "only {killed} moments");
    expect(&namespace.vaultup(&["status"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
    let jobs = namespace.kubectl(&["get", "jobs", "--output=name"]).unwrap();
    assert_eq!(jobs.lines().count(), 1, "the migration ran once: {jobs}");
}

/// A Job as a component: a release runs once, and what failed is removed on the way back.
#[test]
fn a_job_runs_once_for_a_release_and_is_removed_on_the_way_back() {
    let (namespace, _folder) = namespace(&["kubernetes"]);
    fs::write(namespace.folder().join("seed.yaml"), SEED).unwrap();
    namespace.kubectl(&["apply", "--filename=seed.yaml"]).unwrap();
    namespace.kubectl(&["wait", "--for=condition=complete", "job/seed", "--timeout=4m"]).unwrap();
    for version in ["1.0.0", "2.0.0", "9.0.0"] {
        write_release(namespace.folder(), version, &image("seed", version));
    }
    let write = |within| {
        StackFile::new(&namespace, "seed").workload("job/seed", within, "").write();
    };
    write(WITHIN);
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert!(shown.contains("seeding"), "{shown}");
    let jobs = || namespace.kubectl(&["get", "jobs", "--output=name"]).unwrap();
    assert_eq!(jobs().lines().count(), 2, "{}", jobs());
    // There is no image 9.0.0.
    write("20s");
    expect(&namespace.vaultup(&["run", "--to", "9.0.0"]).unwrap(), 3);
    assert_eq!(jobs().lines().count(), 2, "{}", jobs());
    let shown = expect(&namespace.vaultup(&["status"]).unwrap(), 0);
    assert!(shown.contains("2.0.0"), "{shown}");
}
