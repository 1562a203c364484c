//! Starting, stopping and seeing the daemon, each as often as one likes.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::world::{Running, World, eventually, fails, receive, send, succeeds};

#[test]
fn starting_twice_is_starting_once() {
    let world = World::seeded(0);
    assert_eq!(succeeds(&world.start("1.0.0", &[])), "release 1.0.0 is ready\n");
    let first = world.status();
    assert_eq!(first["running"], true);
    assert_eq!(first["ready"], true);
    assert_eq!(first["version"], "1.0.0");
    assert_eq!(first["changing"], false);
    assert_eq!(succeeds(&world.start("1.0.0", &[])), "release 1.0.0 runs already\n");
    assert_eq!(world.status(), first);
}

#[test]
fn stopping_twice_is_stopping_once() {
    let world = World::seeded(0);
    succeeds(&world.start("1.0.0", &[]));
    let process = &world.status()["process"];
    assert_eq!(succeeds(&world.stop(&[])), format!("stopped process {process}\n"));
    assert_eq!(succeeds(&world.stop(&[])), "nothing runs\n");
    assert_eq!(
        world.status(),
        json!({
            "running": false, "ready": false, "version": null, "process": null, "changing": false
        })
    );
}

#[test]
fn another_release_is_refused_while_one_runs() {
    let world = World::seeded(0);
    succeeds(&world.start("1.0.0", &[]));
    let said = fails(&world.start("2.0.0", &["--migrate-at-start"]), 1);
    assert!(said.contains("release 1.0.0 runs already"), "{said}");
    assert_eq!(world.status()["version"], "1.0.0");
    assert_eq!(world.json("2.0.0", "schema")["version"], 1);
    let elsewhere = world.start("1.0.0", &["--listen", "127.0.0.1:9"]);
    assert!(fails(&elsewhere, 1).contains("not at 127.0.0.1:9"));
}

#[test]
fn two_starts_at_once_make_one_daemon() {
    let world = World::seeded(0);
    let starts: Vec<Running> = (0..4)
        .map(|_| {
            let mut command = world.start_command("1.0.0", &[]);
            Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        })
        .collect();
    for mut start in starts {
        assert!(start.ended().success());
    }
    assert_eq!(world.log().matches("listens on").count(), 1, "{}", world.log());
}

#[test]
fn a_release_that_names_another_version_is_still_known_for_what_was_started() {
    let world = World::seeded(0);
    world.install("1.0.0", &["wrong-version"]);
    succeeds(&world.start("1.0.0", &[]));
    assert_eq!(world.status()["version"], "0.0.0");
    assert_eq!(succeeds(&world.start("1.0.0", &[])), "release 1.0.0 runs already\n");
}

#[test]
fn a_stop_waits_for_the_request_in_flight() {
    let world = World::seeded(0);
    world.install("1.0.0", &["slow-ms=400"]);
    succeeds(&world.start("1.0.0", &[]));
    let address = world.address();
    let order = r#"{"item":"rope","quantity":2}"#;
    let mut flying = send(&address, "POST", "/orders", &[], order);
    eventually("the request is in flight", || {
        let metrics = receive(&mut send(&address, "GET", "/metrics", &[], "")).1;
        metrics.contains("\nconnections 1\n").then_some(())
    });
    assert!(succeeds(&world.stop(&[])).starts_with("stopped process"));
    assert_eq!(receive(&mut flying).0, 201);
    assert_eq!(world.digest()["orders"], 1);
}

#[test]
fn a_daemon_that_does_not_stop_is_killed() {
    let world = World::seeded(0);
    succeeds(&world.start("1.0.0", &[]));
    let process = daemon(&world);
    kill_process(process, Signal::STOP).unwrap();
    let said = succeeds(&world.stop(&["--timeout-ms", "100"]));
    assert!(said.starts_with("killed process"), "{said}");
    assert_eq!(world.status()["running"], false);
}

#[test]
fn a_daemon_that_was_killed_is_not_running_and_can_be_started_again() {
    let world = World::seeded(0);
    succeeds(&world.start("1.0.0", &[]));
    kill_process(daemon(&world), Signal::KILL).unwrap();
    eventually("it is gone", || (world.status()["running"] == false).then_some(()));
    succeeds(&world.start("1.0.0", &[]));
    assert_eq!(world.status()["ready"], true);
}

#[test]
fn a_foreign_process_with_the_same_id_is_never_touched() {
    let world = World::seeded(0);
    succeeds(&world.start("1.0.0", &[]));
    let text = std::fs::read_to_string(world.pid_file()).unwrap();
    let real: Value = serde_json::from_str(&text).unwrap();
    succeeds(&world.stop(&[]));
    let mut foreign = Running(Command::new("sleep").arg("600").spawn().unwrap());
    let mut stale = real;
    stale["process"] = json!(foreign.0.id());
    // Both may have been started within the same hundredth of a second, the unit of this time.
    stale["start-time"] = json!(start_time(&foreign) - 1);
    std::fs::write(world.pid_file(), stale.to_string()).unwrap();
    assert_eq!(world.status()["running"], false);
    assert_eq!(succeeds(&world.stop(&["--timeout-ms", "0"])), "nothing runs\n");
    // The same process id and start time, but of another boot.
    stale["start-time"] = json!(start_time(&foreign));
    stale["boot"] = json!("another");
    std::fs::write(world.pid_file(), stale.to_string()).unwrap();
    assert_eq!(succeeds(&world.stop(&["--timeout-ms", "0"])), "nothing runs\n");
    assert!(foreign.0.try_wait().unwrap().is_none(), "the foreign process was ended");
    std::fs::write(world.pid_file(), stale.to_string()).unwrap();
    succeeds(&world.start("1.0.0", &[]));
    assert!(foreign.0.try_wait().unwrap().is_none(), "the foreign process was ended");
}

#[test]
fn a_pid_file_that_cannot_be_read_stops_everything_and_nobody() {
    let world = World::seeded(0);
    for damaged in ["", "4711\n", "{\"format\":2}", "{\"process\":1}"] {
        std::fs::write(world.pid_file(), damaged).unwrap();
        for output in [world.status_output(), world.stop(&[]), world.start("1.0.0", &[])] {
            let said = fails(&output, 1);
            assert!(said.contains("is not a pid file"), "{said}");
        }
        assert_eq!(std::fs::read_to_string(world.pid_file()).unwrap(), damaged);
    }
    std::fs::remove_file(world.pid_file()).unwrap();
}

#[test]
fn a_stop_waits_for_a_start_that_is_under_way() {
    let world = World::seeded(0);
    world.install("1.0.0", &["never-ready"]);
    let mut command = world.start_command("1.0.0", &["--ready-timeout-ms", "1000"]);
    let mut start = Running(command.stderr(Stdio::null()).spawn().unwrap());
    eventually("the start is under way", || {
        let status = world.status();
        (status["changing"] == true && status["running"] == true).then_some(())
    });
    assert_eq!(succeeds(&world.stop(&[])), "nothing runs\n");
    assert_eq!(start.ended().code(), Some(1));
}

fn daemon(world: &World) -> Pid {
    let process = world.status()["process"].as_i64().unwrap();
    Pid::from_raw(i32::try_from(process).unwrap()).unwrap()
}

/// Field 22 of `/proc/PID/stat`, of a program whose name has no spaces.
fn start_time(running: &Running) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", running.0.id())).unwrap();
    text.split(' ').nth(21).unwrap().parse().unwrap()
}
