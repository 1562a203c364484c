//! Calls that fail: the Nth `fsync` or write of vaultup's own process, by a library that is loaded
//! before the system's. What vaultup starts gets no such library: it hands no environment on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use stage::{Ran, Shop, figure};

use crate::{report_of, shop, unjournaled};

/// How many of the calls of a run are made to fail, evenly spread over all.
const POINTS: u64 = 12;

/// Fails the call number `FAULT_AT` of the kind `FAULT_CALL`, and notes how many there were.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static long calls;

static int fails(const char *kind) {
    const char *wanted = getenv("FAULT_CALL"), *at = getenv("FAULT_AT");
    if (!wanted || !at || strcmp(wanted, kind)) return 0;
    return __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == atol(at);
}

int fsync(int file) {
    if (fails("sync")) { errno = EIO; return -1; }
    return syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    if (fails("sync")) { errno = EIO; return -1; }
    return syscall(SYS_fdatasync, file);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    if (fails("write")) { errno = ENOSPC; return -1; }
    return syscall(SYS_pwrite64, file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    return pwrite64(file, bytes, count, at);
}

__attribute__((destructor)) static void note(void) {
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : 0;
    if (file) { fprintf(file, "%ld", calls); fclose(file); }
}
"#;

#[test]
fn whichever_sync_or_write_fails_nothing_is_lost_and_nothing_is_done_twice() {
    let (mut points, mut failed, mut destructive) = (0, 0, 0);
    for call in ["sync", "write"] {
        let all = calls_of_a_run(call);
        assert!(
            all >= POINTS,
            "only {all} calls of `{call}`: they do not come through the library"
        );
        for point in 0..POINTS {
            let at = 1 + point * (all - 1) / (POINTS - 1);
            let end = run_with_fault(call, at);
            points += 1;
            failed += u64::from(end.is_failed);
            destructive += end.unjournaled;
        }
    }
    figure(&format!(
        "failing syncs and writes tried {points}, runs that did not end as if nothing were \
         {failed}, destructive steps after a failed append {destructive}"
    ));
    assert_eq!(destructive, 0);
    assert!(failed >= POINTS, "{failed} of {points} runs noticed");
}

/// How often an undisturbed run makes a call.
fn calls_of_a_run(call: &str) -> u64 {
    let (folder, shop) = shop();
    let ran = run(&shop, call, u64::MAX >> 1);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    fs::read_to_string(folder.path().join("calls")).unwrap().parse().unwrap()
}

struct End {
    is_failed: bool,
    unjournaled: usize,
}

fn run_with_fault(call: &str, at: u64) -> End {
    let (_folder, shop) = shop();
    let digest = shop.digest().unwrap();
    let ran = run(&shop, call, at);
    let what = format!("{call} {at}: {}", ran.shown());
    assert!(!ran.shown().contains("panicked"), "{what}");
    let (done, report) = (shop.invocations().unwrap(), report_of(&shop));
    let unjournaled = unjournaled(done.keys().map(String::as_str), &report);
    let resumed = shop.vaultup(&["resume"]).unwrap();
    let what = format!("{what}{}", resumed.shown());
    let serving = shop.serving().unwrap();
    let expected = match serving.as_deref() {
        Some("1.0.0") => 1,
        Some("2.0.0") => 2,
        other => panic!("{other:?} serves: {what}"),
    };
    assert_eq!(
        (shop.digest().unwrap(), shop.schema().unwrap()),
        (digest, (expected, false)),
        "{what}"
    );
    let migrations = shop.invocations().unwrap().get("migrate 2.0.0").copied().unwrap_or_default();
    assert!(migrations <= 1, "{migrations} migrations: {what}");
    // Whatever it was, the way is open again.
    if expected == 1 {
        let again = shop.vaultup(&["run", "--to", "2.0.0"]).unwrap();
        assert_eq!(again.status, Some(0), "{what}{}", again.shown());
    }
    End { is_failed: ran.status != Some(0), unjournaled }
}

fn run(shop: &Shop, call: &str, at: u64) -> Ran {
    let library = library(shop.folder());
    let mut command = shop.command(&["run", "--to", "2.0.0"]);
    command.env("LD_PRELOAD", library).env("FAULT_CALL", call).env("FAULT_AT", at.to_string());
    command.env("FAULT_COUNT", shop.folder().join("calls"));
    Ran::of(command.output().unwrap())
}

/// Compiles the library.
fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("fault.c"), folder.join("fault.so"));
    fs::write(&source, LIBRARY).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    library
}
