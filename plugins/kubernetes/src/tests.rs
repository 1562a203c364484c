//! The plugin against scripted answers of kubectl.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use vaultup_sdk::deploy::{Change, Presence, Severity, Wave};
use vaultup_sdk::migrate::Request;
use vaultup_sdk::process::Exit;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};
use vaultup_sdk::{Case, Copied, Deploy, Error, Migrate, Observation, Operation, Target};

use crate::job::name_for as job_name;
use crate::{KubernetesPlugin, Settings};

const WHOLE: Wave = Wave { number: 1, of: 1, instances: 2 };

/// A Deployment at 1.0.0 whose pods follow every change at once.
struct World {
    machine: Installed,
    live: Rc<RefCell<Value>>,
    jobs: Rc<RefCell<Vec<Value>>>,
}

impl World {
    fn new() -> Self {
        let machine =
            Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
        let live = Rc::new(RefCell::new(json!({
            "kind": "Deployment",
            "metadata": {"name": "api", "uid": "u", "generation": 1, "annotations": {}},
            "spec": {"replicas": 2, "template": {"spec": {"containers": [
                {"name": "app", "image": "api:1.0.0", "envFrom": [{"secretRef": {"name": "api"}}]},
            ]}}},
            "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
                "availableReplicas": 2, "readyReplicas": 2},
        })));
        let jobs: Rc<RefCell<Vec<Value>>> = Rc::default();
        let (known, made) = (Rc::clone(&live), Rc::clone(&jobs));
        machine.answer("kubectl", move |call| answer(call, &known, &made));
        Self { machine, live, jobs }
    }

    fn operation(&self) -> Operation<Settings> {
        let settings = json!({"workload": "deployment/api"});
        let settings = serde_json::from_value(settings).unwrap();
        let mut operation = self.machine.operation(settings);
        operation.key = "run1.3".to_owned();
        let mut next = self.machine.release("2.0.0");
        next.artifact = Some("api:2.0.0".to_owned());
        operation.next = Some(next);
        operation
    }

    fn changes(&self) -> Vec<String> {
        let calls = self.machine.take_calls();
        let changing = ["kubectl patch", "kubectl rollout", "kubectl apply", "kubectl create"];
        let is_change = |call: &String| changing.iter().any(|start| call.starts_with(start));
        calls.into_iter().filter(is_change).collect()
    }

    fn status(&self, change: Change) -> Observation {
        <KubernetesPlugin as Deploy>::status(&self.operation(), change).unwrap()
    }
}

