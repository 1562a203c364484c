//! Rehearsals in a namespace of their own, with a restored copy of the data.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{
    StackFile, api_with_store, apply, cron_job, image, write_migrating_values, write_release,
    write_store,
};
use super::support::{WITHIN_SHORT, expect, namespace, until};

const BAD: &str = "2.0.1-bad";
const STORE_OF_THE_COPY: &str =
    "[datastores.orders.rehearsal.settings]\npath = \"data.vaultup-copy\"";

/// What must be the same after a rehearsal as before: everything live, and that there is no copy.
#[derive(Debug, PartialEq)]
struct Live {
    namespaces: String,
    objects: String,
    history: Vec<(u64, String, String)>,
    files: Vec<String>,
    schema: String,
}

fn live(namespace: &Namespace, release: Option<&str>) -> Live {
    let words = [
        "get",
        "deployments,replicasets,pods,jobs,cronjobs,services,configmaps,secrets",
        "--output=jsonpath={range .items[*]}{.kind}/{.metadata.name} {.metadata.uid} \
         {.metadata.generation}{\"\\n\"}{end}",
    ];
    let named =
        format!("jsonpath={{.items[?(@.metadata.name=='{}')].metadata.name}}", copys(namespace));
    let names = ["get", "namespaces", &format!("--output={named}")];
    let mut files: Vec<String> = fs::read_dir(namespace.folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "home")
        .collect();
    files.sort();
    Live {
        namespaces: namespace.kubectl(&names).unwrap(),
        objects: namespace.kubectl(&words).unwrap(),
        history: release.map_or(Vec::new(), |release| namespace.history(release).unwrap()),
        files,
        schema: fs::read_to_string(namespace.folder().join("data/schema.json")).unwrap(),
    }
}

/// The name of the copy's namespace.
fn copys(namespace: &Namespace) -> String {
    format!("{}-rehearsal", namespace.name())
}

/// A shop whose chart mounts a store of schema 1, with releases that run on it, that migrate it by
/// a hook, and that never get ready.
fn shop() -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm", "files"]);
    let path = namespace.folder().to_owned();
    write_store(&path);
    for version in ["1.0.0", "2.0.0", BAD] {
        release(&namespace, version, "", "schema = 1");
    }
    write_migrating_values(&path, "migrate");
    write_stack(&namespace, "");
    let set = format!("--set=data={}", path.join("data").display());
    namespace.helm(&["install", "shop", "charts/1.0.0", &set, "--wait"]).unwrap();
    (namespace, folder)
}

fn release(namespace: &Namespace, version: &str, component: &str, datastore: &str) {
    let entry = format!(
        "[components.shop]\nchart = \"charts/{version}\"\n{component}\n\
         [datastores.orders]\n{datastore}\n"
    );
    namespace.chart(version, &entry).unwrap();
}

/// A release whose hook migrates the store to schema 3, with this image.
fn migrating(namespace: &Namespace, version: &str, image: &str, class: &str) {
    let component = format!("values = [\"migrating.yaml\"]\nset = [\"image={image}\"]");
    let datastore = format!(
        "schema = 3\nmigration = \"{class}\"\nmigrate = {{ with = \"shop\", at-start = true }}"
    );
    release(namespace, version, &component, &datastore);
}

/// `copy` ends the list of the copy's sets and says more of its settings; empty: nothing more.
fn write_stack(namespace: &Namespace, copy: &str) {
    let data = namespace.folder().join("data").display().to_string();
    let copy = if copy.is_empty() { "]" } else { copy };
    StackFile::new(namespace, "shop")
        .helm("shop", WITHIN_SHORT, "needs = [\"orders\"]", &format!("set = [\"data={data}\"]"))
        .lines(&format!(
            "[components.shop.rehearsal.settings]\nset = [\"data={data}.vaultup-copy\"{copy}"
        ))
        .store("orders", "\"shop\"")
        .lines(STORE_OF_THE_COPY)
        .write();
}

#[test]
fn a_release_is_rehearsed_in_a_namespace_of_its_own_that_is_gone_afterwards_r22() {
    let (namespace, _folder) = shop();
    migrating(&namespace, "3.0.0", "3.0.0", "breaking");
    let before = live(&namespace, Some("shop"));
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(live(&namespace, Some("shop")), before, "{shown}");
    assert!(shown.contains(&format!("made namespace `{}`", copys(&namespace))), "{shown}");
    assert!(shown.contains("installing charts/1.0.0"), "{shown}");
    assert!(shown.contains("3.0.0 rehearsed there and back"), "{shown}");
    // 1.0.0 does not start on schema 3, which was found out on the copy.
    assert!(shown.contains("schema 3 is newer than 1"), "{shown}");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
}

