//! What users and probes see over HTTP.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::world::{
    Run, Server, World, eventually, fails, receive, request, send, serve_command, succeeds,
};

const ORDER: &str = r#"{"item":"rope","quantity":2}"#;

#[test]
fn health_readiness_and_metrics_answer() {
    let world = World::seeded(3);
    let server = Server::start(&world, "1.0.0");
    let health = server.json_of("/health");
    assert_eq!(health, json!({ "version": "1.0.0", "status": "ok", "connections": 0 }));
    assert_eq!(server.get("/health/ready").0, 200);
    server.post("/orders", ORDER);
    server.get("/orders/999");
    let (status, metrics) = server.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "requests_total 2",
        "request_errors_total 0",
        "request_duration_seconds_count 2",
        "build_info{version=\"1.0.0\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(server.get("/nothing").0, 404);
}

#[test]
fn open_connections_are_counted_without_the_one_that_asks() {
    let world = World::seeded(1);
    let server = Server::start(&world, "1.0.0");
    let connections = |wanted: u64| {
        eventually("the number of connections", || {
            (server.json_of("/health")["connections"] == wanted).then_some(())
        });
    };
    let held: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    connections(3);
    drop(held);
    connections(0);
}

#[test]
fn orders_can_be_made_and_read_in_every_release() {
    let world = World::seeded(3);
    for (number, release) in [(4, "1.0.0"), (5, "2.0.0"), (6, "3.0.0")] {
        succeeds(&world.on_data(release, "migrate", &[]));
        let server = Server::start(&world, release);
        let (status, body) = server.post("/orders", ORDER);
        assert_eq!((status, body), (201, format!("{{\"id\":{number}}}")));
        let order = server.json_of(&format!("/orders/{number}"));
        assert_eq!(order, json!({ "id": number, "item": "rope", "quantity": 2 }));
        let list = server.json_of("/orders");
        assert_eq!(list["total"], number);
        assert_eq!(list["orders"].as_array().unwrap().len(), number);
        assert_eq!(list["orders"][number - 1]["id"], number);
        assert_eq!(server.get("/orders/999").0, 404);
    }
}

#[test]
fn notes_exist_from_release_2_on_and_survive_migration_3() {
    let world = World::seeded(1);
    let order = r#"{"item":"rope","quantity":2,"note":"as soon as possible"}"#;
    let server = Server::start(&world, "1.0.0");
    assert_eq!(server.post("/orders", order).0, 422);
    drop(server);
    succeeds(&world.on_data("2.0.0", "migrate", &[]));
    let server = Server::start(&world, "2.0.0");
    assert_eq!(server.post("/orders", order).0, 201);
    drop(server);
    let before = world.digest();
    succeeds(&world.on_data("3.0.0", "migrate", &[]));
    assert_eq!(world.digest(), before);
    let server = Server::start(&world, "3.0.0");
    assert_eq!(server.json_of("/orders/2")["note"], "as soon as possible");
}

