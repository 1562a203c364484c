//! Jobs and CronJobs against scripted answers of kubectl.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use vaultup_sdk::deploy::{Change, Presence, Severity, Wave};
use vaultup_sdk::process::Exit;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};
use vaultup_sdk::{Case, Deploy, Error, Observation, Operation};

use crate::tests::{each_phase, happens_in_the_namespace_of_the_copy, on_a_copy};
use crate::{KubernetesPlugin, Settings};

const WAVE: Wave = Wave { number: 1, of: 1, instances: 1 };

/// What the cluster has: a CronJob, or Jobs.
struct World {
    machine: Installed,
    objects: Rc<RefCell<Vec<Value>>>,
    workload: &'static str,
}

impl World {
    fn new(workload: &'static str, object: Value) -> Self {
        let machine =
            Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
        let objects = Rc::new(RefCell::new(vec![object]));
        let known = Rc::clone(&objects);
        machine.answer("kubectl", move |call| answer(call, &mut known.borrow_mut()));
        Self { machine, objects, workload }
    }

    fn cron_job() -> Self {
        let template = json!({"spec": {"containers": [{"name": "app", "image": "app:1.0.0"}]}});
        Self::new(
            "cronjob/digest",
            json!({
                "kind": "CronJob", "metadata": {"name": "digest", "uid": "c", "annotations": {}},
                "spec": {"suspend": false, "jobTemplate": {"spec": {"template": template}}},
            }),
        )
    }

