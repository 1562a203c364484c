//! The plugin against scripted answers of helm and kubectl: what a real cluster does not show on
//! demand, and the shapes of helm 3.14 beside those of helm 4.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod waves;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use vaultup_sdk::deploy::{Change, Presence, Severity, Wave};
use vaultup_sdk::process::Exit;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};
use vaultup_sdk::{Case, Deploy, Error, Observation, Operation};

use crate::{HelmPlugin, Settings};

const WAVE: Wave = Wave { number: 1, of: 1, instances: 2 };
const MANIFEST: &str = "kind: Deployment\nmetadata: {name: shop}\nspec: {replicas: 2}\n";

/// What helm and the cluster know.
struct World {
    machine: Installed,
    history: Rc<RefCell<Vec<Value>>>,
    settings: Value,
}

fn row(revision: u64, status: &str, version: &str, description: &str) -> Value {
    json!({"revision": revision, "status": status, "chart": format!("web-{version}"),
        "app_version": version, "updated": "2001-01-01T00:00:00Z", "description": description})
}

impl World {
    /// Release 1.0.0 is deployed as revision 1; helm answers as this version of it does.
    fn new(helm: &'static str) -> Self {
        let machine =
            Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
        let history = Rc::new(RefCell::new(vec![row(1, "deployed", "1.0.0", "Install complete")]));
        let known = Rc::clone(&history);
        machine.answer("helm", move |call| answer_as_helm(helm, call, &known));
        machine.answer("kubectl", answer_as_kubectl);
        let settings = json!({"release": "shop", "chart": "charts/2.0.0"});
        Self { machine, history, settings }
    }

    fn operation(&self) -> Operation<Settings> {
        let settings = serde_json::from_value(self.settings.clone()).unwrap();
        let mut operation = self.machine.operation(settings);
        operation.key = "run1.3".to_owned();
        operation.previous = Some(self.machine.release("1.0.0"));
        operation.next = Some(self.machine.release("2.0.0"));
        operation
    }

    fn add(&self, row: Value) {
        self.history.borrow_mut().push(row);
    }

    /// Commands that change something, since this was asked last.
    fn changes(&self) -> Vec<String> {
        let calls = self.machine.take_calls();
        let changing = ["helm upgrade", "helm rollback", "kubectl patch", "kubectl apply"];
        let is_change = |call: &String| {
            changing.iter().any(|start| call.starts_with(start)) && !call.contains("--dry-run")
        };
        calls.into_iter().filter(is_change).collect()
    }

    fn apply(&self) -> Result<(), Error> {
        HelmPlugin::apply(&self.operation(), WAVE)
    }

    fn status(&self, change: Change) -> Observation {
        HelmPlugin::status(&self.operation(), change).unwrap()
    }
}

fn answer_as_helm(version: &str, call: &Call, history: &RefCell<Vec<Value>>) -> Reply {
    let last = history.borrow().last().unwrap()["revision"].as_u64().unwrap();
    let words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version", ..] => Reply::output(format!("{version}\n")),
        ["history", ..] => Reply::output(Value::Array(history.borrow().clone()).to_string()),
        ["get", "hooks", ..] => Reply::output(""),
        ["get", "manifest", ..] => Reply::output(MANIFEST),
        ["get", "values", ..] => Reply::output("null"),
        ["show", "chart", ..] => Reply::output("name: web\nversion: 2.0.0\nappVersion: 2.0.0\n"),
        ["show", "crds", ..] => Reply::output(""),
        ["upgrade", rest @ ..] if rest.contains(&"--dry-run=server") => {
            let method = if version.starts_with("v4") { json!("ssa") } else { Value::Null };
            Reply::output(
                json!({"manifest": MANIFEST, "hooks": [], "config": {}, "apply_method": method})
                    .to_string(),
            )
        }
        ["upgrade", ..] => {
            let mut rows = history.borrow_mut();
            rows.last_mut().unwrap()["status"] = json!("superseded");
            rows.push(row(last + 1, "deployed", "2.0.0", "Upgrade complete"));
            Reply::exit(0)
        }
        ["rollback", _, revision, ..] => {
            let says = format!("Rollback to {revision}");
            history.borrow_mut().push(row(last + 1, "deployed", "1.0.0", &says));
            Reply::exit(0)
        }
        other => panic!("nobody asked for {other:?}"),
    }
}