#[test]
fn orders_that_make_no_sense_are_refused_and_not_kept() {
    let world = World::seeded(0);
    let server = Server::start(&world, "1.0.0");
    let item = |length: usize| format!(r#"{{"item":"{}","quantity":1}}"#, "x".repeat(length));
    for (body, status) in [
        (r#"{"item":"rope"}"#.to_owned(), 422),
        (r#"{"item":"rope","quantity":0}"#.to_owned(), 422),
        (r#"{"item":"rope","quantity":-1}"#.to_owned(), 422),
        (r#"{"item":"rope","quantity":1,"price":3}"#.to_owned(), 422),
        ("not JSON".to_owned(), 400),
        (item(0), 422),
        (item(201), 422),
        (item(200), 201),
    ] {
        assert_eq!(server.post("/orders", &body).0, status, "{body}");
    }
    assert_eq!(server.json_of("/orders")["total"], 1);
}

#[test]
fn a_list_ends_at_its_limit_and_keeps_the_newest() {
    let world = World::seeded(1_000);
    let server = Server::start(&world, "1.0.0");
    let first = |server: &Server| {
        let list = server.json_of("/orders");
        (list["orders"].as_array().unwrap().len(), list["orders"][0]["id"].as_i64().unwrap())
    };
    assert_eq!(first(&server), (1_000, 1));
    server.post("/orders", ORDER);
    assert_eq!(first(&server), (1_000, 2));
}

#[test]
fn a_signature_is_made_with_the_key_file() {
    let world = World::seeded(0);
    let server = Server::start(&world, "1.0.0");
    let (status, body) = server.post("/signed", r#"{"message":"hello"}"#);
    assert_eq!(status, 200);
    let key = std::fs::read_to_string(world.key()).unwrap();
    let key = *blake3::Hash::from_hex(key.trim()).unwrap().as_bytes();
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["signature"], blake3::keyed_hash(&key, b"hello").to_hex().as_str());
}

#[test]
fn a_key_that_is_lost_or_damaged_is_refused_and_never_made_anew() {
    let world = World::seeded(0);
    std::fs::write(world.key(), "0123").unwrap();
    let said = fails(&serve_command(&world, "1.0.0").run(), 1);
    assert!(said.contains("is not 64 hexadecimal digits"), "{said}");
    std::fs::remove_file(world.key()).unwrap();
    let said = fails(&serve_command(&world, "1.0.0").run(), 1);
    assert!(said.contains("cannot read the key"), "{said}");
    assert!(!world.key().exists());
}

#[test]
fn with_a_token_orders_need_it_and_no_log_shows_it() {
    let world = World::seeded(0);
    let token = "canary-5d41402abc4b2a76";
    let start = world.start_command("1.0.0", &[]).env("SAMPLE_TOKEN", token).run();
    let said = succeeds(&start);
    let address = world.address();
    let post = |headers: &[&str]| request(&address, "POST", "/orders", headers, ORDER);
    assert_eq!(post(&[]).0, 401);
    assert_eq!(post(&["Authorization: Bearer wrong"]).0, 401);
    let right = format!("Authorization: Bearer {token}");
    assert_eq!(post(&[&right]).0, 201);
    succeeds(&world.stop(&[]));
    let pid = world.status().to_string();
    for text in [said, world.log(), lossy(&start.stderr), pid] {
        assert!(!text.contains(token), "{text}");
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_request_in_flight_is_answered_while_new_ones_are_refused() {
    let world = World::seeded(0);
    world.install("1.0.0", &["slow-ms=500"]);
    let mut server = Server::start(&world, "1.0.0");
    let mut flying = send(&server.address, "POST", "/orders", &[], ORDER);
    eventually("the request is in flight", || {
        server.get("/metrics").1.contains("\nconnections 1\n").then_some(())
    });
    server.child.signal(Signal::TERM);
    eventually("nobody listens any more", || TcpStream::connect(&server.address).err());
    assert_eq!(receive(&mut flying), (201, r#"{"id":1}"#.to_owned()));
    assert!(server.child.ended().success());
    assert_eq!(world.digest()["orders"], 1);
}

#[test]
fn connections_without_a_request_do_not_hold_up_the_drain() {
    let world = World::seeded(0);
    let mut server = Server::start(&world, "1.0.0");
    let mut idle = TcpStream::connect(&server.address).unwrap();
    eventually("the connection is open", || {
        (server.json_of("/health")["connections"] == 1).then_some(())
    });
    let began = Instant::now();
    server.child.signal(Signal::TERM);
    assert!(server.child.ended().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let world = World::seeded(0);
    world.install("1.0.0", &["slow-ms=600000"]);
    let mut server = Server::start(&world, "1.0.0");
    let _flying = send(&server.address, "POST", "/orders", &[], ORDER);
    eventually("the request is in flight", || {
        server.get("/metrics").1.contains("\nconnections 1\n").then_some(())
    });
    let began = Instant::now();
    server.child.signal(Signal::TERM);
    assert!(server.child.ended().success());
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(15), "{took:?}");
}