#[test]
fn a_rehearsal_that_fails_says_why_and_leaves_nothing_behind() {
    let (namespace, _folder) = shop();
    let before = live(&namespace, Some("shop"));
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", BAD]).unwrap(), 1);
    assert!(shown.contains("Readiness probe failed"), "{shown}");
    assert_eq!(live(&namespace, Some("shop")), before, "{shown}");
}

/// Killed after the copy was filled, installed, before and after it was upgraded, when it was gone.
#[test]
fn a_rehearsal_that_is_killed_and_resumed_leaves_nothing_behind() {
    let (namespace, _folder) = shop();
    let before = live(&namespace, Some("shop"));
    for moment in ["4:unrecorded", "6:unrecorded", "9:before", "9:unrecorded", "16:unrecorded"] {
        let mut command = namespace.command(&["rehearse", "--to", "2.0.0"]);
        let killed = command.env("VAULTUP_TEST_CRASH", moment).output().unwrap();
        assert_eq!(
            killed.status.code(),
            None,
            "{moment}: {}",
            String::from_utf8_lossy(&killed.stderr)
        );
        let shown = expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
        assert_eq!(live(&namespace, Some("shop")), before, "{moment}: {shown}");
    }
}

/// Killed with `SIGKILL` while helm installs the copy.
#[test]
fn a_rehearsal_that_is_killed_while_helm_installs_leaves_nothing_behind() {
    let (namespace, _folder) = shop();
    let before = live(&namespace, Some("shop"));
    let mut child = namespace.command(&["rehearse", "--to", "2.0.0"]).spawn().unwrap();
    until_copy_has_pods(&namespace, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let shown = expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(live(&namespace, Some("shop")), before, "{shown}");
}

#[test]
fn a_rehearsal_that_a_person_stops_removes_its_copy_first() {
    for signals in 1..=2 {
        let (namespace, _folder) = shop();
        let before = live(&namespace, Some("shop"));
        let mut command = namespace.command(&["rehearse", "--to", "2.0.0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until_copy_has_pods(&namespace, &mut child);
        for _ in 0..signals {
            let id = child.id().to_string();
            assert!(
                std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success()
            );
            std::thread::sleep(Duration::from_millis(300));
        }
        let ran = stage::Ran::of(child.wait_with_output().unwrap());
        let shown = expect(&ran, 1);
        assert_eq!(live(&namespace, Some("shop")), before, "{signals} signals: {shown}");
    }
}

fn until_copy_has_pods(namespace: &Namespace, child: &mut std::process::Child) {
    let flag = format!("--namespace={}", copys(namespace));
    until("the copy has pods", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the copy had pods");
        // The last of two flags counts.
        let mut pods = namespace.program("kubectl", &["get", "pods", "--output=name"]);
        let seen = pods.arg(&flag).output().unwrap();
        String::from_utf8_lossy(&seen.stdout).contains("pod/shop")
    });
}

#[test]
fn what_a_rehearsal_showed_counts_when_the_way_back_is_decided_r52() {
    let (namespace, _folder) = shop();
    // 3.0.0 runs on schema 1 and on schema 3; 3.1.0 migrates, and what is deployed live never gets
    // ready, unlike the copy.
    release(&namespace, "3.0.0", "", "schema = 1");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    migrating(&namespace, "3.1.0", BAD, "compatible");
    write_stack(&namespace, ", \"image=3.0.0\"]");
    let before = live(&namespace, Some("shop"));
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", "3.1.0"]).unwrap(), 0);
    assert_eq!(live(&namespace, Some("shop")), before, "{shown}");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.1.0"]).unwrap(), 3);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"], "{shown}");
    let schema = fs::read_to_string(namespace.folder().join("data/schema.json")).unwrap();
    assert!(schema.contains(r#""version":3"#), "the data is kept as it was migrated: {schema}");
}

#[test]
fn a_copy_is_never_in_the_live_namespace_nor_in_one_of_others() {
    let (namespace, _folder) = shop();
    let before = live(&namespace, Some("shop"));
    let name = namespace.name();
    write_stack(&namespace, &format!("]\nnamespace = \"{name}\""));
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", "2.0.0"]).unwrap(), 2);
    assert!(shown.contains(&format!("in the live namespace `{name}`")), "{shown}");
    assert!(shown.contains("error[VU") && shown.contains("next:"), "{shown}");
    write_stack(&namespace, "]\nnamespace = \"kube-public\"");
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("namespace `kube-public`, where the copy would be, exists"), "{shown}");
    assert!(shown.contains("no rehearsal made it"), "{shown}");
    assert_eq!(live(&namespace, Some("shop")), before, "{shown}");
    namespace.kubectl(&["get", "namespace", "kube-public"]).unwrap();
}

/// A plain Deployment with a store, a CronJob, and releases that run on it or migrate it by a Job.
fn api() -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["kubernetes", "files"]);
    let path = namespace.folder().to_owned();
    write_store(&path);
    fs::write(path.join("copy.yaml"), api_with_store(&path.join("data.vaultup-copy"))).unwrap();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: api}\nstringData: {TOKEN: copy}\n";
    fs::write(path.join("secret.yaml"), secret).unwrap();
    namespace.kubectl(&["create", "secret", "generic", "api", "--from-literal=TOKEN=x"]).unwrap();
    let objects = cron_job("digest", "1s") + &api_with_store(&path.join("data"));
    apply(&namespace, &objects, &["deployment/api"]);
    for version in ["1.0.0", "2.0.0", BAD] {
        plain_release(&namespace, version, "schema = 1");
    }
    let migrate = "schema = 3\nmigration = \"breaking\"\nmigrate = { with = \"api\", command = \
                   [\"/app\", \"migrate\", \"/data\", \"3\", \"${datastore}\"] }";
    plain_release(&namespace, "3.0.0", migrate);
    write_plain_stack(&namespace, "manifests = \"copy.yaml\"\nobjects = \"secret.yaml\"");
    (namespace, folder)
}

