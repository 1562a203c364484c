//! Copies of the store, taken while orders come in.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::world::{
    Run, Server, World, eventually, fails, json as json_of, request, succeeds, text,
};

#[test]
fn a_checkpoint_taken_while_orders_come_in_is_consistent() {
    let world = World::seeded(200);
    let server = Server::start(&world, "1.0.0");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let end = Ending(&over);
        let writers: Vec<_> = (0..2).map(|_| scope.spawn(|| write_until(&server, &over))).collect();
        for number in 0..8 {
            let before = last_order(&server);
            // The service is seen to write, before the copy and after it.
            eventually("orders come in", || (last_order(&server) > before).then_some(()));
            let kept_before = last_order(&server);
            let copy = checkpoint(&world, number);
            assert_consistent(&world, &copy, kept_before);
            eventually("orders still come in", || {
                (last_order(&server) > kept_before).then_some(())
            });
        }
        drop(end);
        let written: u64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        assert_eq!(last_order(&server), 200 + written, "no order was refused or lost");
    });
}

#[test]
fn a_checkpoint_of_a_store_at_rest_has_the_same_digest_and_can_be_served() {
    for release in ["1.0.0", "2.0.0", "3.0.0"] {
        let world = World::seeded(100);
        succeeds(&world.on_data(release, "migrate", &[]));
        let before = (world.data_files(), world.digest(), world.json(release, "schema"));
        let copy = checkpoint(&world, 0);
        assert!(world.data_files() == before.0, "a checkpoint changes nothing");
        std::fs::remove_dir_all(world.data()).unwrap();
        std::fs::rename(copy, world.data()).unwrap();
        assert_eq!(world.digest(), before.1);
        assert_eq!(world.json(release, "schema"), before.2);
        let server = Server::start(&world, release);
        assert_eq!(server.post("/orders", r#"{"item":"rope","quantity":2}"#).0, 201);
    }
}

#[test]
fn a_checkpoint_holds_what_a_killed_service_had_answered() {
    let world = World::seeded(0);
    let mut server = Server::start(&world, "1.0.0");
    for _ in 0..5 {
        assert_eq!(server.post("/orders", r#"{"item":"rope","quantity":2}"#).0, 201);
    }
    server.child.signal(rustix::process::Signal::KILL);
    server.child.ended();
    assert!(world.data().join("orders.db-wal").exists(), "the orders are in the log of SQLite");
    let copy = checkpoint(&world, 0);
    assert_consistent(&world, &copy, 5);
    assert_eq!(digest_of(&world, &copy), world.digest());
}

#[test]
fn a_checkpoint_is_never_written_over_another_but_over_what_a_killed_one_left() {
    let world = World::seeded(10);
    let into = world.directory.join("copy-0");
    std::fs::create_dir_all(&into).unwrap();
    std::fs::write(into.join("orders.db.partial"), "half of a copy").unwrap();
    checkpoint(&world, 0);
    let names: Vec<_> =
        std::fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["orders.db"]);
    let again = world.on_data("1.0.0", "checkpoint", &["--into", text(&into)]);
    assert!(fails(&again, 1).contains("exists"));
}

#[test]
fn there_is_no_checkpoint_of_a_store_that_is_not_there() {
    let world = World::new();
    world.install("1.0.0", &[]);
    let into = world.directory.join("copy");
    let said = fails(&world.on_data("1.0.0", "checkpoint", &["--into", text(&into)]), 1);
    assert!(said.contains("there is no store"), "{said}");
}

#[test]
fn a_damaged_store_is_found_by_check() {
    let world = World::seeded(2_000);
    let file = world.data().join("orders.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let output = world.on_data("1.0.0", "check", &[]);
    assert_eq!(output.status.code(), Some(1));
    let found = json_of(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(found["ok"], false);
    assert_ne!(found["problems"], json!([]));
}

#[test]
fn a_changed_order_changes_the_digest() {
    let world = World::seeded(10);
    let before = world.digest();
    let store = rusqlite::Connection::open(world.data().join("orders.db")).unwrap();
    store.execute("UPDATE orders SET quantity = quantity + 1 WHERE id = 5", []).unwrap();
    drop(store);
    let after = world.digest();
    assert_eq!(after["orders"], before["orders"]);
    assert_ne!(after["digest"], before["digest"]);
}

/// Ends the writers on every path: a scope waits for its threads even when a test has failed.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes orders as fast as they are answered and says how many.
fn write_until(server: &Server, over: &AtomicBool) -> u64 {
    let mut written = 0;
    while !over.load(Ordering::Relaxed) {
        assert_eq!(server.post("/orders", r#"{"item":"rope","quantity":2}"#).0, 201);
        written += 1;
    }
    written
}

/// Ids are given in order and never reused, so the last one is also how many there are.
fn last_order(server: &Server) -> u64 {
    let (status, body) = request(&server.address, "GET", "/orders", &[], "");
    assert_eq!(status, 200, "{body}");
    let list: Value = serde_json::from_str(&body).unwrap();
    list["total"].as_u64().unwrap()
}

fn checkpoint(world: &World, number: u32) -> std::path::PathBuf {
    let into = world.directory.join(format!("copy-{number}"));
    let key = world.key();
    let more = ["--into", text(&into), "--key", text(&key)];
    let printed = json_of(&succeeds(&world.on_data("1.0.0", "checkpoint", &more)));
    assert_eq!(printed["bytes"], std::fs::metadata(into.join("orders.db")).unwrap().len());
    assert!(!into.join("key").exists());
    into
}

/// Whole for SQLite, without a gap between the first order and the last, and not older than asked.
fn assert_consistent(world: &World, copy: &std::path::Path, orders_min: u64) {
    let mut check = world.command("1.0.0", "check");
    let found = json_of(&succeeds(&check.arg("--data").arg(copy).run()));
    assert_eq!(found["ok"], true);
    let store = rusqlite::Connection::open(copy.join("orders.db")).unwrap();
    let (count, last): (i64, i64) = store
        .query_row("SELECT count(*), max(id) FROM orders", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(count, last);
    assert_eq!(found["orders"], count);
    assert!(
        count >= i64::try_from(orders_min).unwrap(),
        "{count} orders in the copy, {orders_min} were kept before"
    );
}

fn digest_of(world: &World, copy: &std::path::Path) -> Value {
    let mut digest = world.command("1.0.0", "digest");
    json_of(&succeeds(&digest.arg("--data").arg(copy).run()))
}
