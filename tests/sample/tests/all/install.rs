//! Release directories, and which release a program is.

use std::process::Command;

use crate::world::{Run, World, fails, succeeds};

#[test]
fn a_release_directory_holds_version_program_and_faults() {
    let world = World::new();
    world.install("2.1.0", &["never-ready", "error-rate=0.5"]);
    let release = world.directory.join("releases/2.1.0");
    let read = |name: &str| std::fs::read_to_string(release.join(name)).unwrap();
    assert_eq!(read("VERSION"), "2.1.0\n");
    assert_eq!(read("faults.toml"), "format = 1\nnever-ready = true\nerror-rate = 0.5\n");
    assert!(release.join("bin/vaultup-sample").is_file());
    assert_eq!(std::fs::read_dir(world.directory.join("releases")).unwrap().count(), 1);
}

#[test]
fn installing_again_takes_a_fault_away_and_leaves_nothing_beside_it() {
    let world = World::new();
    world.install("2.0.0", &["exit-at-start"]);
    world.install("2.0.0", &[]);
    assert!(!world.directory.join("releases/2.0.0/faults.toml").exists());
    assert_eq!(std::fs::read_dir(world.directory.join("releases")).unwrap().count(), 1);
}

#[test]
fn a_release_installs_another_one() {
    let world = World::new();
    world.install("1.0.0", &[]);
    let mut command = world.command("1.0.0", "install");
    command.arg("--into").arg(world.directory.join("releases")).args(["--release", "2.0.0"]);
    let said = succeeds(&command.run());
    assert!(said.trim_end().ends_with("releases/2.0.0"), "{said}");
    assert_eq!(world.json("2.0.0", "schema")["pending"].as_array().unwrap().len(), 2);
}

#[test]
fn a_program_started_through_a_symbolic_link_is_the_release_that_the_link_means() {
    let world = World::seeded(0);
    let current = world.directory.join("current");
    for (release, pending) in [("1.0.0", 0), ("3.0.0", 2)] {
        let _ = std::fs::remove_file(&current);
        std::os::unix::fs::symlink(world.directory.join("releases").join(release), &current)
            .unwrap();
        let mut command = Command::new(current.join("bin/vaultup-sample"));
        let said = command.arg("schema").arg("--data").arg(world.data()).run();
        let schema: serde_json::Value = serde_json::from_str(&succeeds(&said)).unwrap();
        assert_eq!(schema["pending"].as_array().unwrap().len(), pending);
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_status_2_and_writes_nothing() {
    let world = World::new();
    let into = world.directory.join("releases");
    let into = into.to_str().unwrap();
    for words in [
        &["install", "--into", into, "--release", "2.0"][..],
        &["install", "--into", into, "--release", "../2.0.0"],
        &["install", "--into", into, "--release", "2.0.0", "--fault", "never-redy"],
        &["install", "--into", into, "--release", "2.0.0", "--fault", "error-rate=2"],
        &["install", "--into", into],
        &["instal", "--into", into, "--release", "2.0.0"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vaultup-sample"));
        fails(&command.args(words).run(), 2);
    }
    assert!(!world.directory.join("releases").exists());
}

#[test]
fn a_program_outside_a_release_directory_says_how_to_make_one() {
    let world = World::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vaultup-sample"));
    let output = command.arg("migrate").arg("--data").arg(world.data()).run();
    let said = fails(&output, 1);
    assert!(said.contains("make a release with `install`"), "{said}");
    assert!(!world.data().exists());
}
