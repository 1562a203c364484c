//! What the plugin asks the tools, and what it makes of answers that a real server will not give
//! on demand. Against real servers: the end-to-end suite `databases`.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use serde_json::{Value, json};
use vaultup_sdk::backup::{Cost, Level};
use vaultup_sdk::restore::Stage;
use vaultup_sdk::testing::{Call, Installed, Machine, Reply};
use vaultup_sdk::{Backup, Case, Error, Migrate, Observation, Operation, Restore};

use crate::connection::{DUMP, GLOBALS};
use crate::literals::literal;
use crate::{PostgresPlugin, Settings, State};

const LIST: &str = ";     dbname: shop\n;     TOC Entries: 9\n;\n3; 1 2 TABLE public orders shop\n";

/// A machine whose tools answer as those of a small, healthy database.
fn machine() -> Installed {
    let machine = Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
    machine.answer("psql", psql);
    machine.answer("pg_dump", |call| match call.arguments[0].as_str() {
        "--version" => Reply::output("pg_dump (PostgreSQL) 15.18\n"),
        _ => Reply::output("PGDMP and so on"),
    });
    machine.answer("pg_dumpall", |_| Reply::output("CREATE ROLE shop;\n"));
    machine.answer("pg_restore", |call| match call.arguments[0].as_str() {
        "--list" => Reply::output(LIST),
        _ => Reply::exit(0),
    });
    machine
}

fn psql(call: &Call) -> Reply {
    let figures = "{\"name\":\"public.orders\",\"count\":3,\"digest\":\"md5-rows:0\"}\n\
        {\"measured\":true}\n";
    if call.arguments.iter().any(|argument| argument.contains("pg_export_snapshot")) {
        return Reply::output(format!("{{\"snapshot\":\"3-5-1\",\"process\":7}}\n{figures}"));
    }
    if call.input == literal("figures") {
        return Reply::output(figures);
    }
    if call.input == literal("facts") {
        return Reply::output(facts().to_string());
    }
    if call.input == literal("databases") {
        return Reply::output("{\"name\":\"shop\",\"allows\":true}\n");
    }
    if call.input == literal("release") {
        return Reply::output("{\"ends\":true}\n");
    }
    Reply::output("")
}

fn facts() -> Value {
    json!({"version": 150_018, "bytes": 9, "superuser": false, "may-create": true, "owns": true,
        "user": "shop", "recovering": false, "sessions": 1, "sessions-max": 100,
        "properties": {"owner": "shop", "settings": []}})
}

fn operation(machine: &Machine, more: Value) -> Operation<Settings> {
    let mut settings = json!({"database": "shop", "host": "db", "password": {"secret": "pw"}});
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    machine.operation(serde_json::from_value(settings).unwrap())
}

fn taken(machine: &Machine) -> State {
    PostgresPlugin::take(&operation(machine, json!({}))).unwrap().state
}

fn estimated(operation: &Operation<Settings>) -> Result<Cost, Error> {
    <PostgresPlugin as Backup>::estimate(operation)
}

/// Names of the changes that were asked of the server, in order.
fn changes(machine: &Machine) -> Vec<&'static str> {
    let known = [
        "create",
        "dress",
        "drop",
        "analyze",
        "complete",
        "close",
        "open",
        "end-sessions",
        "switch",
    ];
    let named = |call: Call| known.into_iter().find(|name| literal(name) == call.input);
    machine.calls().into_iter().filter_map(named).collect()
}

#[test]
fn a_dump_is_taken_of_the_moment_that_was_measured_and_the_password_is_no_argument() {
    let machine = machine();
    let taken = PostgresPlugin::take(&operation(&machine, json!({}))).unwrap();
    assert_eq!(taken.figures.len(), 1);
    assert_eq!(taken.state.figures, 1);
    assert!(machine.artifact(DUMP).is_some() && machine.artifact(GLOBALS).is_some());
    let calls = machine.calls();
    let dump = calls.iter().find(|call| call.arguments.contains(&"--snapshot=3-5-1".to_owned()));
    assert!(dump.unwrap().arguments.contains(&"--compress=0".to_owned()));
    // What a crash left would keep a migration waiting, and ends before a new moment begins.
    let asked = |text: &str| calls.iter().position(|call| call.input == literal(text)).unwrap();
    assert!(asked("release-left") < asked("figures") && asked("figures") < asked("release"));
    for call in calls.iter().filter(|call| call.arguments[0] != "--version") {
        assert_eq!(call.environment["PGPASSWORD"], "{secret:pw}");
        assert!(!call.to_string().contains("pw"), "{call}");
    }
}

