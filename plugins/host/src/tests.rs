//! The plugin against real links and release directories; start, stop and status are scripted.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Value, json};
use vaultup_sdk::deploy::{Change, Presence, Severity, Traffic, Wave};
use vaultup_sdk::migrate::Request;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};
use vaultup_sdk::{Case, Deploy, Migrate, Observation, Operation, Target};

use crate::{HostPlugin, Settings};

/// Instances that run, with their versions.
type Processes = Rc<RefCell<BTreeMap<String, String>>>;

struct World {
    machine: Installed,
    processes: Processes,
    settings: Value,
}

impl World {
    /// Releases 1.0.0 and 2.0.0, and instances that run 1.0.0.
    fn new(instances: &[&str]) -> Self {
        let machine =
            Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
        for release in ["1.0.0", "2.0.0"] {
            machine.write(&format!("releases/{release}/VERSION"), release);
        }
        machine.root("releases", "releases");
        machine.write("links/keep", "");
        std::fs::remove_file(machine.path("links/keep")).unwrap();
        let mut settings = json!({
            "releases": "releases", "instances": instances,
            "start": ["${current}/bin/app", "start", "${instance}"],
            "stop": ["app", "stop", "${instance}"], "status": ["app", "status"],
        });
        if let [only] = instances {
            machine.root_beside("current", "current");
            settings["current"] = json!("current");
            link(&machine, "current", "1.0.0");
            assert_eq!(*only, "main");
        } else {
            machine.root("links", "links");
            settings["links"] = json!("links");
            instances.iter().for_each(|name| link(&machine, &format!("links/{name}"), "1.0.0"));
        }
        let processes: Processes = Rc::default();
        for instance in instances {
            processes.borrow_mut().insert((*instance).to_owned(), "1.0.0".to_owned());
        }
        let world = Self { machine, processes, settings };
        world.script();
        world
    }

    /// A service whose instances run what their link names, and are ready at once.
    fn script(&self) {
        let name = |call: &Call| call.variables["instance"].clone();
        let running = Rc::clone(&self.processes);
        let folder = self.machine.path("");
        self.machine.answer("start", move |call| {
            let link = match call.variables.get("current") {
                Some(current) => folder.join(current),
                None => folder.join("links").join(name(call)),
            };
            let linked = std::fs::read_link(link).unwrap();
            let version = linked.file_name().unwrap().to_string_lossy().into_owned();
            assert!(running.borrow_mut().insert(name(call), version).is_none(), "started twice");
            Reply::exit(0)
        });
        let running = Rc::clone(&self.processes);
        self.machine.answer("stop", move |call| {
            running.borrow_mut().remove(&name(call));
            Reply::exit(0)
        });
        let running = Rc::clone(&self.processes);
        self.machine.answer("status", move |call| match running.borrow().get(&name(call)) {
            Some(version) => {
                Reply::output(json!({"running": true, "version": version}).to_string())
            }
            None => Reply::exit(3),
        });
    }

    fn operation(&self) -> Operation<Settings> {
        let settings = serde_json::from_value(self.settings.clone()).unwrap();
        let mut operation = self.machine.operation(settings);
        operation.previous = Some(self.machine.release("1.0.0"));
        operation.next = Some(self.machine.release("2.0.0"));
        operation
    }

    fn running(&self) -> Vec<(String, String)> {
        self.processes.borrow().clone().into_iter().collect()
    }

    /// Commands that change something, since this was asked last.
    fn changes(&self) -> Vec<String> {
        let calls = self.machine.take_calls();
        let kept = calls.iter().filter(|call| !call.starts_with("status"));
        kept.map(|call| call.split(' ').next().unwrap().to_owned()).collect()
    }
}

fn link(machine: &Machine, name: &str, release: &str) {
    let to = machine.path(&format!("releases/{release}"));
    std::os::unix::fs::symlink(to, machine.path(name)).unwrap();
}

