//! The lock against an API server that keeps one Lease, as the real one would, and against answers
//! that no real one gives on demand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use vaultup_sdk::testing::{Call, Installed, Machine, Reply};

use super::*;
use crate::access::Access;

/// What the API server knows; its clock is not the one of the machine that asks.
struct Server {
    lease: RefCell<Option<Value>>,
    version: Cell<u64>,
    now_ms: Cell<u64>,
    /// Does this right before it carries the next change out: somebody comes first.
    first: RefCell<Option<Value>>,
}

struct World {
    machine: Installed,
    server: Rc<Server>,
    kubectl: Kubectl,
}

/// 2023-11-14T22:13:20Z, where the machine's clock stands.
const NOW_MS: u64 = 1_700_000_000_000;

impl World {
    fn new() -> Self {
        let machine = Machine::new().install();
        let server = Rc::new(Server {
            lease: RefCell::default(),
            version: Cell::new(1),
            now_ms: Cell::new(NOW_MS),
            first: RefCell::default(),
        });
        let asked = Rc::clone(&server);
        machine.answer("kubectl", move |call| asked.answer(call));
        let access = Access { kubeconfig: None, context: None, namespace: "shop".to_owned() };
        Self { machine, server, kubectl: Kubectl::new(&access) }
    }

    fn lease(&self) -> Lease<'_> {
        Lease::of(&self.kubectl, "helm", "shop")
    }

    fn acquire(&self, holder: &str) -> Lock {
        self.lease().acquire(&claim(holder)).unwrap()
    }

    fn let_seconds_pass(&self, seconds: u64) {
        self.server.now_ms.set(self.server.now_ms.get() + seconds * 1000);
    }
}

fn claim(holder: &str) -> Claim {
    let owner = format!("`vaultup run` of {holder} on one (process 7)");
    Claim { holder: holder.to_owned(), owner, seconds: 60 }
}

impl Server {
    fn answer(&self, call: &Call) -> Reply {
        let words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["get", "lease.coordination.k8s.io/vaultup-helm-shop", ..] => {
                let seen = self.lease.borrow().as_ref().map(Value::to_string);
                Reply::output(seen.unwrap_or_default())
            }
            ["create", "--dry-run=server", ..] => {
                let moment = moment::text(self.now_ms.get() / 1000 * 1000);
                let created = json!({"metadata": {"creationTimestamp": moment}});
                Reply::output(created.to_string())
            }
            ["create", ..] => self.change(|lease| match lease {
                Some(_) => Err("Error from server (AlreadyExists): leases exists"),
                None => Ok(serde_json::from_str(&call.input).unwrap()),
            }),
            ["patch", _, kind, patch, ..] => self.change(|lease| {
                let patch: Value =
                    serde_json::from_str(patch.strip_prefix("--patch=").unwrap()).unwrap();
                let lease = lease.ok_or("Error from server (NotFound): no such lease")?;
                match *kind {
                    "--type=merge" => merged(lease, &patch),
                    _ => stepped(lease, &patch),
                }
            }),
            other => panic!("nobody asked for {other:?}"),
        }
    }

    fn change(&self, how: impl Fn(Option<Value>) -> Result<Value, &'static str>) -> Reply {
        if let Some(first) = self.first.take() {
            self.put(first);
        }
        let before = self.lease.borrow().clone();
        match how(before) {
            Ok(after) => {
                self.put(after);
                Reply::output("lease")
            }
            Err(words) => Reply::exit(1).with_errors(words),
        }
    }

    fn put(&self, mut lease: Value) {
        self.version.set(self.version.get() + 1);
        lease["metadata"]["resourceVersion"] = json!(self.version.get().to_string());
        let time = moment::text(self.now_ms.get() / 1000 * 1000);
        lease["metadata"]["managedFields"] = json!([{"manager": "vaultup", "time": time}]);
        self.lease.replace(Some(lease));
    }
}

fn merged(mut lease: Value, patch: &Value) -> Result<Value, &'static str> {
    let version = &patch["metadata"]["resourceVersion"];
    if version.is_string() && *version != lease["metadata"]["resourceVersion"] {
        return Err("Error from server (Conflict): the object has been modified");
    }
    merge(&mut lease, patch);
    Ok(lease)
}

fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *into = patch.clone();
        return;
    };
    for (key, value) in fields {
        match value {
            Value::Null => drop(into.as_object_mut().map(|its| its.remove(key))),
            value => merge(&mut into[key.as_str()], value),
        }
    }
}

fn stepped(mut lease: Value, steps: &Value) -> Result<Value, &'static str> {
    for step in steps.as_array().unwrap() {
        let path = step["path"].as_str().unwrap();
        let (above, key) = path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/");
        let fields = lease.pointer(above).unwrap().as_object().unwrap();
        match step["op"].as_str().unwrap() {
            "test" if lease.pointer(path) != Some(&step["value"]) => {
                return Err("The request is invalid: the server rejected our request");
            }
            "test" => {}
            "remove" if !fields.contains_key(&key) => {
                return Err("The request is invalid: the server rejected our request");
            }
            "remove" => {
                drop(lease.pointer_mut(above).unwrap().as_object_mut().unwrap().remove(&key));
            }
            _ => lease.pointer_mut(above).unwrap()[&key] = step["value"].clone(),
        }
    }
    Ok(lease)
}

