//! Every limit, reached and passed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use model::contract::ProofLevel;
use vaultup_vault::{ARTIFACTS_OPEN_MAX, ARTIFACTS_PER_SET_MAX, Error, Purpose, SETS_MAX};

use crate::support::{World, at, datastore, header, id, noise, open, write};

/// The largest resident size of a process that writes and reads a backup.
const MEMORY_MIB_MAX: u64 = 64;

#[test]
fn so_many_artifacts_are_open_at_once_and_one_more_is_not() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let mut writers: Vec<_> = (0..ARTIFACTS_OPEN_MAX)
        .map(|index| set.artifact("d", &format!("x{index}")).unwrap())
        .collect();
    assert!(matches!(set.artifact("d", "more"), Err(Error::TooMuch { .. })));
    writers.pop();
    set.artifact("d", "more").unwrap();
}

#[test]
fn so_many_artifacts_are_in_a_set_and_one_more_is_not() {
    let world = World::new();
    let set = world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let artifacts: Vec<_> = (0..ARTIFACTS_PER_SET_MAX)
        .map(|index| write(&set, "d", &format!("x{index}"), b"1"))
        .collect();
    assert!(matches!(set.artifact("d", "more"), Err(Error::TooMuch { .. })));
    let contents = datastore(artifacts, ProofLevel::Exists);
    let set = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap();
    assert_eq!(world.vault.verify_bytes(&set, "d").unwrap().artifacts, ARTIFACTS_PER_SET_MAX);
}

#[test]
fn so_many_sets_are_in_a_vault_and_one_more_is_not_begun() {
    let world = World::new();
    for index in 1..SETS_MAX {
        fs::create_dir(world.set_path(&format!("s{index}"))).unwrap();
    }
    drop(world.vault.begin(header("a", Purpose::Manual, at(0))).unwrap());
    world.vault.discard_partial(&id("a")).unwrap();
    fs::create_dir(world.set_path("s0")).unwrap();
    let error = world.vault.begin(header("a", Purpose::Manual, at(0))).err().unwrap();
    assert!(matches!(error, Error::TooMuch { .. }), "{error:?}");
    assert_eq!(world.vault.sets().unwrap().len(), SETS_MAX);
}

#[test]
fn a_process_that_writes_and_reads_a_large_backup_stays_small() {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limits::a_child_that_streams", "--ignored", "--nocapture"])
        .env("VAULT_TEST_HOME", home.path())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    let peak = said.lines().find_map(|line| line.split_once("peak-kib ")).unwrap().1;
    let peak_mib = peak.parse::<u64>().unwrap() / 1024;
    assert!(peak_mib <= MEMORY_MIB_MAX, "{peak_mib} MiB");
}

#[test]
#[ignore = "is run by the test above it, as a process of its own"]
fn a_child_that_streams() {
    let home = std::env::var_os("VAULT_TEST_HOME").unwrap();
    let vault = open(std::path::Path::new(&home));
    let set = vault.begin(header("a", Purpose::Manual, at(0))).unwrap();
    let mut writer = set.artifact("d", "x").unwrap();
    let text = b"INSERT INTO orders VALUES (17, 'shipped', 4711, 'Berlin');\n".repeat(20_000);
    for seed in 0..128 {
        writer.write_all(&noise(seed, 1 << 20)).unwrap();
        writer.write_all(&text[..1 << 20]).unwrap();
    }
    let artifact = writer.finish().unwrap();
    assert_eq!(artifact.bytes, 256 << 20);
    let contents = datastore(vec![artifact], ProofLevel::Exists);
    let set = set.publish(BTreeMap::from([("d".into(), contents)])).unwrap();
    vault.verify_bytes(&set, "d").unwrap();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib = peak.trim().trim_end_matches(" kB");
    writeln!(io::stdout(), "\npeak-kib {peak_kib}").unwrap();
}
