//! Killed at any instant, a vault holds whole sets and leftovers that say so.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use model::contract::ProofLevel;
use vaultup_vault::{Error, Purpose};

use crate::support::{World, at, datastore, header, id, names, noise, open, publish, read, write};

/// How often a writing process is killed, each time a little later.
const KILLS: usize = 16;

#[test]
fn a_partial_is_never_listed_and_can_be_discarded() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    write(&set, "d", "x", b"1");
    drop(set);
    assert!(world.vault.sets().unwrap().is_empty());
    assert!(matches!(world.vault.set(&id("a")), Err(Error::NoSet { .. })));
    let error = world.vault.begin(header("a", Purpose::Manual, at(0))).err().unwrap();
    assert!(matches!(error, Error::Unfinished { .. }), "{error:?}");
    assert!(world.vault.discard_partial(&id("a")).unwrap());
    assert!(!world.vault.discard_partial(&id("a")).unwrap());
    publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
}

#[test]
fn a_set_is_no_set_one_moment_before_the_rename() {
    let world = World::new();
    publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    fs::rename(world.set_path("a"), world.set_path(".a.partial")).unwrap();
    assert!(world.vault.sets().unwrap().is_empty());
    assert!(matches!(world.vault.set(&id("a")), Err(Error::NoSet { .. })));
    assert!(world.vault.discard_partial(&id("a")).unwrap());
    assert!(names(world.vault.root()).is_empty());
}

#[test]
fn what_is_being_written_is_no_leftover() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let other = world.reopened();
    assert!(matches!(other.discard_partial(&id("a")), Err(Error::BeingWritten { .. })));
    let error = other.begin(header("a", Purpose::Manual, at(0))).err().unwrap();
    assert!(matches!(error, Error::BeingWritten { .. }), "{error:?}");
    let artifact = write(&set, "d", "x", b"1");
    let contents = datastore(vec![artifact], ProofLevel::Exists);
    set.publish(BTreeMap::from([("d".into(), contents)])).unwrap();
}

#[test]
fn proofs_that_were_being_replaced_are_the_old_or_the_new_ones() {
    let world = World::new();
    publish(&world.vault, header("a", Purpose::Manual, at(0)), &[("d", &[("x", b"1")])]);
    crate::support::prove(&world.vault, "a", "d", ProofLevel::Checked);
    // The crash came before the rename: the new file is there, half written.
    let beside = world.set_path("a").join("proofs/d.json.new");
    fs::write(&beside, "{\"format\":1,").unwrap();
    let set = world.vault.set(&id("a")).unwrap();
    assert_eq!(world.vault.proof_level(&set, "d").unwrap(), ProofLevel::Checked);
    crate::support::prove(&world.vault, "a", "d", ProofLevel::Restored);
    assert_eq!(world.vault.proof_level(&set, "d").unwrap(), ProofLevel::Restored);
    assert!(!beside.exists());
}

#[test]
fn killed_at_any_instant_every_reported_set_is_whole_and_nothing_else_is_listed() {
    let mut leftovers = 0;
    for kill in 0..KILLS {
        let home = tempfile::tempdir().unwrap();
        // The identity is made before, so that the kill hits the writing.
        drop(open(home.path()));
        let reported = run_and_kill(home.path(), kill);
        let vault = open(home.path());
        let sets = vault.sets().unwrap();
        for listed in &sets {
            let set = listed.whole().unwrap_or_else(|| panic!("{listed:?}"));
            let content = noise(set.header().began_at.as_second().cast_unsigned(), 700_000);
            assert!(read(&vault, set, "d", "x").unwrap() == content);
        }
        for set in &reported {
            assert!(sets.iter().any(|one| one.id().as_str() == set), "{set} was reported");
        }
        assert!(sets.len() <= reported.len() + 1, "one may be published and not yet reported");
        let partial: Vec<_> =
            names(vault.root()).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(partial.len() <= 1, "{partial:?}");
        leftovers += partial.len();
        for name in partial {
            let set = id(name.trim_start_matches('.').trim_end_matches(".partial"));
            assert!(vault.discard_partial(&set).unwrap());
        }
    }
    assert!(leftovers > 0, "no kill of {KILLS} hit a set that was being written");
}

/// Kills a process that publishes sets one after the other, as soon as it has reported `kill`
/// steps; gives the sets that it reported as published.
fn run_and_kill(home: &Path, kill: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_child_that_never_stops", "--ignored", "--nocapture"])
        .env("VAULT_TEST_HOME", home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut steps = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("step ").map(str::to_owned));
    let mut reported: Vec<String> = steps.by_ref().take(kill + 1).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it managed to say before the kill arrived counts as well.
    reported.extend(steps);
    reported
        .into_iter()
        .filter_map(|step| step.strip_prefix("published ").map(str::to_owned))
        .collect()
}

#[test]
#[ignore = "is run and killed by the test above it, as a process of its own"]
fn a_child_that_never_stops() {
    let home = std::env::var_os("VAULT_TEST_HOME").unwrap();
    let vault = open(Path::new(&home));
    let say = |text: String| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(format!("\nstep {text}\n").as_bytes()).unwrap();
        stdout.flush().unwrap();
    };
    for number in 0.. {
        let name = format!("s{number}");
        let header = header(&name, Purpose::Manual, at(number));
        let content = noise(header.began_at.as_second().cast_unsigned(), 700_000);
        let set = vault.begin(header).unwrap();
        say("begun".into());
        let mut writer = set.artifact("d", "x").unwrap();
        for piece in content.chunks(100_000) {
            writer.write_all(piece).unwrap();
            say("wrote".into());
        }
        let artifact = writer.finish().unwrap();
        say("finished".into());
        let contents = datastore(vec![artifact], ProofLevel::Exists);
        set.publish(BTreeMap::from([("d".into(), contents)])).unwrap();
        say(format!("published {name}"));
    }
}