fn deployment() -> Value {
    json!({"items": [{
        "kind": "Deployment",
        "metadata": {"name": "shop", "uid": "u", "generation": 1,
            "annotations": {"meta.helm.sh/release-name": "shop"}},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2,
            "readyReplicas": 2, "availableReplicas": 2},
    }]})
}

fn answer_as_kubectl(call: &Call) -> Reply {
    match call.arguments[0].as_str() {
        "get" if call.arguments[1].starts_with("deployments") => {
            Reply::output(deployment().to_string())
        }
        "get" if call.arguments[1].starts_with("secret/") => Reply::output("{}"),
        "get" if call.arguments[1] == "events" => Reply::output(r#"{"items": []}"#),
        "get" if call.arguments[1].starts_with("horizontal") => Reply::output(r#"{"items": []}"#),
        "get" => Reply::output(""),
        "version" => Reply::output(r#"{"clientVersion": {"gitVersion": "v1.34.5"}}"#),
        "auth" if call.arguments[2] == "--list" => Reply::output("*.*  []  []  [*]\n"),
        "auth" => Reply::output("yes\n"),
        "config" => {
            Reply::output(r#"{"clusters": [{"cluster": {"server": "https://127.0.0.1"}}]}"#)
        }
        _ => Reply::output("done"),
    }
}

#[test]
fn both_versions_of_helm_are_understood_and_others_are_refused() {
    for helm in ["v3.14.4+g81c902a", "v3.19.0", "v4.1.4+g05fa379"] {
        let world = World::new(helm);
        let seen = HelmPlugin::observe(&world.operation()).unwrap();
        assert_eq!(seen.version.as_deref(), Some("1.0.0"));
        assert_eq!((seen.revision.as_deref(), seen.instances_wanted), (Some("1"), 2));
        world.apply().unwrap();
        let changes = world.changes();
        assert!(
            changes[0].contains("--reset-values") && changes[0].contains("--wait"),
            "{changes:?}"
        );
        assert!(!changes[0].contains("--reuse-values"), "{changes:?}");
        HelmPlugin::revert(&world.operation(), "1", Presence::Running).unwrap();
        let forces = world.changes()[0].contains("--force-conflicts");
        assert_eq!(forces, helm.starts_with("v4"), "a flag that helm 3 does not know");
    }
    for helm in ["v3.13.3", "v2.17.0", "v5.0.0", "", "what"] {
        let error = HelmPlugin::preview(&World::new(helm).operation()).unwrap_err();
        assert_eq!(error.case(), &Case::InvalidSettings, "{helm}");
        assert!(error.message().contains("3.14 or newer and below 5"), "{error}");
    }
}

#[test]
fn an_apply_that_is_made_again_upgrades_nothing() {
    let world = World::new("v4.1.4");
    world.apply().unwrap();
    assert_eq!(world.changes().len(), 1);
    world.apply().unwrap();
    assert_eq!(world.changes(), Vec::<String>::new());
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Done(_)));
}

#[test]
fn an_exit_status_alone_decides_nothing() {
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    // helm says that it failed, and its history that the release is deployed.
    world.machine.answer("helm", move |call| {
        let reply = answer_as_helm("v4.1.4", call, &known);
        let is_upgrade = call.arguments[0] == "upgrade";
        if is_upgrade { Reply::exit(1).with_errors("Error: unexpected EOF") } else { reply }
    });
    world.apply().unwrap();
    // And the other way round.
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    world.machine.answer("helm", move |call| match call.arguments[0].as_str() {
        "upgrade" => {
            known.borrow_mut().push(row(2, "failed", "2.0.0", "Upgrade failed"));
            Reply::exit(0)
        }
        _ => answer_as_helm("v4.1.4", call, &known),
    });
    let error = world.apply().unwrap_err();
    assert!(error.message().contains("revision 2 is failed"), "{error}");
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Failed(_)));
}

#[test]
fn what_a_killed_helm_left_is_cured_by_the_last_deployed_revision_by_its_number() {
    let world = World::new("v4.1.4");
    world.add(row(2, "failed", "2.0.0", "Upgrade failed"));
    world.add(row(3, "pending-upgrade", "2.0.0", "Preparing upgrade"));
    world.apply().unwrap();
    let changes = world.changes();
    assert!(changes[0].starts_with("helm rollback shop 1 --no-hooks"), "{changes:?}");
    assert!(changes[1].starts_with("helm upgrade shop"), "{changes:?}");
}