#[test]
fn a_dump_that_failed_or_wrote_nothing_is_no_backup() {
    for (tool, reply) in [
        ("pg_dump", Reply::exit(1).with_output("half").with_errors("server closed the connection")),
        ("pg_dump", Reply::output("")),
        ("pg_dumpall", Reply::output("")),
        ("psql", Reply::exit(2).with_errors("connection to server at \"db\" failed")),
    ] {
        let machine = machine();
        let old = reply.clone();
        machine.answer(tool, move |call| match call.arguments[0].as_str() {
            "--version" => Reply::output("pg_dump (PostgreSQL) 15.18\n"),
            _ => old.clone(),
        });
        assert!(PostgresPlugin::take(&operation(&machine, json!({}))).is_err(), "{tool} {reply:?}");
    }
}

#[test]
fn a_dump_whose_moment_is_lost_is_explained_by_what_the_session_said() {
    let machine = machine();
    machine.answer("psql", |call| match psql(call) {
        reply if call.input != literal("figures") => reply,
        _ => Reply::exit(3)
            .with_output("{\"snapshot\":\"1\",\"process\":7}\n")
            .with_errors("ERROR:  permission denied for table secrets"),
    });
    machine.answer("pg_dump", |call| match call.arguments[0].as_str() {
        "--version" => Reply::output("pg_dump (PostgreSQL) 15.18\n"),
        _ => Reply::exit(1).with_errors("ERROR:  invalid snapshot identifier"),
    });
    let error = PostgresPlugin::take(&operation(&machine, json!({}))).unwrap_err();
    assert!(error.platform().contains("table secrets"), "{error}");
}

#[test]
fn a_session_that_ends_before_everything_is_measured_is_no_backup() {
    let machine = machine();
    machine.answer("psql", |call| match psql(call) {
        reply if call.input == literal("figures") => {
            drop(reply);
            Reply::exit(3)
                .with_output("{\"snapshot\":\"1\",\"process\":7}\n")
                .with_errors("ERROR:  permission denied")
        }
        reply => reply,
    });
    let error = PostgresPlugin::take(&operation(&machine, json!({}))).unwrap_err();
    assert_eq!(error.case(), &Case::Refused, "{error}");
}

#[test]
fn tools_that_are_older_than_the_server_are_refused_before_anything_runs() {
    let machine = machine();
    machine.answer("pg_dump", |_| Reply::output("pg_dump (PostgreSQL) 14.9\n"));
    let error = estimated(&operation(&machine, json!({}))).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings);
    assert!(error.to_string().contains("PostgreSQL 15"), "{error}");
}

#[test]
fn a_right_that_is_missing_is_named_with_the_statement_that_grants_it() {
    let machine = machine();
    machine.answer("psql", |_| {
        let mut facts = facts();
        facts["may-create"] = json!(false);
        Reply::output(facts.to_string())
    });
    let error = estimated(&operation(&machine, json!({}))).unwrap_err();
    assert_eq!(error.case(), &Case::Refused);
    assert!(error.to_string().contains("ALTER ROLE \"shop\" CREATEDB"), "{error}");
}

#[test]
fn a_password_and_a_component_to_run_inside_of_do_not_go_together() {
    let machine = machine();
    let error = estimated(&operation(&machine, json!({"inside": "db"})));
    assert_eq!(error.unwrap_err().case(), &Case::InvalidSettings);
}

#[test]
fn the_scratch_database_is_removed_on_every_path() {
    assert!(literal("create").contains("DROP DATABASE IF EXISTS"), "what a crash left goes first");
    for broken in [None, Some("pg_restore")] {
        let machine = machine();
        let state = taken(&machine);
        if let Some(tool) = broken {
            machine.answer(tool, |call| match call.arguments[0].as_str() {
                "--list" => Reply::output(LIST),
                _ => Reply::exit(1).with_errors("pg_restore: error: unexpected end of file"),
            });
        }
        drop(machine.take_calls());
        let proven =
            PostgresPlugin::prove(&operation(&machine, json!({})), Level::Restored, &state);
        assert_eq!(proven.is_ok(), broken.is_none());
        let changes = changes(&machine);
        assert_eq!((changes.first(), changes.last()), (Some(&"create"), Some(&"drop")));
    }
}

