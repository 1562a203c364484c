//! A Message Center: the Deployment `core-admin` with its store, its configuration in a ConfigMap
//! and a Secret, and a CronJob that writes to the same store.

use std::fs;

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{StackFile, apply, cron_job, image, schema, write_release, write_store};
use super::support::{WITHIN, WITHIN_SHORT, begun, expect, in_order, namespace, until};

const OBJECTS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: core-admin}
data: {MONGODB_DB: center}
---
apiVersion: v1
kind: Secret
metadata: {name: core-admin}
stringData: {MONGODB_URI: s3cr3t-address}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: core-admin}
spec:
  replicas: 2
  progressDeadlineSeconds: 300
  selector: {matchLabels: {app: core-admin}}
  template:
    metadata: {labels: {app: core-admin}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: app
        image: localhost/app:1.0.0
        imagePullPolicy: IfNotPresent
        env:
        - {name: DATA, value: /data}
        - {name: MONGODB_URI, valueFrom: {secretKeyRef: {name: core-admin, key: MONGODB_URI}}}
        envFrom: [{configMapRef: {name: core-admin}}]
        volumeMounts: [{name: data, mountPath: /data}]
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
      volumes: [{name: data, hostPath: {path: FOLDER/data, type: Directory}}]
---
";

/// The stack at 1.0.0, with releases 2.0.0, which migrates nothing, and 3.0.0.
/// `more` are more entries of `core-admin`.
fn center(within: &str, sleep: &str, more: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["kubernetes", "files"]);
    let path = namespace.folder().to_owned();
    write_store(&path);
    let objects = OBJECTS.replace("FOLDER", &path.display().to_string());
    apply(&namespace, &(objects + &cron_job("digest", sleep)), &["deployment/core-admin"]);
    release(&namespace, "1.0.0", "", "schema = 1");
    release(&namespace, "2.0.0", "", "schema = 1");
    migrating(&namespace, "");
    let scope = namespace.name();
    let ask = |words: &str| {
        format!(
            "[\"kubectl\", \"exec\", \"deployment/core-admin\", \"--namespace={scope}\", \"--\", \
             \"/app\", \"get\", {words}]"
        )
    };
    let audit = "\"-expect\", \":0}\", \"http://127.0.0.1:8080/api/diagnostics/audit\"";
    let version = "\"http://127.0.0.1:8080/version\"";
    let core_admin = format!(
        "[[components.core-admin.health]]\nwithin = \"{WITHIN}\"\ncommand = {}\n\
         [components.core-admin.smoke]\nwithin = \"{WITHIN}\"\nrun = {}",
        ask(audit),
        ask(version)
    );
    StackFile::new(&namespace, "center")
        .workload("deployment/core-admin", within, &format!("needs = [\"mongo\"]\n{more}"))
        .lines(&core_admin)
        .workload("cronjob/digest", WITHIN, "needs = [\"core-admin\"]")
        .store("mongo", "\"core-admin\", \"digest\"")
        .write();
    (namespace, folder)
}

fn release(namespace: &Namespace, version: &str, component: &str, datastore: &str) {
    let entries = format!(
        "{}{component}\n{}[datastores.mongo]\n{datastore}\n",
        image("core-admin", version),
        image("digest", version)
    );
    write_release(namespace.folder(), version, &entries);
}

/// Release 3.0.0, which migrates with the new image and the workload's own secret.
fn migrating(namespace: &Namespace, flags: &str) {
    let migrate = format!(
        "schema = 3\nmigration = \"breaking\"\nmigrate = {{ with = \"core-admin\", command = \
         [\"/app\", \"migrate\", \"-need\", \"MONGODB_URI\", {flags} \"/data\", \"3\"] }}"
    );
    release(namespace, "3.0.0", "", &migrate);
}

fn of_the_cron_job(namespace: &Namespace, path: &str) -> String {
    let path = format!("--output=jsonpath={{{path}}}");
    namespace.kubectl(&["get", "cronjob/digest", &path]).unwrap()
}

/// Image and suspension of the CronJob; what vaultup wrote down at it must be gone.
fn image_and_suspension(namespace: &Namespace) -> (String, String) {
    let noted = of_the_cron_job(namespace, ".metadata.annotations.vaultup\\.dev/suspended");
    assert_eq!(noted, "", "vaultup still holds it");
    let image = ".spec.jobTemplate.spec.template.spec.containers[0].image";
    (of_the_cron_job(namespace, image), of_the_cron_job(namespace, ".spec.suspend"))
}