#[test]
fn a_helm_that_may_be_at_work_is_left_alone() {
    let world = World::new("v4.1.4");
    let mut fresh = row(2, "pending-upgrade", "2.0.0", "Preparing upgrade");
    // The machine's clock begins at 2023-11-14T22:13:20Z.
    fresh["updated"] = json!("2023-11-14T22:13:10Z");
    world.add(fresh);
    let busy = HelmPlugin::observe(&world.operation()).unwrap().busy.unwrap();
    assert!(busy.contains("revision 2 of `shop` is pending-upgrade"), "{busy}");
    assert_eq!(world.apply().unwrap_err().case(), &Case::Conflict);
    assert_eq!(world.changes(), Vec::<String>::new());
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::InProgress(_)));
    // The same by this very run, whose helm is gone.
    world.machine.answer("kubectl", |call| match call.arguments[1].starts_with("secret/") {
        true => Reply::output(r#"{"vaultup-key": "run1.3"}"#),
        false => answer_as_kubectl(call),
    });
    assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Failed(_)));
    world.apply().unwrap();
    assert!(world.changes()[0].starts_with("helm rollback shop 1"));
}

#[test]
fn a_way_back_to_a_revision_that_is_gone_is_refused_and_one_made_again_does_nothing() {
    let world = World::new("v4.1.4");
    let error = HelmPlugin::revert(&world.operation(), "9", Presence::Running).unwrap_err();
    assert_eq!(error.case(), &Case::NotFound);
    HelmPlugin::revert(&world.operation(), "1", Presence::Running).unwrap();
    assert_eq!(world.changes(), Vec::<String>::new(), "revision 1 runs");
    world.apply().unwrap();
    world.changes();
    HelmPlugin::revert(&world.operation(), "1", Presence::Running).unwrap();
    HelmPlugin::revert(&world.operation(), "1", Presence::Running).unwrap();
    assert_eq!(world.changes().len(), 1);
}

#[test]
fn values_that_only_the_running_release_has_stop_the_plan() {
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    world.machine.answer("helm", move |call| match call.arguments[1].as_str() {
        "values" => Reply::output(r#"{"replicas": 7, "token": "s3cr3t"}"#),
        _ => answer_as_helm("v4.1.4", call, &known),
    });
    let blocking = |world: &World| {
        let seen = HelmPlugin::preview(&world.operation()).unwrap().differences;
        seen.into_iter().find(|its| its.severity == Severity::Blocking)
    };
    let found = blocking(&world).unwrap();
    assert!(found.detail.contains("replicas, token") && !found.detail.contains("s3cr3t"));
    let world =
        World { settings: json!({"release": "shop", "chart": "c", "keep-values": true}), ..world };
    assert_eq!(blocking(&world), None);
}

#[test]
fn what_a_release_requires_and_no_container_of_the_chart_gets_stops_the_plan_r8() {
    const KEYS: &str = "kind: Secret\nmetadata: {name: brought}\nstringData: {SIGNING_KEY: x}\n";
    const CONTAINERS: &str = "kind: Deployment\nmetadata: {name: shop}\n\
        spec: {template: {spec: {containers: [{env: [{name: PORT, value: '1'}], envFrom: [\
        {secretRef: {name: brought}}, {configMapRef: {name: there}}]}]}}}\n";
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    world.machine.answer("helm", move |call| match call.to_string().contains("--dry-run") {
        true => {
            let manifest = format!("{KEYS}---\n{CONTAINERS}");
            Reply::output(json!({"manifest": manifest, "hooks": [], "config": {}}).to_string())
        }
        false => answer_as_helm("v4.1.4", call, &known),
    });
    world.machine.answer("kubectl", |call| match call.arguments[1].as_str() {
        "configmap/there" => Reply::output("LOG_LEVEL\n"),
        _ => answer_as_kubectl(call),
    });
    let mut operation = world.operation();
    let mut required = |names: &[&str]| {
        operation.next.as_mut().unwrap().entry = json!({"requires": names}).to_string();
        let found = HelmPlugin::preview(&operation).unwrap().differences;
        found.into_iter().find(|its| its.object == "configuration")
    };
    let found = required(&["PORT", "SIGNING_KEY", "LOG_LEVEL", "TOKEN"]).unwrap();
    assert_eq!(found.severity, Severity::Blocking);
    assert!(found.detail.contains("requires TOKEN, and"), "{}", found.detail);
    assert_eq!(required(&["PORT", "SIGNING_KEY", "LOG_LEVEL"]), None);
}

#[test]
fn a_chart_of_another_version_is_refused_with_both_named() {
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    world.machine.answer("helm", move |call| match call.arguments[0].as_str() {
        "show" => Reply::output("name: web\nversion: 1.9.0\n"),
        _ => answer_as_helm("v4.1.4", call, &known),
    });
    let error = HelmPlugin::preview(&world.operation()).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings);
    assert!(error.message().contains("version 1.9.0") && error.message().contains("2.0.0"));
}

