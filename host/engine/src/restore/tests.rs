//! A restore is planned however broken the stack is, and removes nothing that no set keeps.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use model::Name;
use model::contract::{Consistency, Presence, ProofLevel, Running, Schema, Traffic, WayBack};
use model::stack::{Backups, Component, Datastore, OnFailure, Policy, Stack};
use serde_json::json;

use super::{Known, Question, SetFacts, plan};
use crate::act::{Act, Answer, Failure, Outcome};
use crate::machine::{Ending, Event, Machine};
use crate::obstacle::Obstacle;
use crate::plan::{Plan, Preconditions};
use crate::snapshot::{ComponentSnapshot, DatastoreSnapshot, Snapshot};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn stack() -> Stack {
    let component = |needs: &[&str]| Component {
        plugin: name("host"),
        settings: json!({}),
        needs: needs.iter().map(|text| name(text)).collect(),
        waves: Vec::new(),
        health: Vec::new(),
        smoke: Vec::new(),
        rehearsal: None,
        within: Duration::from_secs(60),
    };
    let datastore = Datastore {
        plugin: name("files"),
        settings: json!({}),
        written_by: vec![name("api")],
        writers_are_named: true,
        proof: ProofLevel::Restored,
        rehearsal: None,
        within: Duration::from_secs(60),
    };
    Stack {
        name: name("shop"),
        releases: "releases".to_owned(),
        components: BTreeMap::from([
            (name("api"), component(&["orders"])),
            (name("gateway"), component(&["api"])),
        ]),
        datastores: BTreeMap::from([
            (name("keys"), datastore.clone()),
            (name("orders"), datastore),
        ]),
        secrets: BTreeMap::new(),
        policy: Policy { on_failure: OnFailure::Return, ..Policy::default() },
        backups: Backups { recipients: Vec::new(), directory: None, keep_last: 5, keep_days: 30 },
    }
}

fn running(version: Option<&str>) -> ComponentSnapshot {
    let version = version.map(str::to_owned);
    let running = Running {
        revision: version.clone(),
        version,
        artifacts: Vec::new(),
        instances_wanted: 2,
        instances: Vec::new(),
        traffic: Traffic::NotApplicable,
        configuration_digest: None,
        busy: Some("somebody".to_owned()),
    };
    let way_back = WayBack { available: false, revision: None, reason: "gone".to_owned() };
    ComponentSnapshot { running, way_back, preview: None }
}

fn store(dirty: bool) -> DatastoreSnapshot {
    let schema = Schema {
        version: Some("3".to_owned()),
        fingerprint: "half".to_owned(),
        dirty,
        applied: Vec::new(),
    };
    DatastoreSnapshot {
        schema: Some(schema),
        pending: None,
        bytes: 1024,
        bytes_free: Some(1 << 20),
        consistency: Consistency::None,
        backup_commands: Vec::new(),
        restorable: true,
        last: None,
    }
}

/// Everything that an upgrade refuses at once: mixed versions, somebody at work, no way back, a
/// half-applied schema, a datastore that cannot be read.
fn broken() -> Snapshot {
    let unread = DatastoreSnapshot { schema: None, ..store(false) };
    Snapshot {
        components: BTreeMap::from([
            (name("api"), running(Some("3.0.0"))),
            (name("gateway"), running(Some("2.0.0"))),
        ]),
        datastores: BTreeMap::from([(name("keys"), unread), (name("orders"), store(true))]),
        unseen: BTreeMap::from([(name("keys"), "there is no data/keys".to_owned())]),
        backup_bytes_free: None,
    }
}

fn known() -> BTreeMap<Name, Known> {
    let known = Known { revision: Some("2.0.0".to_owned()), instances: 2 };
    BTreeMap::from([(name("api"), known.clone()), (name("gateway"), known)])
}

fn asked(
    stack: &Stack,
    snapshot: Snapshot,
    known: &BTreeMap<Name, Known>,
    set_of: &str,
    stores: &[&str],
) -> Result<Plan, Vec<Obstacle>> {
    plan(Question {
        stack,
        set: SetFacts {
            id: "aa-before".to_owned(),
            stack: set_of.to_owned(),
            release: "2.0.0".to_owned(),
            datastores: stores.iter().map(|text| name(text)).collect(),
        },
        snapshot,
        preconditions: Preconditions::default(),
        known,
        stopped: &BTreeSet::new(),
        held: &BTreeSet::new(),
    })
}

fn planned() -> Plan {
    asked(&stack(), broken(), &known(), "shop", &["orders", "keys"]).unwrap()
}

#[test]
fn nothing_that_an_upgrade_insists_on_stands_in_the_way() {
    let plan = planned();
    assert_eq!((plan.from.as_str(), plan.to.as_str()), ("unknown", "2.0.0"));
    let what: Vec<String> =
        plan.steps.iter().map(|its| format!("{} {}", its.act.phase(), its.act)).collect();
    assert_eq!(
        what,
        [
            "check preflights",
            "prove keys at level 3",
            "prove orders at level 3",
            "hold api, all instances stopped",
            "keep keys, orders",
            "redeploy api at revision 2.0.0, not started yet",
            "restore keys into an empty target",
            "restore orders into an empty target",
            "restore keys put in place",
            "restore orders put in place",
            "start api, 2 instances",
            "verify api 2.0.0",
            "discard what was set aside of keys",
            "discard what was set aside of orders",
        ]
    );
}