    fn job() -> Self {
        let labels = json!({"controller-uid": "x", "app": "seed"});
        let template = json!({"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "app:1.0.0"}]}});
        Self::new(
            "job/seed",
            json!({
                "kind": "Job", "metadata": {"name": "seed", "uid": "j", "creationTimestamp": "1"},
                "spec": {"selector": {}, "template": template},
                "status": {"conditions": [{"type": "Complete", "status": "True"}]},
            }),
        )
    }

    fn operation(&self) -> Operation<Settings> {
        let settings = serde_json::from_value(json!({"workload": self.workload})).unwrap();
        let mut operation = self.machine.operation(settings);
        operation.key = "run1.3".to_owned();
        let mut next = self.machine.release("2.0.0");
        next.artifact = Some("app:2.0.0".to_owned());
        operation.next = Some(next);
        operation
    }

    fn apply(&self) -> Result<(), Error> {
        <KubernetesPlugin as Deploy>::apply(&self.operation(), WAVE)
    }

    fn status(&self, change: Change) -> Observation {
        <KubernetesPlugin as Deploy>::status(&self.operation(), change).unwrap()
    }

    fn image(&self) -> Value {
        let object = self.objects.borrow()[0].clone();
        crate::batch::pod_template(&object)["spec"]["containers"][0]["image"].clone()
    }

    fn changes(&self) -> Vec<String> {
        let calls = self.machine.take_calls().into_iter();
        let changing = ["kubectl patch", "kubectl create", "kubectl delete"];
        calls.filter(|call| changing.iter().any(|start| call.starts_with(start))).collect()
    }
}

fn answer(call: &Call, objects: &mut Vec<Value>) -> Reply {
    let second = call.arguments.get(1).map_or("", String::as_str);
    match (call.arguments[0].as_str(), second) {
        ("get", list) if list.starts_with("deployments") || list == "jobs.batch" => {
            let jobs = objects.iter().filter(|its| its["kind"] == "Job");
            Reply::output(json!({"items": jobs.collect::<Vec<_>>()}).to_string())
        }
        ("get", "cronjob/digest" | "job/seed") => Reply::output(objects[0].to_string()),
        ("get", "events") => Reply::output(r#"{"items": []}"#),
        ("config", _) => {
            Reply::output(r#"{"clusters": [{"cluster": {"server": "https://127.0.0.1"}}]}"#)
        }
        ("version", _) => Reply::output(r#"{"clientVersion": {"gitVersion": "v1.34.5"}}"#),
        ("auth", _) => Reply::output("*.*  []  []  [*]\n"),
        ("patch", _) => {
            let patch = call.arguments.iter().find_map(|word| word.strip_prefix("--patch="));
            merge(&mut objects[0], &serde_json::from_str(patch.unwrap()).unwrap());
            Reply::output("patched")
        }
        ("create", _) => {
            let mut made: Value = serde_json::from_str(&call.input).unwrap();
            if objects.iter().any(|its| its["metadata"]["name"] == made["metadata"]["name"]) {
                return Reply::exit(1).with_errors("Error (AlreadyExists): it exists");
            }
            made["metadata"]["uid"] = json!("made");
            made["metadata"]["creationTimestamp"] = json!("2");
            made["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
            objects.push(made);
            Reply::output("created")
        }
        ("delete", "job") => {
            objects.retain(|its| its["metadata"]["name"] != *call.arguments[2]);
            Reply::output("deleted")
        }
        ("logs", _) => Reply::output(""),
        other => panic!("nobody asked for {other:?}"),
    }
}

/// A merge patch; lists of one container are merged too, as a strategic one does.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    into.remove(key);
                } else {
                    merge(into.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(into), Value::Array(patch)) => merge(&mut into[0], &patch[0]),
        (into @ Value::Null, Value::Object(_)) => {
            *into = json!({});
            merge(into, patch);
        }
        (into, patch) => *into = patch.clone(),
    }
}

#[test]
fn nothing_of_a_rehearsal_touches_the_live_namespace_r22() {
    let makes: [fn() -> World; 2] = [World::cron_job, World::job];
    for make in makes {
        let world = make();
        let operation = on_a_copy(world.operation());
        <KubernetesPlugin as Deploy>::apply(&operation, WAVE).unwrap();
        KubernetesPlugin::stop(&operation).unwrap();
        KubernetesPlugin::start(&operation, 1).unwrap();
        KubernetesPlugin::observe(&operation).unwrap();
        happens_in_the_namespace_of_the_copy(&world.machine.take_calls());
    }
}

#[test]
fn a_cron_job_is_suspended_while_it_is_changed_and_resumed_as_it_was() {
    let world = World::cron_job();
    assert_eq!(world.status(Change::Apply(WAVE)), Observation::NotStarted);
    world.apply().unwrap();
    let changes = world.changes();
    assert!(changes[0].contains(r#""suspend":true"#), "{changes:?}");
    assert!(changes[1].contains("app:2.0.0"), "{changes:?}");
    assert!(changes[2].contains(r#""suspend":false"#), "{changes:?}");
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Done(_)));
    world.apply().unwrap();
    assert_eq!(world.changes(), Vec::<String>::new(), "it is done");
    // One that somebody suspended stays so.
    let world = World::cron_job();
    world.objects.borrow_mut()[0]["spec"]["suspend"] = json!(true);
    world.apply().unwrap();
    assert_eq!(world.objects.borrow()[0]["spec"]["suspend"], true);
}

#[test]
fn a_cron_job_that_was_stopped_is_resumed_on_the_way_back_with_its_image() {
    let world = World::cron_job();
    let operation = world.operation();
    let revision = KubernetesPlugin::way_back(&operation).unwrap().revision.unwrap();
    assert_eq!(revision, "app:1.0.0");
    KubernetesPlugin::stop(&operation).unwrap();
    assert!(matches!(world.status(Change::Stop), Observation::Done(_)));
    world.apply().unwrap();
    KubernetesPlugin::stop(&operation).unwrap();
    KubernetesPlugin::revert(&operation, &revision, Presence::Stopped).unwrap();
    assert_eq!(
        (world.image(), world.objects.borrow()[0]["spec"]["suspend"].clone()),
        (json!("app:1.0.0"), json!(true)),
        "T8: in place, and nothing runs"
    );
    KubernetesPlugin::start(&operation, 0).unwrap();
    assert_eq!(world.objects.borrow()[0]["spec"]["suspend"], false);
    assert!(matches!(world.status(Change::Start), Observation::Done(_)));
}

#[test]
fn a_job_of_a_cron_job_that_runs_is_waited_for() {
    let world = World::cron_job();
    world.objects.borrow_mut().push(json!({"kind": "Job",
        "metadata": {"name": "digest-1", "uid": "r", "ownerReferences": [{"uid": "c"}]},
        "status": {"active": 1}}));
    let error = KubernetesPlugin::stop(&world.operation()).unwrap_err();
    assert_eq!(error.case(), &Case::TimedOut);
    assert!(error.message().contains("job/digest-1 still runs"), "{error}");
    assert!(matches!(world.status(Change::Stop), Observation::InProgress(_)));
}

#[test]
fn a_job_runs_once_for_an_operation_and_what_ran_before_is_not_run_again() {
    let world = World::job();
    let operation = world.operation();
    assert_eq!(world.status(Change::Apply(WAVE)), Observation::NotStarted);
    world.apply().unwrap();
    world.apply().unwrap();
    let made = world.objects.borrow()[1].clone();
    assert_eq!(world.objects.borrow().len(), 2);
    assert_eq!(made["spec"]["template"]["metadata"]["labels"], json!({"app": "seed"}));
    assert_eq!(made["spec"]["selector"], Value::Null);
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Done(_)));
    let seen = KubernetesPlugin::observe(&operation).unwrap();
    assert_eq!(seen.version.as_deref(), Some("2.0.0"));
    KubernetesPlugin::revert(&operation, "seed", Presence::Running).unwrap();
    assert_eq!(world.objects.borrow().len(), 1, "the release's Job is gone");
    let seen = KubernetesPlugin::observe(&operation).unwrap();
    assert_eq!(seen.version.as_deref(), Some("1.0.0"));
    let error = KubernetesPlugin::revert(&operation, "gone", Presence::Running).unwrap_err();
    assert_eq!(error.case(), &Case::NotFound);
}

#[test]
fn what_could_not_be_undone_is_no_way_back() {
    let world = World::cron_job();
    let mut operation = world.operation();
    operation.settings.manifests = Some("all.yaml".to_owned());
    assert!(!KubernetesPlugin::way_back(&operation).unwrap().available);
}

#[test]
fn variables_that_a_release_needs_are_looked_for_at_jobs_too_r8() {
    let world = World::cron_job();
    let mut operation = world.operation();
    operation.next.as_mut().unwrap().entry = json!({"requires": ["TOKEN"]}).to_string();
    let found = KubernetesPlugin::preview(&operation).unwrap().differences;
    assert!(found.iter().any(|its| its.severity == Severity::Blocking), "{found:?}");
}

#[test]
fn answers_that_no_real_cluster_gives_on_demand_are_errors_in_every_phase() {
    let wrong: [fn() -> Reply; 6] = [
        || Reply::ended(Exit::Deadline),
        || Reply::ended(Exit::OutputLimit),
        || Reply::output(r#"{"kind": "CronJo"#),
        || Reply::output(r#"{"kind": "Pod", "metadata": 3, "items": 4}"#),
        || Reply::output(r#"{"items": []}"#),
        || Reply::exit(1).with_errors("Unable to connect to the server: EOF"),
    ];
    let makes: [fn() -> World; 2] = [World::cron_job, World::job];
    for (make, reply) in makes.into_iter().flat_map(|make| wrong.map(|reply| (make, reply))) {
        let world = make();
        world.machine.answer("kubectl", move |_| reply());
        let operation = world.operation();
        let phases = each_phase(&operation, WAVE, "gone");
        let workload = world.workload;
        for (phase, answer) in phases.iter().enumerate() {
            assert!(answer.is_err(), "{workload}: phase {phase} took {:?} for an answer", reply());
        }
        assert_eq!(world.changes(), Vec::<String>::new(), "{workload}: {:?}", reply());
    }
}