/// R15 R33 the schema before and after; R27 R31 a proven backup; R32 T4 the migration is a Job with
/// the new image and the workload's own secret; T9 nobody writes meanwhile; R41 rollout with a
/// deadline; R48 API, schema, audit; R50 a check from end to end. No value of a secret is shown.
#[test]
fn migrations_run_with_the_new_image_before_new_pods_r15_r27_r32_r33_r41_r48_r50_t4_t9() {
    let (namespace, _folder) = center(WITHIN, "0s", "");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert!(shown.contains("migrating from schema 1 to 3"), "{shown}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(schema(&namespace).contains(r#""version":3"#), "{}", schema(&namespace));
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
    let (image, suspended) = image_and_suspension(&namespace);
    assert_eq!((image.as_str(), suspended.as_str()), ("localhost/app:3.0.0", "false"));
    // R51: what the pods wrote since can be read, and is no failure.
    let logs = namespace.kubectl(&["logs", "--selector=app=core-admin", "--since=5m"]).unwrap();
    assert!(logs.contains("serving version 3.0.0"), "{logs}");
}

/// R36 R52 R54 one way only, so the data comes back with the release; T8 before anything starts;
/// R38 once the cause is gone, migrating again is right.
#[test]
fn a_migration_that_fails_is_restored_and_may_be_run_again_r36_r38_r52_r54_t8() {
    let (namespace, _folder) = center(WITHIN, "0s", "");
    migrating(&namespace, "\"-fail\",");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    assert!(shown.contains("duplicate key in `orders`"), "{shown}");
    assert_eq!(schema(&namespace), r#"{"version":1}"#);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    let (image, suspended) = image_and_suspension(&namespace);
    assert_eq!((image.as_str(), suspended.as_str()), ("localhost/app:1.0.0", "false"));
    migrating(&namespace, "");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
}

/// R19: what waits in the fallback file of the audit would be lost.
#[test]
fn an_audit_fallback_file_that_is_not_empty_stops_the_run_r19() {
    let (namespace, _folder) = center(WITHIN, "0s", "");
    fs::write(namespace.folder().join("data/audit.fallback"), "an event\n").unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("api/diagnostics/audit"), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    fs::remove_file(namespace.folder().join("data/audit.fallback")).unwrap();
    expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
}

/// R2 R8: names of variables only; a key that a Secret does not have is as missing as a variable.
#[test]
fn variables_that_the_release_needs_are_looked_for_where_the_workload_has_them_r2_r8() {
    let (namespace, _folder) = center(WITHIN, "0s", "");
    release(&namespace, "2.0.0", "config = \".env.example\"", "schema = 1");
    let known = "# Where messages are.\nMONGODB_URI=\nMONGODB_DB=\nDATA=\nAUDIT_KEY=\nPORT=8080\n";
    fs::write(namespace.folder().join("releases/2.0.0/.env.example"), known).unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("requires AUDIT_KEY, and"), "{shown}");
    assert!(shown.contains("error[VU") && shown.contains("next:"), "{shown}");
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

/// A CronJob writes too: none begins during the run, one that runs is waited for, and it is resumed
/// on every path, also after `kill -9`.
#[test]
fn a_cron_job_is_suspended_for_the_run_and_resumed_on_every_path_t7_t9() {
    let (namespace, _folder) = center(WITHIN, "6s", "");
    namespace.kubectl(&["create", "job", "running", "--from=cronjob/digest"]).unwrap();
    let active = ["get", "job/running", "--output=jsonpath={.status.active}"];
    until("the Job runs", || namespace.kubectl(&active).unwrap().trim() == "1");
    let mut child = begun(namespace.command(&["run", "--to", "3.0.0"]));
    until("the CronJob is suspended", || {
        assert!(child.try_wait().unwrap().is_none(), "the run ended before");
        of_the_cron_job(&namespace, ".spec.suspend") == "true"
    });
    child.kill().unwrap();
    child.wait().unwrap();
    expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
    let succeeded = ["get", "job/running", "--output=jsonpath={.status.succeeded}"];
    assert_eq!(namespace.kubectl(&succeeded).unwrap().trim(), "1", "it was let end");
    let (image, suspended) = image_and_suspension(&namespace);
    assert_eq!((image.as_str(), suspended.as_str()), ("localhost/app:3.0.0", "false"));
}

/// R53: `rollout undo` refuses a paused Deployment, and pausing drains nothing (T4).
#[test]
fn an_image_that_crashes_in_a_wave_is_undone_although_the_deployment_is_paused_r53_t4() {
    let waves = "waves = [\"1\", \"100%\"]";
    let (namespace, _folder) = center(WITHIN_SHORT, "0s", waves);
    release(&namespace, "2.0.1-crash", "", "schema = 1");
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.1-crash"]).unwrap(), 3);
    in_order(&shown, &["core-admin, wave 1 of 2", "crashing as told"]);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    let paused = ["get", "deployment/core-admin", "--output=jsonpath={.spec.paused}"];
    assert_eq!(namespace.kubectl(&paused).unwrap(), "");
}
