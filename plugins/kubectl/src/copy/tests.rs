//! A copy's namespace against a cluster that keeps namespaces.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use vaultup_sdk::Copied;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};

use super::*;

type Namespaces = Rc<RefCell<BTreeMap<String, Value>>>;

struct World {
    machine: Installed,
    namespaces: Namespaces,
}

impl World {
    fn new() -> Self {
        let machine = Machine::new().install();
        let namespaces = Namespaces::default();
        let known = Rc::clone(&namespaces);
        machine.answer("kubectl", move |call| answer(call, &known));
        Self { machine, namespaces }
    }

    /// A step of a run on a copy, of which the stack file says this namespace, if any.
    fn operation(&self, run: &str, namespace: Option<&str>) -> Operation<Access> {
        let live = at("shop");
        let mut operation = self.machine.operation(at(namespace.unwrap_or("shop")));
        operation.key = format!("{run}.7");
        operation.target = Target::Copy("rehearsal".to_owned());
        let differs = namespace.map_or(json!({}), |name| json!({"namespace": name}));
        operation.copied = Some(Copied { live, differs });
        operation
    }

    fn scratch(&self, run: &str) -> Scratch {
        Scratch::of(&self.operation(run, None), |access| access).unwrap()
    }

    fn deadline(&self) -> Deadline {
        self.operation("x", None).deadline
    }

    fn names(&self) -> Vec<String> {
        self.namespaces.borrow().keys().cloned().collect()
    }
}

fn at(namespace: &str) -> Access {
    Access { kubeconfig: None, context: None, namespace: namespace.to_owned() }
}

fn answer(call: &Call, known: &Namespaces) -> Reply {
    let words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["get", object, ..] => {
            let name = object.strip_prefix("namespace/").unwrap();
            let found = known.borrow().get(name).map(Value::to_string);
            // What is on its way out is gone at the next look.
            let goes = |its: &Value| its["metadata"]["deletionTimestamp"].is_string();
            if known.borrow().get(name).is_some_and(goes) {
                known.borrow_mut().remove(name);
            }
            Reply::output(found.unwrap_or_default())
        }
        ["create", ..] => {
            let made: Value = serde_json::from_str(&call.input).unwrap();
            let name = made["metadata"]["name"].as_str().unwrap().to_owned();
            known.borrow_mut().insert(name, made);
            Reply::output("namespace/x")
        }
        ["delete", "namespace", name, "--wait=false", ..] => {
            let mut known = known.borrow_mut();
            let its = known.get_mut(*name).unwrap();
            its["metadata"]["deletionTimestamp"] = json!("2026-11-29T11:00:00Z");
            Reply::output("deleted")
        }
        ["auth", "can-i", "create", "namespaces", ..] => Reply::exit(1).with_output("no\n"),
        ["auth", ..] => Reply::output("yes\n"),
        other => panic!("nobody asked for {other:?}"),
    }
}

#[test]
fn a_copy_has_a_namespace_of_its_own_that_is_made_once_and_removed_with_it() {
    let world = World::new();
    let scratch = world.scratch("run1");
    scratch.ensure(world.deadline()).unwrap();
    scratch.ensure(world.deadline()).unwrap();
    assert_eq!(world.names(), ["shop-rehearsal"]);
    assert!(matches!(scratch.left(&[]), Ok(Observation::NotStarted)));
    scratch.discard(world.deadline()).unwrap();
    assert_eq!(world.names(), Vec::<String>::new());
    assert!(matches!(scratch.left(&[]), Ok(Observation::Done(_))));
    scratch.discard(world.deadline()).unwrap();
}

#[test]
fn a_namespace_of_others_is_neither_used_nor_removed() {
    let others = [
        json!({"metadata": {"name": "shop-rehearsal"}}),
        json!({"metadata": {"name": "shop-rehearsal", "labels": {COPY: "rehearsal"}}}),
        json!({"metadata": {"name": "shop-rehearsal",
            "labels": {COPY: "rehearsal", RUN: "run2"}}}),
        json!({"metadata": {"name": "shop-rehearsal", "labels": {COPY: "other", RUN: "run1"}}}),
    ];
    for other in others {
        let world = World::new();
        world.namespaces.borrow_mut().insert("shop-rehearsal".to_owned(), other.clone());
        let scratch = world.scratch("run1");
        let error = scratch.ensure(world.deadline()).unwrap_err();
        assert_eq!(error.case(), &Case::Conflict, "{other}");
        assert!(error.platform().contains("kubectl delete namespace shop-rehearsal"), "{error}");
        scratch.discard(world.deadline()).unwrap();
        assert_eq!(world.names(), ["shop-rehearsal"], "{other}");
        let calls = world.machine.take_calls();
        assert!(!calls.iter().any(|call| call.starts_with("kubectl delete")), "{calls:?}");
    }
}

#[test]
fn one_that_still_goes_is_waited_for_and_made_anew() {
    let world = World::new();
    let scratch = world.scratch("run1");
    scratch.ensure(world.deadline()).unwrap();
    scratch.kubectl.text(&["delete", "namespace", "shop-rehearsal", "--wait=false"]).unwrap();
    scratch.ensure(world.deadline()).unwrap();
    assert_eq!(world.names(), ["shop-rehearsal"]);
    assert!(matches!(scratch.left(&[]), Ok(Observation::NotStarted)));
}

#[test]
fn the_live_namespace_is_refused_as_a_copys_and_what_is_live_has_none() {
    let world = World::new();
    let operation = world.operation("run1", Some("shop"));
    let error = Scratch::of(&operation, |access| access).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings);
    assert!(error.message().contains("`rehearsal.settings`"), "{error}");
    let live = world.machine.operation(at("shop"));
    assert_eq!(access(&live, |access| access).namespace, "shop");
    Scratch::of(&live, |access| access).unwrap_err();
    let named = world.operation("run1", Some("elsewhere"));
    assert_eq!(access(&named, |access| access).namespace, "elsewhere");
}

#[test]
fn before_a_run_missing_rights_are_named_with_the_role_that_gives_them() {
    let world = World::new();
    let mut operation = world.operation("run1", None);
    operation.key = "observe".to_owned();
    let scratch = Scratch::of(&operation, |access| access).unwrap();
    let error = scratch.left(&[("create", "secrets")]).unwrap_err();
    assert_eq!(error.case(), &Case::Refused);
    assert!(error.message().ends_with("create namespaces"), "{error}");
    assert!(error.platform().contains(r#""kind":"ClusterRole""#), "{error}");
}

#[test]
fn a_long_name_is_shortened_to_the_limit_and_stays_different() {
    assert_eq!(derived("shop", "rehearsal"), "shop-rehearsal");
    let live = "x".repeat(53);
    assert_eq!(derived(&live, "rehearsal"), format!("{live}-rehearsal"));
    let (one, other) =
        (derived(&"x".repeat(54), "rehearsal"), derived(&"x".repeat(55), "rehearsal"));
    assert_eq!((one.len(), other.len()), (63, 63));
    assert_ne!(one, other);
}