#[test]
fn whoever_comes_first_has_the_lock_and_the_second_is_told_who_and_since_when() {
    let world = World::new();
    let first = world.acquire("shop.run1");
    assert_eq!((first.holder.as_deref(), first.epoch), (Some("shop.run1"), 1));
    world.let_seconds_pass(20);
    let second = world.acquire("shop.run2");
    assert_eq!(second.holder.as_deref(), Some("shop.run1"));
    assert_eq!(second.owner, "`vaultup run` of shop.run1 on one (process 7)");
    assert_eq!((second.since_ms, second.epoch), (Some(NOW_MS), 1));
    assert!((39..=41).contains(&second.seconds_left), "{}", second.seconds_left);
    assert!(second.place.contains("vaultup-helm-shop in namespace `shop`"), "{}", second.place);
}

#[test]
fn a_lock_that_was_not_renewed_goes_to_somebody_else_with_a_higher_epoch_p8() {
    let world = World::new();
    world.acquire("shop.run1");
    world.let_seconds_pass(59);
    assert_eq!(world.acquire("shop.run2").holder.as_deref(), Some("shop.run1"));
    world.let_seconds_pass(2);
    let taken = world.acquire("shop.run2");
    assert_eq!((taken.holder.as_deref(), taken.epoch), (Some("shop.run2"), 2));
    assert_eq!(taken.before.as_deref(), Some("shop.run1"));
    // The first one, when it wakes up, reads that it is not its own any more.
    let seen = world.lease().renew(&claim("shop.run1"), 1).unwrap();
    assert_eq!((seen.holder.as_deref(), seen.epoch), (Some("shop.run2"), 2));
    world.lease().release("shop.run1", 1).unwrap();
    assert_eq!(world.lease().state().unwrap().holder.as_deref(), Some("shop.run2"));
}

#[test]
fn a_run_takes_its_own_lock_over_at_once_and_fences_what_it_was_before() {
    let world = World::new();
    world.acquire("shop.run1");
    let again = world.acquire("shop.run1");
    assert_eq!((again.epoch, again.before.as_deref()), (2, Some("shop.run1")));
    let fenced = world.lease().renew(&claim("shop.run1"), 1).unwrap();
    assert_eq!(fenced.epoch, 2);
    assert_eq!(world.lease().renew(&claim("shop.run1"), 2).unwrap().epoch, 2);
}

#[test]
fn a_lock_that_is_renewed_is_kept_and_one_that_is_released_is_free_with_its_epoch() {
    let world = World::new();
    world.acquire("shop.run1");
    for _ in 0..5 {
        world.let_seconds_pass(50);
        world.lease().renew(&claim("shop.run1"), 1).unwrap();
        assert_eq!(world.acquire("shop.run2").holder.as_deref(), Some("shop.run1"));
    }
    world.lease().release("shop.run1", 1).unwrap();
    world.lease().release("shop.run1", 1).unwrap();
    let free = world.lease().state().unwrap();
    assert_eq!((free.holder, free.epoch, free.seconds_left), (None, 1, 0));
    let next = world.acquire("shop.run2");
    assert_eq!((next.epoch, next.before.as_deref()), (2, Some("shop.run1")));
}

#[test]
fn a_lock_that_somebody_has_changed_by_hand_is_released_too() {
    let world = World::new();
    world.acquire("shop.run1");
    let mut lease = world.server.lease.borrow().clone().unwrap();
    lease["metadata"]["annotations"].as_object_mut().unwrap().remove("vaultup.dev/owner");
    world.server.put(lease);
    world.lease().release("shop.run1", 1).unwrap();
    assert_eq!(world.lease().state().unwrap().holder, None);
}

#[test]
fn of_two_who_acquire_at_once_only_one_wins_p8() {
    let winner = json!({"metadata": {"annotations": {}}, "spec": {
        "holderIdentity": "shop.run2", "leaseDurationSeconds": 60, "leaseTransitions": 7}});
    // There was no Lease, one that was free, and one that had run out.
    for seconds in [None, Some(0), Some(61)] {
        let world = World::new();
        if let Some(seconds) = seconds {
            world.acquire("shop.run0");
            world.let_seconds_pass(seconds);
            if seconds == 0 {
                world.lease().release("shop.run0", 1).unwrap();
            }
        }
        world.server.first.replace(Some(winner.clone()));
        let lost = world.acquire("shop.run1");
        assert_eq!((lost.holder.as_deref(), lost.epoch), (Some("shop.run2"), 7), "{seconds:?}");
    }
}

