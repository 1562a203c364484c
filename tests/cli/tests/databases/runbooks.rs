//! Traps T1 to T3 and T6: what a runbook says to the letter, with the real tools, and what
//! vaultup does.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use stage::{PostgresServer, PostgresShop};

use crate::postgres::{shop_at, shop_with};
use crate::support::expect;

/// Runs one of the server's tools with files as standard input and output; whether it exited
/// with 0, and what it said.
fn tool(
    server: &PostgresServer,
    name: &str,
    words: &[&str],
    input: Option<&Path>,
    output: Option<&Path>,
) -> (bool, String) {
    let mut command = server.tool(name, "postgres");
    command.args(words);
    if let Some(path) = input {
        command.stdin(fs::File::open(path).unwrap());
    }
    if let Some(path) = output {
        command.stdout(fs::File::create(path).unwrap());
    } else {
        command.stdout(Stdio::null());
    }
    let ended = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    (ended.status.success(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// T1: `pg_restore --list` answers 0 on half a dump.
#[test]
fn the_runbooks_proof_passes_half_a_dump_and_vaultups_does_not() {
    let (folder, shop) = shop_with("1.0.0", 20_000);
    let dump = folder.path().join("pre-upgrade.dump");
    let words = ["--format=custom", "--compress=9", "--dbname=shop"];
    assert!(tool(&shop.server, "pg_dump", &words, None, Some(&dump)).0);
    let whole = fs::read(&dump).unwrap();
    fs::write(&dump, &whole[..whole.len() / 2]).unwrap();
    let (listed, _) = tool(&shop.server, "pg_restore", &["--list"], Some(&dump), None);
    assert!(listed, "T1: the runbook's check takes half a dump");
    let (read, _) = tool(&shop.server, "pg_restore", &["--file=/dev/null"], Some(&dump), None);
    assert!(!read, "a reader of every byte does not");
    let set = shop.back_up().unwrap();
    crate::damage::truncate_dump(&shop, &set);
    let proven = shop.vaultup(&["backup", "prove", &set, "--level", "2"]).unwrap();
    assert_ne!(proven.status, Some(0), "{}", proven.shown());
}

/// T2: `--clean --if-exists` keeps the tables that the migration made.
#[test]
fn the_runbooks_restore_keeps_the_migrations_table_and_vaultups_does_not() {
    let (folder, shop) = shop_at("2.0.0");
    let before = shop.digest().unwrap();
    let set = shop.back_up().unwrap();
    let dump = folder.path().join("pre-upgrade.dump");
    let words = ["--format=custom", "--dbname=shop"];
    assert!(tool(&shop.server, "pg_dump", &words, None, Some(&dump)).0);
    // What a migration that then fails has made.
    let migration = "CREATE TABLE order_lines AS SELECT id, 1 AS line, item, quantity FROM orders";
    shop.server.psql("shop", migration).unwrap();
    let has_lines = |shop: &PostgresShop| {
        let query = "SELECT to_regclass('order_lines') IS NOT NULL";
        shop.server.psql("shop", query).unwrap() == "t"
    };
    let words = ["--clean", "--if-exists", "--dbname=shop"];
    tool(&shop.server, "pg_restore", &words, Some(&dump), None);
    assert!(has_lines(&shop), "T2: the runbook's restore keeps what the migration made");
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    assert!(!has_lines(&shop), "vaultup's restore is the database that was backed up");
    assert_eq!(shop.digest().unwrap(), before);
}

/// T3: `psql < pg_dumpall` over a live database answers 0 with errors, and reverts nothing.
#[test]
fn the_runbooks_replay_reverts_nothing_and_vaultups_restore_does() {
    let (folder, shop) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    let set = shop.back_up().unwrap();
    let dump = folder.path().join("pre-upgrade.sql");
    assert!(tool(&shop.server, "pg_dumpall", &["--database=postgres"], None, Some(&dump)).0);
    shop.add_orders(5).unwrap();
    shop.stop().unwrap();
    let words = ["--dbname=postgres", "--quiet"];
    let (replayed, errors) = tool(&shop.server, "psql", &words, Some(&dump), None);
    assert!(replayed, "T3: it answers 0: {errors}");
    assert!(errors.contains("ERROR"), "T3: and yet has failed: {errors}");
    assert_ne!(shop.digest().unwrap(), before, "T3: nothing is as it was");
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    assert_eq!(shop.digest().unwrap(), before);
}

/// T6: a new major version of the server does not start on the data of the old one.
#[test]
fn the_runbooks_new_image_does_not_start_and_vaultups_restore_into_a_new_server_loses_nothing() {
    let (_folder, mut shop) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    let set = shop.back_up().unwrap();
    // Asked for by a release, it is refused with the way that leads there.
    let release = shop.folder().join("releases/2.0.0/release.toml");
    let text = fs::read_to_string(&release).unwrap();
    fs::write(&release, text.replace("schema = 2", "schema = 2\nserver = 17")).unwrap();
    let refused = shop.vaultup(&["plan", "--to", "2.0.0"]).unwrap();
    assert_eq!(refused.status, Some(2), "{}", refused.shown());
    for part in ["needs PostgreSQL 17", "the server is 15", "vaultup backup create", "globals.sql"]
    {
        assert!(refused.errors.contains(part), "{part}: {}", refused.errors);
    }
    // What the runbook does.
    shop.stop().unwrap();
    shop.server.kill().unwrap();
    let said = shop.server.newer_on_its_data().unwrap();
    assert!(said.contains("incompatible with server"), "T6: {said}");
    // What vaultup does: dump, new server, restore.
    let newer = PostgresServer::start_newer().unwrap();
    let role = "CREATE ROLE shop LOGIN CREATEDB PASSWORD 'correct horse battery'";
    newer.psql("postgres", role).unwrap();
    shop.use_server(newer).unwrap();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    expect(&restored, 0);
    let version = shop.server.psql("shop", "SHOW server_version_num").unwrap();
    assert!(version.starts_with("17"), "{version}");
    assert_eq!(shop.digest().unwrap(), before, "no row differs");
    // And there a backup needs tools that are as new.
    let refused = shop.vaultup(&["backup", "create"]).unwrap();
    assert_ne!(refused.status, Some(0));
    assert!(refused.errors.contains("the server is PostgreSQL 17"), "{}", refused.errors);
}
