//! What is wrong with a database, its server or its settings: each has a code, says in which state
//! everything is, and what to type next. Nothing is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use stage::PostgresShop;

use crate::postgres::shop_at;
use crate::support::{expect, figure, wait_until};

/// What a wrong input has to be answered with.
#[track_caller]
fn answered(shop: &PostgresShop, what: &str, output: &Output, says: &str, before: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "{what}: {said}");
    for part in ["error[VU", "state: ", "next: ", says] {
        assert!(said.contains(part), "{what}: no `{part}` in: {said}");
    }
    assert_eq!(shop.digest().unwrap(), before, "{what}");
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"), "{what}");
}

#[test]
fn a_database_that_cannot_be_backed_up_or_restored_is_refused_before_anything_changes() {
    let (shop, folder) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    let check = |shop: &PostgresShop| shop.command(&["check", "--to", "2.0.0"]).output().unwrap();

    let mut wrong = shop.command(&["check", "--to", "2.0.0"]);
    let output = wrong.env("SHOP_PASSWORD", "another").output().unwrap();
    answered(&shop, "wrong password", &output, "password authentication failed", &before);

    shop.rewrite_stack("database = \"shop\"", "database = \"nosuch\"").unwrap();
    answered(&shop, "no such database", &check(&shop), "no such database", &before);

    let port = format!("port = {}", shop.server.port());
    shop.rewrite_stack(&port, "port = 1").unwrap();
    answered(&shop, "no server", &check(&shop), "see whether the server runs", &before);

    shop.write_stack_file("refuse", "").unwrap();
    shop.server.psql("postgres", "ALTER ROLE shop NOCREATEDB").unwrap();
    answered(&shop, "no right", &check(&shop), "ALTER ROLE \"shop\" CREATEDB", &before);
    shop.server.psql("postgres", "ALTER ROLE shop CREATEDB").unwrap();

    let tools = folder.path().join("old");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("pg_dump"), "#!/bin/sh\necho 'pg_dump (PostgreSQL) 14.9'\n").unwrap();
    fs::set_permissions(tools.join("pg_dump"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), shop.server.programs().display());
    let path = format!("{path}:{}", std::env::var("PATH").unwrap());
    let mut old = shop.command(&["check", "--to", "2.0.0"]);
    let output = old.env("PATH", path).output().unwrap();
    answered(&shop, "old tools", &output, "the server is PostgreSQL 15", &before);

    shop.rewrite_stack("SELECT count(*) FROM orders", "SELECT 1 WHERE false").unwrap();
    let output = shop.command(&["backup", "create"]).output().unwrap();
    answered(&shop, "empty check", &output, "answered nothing", &before);

    shop.rewrite_stack("SELECT count(*) FROM orders", "DELETE FROM orders RETURNING 1").unwrap();
    let output = shop.command(&["backup", "create"]).output().unwrap();
    answered(&shop, "check that writes", &output, "read-only transaction", &before);
    assert_eq!(shop.server.made_by_vaultup().unwrap(), [""; 0]);
    figure("bad input of a database answered with code, state and next command: 7/7");
}

#[test]
fn a_backup_of_another_database_is_not_put_in_the_place_of_this_one() {
    let (shop, _folder) = shop_at("1.0.0");
    let set = shop.back_up().unwrap();
    shop.server.psql("postgres", "CREATE DATABASE other OWNER shop").unwrap();
    shop.server
        .psql("other", "CREATE TABLE a AS SELECT 1 AS b; ALTER TABLE a OWNER TO shop")
        .unwrap();
    let settings = "database = \"shop\"\npassword = { secret = \"shop\" }\n\
        sessions = \"refuse\"\ncheck = [\"SELECT count(*) FROM orders\"]";
    let others = "database = \"other\"\npassword = { secret = \"shop\" }";
    shop.rewrite_stack(settings, others).unwrap();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    assert_ne!(restored.status, Some(0), "{}", restored.shown());
    assert!(restored.shown().contains("backup of the database shop"), "{}", restored.shown());
    assert_eq!(shop.server.psql("other", "SELECT b FROM a").unwrap(), "1");
}

/// R55: whoever still writes is named, and not thrown out unless the operator says so.
#[test]
fn a_session_that_nobody_stopped_holds_a_restore_and_is_named() {
    let (shop, _folder) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    let set = shop.back_up().unwrap();
    shop.add_orders(5).unwrap();
    let mut sleeping = shop.server.tool("psql", "postgres");
    sleeping.args(["--dbname=shop", "--command=SELECT pg_sleep(600)"]).stdout(Stdio::null());
    let mut sleeping = sleeping.env("PGAPPNAME", "a-forgotten-report").spawn().unwrap();
    wait_until("the session is there", || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'a-forg%'";
        shop.server.psql("postgres", query).is_ok_and(|count| count == "1")
    });
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    expect(&restored, 4);
    assert!(restored.errors.contains("a-forgotten-report"), "{}", restored.shown());
    assert_ne!(shop.digest().unwrap(), before, "what is live is as it was, and open");
    sleeping.kill().unwrap();
    sleeping.wait().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name LIKE 'a-forg%'";
    shop.server.psql("postgres", end).unwrap();
    expect(&shop.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(shop.digest().unwrap(), before);
}