#[test]
fn a_dump_of_another_database_is_refused_at_every_level_that_reads_it() {
    let machine = machine();
    let state = taken(&machine);
    machine.answer("pg_restore", |_| Reply::output(LIST.replace("shop\n;", "other\n;")));
    for level in [Level::Readable, Level::Checked, Level::Restored] {
        let error =
            PostgresPlugin::prove(&operation(&machine, json!({})), level, &state).unwrap_err();
        assert_eq!(error.case(), &Case::Corrupt, "{level:?}: {error}");
    }
}

#[test]
fn a_check_that_answers_nothing_is_no_check() {
    let machine = machine();
    let state = taken(&machine);
    let operation = operation(&machine, json!({"check": ["SELECT 1 WHERE false"]}));
    let error = PostgresPlugin::prove(&operation, Level::Restored, &state).unwrap_err();
    assert!(error.to_string().contains("answered nothing"), "{error}");
}

#[test]
fn a_copy_without_statistics_is_a_copy() {
    for (broken, said) in [(false, 0), (true, 1)] {
        let machine = machine();
        let state = taken(&machine);
        machine.answer("psql", move |call| match call.input == literal("analyze") && broken {
            true => Reply::exit(3).with_errors("ERROR:  canceling statement due to user request"),
            false => psql(call),
        });
        drop(machine.take_calls());
        PostgresPlugin::fill(&operation(&machine, json!({})), &state).unwrap();
        assert_eq!(changes(&machine), ["create", "dress", "analyze", "complete"]);
        let warnings =
            machine.logged().iter().filter(|line| line.contains("no statistics")).count();
        assert_eq!(warnings, said);
    }
}

#[test]
fn what_is_live_is_opened_again_when_the_names_could_not_be_changed() {
    let machine = machine();
    let operation = operation(&machine, json!({}));
    let names = crate::names::Names::of(&operation).unwrap();
    let new = names.new.clone();
    machine.answer("psql", move |call| {
        if call.input == literal("databases") {
            let known = [&*new, "shop"].map(|name| json!({"name": name, "allows": true}));
            return Reply::output(known.map(|known| known.to_string()).join("\n"));
        }
        if call.input == literal("sessions") {
            return Reply::output(
                "{\"pid\":7,\"user\":\"app\",\"application\":\"\",\"from\":null}",
            );
        }
        psql(call)
    });
    let error = PostgresPlugin::switch(&operation).unwrap_err();
    assert_eq!(error.case(), &Case::Conflict);
    assert!(error.to_string().contains("process 7"), "{error}");
    assert_eq!(changes(&machine), ["close", "open"]);
}

#[test]
fn the_names_say_that_the_switch_happened() {
    let machine = machine();
    let operation = operation(&machine, json!({}));
    let old = crate::names::Names::of(&operation).unwrap().old;
    machine.answer("psql", move |_| {
        let known = [&*old, "shop"].map(|name| json!({"name": name, "allows": true}));
        Reply::output(known.map(|known| known.to_string()).join("\n"))
    });
    let status = |stage| <PostgresPlugin as Restore>::status(&operation, stage).unwrap();
    assert!(matches!(status(Stage::Switch), Observation::Done(_)));
    assert!(matches!(status(Stage::Fill), Observation::Done(_)));
    PostgresPlugin::switch(&operation).unwrap();
    assert_eq!(changes(&machine), [""; 0], "nothing is changed twice");
}

#[test]
fn a_migration_that_was_begun_and_not_ended_is_dirty() -> Result<(), Error> {
    let machine = machine();
    machine.answer("psql", |_| {
        Reply::output(
            "{\"tool\":\"sqlx\",\"id\":\"1\",\"description\":\"a\",\"complete\":true}\n\
             {\"tool\":\"sqlx\",\"id\":\"2\",\"description\":\"b\",\"complete\":false}\n",
        )
    });
    let schema = PostgresPlugin::schema(&operation(&machine, json!({})))?;
    assert_eq!((schema.version.as_deref(), schema.dirty), (Some("1"), true));
    assert_eq!(schema.applied.len(), 1);
    Ok(())
}
