//! Disks that fail, through the real binary (P4): file systems of one mebibyte that fill up, and
//! the Nth call that fails. A small file system is mounted in a mount namespace of its own, which
//! needs root; a test that cannot have one fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod faults;

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;
use stage::{Programs, Ran, Shop, figure};
use tempfile::TempDir;

/// Room that is left for the journal, in KiB: from nothing to enough.
const ROOM_KIB: [u32; 12] = [0, 24, 48, 64, 72, 80, 88, 96, 112, 128, 160, 1024];

fn shop() -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    (folder, shop)
}

/// Runs a script with a file system of 1 MiB mounted on a directory, in the shop's folder. The
/// script finds the binary in `$VAULTUP`.
fn with_small_disk(shop: &Shop, mounted_on: &str, script: &str) -> Ran {
    let on = shop.folder().join(mounted_on);
    fs::create_dir_all(&on).unwrap();
    let like = shop.command(&[]);
    let mount = "mount -t tmpfs -o size=1m,mode=0700 small \"$1\" || exit 99\n";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{mount}{script}"), "sh"]).arg(&on);
    command.env("VAULTUP", like.get_program()).current_dir(shop.folder()).stdin(Stdio::null());
    for (name, value) in like.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let ran = Ran::of(command.output().unwrap());
    let shown = ran.shown();
    assert!(ran.status.is_some_and(|status| status < 90), "no small disk can be mounted: {shown}");
    ran
}

/// Bytes that nothing compresses (xorshift64, always the same).
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(step).take(bytes).collect()
}

#[test]
fn a_backup_without_room_is_refused_and_nothing_is_changed() {
    let (folder, shop) = shop();
    shop.write_stack_file("\n[backups]\ndirectory = \"backups\"\n").unwrap();
    fs::write(folder.path().join("data/keys/large"), noise(3 << 20)).unwrap();
    fs::create_dir_all(folder.path().join("backups")).unwrap();
    shop.stop().unwrap();
    let before = shop.fingerprint().unwrap();
    shop.start().unwrap();
    let invocations = shop.invocations().unwrap();
    for (command, code) in [
        ("check --to 2.0.0", "error[VU0410]"),
        ("run --to 2.0.0", "error[VU0410]"),
        ("backup create", "error[VU0"),
    ] {
        let ran = with_small_disk(&shop, "backups", &format!("\"$VAULTUP\" {command}"));
        assert!(matches!(ran.status, Some(1 | 3)), "{command}: {}", ran.shown());
        let shown = ran.shown();
        for text in [code, "room", "state: ", "next: "] {
            assert!(shown.contains(text), "{command}: `{text}` is missing: {shown}");
        }
        assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"), "{command}");
    }
    assert_eq!(shop.invocations().unwrap(), invocations, "nothing was stopped or migrated");
    shop.stop().unwrap();
    assert_eq!(shop.fingerprint().unwrap(), before);
}

#[test]
fn a_journal_without_room_stops_the_run_before_the_next_step_and_is_resumed_with_room() {
    let (mut failed, mut destructive) = (0, 0);
    for room in ROOM_KIB {
        let end = run_with_room(room);
        failed += usize::from(end.is_failed);
        destructive += end.unjournaled;
    }
    let points = ROOM_KIB.len();
    figure(&format!(
        "full journal disks tried {points}, runs that failed {failed}, \
         destructive steps after a failed append {destructive}"
    ));
    assert_eq!(destructive, 0);
    assert!(failed >= 3, "only {failed} of {points} disks were full");
    assert!(failed < points, "no disk had room enough");
}

/// What came of a run whose journal had only so much room.
struct End {
    is_failed: bool,
    /// Commands that changed something and whose intent is not in the journal.
    unjournaled: usize,
}

fn run_with_room(room_kib: u32) -> End {
    let (folder, shop) = shop();
    let digest = shop.digest().unwrap();
    // All in one namespace: the journal is gone with it.
    let script = format!(
        "head -c $(((1024 - {room_kib}) * 1024)) /dev/zero > \"$1/ballast\" 2>/dev/null\n\
         \"$VAULTUP\" run --to 2.0.0 > run.out 2>&1; echo $? > run.status\n\
         cp run/invocations invocations.before\n\
         rm \"$1/ballast\"\n\
         \"$VAULTUP\" report --format json > report.json 2> report.err\n\
         \"$VAULTUP\" resume > resume.out 2>&1; echo $? > resume.status\n\
         [ \"$(cat resume.status)\" = 0 ] || \"$VAULTUP\" run --to 2.0.0 > again.out 2>&1\n\
         \"$VAULTUP\" status --format json > status.json\n"
    );
    with_small_disk(&shop, "home/state", &script);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let status = |name: &str| read(name).trim().parse::<i32>().unwrap_or(-1);
    let (ran, shown) = (status("run.status"), read("run.out"));
    assert!(!shown.contains("panicked"), "{room_kib} KiB: {shown}");
    let is_failed = ran != 0;
    if is_failed {
        for text in ["error[VU", "state: ", "next: "] {
            assert!(shown.contains(text), "{room_kib} KiB: `{text}` is missing: {shown}");
        }
    }
    let report = serde_json::from_str(&read("report.json")).unwrap_or_default();
    let unjournaled = unjournaled(read("invocations.before").lines(), &report);
    let told = format!("{room_kib} KiB: {shown}{}{}", read("resume.out"), read("again.out"));
    let state: Value = serde_json::from_str(&read("status.json")).unwrap_or_default();
    assert_eq!(state["run"]["state"], "upgraded", "it comes to its end with room: {told}");
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{told}");
    assert_eq!((shop.digest().unwrap(), shop.schema().unwrap()), (digest, (2, false)), "{told}");
    let migrations = shop.invocations().unwrap().get("migrate 2.0.0").copied();
    assert_eq!(migrations, Some(1), "{told}");
    End { is_failed, unjournaled }
}

/// Commands that really ran, less those whose step was begun according to the journal.
fn unjournaled<'a>(done: impl Iterator<Item = &'a str>, report: &Value) -> usize {
    let steps = report["steps"].as_array().cloned().unwrap_or_default();
    let begun = |word: &str| {
        let is_named =
            |step: &Value| step["what"].as_str().is_some_and(|its| its.starts_with(word));
        steps.iter().any(is_named)
    };
    let is_begun = |line: &&str| match line.split(' ').next() {
        Some("migrate") => begun("migrate"),
        Some("stop") => begun("hold") || begun("deploy"),
        Some("start") => begun("deploy") || begun("start") || begun("redeploy"),
        other => panic!("`{other:?}` is not expected"),
    };
    done.filter(|line| !is_begun(line)).count()
}

/// The report of the last run; null if there is none.
fn report_of(shop: &Shop) -> Value {
    let report = shop.vaultup(&["report", "--format", "json"]).unwrap();
    serde_json::from_str(&report.output).unwrap_or_default()
}
