//! Upgrades in waves, and the way back from the middle of one.

use super::*;

/// What a cluster would make of the changes: a Deployment that is not paused replaces one pod
/// between two looks.
fn answer_as_cluster(call: &Call, workload: &RefCell<Value>) -> Reply {
    let mut workload = workload.borrow_mut();
    match call.arguments[0].as_str() {
        "get" if call.arguments[1].starts_with("deployments") => {
            let new = workload["status"]["updatedReplicas"].as_u64().unwrap();
            if workload["spec"]["paused"] != true && new < 2 {
                workload["status"]["updatedReplicas"] = json!(new + 1);
            }
            Reply::output(json!({"items": [*workload]}).to_string())
        }
        "get" if call.arguments[1].starts_with("deployment/") => Reply::output("{}"),
        "patch" => {
            let patch = call.arguments.iter().find_map(|word| word.strip_prefix("--patch="));
            merge(&mut workload, &serde_json::from_str(patch.unwrap()).unwrap());
            Reply::output("patched")
        }
        _ => answer_as_kubectl(call),
    }
}

/// A merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    for (key, value) in patch {
        match value {
            Value::Null => drop(target.as_object_mut().unwrap().remove(key)),
            value => merge(&mut target[key], value),
        }
    }
}

#[test]
fn waves_hold_the_workloads_while_helm_upgrades_once_and_let_them_go_one_by_one() {
    for helm in ["v3.14.4+g81c902a", "v4.1.4+g05fa379"] {
        let world = World::new(helm);
        let workload = Rc::new(RefCell::new(deployment()["items"][0].clone()));
        let (seen, known) = (Rc::clone(&workload), Rc::clone(&world.history));
        world.machine.answer("kubectl", move |call| answer_as_cluster(call, &seen));
        let seen = Rc::clone(&workload);
        world.machine.answer("helm", move |call| {
            if call.arguments[0] == "upgrade" && !call.to_string().contains("--dry-run") {
                assert_eq!(seen.borrow()["spec"]["paused"], true, "held before helm begins");
                seen.borrow_mut()["status"]["updatedReplicas"] = json!(0);
            }
            answer_as_helm(helm, call, &known)
        });
        let wave = |number| Wave { number, of: 2, instances: number };
        HelmPlugin::apply(&world.operation(), wave(1)).unwrap();
        assert_eq!(workload.borrow()["status"]["updatedReplicas"], 1);
        assert_eq!(workload.borrow()["spec"]["paused"], true);
        let upgrades = |changes: &[String]| {
            let upgrades = changes.iter().filter(|change| change.starts_with("helm upgrade"));
            upgrades.cloned().collect::<Vec<_>>()
        };
        let made = upgrades(&world.changes());
        assert_eq!(made.len(), 1);
        assert!(!made[0].contains("--wait"), "helm would wait for what is held: {made:?}");
        assert!(matches!(world.status(Change::Apply(wave(1))), Observation::Done(_)), "{helm}");
        assert!(matches!(world.status(Change::Apply(wave(2))), Observation::Failed(_)), "{helm}");
        HelmPlugin::apply(&world.operation(), wave(1)).unwrap();
        assert_eq!(world.changes(), [""; 0], "the same wave once more");
        HelmPlugin::apply(&world.operation(), wave(2)).unwrap();
        assert_eq!(upgrades(&world.changes()), [""; 0]);
        assert_eq!(workload.borrow()["spec"]["paused"], Value::Null);
        assert!(matches!(world.status(Change::Apply(wave(2))), Observation::Done(_)), "{helm}");
    }
}

#[test]
fn what_is_held_is_let_go_after_the_way_back_and_not_before() {
    let world = World::new("v4.1.4");
    world.add(row(2, "deployed", "2.0.0", "Upgrade complete"));
    let workload = Rc::new(RefCell::new(deployment()["items"][0].clone()));
    merge(
        &mut workload.borrow_mut(),
        &json!({"spec": {"paused": true},
            "metadata": {"annotations": {"vaultup.dev/held-after": "0"}}}),
    );
    let seen = Rc::clone(&workload);
    world.machine.answer("kubectl", move |call| answer_as_cluster(call, &seen));
    let back = || Change::Revert(("1".to_owned(), Presence::Running));
    assert!(matches!(world.status(back()), Observation::NotStarted));
    HelmPlugin::revert(&world.operation(), "1", Presence::Running).unwrap();
    let changes = world.changes();
    assert!(changes[0].starts_with("helm rollback shop 1"), "{changes:?}");
    assert!(!changes[0].contains("--wait"), "{changes:?}");
    assert!(changes[1].starts_with("kubectl patch deployment/shop"), "{changes:?}");
    assert_eq!(workload.borrow()["spec"]["paused"], Value::Null);
    assert!(matches!(world.status(back()), Observation::Done(_)));
}

/// A run that holds has stopped the release between two of its waves.
#[test]
fn what_was_stopped_in_the_middle_of_its_waves_is_started_and_not_taken_for_done() {
    let world = World::new("v4.1.4");
    world.add(row(2, "deployed", "2.0.0", "Upgrade complete"));
    let workload = Rc::new(RefCell::new(deployment()["items"][0].clone()));
    merge(
        &mut workload.borrow_mut(),
        &json!({"spec": {"paused": true, "replicas": 0}, "metadata": {"annotations":
            {"vaultup.dev/held-after": "0", "vaultup.dev/replicas": "2"}}}),
    );
    let seen = Rc::clone(&workload);
    world.machine.answer("kubectl", move |call| answer_as_cluster(call, &seen));
    for number in [1, 2] {
        let wave = Wave { number, of: 2, instances: number };
        assert_eq!(world.status(Change::Apply(wave)), Observation::NotStarted, "{number}");
    }
    HelmPlugin::apply(&world.operation(), Wave { number: 1, of: 2, instances: 1 }).unwrap();
    assert_eq!(workload.borrow()["spec"], json!({"replicas": 2}));
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Done(_)));
    let upgrades = world.changes().into_iter().filter(|change| change.starts_with("helm"));
    assert_eq!(upgrades.count(), 0);
}

#[test]
fn what_somebody_has_paused_stops_the_plan_since_helm_would_wait_for_it_in_vain() {
    let world = World::new("v4.1.4");
    let mut answer = deployment();
    answer["items"][0]["spec"]["paused"] = json!(true);
    let answer = answer.to_string();
    world.machine.answer("kubectl", move |call| match call.arguments[1].as_str() {
        list if list.starts_with("deployments") => Reply::output(answer.clone()),
        _ => answer_as_kubectl(call),
    });
    let found = HelmPlugin::preview(&world.operation()).unwrap().differences;
    let found = found.iter().find(|its| its.object == "deployment/shop").unwrap();
    assert_eq!(found.severity, Severity::Blocking);
    assert!(found.detail.contains("kubectl rollout resume"), "{}", found.detail);
}