#[test]
fn a_lease_that_changes_under_every_attempt_is_given_up() {
    let world = World::new();
    let server = Rc::clone(&world.server);
    world.machine.answer("kubectl", move |call| match call.arguments[0].as_str() {
        "patch" => Reply::exit(1).with_errors("Error from server (Conflict): modified"),
        _ => server.answer(call),
    });
    world.acquire("shop.run0");
    let error = world.lease().acquire(&claim("shop.run0")).unwrap_err();
    assert_eq!(error.case(), &Case::Conflict);
    let tried = world.machine.take_calls();
    let tried = tried.iter().filter(|call| call.starts_with("kubectl patch")).count();
    assert_eq!(tried, ATTEMPTS_MAX);
}

#[test]
fn a_clock_that_goes_wrong_here_or_there_costs_nobody_a_lock_that_is_renewed_p8() {
    let world = World::new();
    world.acquire("shop.run1");
    let set = |field: &str, value: &str| {
        world.server.lease.borrow_mut().as_mut().unwrap()["spec"][field] = json!(value);
    };
    // The holder's clock is a year behind: its renewal is new all the same.
    set("renewTime", "2022-11-14T22:13:20.000000Z");
    assert_eq!(world.acquire("shop.run2").holder.as_deref(), Some("shop.run1"));
    // It is a year ahead: what it has not renewed runs out all the same.
    set("renewTime", "2024-11-14T22:13:20.000000Z");
    world.let_seconds_pass(61);
    assert_eq!(world.acquire("shop.run2").holder.as_deref(), Some("shop.run2"));
}

#[test]
fn what_is_no_lock_is_refused_with_the_command_that_removes_it() {
    let held = json!({"holderIdentity": "x", "leaseTransitions": 1});
    let garbage = [
        json!([]),
        json!({"metadata": {}}),
        json!({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": 3}}),
        json!({"metadata": {"resourceVersion": "1"}, "spec": {"leaseTransitions": -1}}),
        json!({"metadata": {"resourceVersion": "1"}, "spec": held}),
        json!({"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "x",
            "leaseDurationSeconds": 60, "renewTime": "yesterday"}}),
    ];
    for lease in garbage {
        let world = World::new();
        world.server.lease.replace(Some(lease.clone()));
        let error = world.lease().acquire(&claim("shop.run1")).unwrap_err();
        assert_eq!(error.case(), &Case::Corrupt, "{lease}");
        let command = "kubectl delete lease.coordination.k8s.io/vaultup-helm-shop --namespace=shop";
        assert!(error.platform().contains(command), "{lease}: {error}");
        assert_eq!(*world.server.lease.borrow(), Some(lease), "it was changed");
    }
}

#[test]
fn a_server_that_tells_no_time_or_refuses_gives_nobody_a_lock() {
    let refusals: [(&str, &str, Case); 3] = [
        ("create", "Error from server (Forbidden): leases is forbidden", Case::Refused),
        ("get", "Unable to connect to the server: dial tcp", Case::Unreachable),
        ("patch", "Error from server (Forbidden): leases is forbidden", Case::Refused),
    ];
    for (verb, words, case) in refusals {
        let world = World::new();
        if verb != "create" {
            world.acquire("shop.run1");
        }
        let server = Rc::clone(&world.server);
        world.machine.answer("kubectl", move |call| match call.arguments[0] == verb {
            true => Reply::exit(1).with_errors(words),
            false => server.answer(call),
        });
        let error = world.lease().acquire(&claim("shop.run1")).unwrap_err();
        assert_eq!(error.case(), &case, "{verb}");
        if verb != "create" {
            let error = world.lease().renew(&claim("shop.run1"), 1).err();
            assert_eq!(error.is_some(), verb == "patch", "{verb}");
        }
    }
    let world = World::new();
    world.acquire("shop.run1");
    let server = Rc::clone(&world.server);
    world.machine.answer("kubectl", move |call| match call.arguments[1].as_str() {
        "--dry-run=server" => Reply::output("{\"metadata\": {}}"),
        _ => server.answer(call),
    });
    let error = world.lease().acquire(&claim("shop.run2")).unwrap_err();
    assert_eq!(error.case(), &Case::Corrupt);
}

#[test]
fn a_long_name_becomes_a_digest_and_a_short_one_stays() {
    let world = World::new();
    let name = |length: usize| Lease::of(&world.kubectl, "deployment", &"x".repeat(length)).name;
    assert_eq!(name(253 - 19).len(), 253);
    assert_eq!(name(253 - 18).len(), 19 + 32);
    assert_ne!(name(240), name(241));
}

#[test]
fn the_last_epoch_is_refused_rather_than_repeated() {
    let world = World::new();
    world.acquire("shop.run1");
    let set = |epoch: u64| {
        let mut lease = world.server.lease.borrow_mut();
        lease.as_mut().unwrap()["spec"]["leaseTransitions"] = json!(epoch);
    };
    set(EPOCH_MAX - 1);
    assert_eq!(world.acquire("shop.run1").epoch, EPOCH_MAX);
    let error = world.lease().acquire(&claim("shop.run1")).unwrap_err();
    assert_eq!(error.case(), &Case::Corrupt);
}