fn plain_release(namespace: &Namespace, version: &str, datastore: &str) {
    let images = image("api", version) + &image("digest", version);
    let entries = format!("{images}[datastores.orders]\n{datastore}\n");
    write_release(namespace.folder(), version, &entries);
}

fn write_plain_stack(namespace: &Namespace, copy: &str) {
    StackFile::new(namespace, "api")
        .workload("deployment/api", WITHIN_SHORT, "needs = [\"orders\"]")
        .lines(&format!("[components.api.rehearsal.settings]\n{copy}"))
        .workload("cronjob/digest", WITHIN_SHORT, "needs = [\"api\"]")
        .lines("[components.digest.rehearsal]")
        .store("orders", "\"api\"")
        .lines(STORE_OF_THE_COPY)
        .write();
}

#[test]
fn a_deployment_is_rehearsed_with_its_migration_and_nothing_is_left_r22_t4() {
    let (namespace, _folder) = api();
    let before = live(&namespace, None);
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", "3.0.0"]).unwrap(), 0);
    assert!(shown.contains("migrating from schema 1 to 3"), "{shown}");
    assert!(shown.contains("schema 3 is newer than 1"), "{shown}");
    assert!(shown.contains("cronjob/digest as a copy, suspended"), "{shown}");
    assert_eq!(live(&namespace, None), before, "{shown}");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
}

#[test]
fn a_deployment_s_rehearsal_that_fails_or_is_killed_leaves_nothing_behind() {
    let (namespace, _folder) = api();
    let before = live(&namespace, None);
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", BAD]).unwrap(), 1);
    assert!(shown.contains("Readiness probe failed"), "{shown}");
    assert_eq!(live(&namespace, None), before, "{shown}");
    for moment in ["6:before", "6:unrecorded", "9:unrecorded"] {
        let mut command = namespace.command(&["rehearse", "--to", "2.0.0"]);
        let killed = command.env("VAULTUP_TEST_CRASH", moment).output().unwrap();
        assert_eq!(killed.status.code(), None, "{moment}");
        let shown = expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
        assert_eq!(live(&namespace, None), before, "{moment}: {shown}");
    }
}

#[test]
fn a_copy_that_would_mount_live_data_is_refused_before_anything_is_made() {
    let (namespace, _folder) = api();
    let before = live(&namespace, None);
    write_plain_stack(&namespace, "objects = \"secret.yaml\"");
    let shown = expect(&namespace.vaultup(&["rehearse", "--to", "2.0.0"]).unwrap(), 2);
    assert!(shown.contains("would get at what is live by data"), "{shown}");
    assert!(shown.contains("`manifests`"), "{shown}");
    assert_eq!(live(&namespace, None), before, "{shown}");
}