fn wave(instances: u32) -> Wave {
    Wave { number: 1, of: 1, instances }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_wave_reaches_its_instances_and_no_others() {
    let world = World::new(&["a", "b"]);
    let operation = world.operation();
    let status = |wave| <HostPlugin as Deploy>::status(&operation, Change::Apply(wave)).unwrap();
    assert_eq!(status(wave(1)), Observation::NotStarted);
    <HostPlugin as Deploy>::apply(&operation, wave(1)).unwrap();
    assert_eq!(world.running(), pairs(&[("a", "2.0.0"), ("b", "1.0.0")]));
    assert!(matches!(status(wave(1)), Observation::Done(_)));
    assert_eq!(status(wave(2)), Observation::NotStarted);
    <HostPlugin as Deploy>::apply(&operation, wave(2)).unwrap();
    assert_eq!(world.running(), pairs(&[("a", "2.0.0"), ("b", "2.0.0")]));
}

#[test]
fn an_apply_that_is_made_again_touches_nothing() {
    let world = World::new(&["main"]);
    <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap();
    assert_eq!(world.changes(), ["stop", "start"]);
    <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap();
    assert_eq!(world.changes(), [""; 0]);
}

#[test]
fn an_apply_that_was_interrupted_anywhere_is_completed() {
    // Stopped; stopped and switched; switched and started, but not by a process that says 2.0.0.
    for interrupted in 0..3 {
        let world = World::new(&["main"]);
        world.processes.borrow_mut().clear();
        if interrupted > 0 {
            std::fs::remove_file(world.machine.path("current")).unwrap();
            link(&world.machine, "current", "2.0.0");
        }
        if interrupted > 1 {
            world.processes.borrow_mut().insert("main".to_owned(), "1.0.0".to_owned());
        }
        <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap();
        assert_eq!(world.running(), pairs(&[("main", "2.0.0")]), "{interrupted}");
    }
}

#[test]
fn an_instance_that_never_becomes_ready_is_an_error_with_its_reason() {
    let world = World::new(&["main"]);
    let processes = Rc::clone(&world.processes);
    world.machine.answer("status", move |_| match processes.borrow().get("main") {
        Some(version) => Reply::output(
            json!({"running": true, "ready": false, "version": version, "reason": "no disk"})
                .to_string(),
        ),
        None => Reply::exit(3),
    });
    let error = <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap_err();
    assert_eq!(error.case(), &Case::TimedOut);
    let end = "instance `main` runs 2.0.0 and is not ready: no disk";
    assert!(error.message().ends_with(end), "{error}");
    let change = Change::Apply(wave(1));
    let left = <HostPlugin as Deploy>::status(&world.operation(), change).unwrap();
    assert_eq!(left, Observation::failed(end));

    let world = World::new(&["main"]);
    world.processes.borrow_mut().clear();
    world.machine.answer("start", |_| Reply::exit(1).with_errors("port 80 is taken\n"));
    let error = <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap_err();
    assert_eq!((error.case(), error.platform()), (&Case::Failed, "port 80 is taken"));
    assert!(error.message().starts_with("instance `main` with 2.0.0"), "{error}");
}

#[test]
fn a_missing_release_is_found_before_anything_is_touched() {
    let world = World::new(&["main"]);
    let mut operation = world.operation();
    operation.next = Some(world.machine.release("3.0.0"));
    assert_eq!(
        <HostPlugin as Deploy>::apply(&operation, wave(1)).unwrap_err().case(),
        &Case::NotFound
    );
    assert_eq!(HostPlugin::prefetch(&operation).unwrap_err().case(), &Case::NotFound);
    let preview = HostPlugin::preview(&operation).unwrap();
    assert_eq!(preview.differences[0].severity, Severity::Blocking);
    let error = HostPlugin::revert(&operation, "0.9.0", Presence::Running).unwrap_err();
    assert_eq!(error.case(), &Case::NotFound);
    assert_eq!(world.changes(), [""; 0]);
}

#[test]
fn a_revision_that_leads_elsewhere_is_refused() {
    let world = World::new(&["main"]);
    for revision in ["..", "../x", "/etc", "-f", "", "."] {
        let error =
            HostPlugin::revert(&world.operation(), revision, Presence::Running).unwrap_err();
        assert_eq!(error.case(), &Case::InvalidSettings, "{revision}");
    }
}

#[test]
fn what_runs_is_told_from_links_and_status() {
    let world = World::new(&["a", "b"]);
    let running = HostPlugin::observe(&world.operation()).unwrap();
    assert_eq!(running.revision.as_deref(), Some("1.0.0"));
    assert_eq!((running.instances_wanted, running.instances.len()), (2, 2));
    assert_eq!(running.traffic, Traffic::NotApplicable);
    <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap();
    let running = HostPlugin::observe(&world.operation()).unwrap();
    assert_eq!(running.version, None, "two releases are deployed");
    assert_eq!(running.instances[0].version.as_deref(), Some("2.0.0"));
    assert_eq!(running.artifacts.len(), 2);
}

#[test]
fn nothing_deployed_is_no_error_even_if_the_status_program_is_not_there() {
    let world = World::new(&["main"]);
    std::fs::remove_file(world.machine.path("current")).unwrap();
    world.processes.borrow_mut().clear();
    world.machine.answer("status", |_| Reply::exit(127).with_errors("no such file"));
    let running = HostPlugin::observe(&world.operation()).unwrap();
    assert_eq!((running.version, running.instances[0].running), (None, false));
    world.script();
    <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap();
    assert_eq!(world.running(), pairs(&[("main", "2.0.0")]));
}

#[test]
fn the_way_back_is_the_directory_that_is_in_place() {
    let world = World::new(&["main"]);
    let way_back = HostPlugin::way_back(&world.operation()).unwrap();
    assert_eq!(way_back.revision.as_deref(), Some("1.0.0"));
    assert!(way_back.reason.contains("1 entries, 5 bytes, sip:"), "{}", way_back.reason);
    std::fs::remove_file(world.machine.path("releases/1.0.0/VERSION")).unwrap();
    let way_back = HostPlugin::way_back(&world.operation()).unwrap();
    assert!(!way_back.available && way_back.revision.is_none());
}

#[test]
fn what_a_release_requires_and_no_command_is_given_is_told_r8() {
    let world = World::new(&["main"]);
    let mut operation = world.operation();
    operation.next.as_mut().unwrap().entry = r#"{"requires": ["TOKEN", "PORT"]}"#.to_owned();
    let text = serde_json::from_value(serde_json::json!("8080")).unwrap();
    operation.settings.environment.insert("PORT".to_owned(), text);
    let preview = HostPlugin::preview(&operation).unwrap();
    let told = preview.differences.iter().find(|its| its.object == "configuration").unwrap();
    assert_eq!(told.severity, Severity::Warning);
    assert!(told.detail.contains("requires TOKEN, which"), "{}", told.detail);
}

#[test]
fn a_plan_shows_each_link_and_each_command() {
    let world = World::new(&["main"]);
    let preview = HostPlugin::preview(&world.operation()).unwrap();
    assert_eq!(preview.differences.len(), 1);
    assert_eq!(preview.differences[0].detail, "1.0.0 → 2.0.0");
    let start = ["current/bin/app".to_owned(), "start".to_owned(), "main".to_owned()];
    assert_eq!(preview.commands, [vec!["app".into(), "stop".into(), "main".into()], start.into()]);
    assert_eq!(world.changes(), [""; 0]);
}

#[test]
fn stop_revert_and_start_lead_back() {
    let world = World::new(&["a", "b"]);
    let operation = world.operation();
    <HostPlugin as Deploy>::apply(&operation, wave(2)).unwrap();
    HostPlugin::stop(&operation).unwrap();
    assert!(matches!(
        <HostPlugin as Deploy>::status(&operation, Change::Stop).unwrap(),
        Observation::Done(_)
    ));
    HostPlugin::revert(&operation, "1.0.0", Presence::Stopped).unwrap();
    assert_eq!(world.running(), []);
    let change = Change::Revert(("1.0.0".to_owned(), Presence::Stopped));
    assert!(matches!(
        <HostPlugin as Deploy>::status(&operation, change).unwrap(),
        Observation::Done(_)
    ));
    HostPlugin::start(&operation, 2).unwrap();
    assert_eq!(world.running(), pairs(&[("a", "1.0.0"), ("b", "1.0.0")]));
    assert_eq!(HostPlugin::start(&operation, 3).unwrap_err().case(), &Case::InvalidSettings);
}

#[test]
fn an_instance_is_drained_before_it_is_stopped() {
    let mut world = World::new(&["main"]);
    world.settings["drain"] = json!(["app", "drain"]);
    world.machine.answer("drain", |_| Reply::exit(0));
    <HostPlugin as Deploy>::apply(&world.operation(), wave(1)).unwrap();
    assert_eq!(world.changes(), ["drain", "stop", "start"]);
}

#[test]
fn requests_are_held_and_let_in_only_if_they_are_not_yet() {
    let mut world = World::new(&["main"]);
    let operation = world.operation();
    assert!(
        matches!(HostPlugin::hold_traffic(&operation), Err(e) if e.case() == &Case::Unsupported)
    );
    world.settings["hold-traffic"] = json!(["app", "hold"]);
    let state = Rc::new(RefCell::new("open"));
    let held = Rc::clone(&state);
    world.machine.answer("hold-traffic", move |_| {
        *held.borrow_mut() = "held";
        Reply::exit(0)
    });
    let twin = |world: &World| {
        <HostPlugin as Deploy>::status(&world.operation(), Change::HoldTraffic).unwrap()
    };
    assert!(matches!(twin(&world), Observation::Unknown(_)));
    world.settings["traffic"] = json!(["app", "traffic"]);
    world.machine.answer("traffic", move |_| Reply::output(*state.borrow()));
    assert_eq!(twin(&world), Observation::NotStarted);
    world.changes();
    HostPlugin::hold_traffic(&world.operation()).unwrap();
    HostPlugin::hold_traffic(&world.operation()).unwrap();
    assert_eq!(world.changes(), ["traffic", "hold-traffic", "traffic", "traffic"]);
    assert!(matches!(twin(&world), Observation::Done(_)));
}

#[test]
fn only_a_copy_is_discarded_and_nothing_of_it_is_left() {
    let mut world = World::new(&["main"]);
    let mut operation = world.operation();
    assert_eq!(HostPlugin::discard(&operation).unwrap_err().case(), &Case::Refused);
    operation.target = Target::Copy("rehearsal".to_owned());
    let error = HostPlugin::discard(&operation).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings, "it has the live link: {error}");
    assert_eq!(world.running().len(), 1);

    world.machine.root_beside("current", "current.vaultup-copy");
    world.settings["current"] = json!("current.vaultup-copy");
    world.processes.borrow_mut().clear();
    let mut operation = world.operation();
    operation.target = Target::Copy("rehearsal".to_owned());
    HostPlugin::revert(&operation, "1.0.0", Presence::Running).unwrap();
    assert_eq!(world.running(), pairs(&[("main", "1.0.0")]));
    HostPlugin::discard(&operation).unwrap();
    HostPlugin::discard(&operation).unwrap();
    assert_eq!(world.running(), []);
    let left = <HostPlugin as Deploy>::status(&operation, Change::Discard).unwrap();
    assert!(matches!(left, Observation::Done(_)), "{left:?}");
    assert!(world.machine.path("current").is_symlink(), "the live link is untouched");
}

