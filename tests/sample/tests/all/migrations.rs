//! Schemas: forwards, half way, and what each release makes of them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use crate::world::{
    Run, Running, Server, World, errors, eventually, fails, serve_command, succeeds,
};

#[test]
fn a_store_goes_from_release_1_to_3_and_its_orders_stay_the_same() {
    let world = World::seeded(250);
    let before = world.digest();
    assert_eq!(before["orders"], 250);
    for (release, version) in [("2.0.0", 2), ("3.0.0", 3)] {
        let said = succeeds(&world.on_data(release, "migrate", &[]));
        assert!(said.contains(&format!("applied migration {version}: ")), "{said}");
        assert_eq!(world.digest(), before);
        let schema = world.json(release, "schema");
        assert_eq!(schema["version"], version);
        assert_eq!(schema["dirty"], false);
        assert_eq!(schema["pending"], json!([]));
        assert_eq!(schema["applied"].as_array().unwrap().len(), version);
        assert_eq!(
            world.json(release, "check"),
            json!({
                "ok": true, "orders": 250, "problems": []
            })
        );
    }
}

#[test]
fn migration_3_tells_its_progress_in_lines() {
    let world = World::seeded(1_000);
    let said = succeeds(&world.on_data("3.0.0", "migrate", &[]));
    let progress: Vec<&str> = said.lines().filter(|line| line.starts_with("migrated ")).collect();
    assert_eq!(progress.len(), 11, "{said}");
    assert_eq!(progress[1], "migrated 100/1000");
    assert_eq!(progress[10], "migrated 1000/1000");
}

#[test]
fn a_store_without_orders_migrates_too() {
    let world = World::seeded(0);
    succeeds(&world.on_data("3.0.0", "migrate", &[]));
    assert_eq!(world.digest()["orders"], 0);
    assert_eq!(world.json("3.0.0", "schema")["version"], 3);
}

#[test]
fn migrating_again_changes_nothing() {
    let world = World::seeded(20);
    succeeds(&world.on_data("3.0.0", "migrate", &[]));
    let schema = world.json("3.0.0", "schema");
    let said = succeeds(&world.on_data("3.0.0", "migrate", &[]));
    assert_eq!(said, "the schema is at version 3\n");
    assert_eq!(world.json("3.0.0", "schema"), schema);
}

#[test]
fn the_fingerprint_tells_schemas_apart_and_not_the_way_they_were_reached() {
    let (steps, leap) = (World::seeded(5), World::seeded(7));
    let mut fingerprints = vec![steps.json("1.0.0", "schema")["fingerprint"].clone()];
    for release in ["2.0.0", "3.0.0"] {
        succeeds(&steps.on_data(release, "migrate", &[]));
        fingerprints.push(steps.json(release, "schema")["fingerprint"].clone());
    }
    succeeds(&leap.on_data("3.0.0", "migrate", &[]));
    assert_eq!(leap.json("3.0.0", "schema")["fingerprint"], fingerprints[2]);
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 3);
    let text = fingerprints[0].as_str().unwrap();
    assert!(text.starts_with("blake3:") && text.len() == 7 + 64, "{text}");
}

