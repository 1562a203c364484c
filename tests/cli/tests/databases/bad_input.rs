//! What is wrong with a database, its server or its settings: each has a code, says in which state
//! everything is, and what to type next. Nothing is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use stage::PostgresShop;

use crate::postgres::shop_at;
use crate::support::{expect, wait_until};

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
    let (folder, shop) = shop_at("1.0.0");
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
}

/// The same command where a directory has a file system of 1 MiB mounted on it, in a mount
/// namespace of its own.
fn with_small_disk(command: &Command, on: &Path) -> Command {
    fs::create_dir_all(on).unwrap();
    let script = "mount -t tmpfs -o size=1m,mode=0700 small \"$1\" || exit 99; shift; exec \"$@\"";
    let mut small = Command::new("unshare");
    small.args(["--mount", "sh", "-c", script, "sh"]).arg(on);
    small.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    small.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    small.current_dir(command.get_current_dir().unwrap());
    small
}

#[test]
fn no_room_for_a_backup_or_for_a_restore_beside_the_database_is_refused_before_anything_changes() {
    let (folder, shop) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    let backups = folder.path().join("home/data/backups");
    let check = shop.command(&["check", "--to", "2.0.0"]);
    let output = with_small_disk(&check, &backups).output().unwrap();
    answered(&shop, "no room for the backup", &output, "room for the backup", &before);
    let data = folder.path().join("small");
    let setting = format!("database = \"shop\"\ndata = \"{}\"", data.display());
    shop.rewrite_stack("database = \"shop\"", &setting).unwrap();
    let check = shop.command(&["check", "--to", "2.0.0"]);
    let output = with_small_disk(&check, &data).output().unwrap();
    answered(&shop, "no room to restore", &output, "no room to restore", &before);
}

/// R55: writers that nobody names cannot be stopped, and what they write would be lost.
#[test]
fn a_database_with_live_writers_that_nobody_names_is_refused_at_its_place_in_the_file() {
    let (_folder, shop) = shop_at("2.0.0");
    let before = shop.digest().unwrap();
    shop.rewrite_stack("written-by = [\"api\"]\n", "").unwrap();
    let refused = shop.vaultup(&["plan", "--to", "3.0.0"]).unwrap();
    assert_ne!(refused.status, Some(0), "{}", refused.shown());
    let text = fs::read_to_string(shop.folder().join("vaultup.toml")).unwrap();
    let line = text.lines().position(|line| line == "[datastores.orders]").unwrap() + 1;
    let place = format!("vaultup.toml:{line}");
    for part in ["error[VU0402]", "nobody knows who writes", &place, "state: ", "`written-by"] {
        assert!(refused.errors.contains(part), "no `{part}` in: {}", refused.errors);
    }
    // A backup by hand is taken, and says what it does not know.
    let created = shop.vaultup(&["backup", "create"]).unwrap();
    expect(&created, 0);
    assert!(created.output.contains("nobody knows who wrote"), "{}", created.shown());
    assert_eq!(shop.digest().unwrap(), before);
    // Named, the backup says who ran, and from when on what they wrote is missing.
    shop.write_stack_file("refuse", "").unwrap();
    let created = shop.vaultup(&["backup", "create"]).unwrap();
    expect(&created, 0);
    assert!(created.output.contains("api ran while it was taken"), "{}", created.shown());
    let listed = shop.vaultup(&["backup", "list", "--format", "json"]).unwrap();
    assert!(listed.output.contains("api ran while it was taken"), "{}", listed.shown());
    shop.stop().unwrap();
    let created = shop.vaultup(&["backup", "create"]).unwrap();
    expect(&created, 0);
    assert!(!created.output.contains("while it was taken"), "{}", created.shown());
}

/// R21: the schema's tool recorded what it applied, and the previous release what it shipped.
#[test]
fn a_shipped_migration_that_was_edited_blocks() {
    let (_folder, shop) = shop_at("2.0.0");
    let releases = shop.folder().join("releases");
    for (release, order) in [("2.0.0", "0001_a.sql"), ("3.0.0", "0002_b.sql")] {
        let migrations = releases.join(release).join("migrations");
        fs::create_dir_all(&migrations).unwrap();
        fs::write(migrations.join("0001_a.sql"), "CREATE TABLE a (b integer);\n").unwrap();
        fs::write(migrations.join(order), "CREATE TABLE a (b integer);\n").unwrap();
        let file = releases.join(release).join("release.toml");
        let text = fs::read_to_string(&file).unwrap();
        let named = text.replace("\nschema = ", "\nmigrations = \"migrations\"\nschema = ");
        fs::write(file, named).unwrap();
    }
    // What the sample application records of its first migration is no checksum of this file.
    let recorded = shop.vaultup(&["plan", "--to", "3.0.0"]).unwrap();
    assert!(recorded.errors.contains("was changed after it was applied"), "{}", recorded.shown());
    let sum =
        "UPDATE _sqlx_migrations SET checksum = sha384(convert_to($$CREATE TABLE a (b integer);
$$, 'UTF8'))";
    shop.server.psql("shop", sum).unwrap();
    expect(&shop.vaultup(&["plan", "--to", "3.0.0"]).unwrap(), 0);
    let edited = releases.join("3.0.0/migrations/0001_a.sql");
    fs::write(&edited, "CREATE TABLE a (b bigint);\n").unwrap();
    let refused = shop.vaultup(&["plan", "--to", "3.0.0"]).unwrap();
    assert_ne!(refused.status, Some(0), "{}", refused.shown());
    for part in ["error[VU0402]", "0001_a.sql", "release 2.0.0 shipped it", "it was applied"] {
        assert!(refused.errors.contains(part), "no `{part}` in: {}", refused.errors);
    }
}

/// R20: the size rule picks the strategy, and the plan shows it.
#[test]
fn the_plan_shows_sizes_room_and_last_backup_and_a_large_table_takes_downtime() {
    let (_folder, shop) = shop_at("1.0.0");
    let small = shop.vaultup(&["plan", "--to", "2.0.0"]).unwrap();
    expect(&small, 0);
    for part in ["largest public.orders", "writers go on", "free where backups go"] {
        assert!(small.output.contains(part), "no `{part}` in: {}", small.output);
    }
    let set = shop.back_up().unwrap();
    shop.write_stack_file("refuse", "\n[policy]\ndowntime-above = \"50kB\"\n").unwrap();
    let large = shop.vaultup(&["plan", "--to", "2.0.0"]).unwrap();
    expect(&large, 0);
    let last = format!("the last backup, {set}");
    for part in ["writers stop: public.orders has", "takes downtime", "  hold ", last.as_str()] {
        assert!(large.output.contains(part), "no `{part}` in: {}", large.output);
    }
}

#[test]
fn a_backup_of_another_database_is_not_put_in_the_place_of_this_one() {
    let (_folder, shop) = shop_at("1.0.0");
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
    let (_folder, shop) = shop_at("1.0.0");
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