/// A database server that is a component itself: nothing is kept or restored while it is down.
#[test]
fn what_a_datastore_lives_in_runs_while_that_is_kept_and_restored() {
    let mut stack = stack();
    stack.components.insert(name("db"), stack.components[&name("gateway")].clone());
    let orders = stack.datastores.get_mut(&name("orders")).unwrap();
    orders.settings = json!({ "inside": "db" });
    let (mut seen, mut known) = (broken(), known());
    seen.components.insert(name("db"), running(Some("3.0.0")));
    known.insert(name("db"), Known { revision: Some("2.0.0".to_owned()), instances: 1 });
    let plan = asked(&stack, seen, &known, "shop", &["orders"]).unwrap();
    let of_db = |act: &Act| act.subject() == Some(&name("db"));
    let place = |wanted: &dyn Fn(&Act) -> bool| plan.steps.iter().position(|s| wanted(&s.act));
    let redeployed = place(&|act| of_db(act) && matches!(act, Act::Revert(.., Presence::Running)));
    let kept = place(&|act| matches!(act, Act::BackUp(..)));
    assert!(redeployed.is_some() && redeployed < kept, "{:?}", plan.steps);
    assert_eq!(place(&|act| of_db(act) && matches!(act, Act::Stop(_) | Act::Start(..))), None);
}

#[test]
fn only_what_makes_the_restore_impossible_is_an_obstacle() {
    let stack = stack();
    let refused = |snapshot, set_of: &str, stores: &[&str]| {
        asked(&stack, snapshot, &known(), set_of, stores).unwrap_err()
    };
    let other = Obstacle::OtherStack { set: "aa-before".to_owned(), stack: "bank".to_owned() };
    assert_eq!(refused(broken(), "bank", &["orders"]), [other]);
    let absent = refused(broken(), "shop", &["orders", "ledger"]);
    assert_eq!(absent, [Obstacle::NotInStack(name("ledger"))]);
    let mut full = broken();
    full.datastores.get_mut(&name("orders")).unwrap().bytes_free = Some(1023);
    let no_room = Obstacle::NoRoom { datastore: name("orders"), needed: 1024, free: 1023 };
    assert_eq!(refused(full, "shop", &["orders"]), [no_room]);
}

#[test]
fn a_release_that_was_never_seen_here_is_not_redeployed() {
    let plan = asked(&stack(), broken(), &BTreeMap::new(), "shop", &["orders"]).unwrap();
    let reverts = |step: &&crate::Step| matches!(step.act, Act::Revert(..));
    assert_eq!(plan.steps.iter().filter(reverts).count(), 0);
    let verified = Act::Verify(name("api"), Some("3.0.0".to_owned()));
    assert!(plan.steps.iter().any(|step| step.act == verified));
}

#[test]
fn a_datastore_that_names_no_writer_stops_everything() {
    let mut stack = stack();
    stack.datastores.get_mut(&name("orders")).unwrap().written_by.clear();
    let plan = asked(&stack, broken(), &BTreeMap::new(), "shop", &["orders"]).unwrap();
    let stops = plan.steps.iter().filter(|step| matches!(step.act, Act::Stop(_)));
    assert_eq!(stops.count(), 2);
}

/// Carries the plan out; keeping leaves these datastores out, or fails altogether.
fn carried_out(left_out: Option<&[&str]>) -> (Vec<String>, Machine) {
    let (mut machine, mut effect) = Machine::begin(planned());
    let mut done = Vec::new();
    while let Some(one) = effect {
        machine.handle(Event::Begun { effect: one.number }, Timestamp::UNIX_EPOCH).unwrap();
        let outcome = match (&one.step.act, left_out) {
            (Act::BackUp(..), None) => Outcome::Failed(Failure::default()),
            (Act::BackUp(..), Some(names)) => Outcome::Done(Answer::BackedUp {
                set: "bb-replaced".to_owned(),
                bytes: BTreeMap::new(),
                left_out: names.iter().map(|text| (name(text), "gone".to_owned())).collect(),
            }),
            (Act::Prove(_, level), _) => {
                let (figures, answers) = (Vec::new(), Vec::new());
                Outcome::Done(Answer::Proven { level: *level, figures, answers })
            }
            (Act::Switch(_), _) => Outcome::Done(Answer::Text("/old".to_owned())),
            _ => Outcome::Done(Answer::Nothing),
        };
        done.push(one.step.act.to_string());
        let event = Event::Finished { effect: one.number, outcome };
        effect = machine.handle(event, Timestamp::UNIX_EPOCH).unwrap();
    }
    assert_eq!(machine.ending(), Some(&Ending::Upgraded), "{done:?}");
    (done, machine)
}

#[test]
fn what_no_set_keeps_is_set_aside_and_never_removed() {
    let of = |store: &str| format!("what was set aside of {store}");
    let (done, machine) = carried_out(Some(&[]));
    assert!(done.contains(&of("keys")) && done.contains(&of("orders")));
    assert!(machine.facts().aside.is_empty());

    let (done, machine) = carried_out(Some(&["keys"]));
    assert!(!done.contains(&of("keys")) && done.contains(&of("orders")));
    assert_eq!(machine.facts().aside.keys().collect::<Vec<_>>(), [&name("keys")]);

    let (done, machine) = carried_out(None);
    assert!(!done.contains(&of("keys")) && !done.contains(&of("orders")));
    assert_eq!((machine.facts().aside.len(), machine.state()), (2, "restored"));
}