#[test]
fn a_store_that_is_not_there_has_version_0_and_is_not_made_by_asking() {
    let world = World::new();
    world.install("2.0.0", &[]);
    let schema = world.json("2.0.0", "schema");
    assert_eq!(schema["version"], 0);
    assert_eq!(schema["dirty"], false);
    let pending: Vec<_> = schema["pending"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(pending, ["1", "2"]);
    assert!(!world.data().exists());
    fails(&world.on_data("2.0.0", "digest", &[]), 1);
    fails(&world.on_data("2.0.0", "check", &[]), 1);
    assert!(!world.data().exists());
}

#[test]
fn reading_a_store_at_rest_changes_no_byte_and_makes_no_file() {
    let world = World::seeded(50);
    let before = world.data_files();
    assert_eq!(before.len(), 1, "the store and nothing else");
    for command in ["schema", "digest", "check"] {
        world.json("2.0.0", command);
    }
    fails(&serve_command(&world, "2.0.0").run(), 1);
    assert!(world.data_files() == before);
}

#[test]
fn release_2_refuses_a_store_that_release_3_migrated() {
    let world = World::seeded(10);
    succeeds(&world.on_data("3.0.0", "migrate", &[]));
    let said = fails(&serve_command(&world, "2.0.0").run(), 1);
    let sentence = "migration 3 was applied but is missing in release 2.0.0 (VersionMissing)";
    assert!(said.contains(sentence), "{said}");
    let said = fails(&world.on_data("2.0.0", "migrate", &[]), 3);
    assert!(said.contains(sentence), "{said}");
    let said = fails(&world.start("2.0.0", &[]), 1);
    assert!(said.contains(sentence), "{said}");
    assert_eq!(world.status()["running"], false);
}

#[test]
fn a_pending_migration_is_refused_unless_it_is_applied_at_start() {
    let world = World::seeded(10);
    let said = fails(&serve_command(&world, "2.0.0").run(), 1);
    assert!(said.contains("migration 2 is pending"), "{said}");
    assert_eq!(world.json("2.0.0", "schema")["version"], 1);
    let server = Server::start_with(&world, "2.0.0", &["--migrate-at-start"], &[]);
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(world.json("2.0.0", "schema")["version"], 2);
}

#[test]
fn with_ignore_missing_the_schema_decides_and_not_the_record() {
    let world = World::seeded(10);
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
    fails(&serve_command(&world, "1.0.0").run(), 1);
    let server = Server::start_with(&world, "1.0.0", &["--ignore-missing"], &[]);
    assert_eq!(server.post("/orders", r#"{"item":"rope","quantity":2}"#).0, 201);
    drop(server);
    succeeds(&world.on_data("3.0.0", "migrate", &[]));
    let refused = serve_command(&world, "2.0.0").arg("--ignore-missing").run();
    let said = fails(&refused, 1);
    assert!(said.contains("no such column: item"), "{said}");
}

#[test]
fn a_migration_whose_text_was_edited_is_refused() {
    let world = World::seeded(10);
    let store = rusqlite::Connection::open(world.data().join("orders.db")).unwrap();
    store.execute("UPDATE _migrations SET checksum = 'blake3:00'", []).unwrap();
    drop(store);
    let said = fails(&serve_command(&world, "1.0.0").run(), 1);
    assert!(said.contains("(VersionMismatch)"), "{said}");
    let said = fails(&world.on_data("2.0.0", "migrate", &[]), 3);
    assert!(said.contains("migration 1 was applied but has been modified"), "{said}");
}

#[test]
fn a_failure_before_the_migration_leaves_the_store_as_it_was() {
    let world = World::seeded(10);
    world.install("3.0.0", &["migrate-fails-before"]);
    let before = world.data_files();
    fails(&world.on_data("3.0.0", "migrate", &[]), 3);
    assert!(world.data_files() == before);
}

#[test]
fn a_failure_half_way_leaves_a_dirty_store_that_every_release_refuses() {
    let world = World::seeded(100);
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
    let (before, old) = (world.digest(), world.json("3.0.0", "schema"));
    world.install("3.0.0", &["migrate-fails-half-way"]);
    let output = world.on_data("3.0.0", "migrate", &[]);
    let said = fails(&output, 3);
    assert!(said.contains("migration 3 failed: fault migrate-fails-half-way"), "{said}");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("migrated 50/100\n"));
    let schema = world.json("3.0.0", "schema");
    assert_eq!(schema["version"], 2);
    assert_eq!(schema["dirty"], true);
    assert_eq!(schema["running"], false);
    assert_eq!(schema["pending"][0]["id"], "3");
    assert_ne!(schema["fingerprint"], old["fingerprint"]);
    assert_eq!(world.digest(), before);
    world.install("3.0.0", &[]);
    let said = fails(&world.on_data("3.0.0", "migrate", &[]), 3);
    assert!(said.contains("migration 3 is partially applied (Dirty)"), "{said}");
    for release in ["2.0.0", "3.0.0"] {
        let said = fails(&serve_command(&world, release).run(), 1);
        assert!(said.contains("(Dirty)"), "{said}");
    }
    assert_eq!(world.digest(), before);
}

#[test]
fn a_transactional_migration_that_fails_is_rolled_back() {
    let world = World::seeded(10);
    let schema = world.json("1.0.0", "schema");
    world.install("2.0.0", &["migrate-fails-half-way"]);
    fails(&world.on_data("2.0.0", "migrate", &[]), 3);
    assert_eq!(world.json("1.0.0", "schema"), schema);
    world.install("2.0.0", &[]);
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
}

#[test]
fn a_migration_that_is_killed_in_the_middle_leaves_a_dirty_store() {
    let world = World::seeded(100);
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
    let before = world.digest();
    let (mut migration, mut lines) = slow_migration(&world, 200);
    read_until(&mut lines, "migrated 10/100");
    let schema = world.json("3.0.0", "schema");
    assert_eq!(schema["running"], true);
    migration.signal(rustix::process::Signal::KILL);
    assert_eq!(migration.ended().code(), None);
    let schema = world.json("3.0.0", "schema");
    assert_eq!(schema["running"], false);
    assert_eq!(schema["dirty"], true);
    assert_eq!(schema["version"], 2);
    assert_eq!(world.digest(), before);
    let said = fails(&world.on_data("3.0.0", "migrate", &[]), 3);
    assert!(said.contains("(Dirty)"), "{said}");
}

#[test]
fn a_migration_goes_on_when_nobody_reads_what_it_says() {
    let world = World::seeded(100);
    let (mut migration, mut lines) = slow_migration(&world, 20);
    read_until(&mut lines, "migrated 10/100");
    drop(lines);
    assert!(migration.ended().success());
    assert_eq!(world.json("3.0.0", "schema")["version"], 3);
    assert_eq!(world.digest()["orders"], 100);
}

#[test]
fn a_second_migration_waits_for_the_first_and_then_finds_nothing_to_do() {
    let world = World::seeded(100);
    let (mut first, mut lines) = slow_migration(&world, 50);
    read_until(&mut lines, "migrated 10/100");
    let second = world.on_data("3.0.0", "migrate", &[]);
    assert_eq!(succeeds(&second), "the schema is at version 3\n", "{}", errors(&second));
    assert!(first.ended().success());
}

#[test]
fn an_order_taken_while_rows_are_copied_is_not_lost() {
    let world = World::seeded(100);
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
    let server = Server::start(&world, "2.0.0");
    let (mut migration, mut lines) = slow_migration(&world, 50);
    read_until(&mut lines, "migrated 20/100");
    let order = r#"{"item":"late","quantity":1,"note":"written by release 2"}"#;
    assert_eq!(server.post("/orders", order).0, 201);
    let during = world.digest();
    assert_eq!(during["orders"], 101);
    assert!(migration.ended().success());
    assert_eq!(world.digest(), during);
    eventually("release 2 is not ready on schema 3", || {
        (server.get("/health/ready").0 == 503).then_some(())
    });
}

#[test]
fn release_1_stays_ready_while_a_compatible_migration_happens() {
    let world = World::seeded(10);
    let server = Server::start(&world, "1.0.0");
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.post("/orders", r#"{"item":"rope","quantity":2}"#).0, 201);
    assert_eq!(server.json_of("/orders/11")["item"], "rope");
}

#[test]
fn seed_fills_a_new_store_only_and_always_with_the_same_orders() {
    let (one, other) = (World::seeded(30), World::seeded(20));
    let refused = fails(&one.on_data("1.0.0", "seed", &["--orders", "5"]), 1);
    assert!(refused.contains("holds 30 orders"), "{refused}");
    succeeds(&other.on_data("1.0.0", "add", &["--orders", "10"]));
    assert_eq!(one.digest(), other.digest());
    let key = std::fs::read_to_string(one.key()).unwrap();
    assert_eq!(key.trim().len(), 64);
    assert_ne!(key, std::fs::read_to_string(other.key()).unwrap());
    fails(&one.on_data("1.0.0", "add", &["--orders", "100000001"]), 2);
}

/// `migrate` of release 3 with a pause before each of its ten batches.
fn slow_migration(world: &World, pause_ms: u32) -> (Running, impl BufRead + use<>) {
    world.install("3.0.0", &[&format!("migrate-slow-ms={pause_ms}")]);
    let mut command = world.command("3.0.0", "migrate");
    command.arg("--data").arg(world.data()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (Running(child), lines)
}

fn read_until(lines: &mut impl BufRead, wanted: &str) {
    let mut line = String::new();
    while line.trim_end() != wanted {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "no line `{wanted}`");
    }
}
