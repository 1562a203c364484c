//! What the plugin makes of answers that a real server will not give on demand. Against real
//! servers: the end-to-end suite `databases`.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::{Value, json};
use vaultup_sdk::backup::Level;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};
use vaultup_sdk::{Backup, Case, Operation, Restore};

use crate::archive::tests::archive;
use crate::connection::ARCHIVE;
use crate::literals::literal;
use crate::{MongoPlugin, Settings, State};

const RESTORED: &str = "6 document(s) restored successfully. 0 document(s) failed to restore.";
const FIGURES: &str = "{\"name\":\"orders\",\"count\":6,\"digest\":\"md5-documents:1\"}\n\
    {\"name\":\"empty\",\"count\":0,\"digest\":\"md5-documents:0\"}\n{\"measured\":true}\n";

fn is(call: &Call, script: &str) -> bool {
    call.arguments.contains(&format!("--eval={}", literal(script)))
}

fn machine() -> Installed {
    let machine = Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
    machine.answer("mongosh", |call| {
        if is(call, "figures") {
            return Reply::output(FIGURES);
        }
        if is(call, "stage") {
            return Reply::output("{\"made\":[],\"stages\":[]}");
        }
        let facts =
            json!({"version": "5.0", "bytes": 9, "writable": true, "set": null, "collections": 2,
                "free": 1000, "named": ["report from 10.0.0.7:4711"], "connections": 3});
        Reply::output(if is(call, "facts") { facts.to_string() } else { String::new() })
    });
    machine.answer("mongodump", |_| Reply::output(archive()));
    machine.answer("prlimit", |_| Reply::exit(0).with_errors(RESTORED));
    machine
}

fn operation(machine: &Machine, more: Value) -> Operation<Settings> {
    let mut settings = json!({"database": "shop"});
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    machine.operation(serde_json::from_value(settings).unwrap())
}

fn taken(machine: &Machine) -> State {
    MongoPlugin::take(&operation(machine, json!({}))).unwrap().state
}

const LEVELS: [Level; 4] = [Level::Exists, Level::Readable, Level::Checked, Level::Restored];

#[test]
fn a_good_archive_is_proven_at_every_level() {
    let machine = machine();
    let state = taken(&machine);
    for level in LEVELS {
        let proof = MongoPlugin::prove(&operation(&machine, json!({})), level, &state).unwrap();
        assert_eq!(proof.level, level);
    }
}

#[test]
fn an_archive_with_fewer_documents_than_were_counted_is_refused_though_it_is_complete() {
    let machine = machine();
    let mut state = taken(&machine);
    state.documents.insert("orders".to_owned(), 7);
    for level in [Level::Checked, Level::Restored] {
        let error = MongoPlugin::prove(&operation(&machine, json!({})), level, &state).unwrap_err();
        assert_eq!(error.case(), &Case::Corrupt, "{error}");
    }
}

#[test]
fn mongorestore_is_believed_only_if_everything_that_it_says_is_right() {
    for (status, said) in [
        (1, RESTORED),
        (0, "5 document(s) restored successfully. 0 document(s) failed to restore."),
        (0, "6 document(s) restored successfully. 1 document(s) failed to restore."),
        (0, ""),
    ] {
        let machine = machine();
        let state = taken(&machine);
        machine.answer("prlimit", move |_| Reply::exit(status).with_errors(said));
        let operation = operation(&machine, json!({}));
        assert!(MongoPlugin::prove(&operation, Level::Restored, &state).is_err(), "{said}");
        assert!(MongoPlugin::fill(&operation, &state).is_err(), "{said}");
        let calls = machine.calls();
        let last = calls.iter().rfind(|call| is(call, "drop"));
        assert!(last.is_some(), "the scratch database is removed");
    }
}

#[test]
fn a_damaged_archive_never_reaches_mongorestore() {
    let machine = machine();
    let state = taken(&machine);
    let mut damaged = archive();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 4;
    machine.put_artifact(ARCHIVE, damaged);
    assert!(MongoPlugin::fill(&operation(&machine, json!({})), &state).is_err());
    assert!(!machine.calls().iter().any(|call| call.name == "prlimit"));
}

#[test]
fn a_database_that_changed_while_it_was_dumped_is_no_backup() {
    let machine = machine();
    let count = std::cell::Cell::new(0);
    machine.answer("mongosh", move |call| {
        if !is(call, "figures") {
            let facts = json!({"version": "5.0", "bytes": 9, "writable": true, "collections": 2});
            return Reply::output(facts.to_string());
        }
        count.set(count.get() + 1);
        let line = json!({"name": "orders", "count": count.get(), "digest": null});
        Reply::output(format!("{line}\n{{\"measured\":true}}"))
    });
    let error = MongoPlugin::take(&operation(&machine, json!({}))).unwrap_err();
    assert_eq!(error.case(), &Case::Conflict);
}

#[test]
fn the_password_is_in_a_file_or_a_variable_and_never_an_argument() {
    let machine = machine();
    let operation = operation(&machine, json!({"config": {"secret": "pw"}}));
    MongoPlugin::take(&operation).unwrap();
    for call in machine.calls() {
        match call.name.as_str() {
            "mongosh" => assert_eq!(call.environment["VAULTUP_CONFIG"], "{secret:pw}"),
            _ => assert!(call.arguments.contains(&"--config={secret:pw}".to_owned()), "{call}"),
        }
    }
}