fn answer(call: &Call, live: &RefCell<Value>, jobs: &RefCell<Vec<Value>>) -> Reply {
    let second = call.arguments.get(1).map_or("", String::as_str);
    match (call.arguments[0].as_str(), second) {
        ("get", list) if list.starts_with("deployments") => {
            let set = |name: &str, number: &str| {
                json!({"kind": "ReplicaSet", "metadata": {"name": name, "uid": name,
                    "ownerReferences": [{"uid": "u"}],
                    "annotations": {"deployment.kubernetes.io/revision": number}}})
            };
            let mut items = vec![live.borrow().clone(), set("api-old", "3"), set("api-new", "4")];
            items.extend(jobs.borrow().iter().cloned());
            Reply::output(json!({"items": items}).to_string())
        }
        ("get", "deployment/api") => Reply::output(live.borrow().to_string()),
        ("get", limits) if limits.starts_with("horizontal") => Reply::output(r#"{"items": []}"#),
        ("get", "events") => Reply::output(r#"{"items": []}"#),
        ("get", "secret/api") => Reply::output("TOKEN\n"),
        ("config", _) => {
            Reply::output(r#"{"clusters": [{"cluster": {"server": "https://127.0.0.1"}}]}"#)
        }
        ("version", _) => Reply::output(r#"{"clientVersion": {"gitVersion": "v1.34.5"}}"#),
        ("auth", _) => Reply::output("*.*  []  []  [*]\n"),
        ("patch", _) => {
            let patch = call.arguments.iter().find_map(|word| word.strip_prefix("--patch="));
            patched(&mut live.borrow_mut(), &serde_json::from_str(patch.unwrap()).unwrap());
            Reply::output("patched")
        }
        ("create", _) if jobs.borrow().is_empty() => {
            jobs.borrow_mut().push(json!({"kind": "Job",
                "metadata": {"name": job_name("run1.3"), "uid": "j"},
                "status": {"conditions": [{"type": "Complete", "status": "True"}]}}));
            Reply::output("created")
        }
        ("create", _) => Reply::exit(1).with_errors("Error (AlreadyExists): jobs already exists"),
        ("rollout", _) | ("logs", _) => Reply::output(""),
        other => panic!("nobody asked for {other:?}"),
    }
}

/// What a patch of image, replicas or pause makes of the workload.
fn patched(live: &mut Value, patch: &Value) {
    let image = &patch["spec"]["template"]["spec"]["containers"][0]["image"];
    if image.is_string() {
        live["spec"]["template"]["spec"]["containers"][0]["image"] = image.clone();
        live["spec"]["template"]["metadata"] = patch["spec"]["template"]["metadata"].clone();
    }
    for key in ["replicas", "paused"] {
        if !patch["spec"][key].is_null() {
            live["spec"][key] = patch["spec"][key].clone();
        }
    }
    if let Some(added) = patch["metadata"]["annotations"].as_object() {
        let annotations = live["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.extend(added.clone());
        annotations.retain(|_, value| !value.is_null());
    }
    for key in ["replicas", "updatedReplicas", "availableReplicas", "readyReplicas"] {
        live["status"][key] = live["spec"]["replicas"].clone();
    }
}

#[test]
fn an_image_is_set_once_and_found_done_afterwards() {
    let world = World::new();
    let operation = world.operation();
    assert_eq!(world.status(Change::Apply(WHOLE)), Observation::NotStarted);
    <KubernetesPlugin as Deploy>::apply(&operation, WHOLE).unwrap();
    let changes = world.changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].contains(r#"{"image":"api:2.0.0","name":"app"}"#), "{changes:?}");
    assert!(matches!(world.status(Change::Apply(WHOLE)), Observation::Done(_)));
    <KubernetesPlugin as Deploy>::apply(&operation, WHOLE).unwrap();
    assert_eq!(world.changes(), Vec::<String>::new());
}

#[test]
fn the_last_wave_of_a_stateful_set_is_not_done_while_its_partition_holds_pods_back() {
    let world = World::new();
    let (first, last) = (Wave { number: 1, of: 2, instances: 1 }, Wave { number: 2, ..WHOLE });
    let last = Wave { of: 2, ..last };
    <KubernetesPlugin as Deploy>::apply(&world.operation(), WHOLE).unwrap();
    {
        let mut live = world.live.borrow_mut();
        live["kind"] = json!("StatefulSet");
        live["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": 1}});
        live["status"]["updatedReplicas"] = json!(1);
    }
    let status = |wave| {
        let mut operation = world.operation();
        operation.settings.workload = "statefulset/api".to_owned();
        <KubernetesPlugin as Deploy>::status(&operation, Change::Apply(wave)).unwrap()
    };
    assert!(matches!(status(first), Observation::Done(_)));
    assert!(matches!(status(last), Observation::Failed(_) | Observation::NotStarted));
}

#[test]
fn a_stop_is_remembered_and_an_apply_after_it_starts_as_many_again() {
    let world = World::new();
    let operation = world.operation();
    KubernetesPlugin::stop(&operation).unwrap();
    assert!(matches!(world.status(Change::Stop), Observation::Done(_)));
    let seen = KubernetesPlugin::observe(&operation).unwrap();
    assert_eq!(seen.instances_wanted, 2, "how many there should be when everything is open");
    <KubernetesPlugin as Deploy>::apply(&operation, WHOLE).unwrap();
    assert_eq!(world.live.borrow()["spec"]["replicas"], 2);
}

#[test]
fn a_revision_is_known_by_its_name_because_its_number_changes() {
    let world = World::new();
    let operation = world.operation();
    let back = KubernetesPlugin::way_back(&operation).unwrap();
    assert_eq!(back.revision.as_deref(), Some("api-new"));
    world.live.borrow_mut()["spec"]["paused"] = json!(true);
    KubernetesPlugin::revert(&operation, "api-old", Presence::Running).unwrap();
    let changes = world.changes();
    assert!(changes[0].contains(r#"{"spec":{"paused":false}}"#), "T4: {changes:?}");
    assert!(changes[1].contains("undo deployment/api --to-revision=3"), "{changes:?}");
    let error = KubernetesPlugin::revert(&operation, "gone", Presence::Running).unwrap_err();
    assert_eq!(error.case(), &Case::NotFound);
}

#[test]
fn a_revision_is_put_in_place_with_no_instance_t8() {
    let world = World::new();
    KubernetesPlugin::revert(&world.operation(), "api-old", Presence::Stopped).unwrap();
    assert_eq!(world.live.borrow()["spec"]["replicas"], 0);
    let changes = world.changes();
    assert!(changes[0].contains(r#""replicas":0"#), "stopped first: {changes:?}");
    assert!(changes.last().unwrap().contains("undo"), "{changes:?}");
}

#[test]
fn a_migration_is_never_run_twice_for_one_operation_r38() {
    let world = World::new();
    let command = vec!["api".to_owned(), "migrate".to_owned()];
    let request = Request { datastore: "db".to_owned(), command, expected: None };
    let status = || <KubernetesPlugin as Migrate>::status(&world.operation(), &request).unwrap();
    assert_eq!(status(), Observation::NotStarted);
    <KubernetesPlugin as Migrate>::apply(&world.operation(), &request).unwrap();
    assert!(matches!(status(), Observation::Done(_)));
    // The Job's name is made from the key, so the cluster itself refuses a second one.
    <KubernetesPlugin as Migrate>::apply(&world.operation(), &request).unwrap();
    assert_eq!(world.jobs.borrow().len(), 1);
}

/// What is asked about a copy, and what is changed for it, is in the copy's namespace.
pub(crate) fn happens_in_the_namespace_of_the_copy(calls: &[String]) {
    assert!(!calls.is_empty());
    for call in calls.iter().filter(|call| !call.contains("version --client")) {
        assert!(call.contains("--namespace=default-rehearsal"), "{call}");
    }
}

/// The same operation on a copy of which the stack file says nothing.
pub(crate) fn on_a_copy(mut operation: Operation<Settings>) -> Operation<Settings> {
    operation.target = Target::Copy("rehearsal".to_owned());
    operation.copied = Some(Copied { live: operation.settings.clone(), differs: json!({}) });
    operation
}

#[test]
fn nothing_of_a_rehearsal_touches_the_live_namespace_r22() {
    let world = World::new();
    let operation = on_a_copy(world.operation());
    let command = vec!["api".to_owned(), "migrate".to_owned()];
    let request = Request { datastore: "db".to_owned(), command, expected: None };
    <KubernetesPlugin as Migrate>::apply(&operation, &request).unwrap();
    <KubernetesPlugin as Migrate>::status(&operation, &request).unwrap();
    <KubernetesPlugin as Deploy>::apply(&operation, WHOLE).unwrap();
    KubernetesPlugin::stop(&operation).unwrap();
    KubernetesPlugin::start(&operation, 2).unwrap();
    KubernetesPlugin::observe(&operation).unwrap();
    happens_in_the_namespace_of_the_copy(&world.machine.take_calls());
}

#[test]
fn what_a_release_requires_and_nobody_configures_is_named_r8() {
    let world = World::new();
    let mut operation = world.operation();
    let entry = json!({"requires": ["TOKEN", "SIGNING_KEY"]}).to_string();
    operation.next.as_mut().unwrap().entry = entry;
    let found = KubernetesPlugin::preview(&operation).unwrap().differences;
    let blocking = found.iter().find(|its| its.severity == Severity::Blocking).unwrap();
    assert!(blocking.detail.contains("requires SIGNING_KEY, and"), "{}", blocking.detail);
}

/// What becomes of each function that a run calls.
pub(crate) fn each_phase(
    operation: &Operation<Settings>,
    wave: Wave,
    revision: &str,
) -> [Result<(), Error>; 7] {
    [
        KubernetesPlugin::observe(operation).map(drop),
        KubernetesPlugin::way_back(operation).map(drop),
        KubernetesPlugin::preview(operation).map(drop),
        <KubernetesPlugin as Deploy>::apply(operation, wave),
        KubernetesPlugin::stop(operation),
        KubernetesPlugin::revert(operation, revision, Presence::Running),
        <KubernetesPlugin as Deploy>::status(operation, Change::Stop).map(drop),
    ]
}

#[test]
fn answers_that_no_real_cluster_gives_on_demand_are_errors_in_every_phase() {
    let wrong: [fn() -> Reply; 6] = [
        || Reply::ended(Exit::Deadline),
        || Reply::ended(Exit::OutputLimit),
        || Reply::output(r#"{"items": [{"kind": "Deploy"#),
        || Reply::output(r#"{"items": [{"kind": "Pod", "metadata": 3}]}"#),
        || Reply::output(r#"{"items": []}"#),
        || Reply::exit(1).with_errors("Unable to connect to the server: EOF"),
    ];
    for reply in wrong {
        let world = World::new();
        world.machine.answer("kubectl", move |_| reply());
        let operation = world.operation();
        let phases = each_phase(&operation, WHOLE, "api-old");
        for (phase, answer) in phases.iter().enumerate() {
            assert!(answer.is_err(), "phase {phase} took {:?} for an answer", reply());
        }
        assert_eq!(world.changes(), Vec::<String>::new(), "{:?}", reply());
    }
}