#[test]
fn a_release_is_fetched_only_if_it_is_not_there() {
    let mut world = World::new(&["main"]);
    world.settings["prefetch"] = json!(["fetch", "${artifact}", "${release-directory}"]);
    let mut operation = world.operation();
    HostPlugin::prefetch(&operation).unwrap();
    assert_eq!(world.changes(), [""; 0]);
    let next = operation.next.as_mut().unwrap();
    (next.version, next.artifact) = ("3.0.0".to_owned(), Some("https://a/3".to_owned()));
    let fetched = <HostPlugin as Deploy>::status(&operation, Change::Prefetch).unwrap();
    assert_eq!(fetched, Observation::NotStarted);
    world.machine.answer("prefetch", |call| {
        std::fs::create_dir(&call.variables["release-directory"]).unwrap();
        std::fs::write(format!("{}/x", call.variables["release-directory"]), "x").unwrap();
        assert_eq!(call.variables["artifact"], "https://a/3");
        Reply::exit(0)
    });
    HostPlugin::prefetch(&operation).unwrap();
    let fetched = <HostPlugin as Deploy>::status(&operation, Change::Prefetch).unwrap();
    assert!(matches!(fetched, Observation::Done(_)));
}

#[test]
fn a_migration_runs_in_the_new_release_and_its_failure_is_told_in_its_own_words() {
    let world = World::new(&["main"]);
    let operation = world.operation();
    let mut request = Request {
        datastore: "store".to_owned(),
        command: vec!["bin/app".to_owned(), "migrate".to_owned()],
        expected: None,
    };
    world.machine.answer("migrate.command", |_| Reply::output("applying 2\n"));
    HostPlugin::apply_migration(&operation, &request).unwrap();
    let call = world.machine.calls().pop().unwrap();
    assert_eq!(call.directory, Some(call.variables["release-directory"].clone()));
    assert_eq!(call.variables["datastore"], "store");
    assert_eq!(world.machine.logged(), ["applying 2"]);

    world.machine.answer("migrate.command", |_| Reply::exit(3).with_errors("duplicate key"));
    let error = HostPlugin::apply_migration(&operation, &request).unwrap_err();
    assert_eq!((error.case(), error.platform()), (&Case::Failed, "duplicate key"));
    let twin = <HostPlugin as Migrate>::status(&operation, &request).unwrap();
    assert!(matches!(twin, Observation::Unknown(_)));
    assert_eq!(HostPlugin::schema(&operation).unwrap_err().case(), &Case::Unsupported);
    request.command.clear();
    let error = HostPlugin::apply_migration(&operation, &request).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings);
}

impl HostPlugin {
    fn apply_migration(
        operation: &Operation<Settings>,
        request: &Request,
    ) -> Result<(), vaultup_sdk::Error> {
        <Self as Migrate>::apply(operation, request)
    }
}
