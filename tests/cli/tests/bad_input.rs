//! Wrong input through the real binary: each answer has a code, a place where there is one, the
//! state and the next command; nothing was changed, and nothing panics.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;

use stage::{Programs, Ran, Shop};
use tempfile::TempDir;

fn shop() -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    (folder, shop)
}

/// Replaces the first occurrence of a text in the stack file.
fn edit(shop: &Shop, from: &str, to: &str) {
    let path = shop.folder().join("vaultup.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "`{from}` is not in the stack file");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// What vaultup answers, having changed nothing in the folder.
#[track_caller]
fn asked(shop: &Shop, arguments: &[&str]) -> Ran {
    let before = shop.fingerprint().unwrap();
    let ran = shop.vaultup(arguments).unwrap();
    assert_eq!(shop.fingerprint().unwrap(), before, "{arguments:?} changed something");
    ran
}

#[track_caller]
fn refused(ran: &Ran, code: &str, fragments: &[&str]) {
    let shown = ran.shown();
    assert!(matches!(ran.status, Some(1 | 2)), "{shown}");
    for fragment in [&[code, "state: ", "next: "], fragments].concat() {
        assert!(shown.contains(fragment), "`{fragment}` is missing in:\n{shown}");
    }
    assert!(!shown.contains("panicked"), "{shown}");
}

#[test]
fn wrong_stack_files_are_refused_with_code_place_state_and_next_command() {
    let (_folder, shop) = shop();
    let cases: &[(&str, &str, &[&str])] = &[
        ("within = \"20s\"", "witin = \"20s\"", &["vaultup.toml:", "witin", "within"]),
        ("within = \"20s\"", "within = 20", &["vaultup.toml:"]),
        ("needs = [\"orders\", \"keys\"]", "needs = [\"order\"]", &["order", "orders"]),
        ("written-by = [\"api\"]", "written-by = [\"apy\"]", &["apy", "api"]),
        ("format = 1", "format = 2", &["vaultup.toml:"]),
        ("plugin = \"host\"", "plugin = \"hots\"", &["hots"]),
        ("[stack]", "[stack", &["vaultup.toml:"]),
        ("path = \"data/orders\"", "pfad = \"data/orders\"", &["pfad"]),
        ("path = \"data/orders\"", "path = 7", &["vaultup.toml:"]),
        ("proof", "proof", &[]),
    ];
    for (from, to, fragments) in cases.iter().filter(|case| !case.2.is_empty()) {
        shop.write_stack_file("").unwrap();
        edit(&shop, from, to);
        refused(&asked(&shop, &["check", "--to", "2.0.0"]), "error[VU", fragments);
    }
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn a_circle_of_needs_is_drawn() {
    let (_folder, shop) = shop();
    edit(&shop, "needs = [\"orders\", \"keys\"]", "needs = [\"api\"]");
    refused(&asked(&shop, &["check", "--to", "2.0.0"]), "error[VU", &["api"]);
}

#[test]
fn a_release_that_does_not_exist_names_those_that_do() {
    let (_folder, shop) = shop();
    let ran = asked(&shop, &["plan", "--to", "2.0.1"]);
    refused(&ran, "VU0401", &["1.0.0, 2.0.0, 3.0.0"]);
    assert_eq!(ran.status, Some(2));
    refused(&asked(&shop, &["plan", "--to", "../1.0.0"]), "VU0401", &[]);
    refused(&asked(&shop, &["plan", "--to", "1.0.0"]), "VU0402", &["runs already"]);
}

#[test]
fn a_missing_stack_file_and_an_unknown_run_are_named() {
    let (_folder, shop) = shop();
    let ran = asked(&shop, &["status", "--stack-file", "nowhere.toml"]);
    refused(&ran, "VU0400", &["nowhere.toml", "vaultup init"]);
    refused(&asked(&shop, &["report", "abcdef"]), "VU0423", &[]);
    refused(&asked(&shop, &["resume"]), "VU0405", &[]);
    refused(&asked(&shop, &["explain", "VU9999"]), "VU0501", &[]);
    refused(&asked(&shop, &["backup", "prove", "../x"]), "error[VU", &[]);
    refused(&asked(&shop, &["init"]), "VU0502", &["vaultup.toml"]);
}

#[test]
fn plugins_that_are_missing_revoked_or_changed_do_not_run() {
    let (_folder, shop) = shop();
    let path = shop.folder().join("vaultup.lock");
    let lock = fs::read_to_string(&path).unwrap();
    let check = || asked(&shop, &["check", "--to", "2.0.0"]);

    assert_eq!(shop.vaultup(&["plugin", "revoke", "files"]).unwrap().status, Some(0));
    refused(&check(), "error[VU", &["files", "vaultup plugin grant files"]);
    assert_eq!(shop.vaultup(&["plugin", "grant", "files", "--yes"]).unwrap().status, Some(0));
    assert_eq!(check().status, Some(0));

    assert_eq!(shop.vaultup(&["plugin", "remove", "files"]).unwrap().status, Some(0));
    refused(&check(), "error[VU", &["files", "vaultup plugin add"]);

    let swapped = lock.replacen("digest = \"blake3:", "digest = \"blake3:00", 1);
    let shortened: String = swapped.replacen("blake3:00", "blake3:0", 1);
    fs::write(&path, shortened).unwrap();
    refused(&check(), "error[VU", &[]);
    fs::write(&path, lock).unwrap();
    assert_eq!(check().status, Some(0));
}

#[test]
fn what_is_no_plugin_is_refused_before_anything_is_compiled() {
    let (_folder, shop) = shop();
    let plugins = Programs::beside_this_test().unwrap().plugins;
    let whole = fs::read(plugins.join("files.wasm")).unwrap();
    let newer = String::from_utf8_lossy(&whole).contains("contract    = \"0.1\"");
    assert!(newer, "the manifest lies in the component as text");
    let mut needs_more = whole.clone();
    let at = find(&needs_more, b"contract    = \"0.1\"");
    needs_more.splice(at..at + 19, *b"contract    = \"0.9\"");
    let cases: &[(&str, Vec<u8>)] = &[
        ("text.wasm", b"not a component".to_vec()),
        ("empty.wasm", Vec::new()),
        ("module.wasm", b"\0asm\x01\0\0\0".to_vec()),
        ("truncated.wasm", whole[..whole.len() / 2].to_vec()),
        ("newer.wasm", needs_more),
    ];
    for (name, bytes) in cases {
        fs::write(shop.folder().join(name), bytes).unwrap();
        let ran = asked(&shop, &["plugin", "add", &format!("./{name}"), "--yes"]);
        refused(&ran, "error[VU", &[]);
    }
    let ran = asked(&shop, &["plugin", "add", "./newer.wasm", "--yes"]);
    refused(&ran, "error[VU", &["0.9", "0.1"]);
    refused(&asked(&shop, &["plugin", "add", "./gone.wasm", "--yes"]), "error[VU", &[]);
    refused(&asked(&shop, &["plugin", "add", "hots", "--yes"]), "error[VU", &["hots"]);
}

#[test]
fn wrong_usage_exits_with_two() {
    let (_folder, shop) = shop();
    for arguments in [&["run"][..], &["frobnicate"], &["plan", "--to"], &["run", "--set", "a"]] {
        let ran = asked(&shop, arguments);
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.shown());
        assert!(ran.errors.contains("nothing was changed"), "{}", ran.shown());
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).unwrap()
}
