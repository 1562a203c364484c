//! The plugin with the real `tar` on real directories.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};
use vaultup_sdk::backup::{Change, Consistency, Level};
use vaultup_sdk::migrate::Request;
use vaultup_sdk::process::Exit;
use vaultup_sdk::restore::Stage;
use vaultup_sdk::testing::{Installed, Machine, Reply};
use vaultup_sdk::{
    Backup, Case, Error, Figure, HealthCheck, Migrate, Observation, Operation, Restore, Target,
};

use crate::archive::ARTIFACT;
use crate::{FilesPlugin, Settings, State};

/// A machine with a datastore `data`: files, an empty directory, links, odd names and modes.
fn machine() -> Installed {
    let machine = Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
    machine.write("data/orders.db", "one order");
    machine.write("data/sub/a file\nwith two lines", "x");
    machine.write("data/.hidden", "");
    fs::create_dir(machine.path("data/empty")).unwrap();
    symlink("orders.db", machine.path("data/link")).unwrap();
    fs::hard_link(machine.path("data/orders.db"), machine.path("data/again")).unwrap();
    fs::set_permissions(machine.path("data"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(machine.path("data/empty"), fs::Permissions::from_mode(0o555)).unwrap();
    machine.root_beside("path", "data");
    machine.tool("tar");
    machine
}

/// A machine whose datastore is a single file.
fn machine_with_key() -> Installed {
    let machine = Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
    machine.write("key.bin", "secret");
    fs::set_permissions(machine.path("key.bin"), fs::Permissions::from_mode(0o600)).unwrap();
    machine.root_beside("path", "key.bin");
    machine.tool("tar");
    machine
}

fn operation(machine: &Machine, settings: Value) -> Operation<Settings> {
    machine.operation(serde_json::from_value(settings).unwrap())
}

fn of_data(machine: &Machine) -> Operation<Settings> {
    operation(machine, json!({"path": "data"}))
}

fn live(operation: &Operation<Settings>) -> Figure {
    FilesPlugin::figures(operation).unwrap().remove(0)
}

/// Names beside the datastore that vaultup made.
fn left(machine: &Machine) -> Vec<String> {
    let entries = fs::read_dir(machine.path("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.contains(".vaultup-"));
    names.sort();
    names
}

fn proof(operation: &Operation<Settings>, state: &State, level: Level) -> Result<Level, Error> {
    FilesPlugin::prove(operation, level, state).map(|proof| proof.level)
}

const LEVELS: [Level; 4] = [Level::Exists, Level::Readable, Level::Checked, Level::Restored];

#[test]
fn a_tree_comes_back_as_it_was_and_what_was_live_is_kept() {
    let machine = machine();
    let operation = of_data(&machine);
    let taken = FilesPlugin::take(&operation).unwrap();
    assert_eq!(taken.consistency, Consistency::WritersHeld);
    for level in LEVELS {
        assert_eq!(proof(&operation, &taken.state, level).unwrap(), level);
    }
    machine.write("data/orders.db", "two orders");
    machine.write("data/left by the migration", "");
    let status = |stage| <FilesPlugin as Restore>::status(&operation, stage).unwrap();
    assert_eq!(status(Stage::Fill), Observation::NotStarted);
    assert_eq!(FilesPlugin::fill(&operation, &taken.state).unwrap(), taken.figures);
    assert!(matches!(status(Stage::Fill), Observation::Done(_)));
    assert_eq!(status(Stage::Switch), Observation::NotStarted);
    let old = FilesPlugin::switch(&operation).unwrap();
    assert!(matches!(status(Stage::Switch), Observation::Done(_)));
    assert_eq!(live(&operation), taken.figures[0]);
    assert_eq!(fs::read_to_string(format!("{old}/orders.db")).unwrap(), "two orders");
    assert_eq!(left(&machine), ["data.vaultup-old-run-1.step-1"]);
    FilesPlugin::discard(&operation).unwrap();
    assert!(matches!(status(Stage::Discard), Observation::Done(_)));
    assert_eq!(left(&machine), [""; 0]);
}

#[test]
fn a_single_file_comes_back_as_it_was_even_under_another_name() {
    let machine = machine_with_key();
    let key = operation(&machine, json!({"path": "key.bin"}));
    let taken = FilesPlugin::take(&key).unwrap();
    for level in LEVELS {
        assert_eq!(proof(&key, &taken.state, level).unwrap(), level);
    }
    machine.write("key.bin", "another");
    FilesPlugin::fill(&key, &taken.state).unwrap();
    FilesPlugin::switch(&key).unwrap();
    assert_eq!(fs::read_to_string(machine.path("key.bin")).unwrap(), "secret");
    assert_eq!(live(&key), taken.figures[0], "its mode came back too");
    FilesPlugin::discard(&key).unwrap();
    assert_eq!(left(&machine), [""; 0]);

    machine.root_beside("path", "copy.bin");
    let copy = operation(&machine, json!({"path": "copy.bin"}));
    FilesPlugin::fill(&copy, &taken.state).unwrap();
    FilesPlugin::switch(&copy).unwrap();
    assert_eq!(live(&copy), taken.figures[0]);
}

#[test]
fn a_copy_is_filled_twice_and_removed_whole_and_never_is_what_is_live() {
    let machine = machine();
    let state = FilesPlugin::take(&of_data(&machine)).unwrap().state;
    let before = live(&of_data(&machine));
    let mut operation = of_data(&machine);
    operation.target = Target::Copy("rehearsal".to_owned());
    let error = FilesPlugin::fill(&operation, &state).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings);

    machine.root_beside("path", "data.vaultup-copy");
    operation.settings.path = "data.vaultup-copy".to_owned();
    for key in ["first", "second"] {
        operation.key = key.to_owned();
        FilesPlugin::fill(&operation, &state).unwrap();
        FilesPlugin::switch(&operation).unwrap();
        assert_eq!(live(&operation), before);
    }
    assert_eq!(left(&machine).len(), 3, "the copy, and what each switch set aside");
    FilesPlugin::discard(&operation).unwrap();
    assert_eq!(left(&machine), [""; 0]);
    let twin = <FilesPlugin as Restore>::status(&operation, Stage::Discard).unwrap();
    assert!(matches!(twin, Observation::Done(_)));
    machine.root_beside("path", "data");
    assert_eq!(live(&of_data(&machine)), before);
}

#[test]
fn what_is_lost_altogether_is_restored_too() {
    let machine = machine();
    let operation = of_data(&machine);
    let taken = FilesPlugin::take(&operation).unwrap();
    fs::rename(machine.path("data"), machine.path("elsewhere")).unwrap();
    FilesPlugin::fill(&operation, &taken.state).unwrap();
    let old = FilesPlugin::switch(&operation).unwrap();
    assert_eq!(fs::read_dir(&old).unwrap().count(), 0);
    let twin = <FilesPlugin as Restore>::status(&operation, Stage::Switch).unwrap();
    assert!(matches!(twin, Observation::Done(_)));
    assert_eq!(FilesPlugin::switch(&operation).unwrap(), old);
    assert_eq!(live(&operation), taken.figures[0]);
}

#[test]
fn a_tree_that_changes_while_it_is_read_is_no_backup() {
    let machine = machine();
    let path = machine.path("data/orders.db");
    machine.answer("tar", move |_| {
        fs::write(&path, "three orders").unwrap();
        Reply::output("an archive")
    });
    let error = FilesPlugin::take(&of_data(&machine)).unwrap_err();
    assert_eq!(error.case(), &Case::Conflict);
    machine.answer("tar", |_| Reply::exit(1).with_errors("file changed as we read it"));
    let error = FilesPlugin::take(&of_data(&machine)).unwrap_err();
    assert_eq!((error.case(), error.platform()), (&Case::Conflict, "file changed as we read it"));
}

#[test]
fn a_tool_that_fails_in_any_way_makes_no_backup() {
    let machine = machine();
    let case = |reply: Reply| {
        machine.answer("tar", move |_| reply.clone());
        FilesPlugin::take(&of_data(&machine)).unwrap_err().case().clone()
    };
    assert_eq!(case(Reply::exit(2)), Case::Failed);
    assert_eq!(case(Reply::ended(Exit::Signal(9))), Case::Failed);
    assert_eq!(case(Reply::ended(Exit::Deadline)), Case::TimedOut);
    assert_eq!(case(Reply::ended(Exit::Cancelled)), Case::Cancelled);
    let full = Reply::exit(2).with_errors("tar: ./a: Cannot write: No space left on device");
    assert_eq!(case(full), Case::NoSpace);
}

#[test]
fn a_checkpoint_is_archived_in_place_of_the_live_tree_and_removed() {
    let machine = machine();
    let checkpoint = "mkdir \"$1\" && cp \"$0/orders.db\" \"$1/\"";
    machine.command("checkpoint", &["sh", "-c", checkpoint, "${directory}", "${into}"]);
    let settings = json!({"path": "data", "checkpoint": ["app", "${into}"]});
    let operation = operation(&machine, settings);
    // A leftover of a call that was killed.
    machine.write("data.vaultup-checkpoint-run-1.step-1/orders.db", "half");
    let interrupted = <FilesPlugin as Backup>::status(&operation, Change::Take).unwrap();
    assert!(matches!(interrupted, Observation::Failed(_)));
    let cost = <FilesPlugin as Backup>::estimate(&operation).unwrap();
    assert_eq!((cost.consistency, cost.commands.len()), (Consistency::OneMoment, 2));
    let taken = FilesPlugin::take(&operation).unwrap();
    assert_eq!(taken.consistency, Consistency::OneMoment);
    assert_eq!((taken.state.count, taken.state.bytes), (1, 9));
    assert_eq!(left(&machine), [""; 0]);
    machine.command("checkpoint", &["sh", "-c", "mkdir \"$0\"; exit 7", "${into}"]);
    assert_eq!(FilesPlugin::take(&operation).unwrap_err().case(), &Case::Failed);
    assert_eq!(left(&machine), [""; 0]);
}

#[test]
fn a_checkpoint_of_a_single_file_is_refused() {
    let machine = machine_with_key();
    let operation = operation(&machine, json!({"path": "key.bin", "checkpoint": ["app"]}));
    assert_eq!(FilesPlugin::take(&operation).unwrap_err().case(), &Case::InvalidSettings);
}

#[test]
fn a_damaged_archive_reaches_no_level_beyond_existing() {
    let machine = machine();
    let operation = of_data(&machine);
    let state = FilesPlugin::take(&operation).unwrap().state;
    let whole = machine.artifact(ARTIFACT).unwrap();
    for cut in [0, 512, 1024, 3000, whole.len() / 2] {
        machine.put_artifact(ARTIFACT, &whole[..cut]);
        proof(&operation, &state, Level::Exists).unwrap();
        for level in [Level::Readable, Level::Checked, Level::Restored] {
            assert!(proof(&operation, &state, level).is_err(), "{level:?} of {cut} bytes");
        }
        FilesPlugin::fill(&operation, &state).unwrap_err();
    }
    assert_eq!(left(&machine), ["data.vaultup-fill-run-1.step-1"], "no proof leaves scratch");
}

#[test]
fn a_content_that_was_changed_is_found_by_restoring() {
    let machine = machine();
    let operation = of_data(&machine);
    let state = FilesPlugin::take(&operation).unwrap().state;
    let mut bytes = machine.artifact(ARTIFACT).unwrap();
    let position = bytes.windows(9).position(|window| window == b"one order").unwrap();
    bytes[position] = b'O';
    machine.put_artifact(ARTIFACT, bytes);
    proof(&operation, &state, Level::Readable).unwrap();
    let error = proof(&operation, &state, Level::Restored).unwrap_err();
    assert_eq!(error.case(), &Case::Corrupt);
    assert_eq!(FilesPlugin::fill(&operation, &state).unwrap_err().case(), &Case::Corrupt);
    let twin = <FilesPlugin as Restore>::status(&operation, Stage::Fill).unwrap();
    assert!(matches!(twin, Observation::Failed(_)));
    assert_eq!(FilesPlugin::switch(&operation).unwrap_err().case(), &Case::NotFound);
}

#[test]
fn a_restored_copy_is_asked_and_its_answer_kept() {
    let machine = machine();
    machine.command("check", &["cat", "${directory}/orders.db"]);
    let operation = operation(&machine, json!({"path": "data", "check": ["app", "check"]}));
    let state = FilesPlugin::take(&operation).unwrap().state;
    let proof = FilesPlugin::prove(&operation, Level::Restored, &state).unwrap();
    assert_eq!(proof.answers, ["one order"]);
    machine.command("check", &["false"]);
    FilesPlugin::prove(&operation, Level::Restored, &state).unwrap_err();
    assert_eq!(left(&machine), [""; 0]);
    FilesPlugin::prove(&operation, Level::Checked, &state).unwrap();
}

#[test]
fn an_interrupted_fill_is_made_anew_and_a_complete_one_left_alone() {
    let machine = machine();
    let operation = of_data(&machine);
    let taken = FilesPlugin::take(&operation).unwrap();
    machine.write("data.vaultup-fill-run-1.step-1/half", "x");
    FilesPlugin::fill(&operation, &taken.state).unwrap();
    assert_eq!(machine.take_calls().len(), 2, "archived and unpacked");
    assert_eq!(FilesPlugin::fill(&operation, &taken.state).unwrap(), taken.figures);
    assert_eq!(machine.take_calls(), [""; 0], "nothing is unpacked twice");
    assert_eq!(left(&machine).len(), 2, "the copy and its digest");
    FilesPlugin::switch(&operation).unwrap();
    let error = FilesPlugin::fill(&operation, &taken.state).unwrap_err();
    assert_eq!(error.case(), &Case::Conflict);
}

#[test]
fn an_interrupted_switch_is_completed_from_either_side_of_the_exchange() {
    for exchanged in [false, true] {
        let machine = machine();
        let operation = of_data(&machine);
        let taken = FilesPlugin::take(&operation).unwrap();
        machine.write("data/orders.db", "two orders");
        let broken = live(&operation);
        FilesPlugin::fill(&operation, &taken.state).unwrap();
        let named = |what: &str| machine.path(&format!("data.vaultup-{what}-run-1.step-1"));
        fs::rename(named("digest"), named("switch")).unwrap();
        if exchanged {
            let (data, new) = (machine.path("data"), named("new"));
            fs::rename(&data, machine.path("between")).unwrap();
            fs::rename(&new, &data).unwrap();
            fs::rename(machine.path("between"), &new).unwrap();
        }
        let twin = <FilesPlugin as Restore>::status(&operation, Stage::Switch).unwrap();
        assert!(matches!(twin, Observation::Failed(_)), "{twin:?}");
        FilesPlugin::switch(&operation).unwrap();
        assert_eq!(live(&operation), taken.figures[0], "exchanged: {exchanged}");
        assert_eq!(left(&machine), ["data.vaultup-old-run-1.step-1"]);
        machine.root_beside("path", "data.vaultup-old-run-1.step-1");
        let old = json!({"path": "data.vaultup-old-run-1.step-1"});
        assert_eq!(live(&crate::tests::operation(&machine, old)), broken);
    }
}

#[test]
fn a_restore_without_room_touches_nothing() {
    let machine = machine();
    let operation = of_data(&machine);
    let mut state = FilesPlugin::take(&operation).unwrap().state;
    state.bytes = u64::MAX;
    assert_eq!(FilesPlugin::fill(&operation, &state).unwrap_err().case(), &Case::NoSpace);
    assert_eq!(left(&machine), [""; 0]);
}

#[test]
fn what_a_newer_plugin_noted_is_refused() {
    let machine = machine();
    let operation = of_data(&machine);
    let mut state = FilesPlugin::take(&operation).unwrap().state;
    state.format = 2;
    assert_eq!(proof(&operation, &state, Level::Exists).unwrap_err().case(), &Case::Corrupt);
    assert_eq!(FilesPlugin::fill(&operation, &state).unwrap_err().case(), &Case::Corrupt);
}

#[test]
fn a_path_that_is_missing_or_a_link_is_an_error_that_names_it() {
    let machine = Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
    machine.write("real/x", "");
    machine.root_beside("path", "data");
    let missing = FilesPlugin::take(&of_data(&machine)).unwrap_err();
    assert_eq!(missing.case(), &Case::NotFound);
    symlink("real", machine.path("data")).unwrap();
    let error = FilesPlugin::take(&of_data(&machine)).unwrap_err();
    assert_eq!(error.case(), &Case::InvalidSettings);
    assert!(error.message().contains("data is a symbolic link"), "{error}");
}

#[test]
fn a_name_as_long_as_can_be_restored_beside_is_taken_and_a_longer_one_refused() {
    let machine = Machine::new().with_manifest(include_str!("../plugin.toml")).unwrap().install();
    let beside = ".vaultup-checkpoint-run-1.step-1".len();
    for (length, is_taken) in [(255 - beside, true), (256 - beside, false)] {
        let name = "n".repeat(length);
        machine.write(&name, "x");
        machine.root_beside("path", &name);
        let figures = FilesPlugin::figures(&operation(&machine, json!({"path": name})));
        assert_eq!(figures.is_ok(), is_taken, "{figures:?}");
    }
}

#[test]
fn a_datastore_without_a_schema_command_has_no_schema() {
    let machine = machine();
    let error = FilesPlugin::schema(&of_data(&machine)).unwrap_err();
    assert_eq!(error.case(), &Case::Unsupported);
}

#[test]
fn the_schema_is_what_the_operators_command_says_of_the_live_tree() {
    let machine = machine();
    let line = r#"{"version":1,"fingerprint":"x:1","pending":[{"id":"2"}]}"#;
    machine.answer("schema", move |call| {
        assert!(call.variables["directory"].ends_with("/data"));
        assert_eq!(call.variables["release"], "2.0.0");
        Reply::output(line)
    });
    let mut operation = operation(&machine, json!({"path": "data", "schema": ["app"]}));
    operation.next = Some(machine.release("2.0.0"));
    assert_eq!(FilesPlugin::schema(&operation).unwrap().version.as_deref(), Some("1"));
    let command = vec!["bin/app".to_owned(), "migrate".to_owned()];
    let request =
        Request { datastore: "data".to_owned(), command: command.clone(), expected: None };
    let pending = FilesPlugin::pending(&operation, &request).unwrap();
    assert_eq!((pending.migrations.len(), pending.commands), (1, vec![command]));
    assert_eq!(pending.extents[0].bytes, 2 * 9 + 1);
}

#[test]
fn health_tells_whether_it_is_there_and_what_room_there_is() {
    let machine = machine();
    let names = || {
        let measured = FilesPlugin::probe(&of_data(&machine)).unwrap();
        measured.into_iter().map(|its| (its.name, its.verdict)).collect::<Vec<_>>()
    };
    let healthy = vaultup_sdk::health_check::Verdict::Healthy;
    assert!(names().iter().all(|(_, verdict)| *verdict == healthy));
    fs::rename(machine.path("data"), machine.path("gone")).unwrap();
    assert_ne!(names()[0].1, healthy);
}
