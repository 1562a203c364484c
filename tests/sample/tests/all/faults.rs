//! Each way in which a release can be told to misbehave, seen from outside.

use std::time::{Duration, Instant};

use crate::world::{Run, Server, World, eventually, fails, serve_command, succeeds};

#[test]
fn a_release_that_is_never_ready_says_so_and_is_otherwise_well() {
    let world = World::seeded(0);
    world.install("1.0.0", &["never-ready"]);
    let server = Server::start(&world, "1.0.0");
    assert_eq!(server.get("/health/ready").0, 503);
    assert_eq!(server.get("/health").0, 200);
}

#[test]
fn a_release_of_the_wrong_version_is_ready_and_names_another() {
    let world = World::seeded(0);
    world.install("1.0.0", &["wrong-version"]);
    let server = Server::start(&world, "1.0.0");
    assert_eq!(server.get("/health/ready").0, 200);
    assert_eq!(server.json_of("/health")["version"], "0.0.0");
}

#[test]
fn an_error_rate_is_met_exactly_and_counted() {
    let world = World::seeded(1);
    world.install("1.0.0", &["error-rate=0.3"]);
    let server = Server::start(&world, "1.0.0");
    let failed = (0..20).filter(|_| server.get("/orders/1").0 == 500).count();
    assert_eq!(failed, 6);
    assert_eq!(server.get("/health").0, 200);
    let metrics = server.get("/metrics").1;
    assert!(metrics.contains("\nrequests_total 20\n"), "{metrics}");
    assert!(metrics.contains("\nrequest_errors_total 6\n"), "{metrics}");
}

#[test]
fn a_slow_release_takes_its_time_and_shows_it() {
    let world = World::seeded(1);
    world.install("1.0.0", &["slow-ms=60"]);
    let server = Server::start(&world, "1.0.0");
    for path in ["/orders/1", "/health"] {
        let began = Instant::now();
        assert_eq!(server.get(path).0, 200);
        assert!(began.elapsed() >= Duration::from_millis(60), "{path}");
    }
    let metrics = server.get("/metrics").1;
    assert!(metrics.contains("_bucket{le=\"0.05\"} 0\n"), "{metrics}");
    assert!(metrics.contains("_bucket{le=\"+Inf\"} 1\n"), "{metrics}");
}

#[test]
fn a_release_that_crashes_is_up_first_and_then_gone() {
    let world = World::seeded(0);
    world.install("1.0.0", &["crash-after-s=0.3"]);
    succeeds(&world.start("1.0.0", &[]));
    eventually("the daemon crashes", || (world.status()["running"] == false).then_some(()));
    assert!(world.log().contains("fault crash-after-s"));
    world.install("1.0.0", &[]);
    succeeds(&world.start("1.0.0", &[]));
    assert_eq!(world.status()["ready"], true);
}

#[test]
fn a_crash_has_the_status_of_a_panic() {
    let world = World::seeded(0);
    world.install("1.0.0", &["crash-after-s=0"]);
    fails(&serve_command(&world, "1.0.0").run(), 101);
}

#[test]
fn a_release_that_exits_at_start_shows_its_log_and_leaves_nothing() {
    let world = World::seeded(0);
    world.install("1.0.0", &["exit-at-start"]);
    let said = fails(&world.start("1.0.0", &[]), 1);
    assert!(said.contains("fault exit-at-start"), "{said}");
    assert!(said.contains("release 1.0.0 did not start: it ended with exit status: 1"), "{said}");
    assert!(!world.pid_file().exists());
}

#[test]
fn a_start_that_never_gets_ready_gives_up_and_leaves_nothing() {
    let world = World::seeded(0);
    world.install("1.0.0", &["never-ready"]);
    let said = fails(&world.start("1.0.0", &["--ready-timeout-ms", "300"]), 1);
    assert!(said.contains("it was not ready after 300 ms"), "{said}");
    assert!(said.contains("listens on 127.0.0.1:"), "the log is shown: {said}");
    assert_eq!(world.status()["running"], false);
    assert!(!world.pid_file().exists());
}

#[test]
fn a_region_is_required_of_release_3_only_and_only_when_asked_for() {
    let world = World::seeded(0);
    let option = "--require-region";
    drop(Server::start_with(&world, "1.0.0", &[option], &[]));
    succeeds(&world.on_data("3.0.0", "migrate", &[]));
    drop(Server::start(&world, "3.0.0"));
    let said = fails(&serve_command(&world, "3.0.0").arg(option).run(), 1);
    assert!(said.contains("release 3.0.0 needs SAMPLE_REGION"), "{said}");
    world.install("3.0.0", &["require-region"]);
    let said = fails(&serve_command(&world, "3.0.0").run(), 1);
    assert!(said.contains("release 3.0.0 needs SAMPLE_REGION"), "{said}");
    drop(Server::start_with(&world, "3.0.0", &[], &[("SAMPLE_REGION", "north")]));
}