#[test]
fn without_a_revision_that_can_be_read_there_is_no_way_back() {
    let world = World::new("v4.1.4");
    assert!(HelmPlugin::way_back(&world.operation()).unwrap().available);
    *world.history.borrow_mut() = vec![row(4, "failed", "1.0.0", "Upgrade failed")];
    let kept = HelmPlugin::way_back(&world.operation()).unwrap();
    assert!(!kept.available && kept.reason.contains("no revision of `shop` is deployed"));
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    world.machine.answer("helm", move |call| match call.arguments[1].as_str() {
        "manifest" => Reply::exit(1).with_errors("Error: release: not found"),
        _ => answer_as_helm("v4.1.4", call, &known),
    });
    let kept = HelmPlugin::way_back(&world.operation()).unwrap();
    assert!(!kept.available && kept.reason.contains("revision 1 cannot be read"), "{kept:?}");
}

#[test]
fn a_cluster_that_refuses_is_asked_which_rights_are_missing() {
    let world = World::new("v4.1.4");
    let known = Rc::clone(&world.history);
    world.machine.answer("helm", move |call| match call.arguments[0].as_str() {
        "history" => Reply::exit(1).with_errors("Error: secrets is forbidden: User \"x\""),
        _ => answer_as_helm("v4.1.4", call, &known),
    });
    world.machine.answer("kubectl", |call| match call.arguments[0].as_str() {
        "auth" if call.arguments[2] == "--list" => Reply::output("pods  []  []  [list]\n"),
        "auth" => Reply::exit(1).with_output("no\n"),
        _ => answer_as_kubectl(call),
    });
    let error = HelmPlugin::observe(&world.operation()).unwrap_err();
    assert_eq!(error.case(), &Case::Refused);
    assert!(error.message().contains("not allowed: list secrets"), "{error}");
    assert!(!error.message().contains("list pods"), "{error}");
    assert!(error.message().contains(r#""kind":"Role""#), "{error}");
}

#[test]
fn where_it_would_go_is_a_part_of_what_must_not_change() {
    let digest = |context: &'static str| {
        let world = World::new("v4.1.4");
        world.machine.answer("kubectl", move |call| match call.arguments[0].as_str() {
            "config" => Reply::output(
                json!({"clusters": [{"cluster": {"server": "https://127.0.0.1"}}],
                    "contexts": [{"name": context, "context": {"user": "me"}}]})
                .to_string(),
            ),
            _ => answer_as_kubectl(call),
        });
        HelmPlugin::observe(&world.operation()).unwrap().configuration_digest
    };
    assert_eq!(digest("prod"), digest("prod"));
    assert_ne!(digest("prod"), digest("staging"));
}

#[test]
fn commands_of_other_plugins_run_in_the_pod_that_the_operator_names() {
    let mut world = World::new("v4.1.4");
    world.settings["exec"] = json!("statefulset/db");
    world.settings["container"] = json!("postgres");
    let prefix = HelmPlugin::inside(&world.operation()).unwrap().join(" ");
    let words = "kubectl exec --stdin statefulset/db --container=postgres --namespace=default --";
    assert_eq!(prefix, words);
}

/// Every answer that can be wrong, in each phase: none is taken for success, and none of the
/// phases that only look changes anything.
#[test]
fn answers_that_no_real_helm_gives_on_demand_are_errors_in_every_phase() {
    let wrong: [fn() -> Reply; 7] = [
        || Reply::ended(Exit::Deadline),
        || Reply::ended(Exit::OutputLimit),
        || Reply::ended(Exit::Signal(9)),
        || Reply::output("[{\"revision\": 1, \"sta"),
        || Reply::output("[{\"revision\": \"one\"}]"),
        || Reply::output("[]"),
        || {
            Reply::exit(1)
                .with_errors("Error: Kubernetes cluster unreachable: dial tcp: i/o timeout")
        },
    ];
    for reply in wrong {
        let world = World::new("v4.1.4");
        let known = Rc::clone(&world.history);
        world.machine.answer("helm", move |call| match call.arguments[0].as_str() {
            "history" => reply(),
            _ => answer_as_helm("v4.1.4", call, &known),
        });
        let operation = world.operation();
        let phases: [Result<(), Error>; 7] = [
            HelmPlugin::observe(&operation).map(drop),
            HelmPlugin::way_back(&operation).map(drop),
            HelmPlugin::preview(&operation).map(drop),
            HelmPlugin::apply(&operation, WAVE),
            HelmPlugin::stop(&operation),
            HelmPlugin::revert(&operation, "1", Presence::Running),
            HelmPlugin::status(&operation, Change::Apply(WAVE)).map(drop),
        ];
        for (phase, answer) in phases.iter().enumerate() {
            assert!(answer.is_err(), "phase {phase} took {:?} for an answer", reply());
        }
        assert_eq!(world.changes(), Vec::<String>::new(), "{:?}", reply());
    }
}

/// The same of kubectl: what it answers of workloads is needed in every phase but one.
#[test]
fn answers_that_no_real_kubectl_gives_on_demand_are_errors_in_every_phase() {
    let wrong: [fn() -> Reply; 6] = [
        || Reply::ended(Exit::Deadline),
        || Reply::ended(Exit::OutputLimit),
        || Reply::output(r#"{"items": [{"kind": "Deploy"#),
        || Reply::output(r#"{"items": [{"kind": "Deployment", "metadata": {"name": 3}}]}"#),
        || {
            Reply::output(
                r#"{"items": [{"kind": "Deployment", "metadata": {"name": "shop"},
            "spec": {"replicas": "2"}}]}"#,
            )
        },
        || Reply::exit(1).with_errors("Unable to connect to the server: EOF"),
    ];
    for reply in wrong {
        let world = World::new("v3.14.4");
        world.machine.answer("kubectl", move |call| match call.arguments[1].as_str() {
            list if list.starts_with("deployments") => reply(),
            _ => answer_as_kubectl(call),
        });
        let operation = world.operation();
        let phases: [Result<(), Error>; 6] = [
            HelmPlugin::observe(&operation).map(drop),
            HelmPlugin::preview(&operation).map(drop),
            HelmPlugin::stop(&operation),
            HelmPlugin::revert(&operation, "1", Presence::Running),
            HelmPlugin::revert(&operation, "1", Presence::Stopped),
            HelmPlugin::status(&operation, Change::Stop).map(drop),
        ];
        for (phase, answer) in phases.iter().enumerate() {
            assert!(answer.is_err(), "phase {phase} took {:?} for an answer", reply());
        }
        assert_eq!(world.changes(), Vec::<String>::new(), "{:?}", reply());
    }
}

/// helm 3.14 says nothing of how it applies, and its dry run says `config` and hooks as helm 4's.
#[test]
fn both_shapes_of_helm_are_understood_in_every_phase() {
    for helm in ["v3.14.4+g81c902a", "v4.1.4+g05fa379"] {
        let world = World::new(helm);
        let operation = world.operation();
        HelmPlugin::observe(&operation).unwrap();
        assert!(HelmPlugin::way_back(&operation).unwrap().available, "{helm}");
        let seen = HelmPlugin::preview(&operation).unwrap().differences;
        assert!(seen.iter().all(|its| its.severity != Severity::Blocking), "{helm}: {seen:?}");
        HelmPlugin::prefetch(&operation).unwrap();
        world.apply().unwrap();
        assert!(matches!(world.status(Change::Apply(WAVE)), Observation::Done(_)), "{helm}");
        HelmPlugin::revert(&operation, "1", Presence::Running).unwrap();
        let back = Change::Revert(("1".to_owned(), Presence::Running));
        assert!(matches!(world.status(back), Observation::Done(_)), "{helm}");
    }
}
