//! The hostile plugin as a part of a stack, through the real binary (P10): it is contained or found
//! out, the application serves on, nothing of the operator's changes, and the next good plugin
//! works.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;

use stage::{Programs, Ran, Shop, figure};
use tempfile::TempDir;

/// What no screen and no file of vaultup's may show.
const CANARY: &str = "canary-of-the-hostile-7c1d94";

/// Acts that are stopped or refused wherever they are tried, with the code that people see. Those
/// that only a deadline ends are shown in the sandbox's own tests.
const ACTS: [(&str, &str); 20] = [
    ("loop", "VU0135"),
    ("memory", "VU0135"),
    ("handles", "VU0135"),
    ("recursion", "VU0133"),
    ("trap", "VU0133"),
    ("processes", "VU0"),
    ("exec", "VU0"),
    ("inject", "VU0"),
    ("path", "VU0"),
    ("link", "VU0"),
    ("remove", "VU0"),
    ("flood-answer", "VU0135"),
    ("forge-log", "VU0"),
    ("secret-search", "VU0"),
    ("secret-echo", "VU0"),
    ("secret-header", "VU0"),
    ("secret-other", "VU0"),
    ("artifact", "VU0"),
    ("http", "VU0"),
    ("change-quietly", "VU0"),
];

/// A shop whose plugins are all granted, the hostile one too.
fn shop() -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    let shop = Shop::open(folder.path(), &programs).unwrap();
    let evil = programs.plugins.join("evil.wasm");
    let ran = shop.vaultup(&["plugin", "add", evil.to_str().unwrap(), "--yes"]).unwrap();
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    fs::create_dir_all(folder.path().join("data/store/kept")).unwrap();
    fs::write(folder.path().join("data/store/kept/inside"), "inside").unwrap();
    fs::write(folder.path().join("outside"), CANARY).unwrap();
    (folder, shop)
}

/// Makes the hostile plugin a datastore of the stack.
fn infest(shop: &Shop, act: &str, proof: u8) {
    let more = format!(
        "\n[datastores.store]\nplugin = \"evil\"\nwritten-by = [\"api\"]\nproof = {proof}\n\
         within = \"30s\"\n\
         settings = {{ act = \"{act}\", path = \"data/store\", outside = \"{}/outside\", \
         secret = {{ secret = \"canary\" }} }}\n\n[secrets]\ncanary = {{ env = \"CANARY\" }}\n",
        shop.folder().display()
    );
    shop.write_stack_file(&more).unwrap();
}

fn vaultup(shop: &Shop, arguments: &[&str]) -> Ran {
    Ran::of(shop.command(arguments).env("CANARY", CANARY).output().unwrap())
}

/// The same plugin, behaving well, in the same stack.
fn good_plugin_works(shop: &Shop, after: &str) {
    infest(shop, "none", 2);
    let ran = vaultup(shop, &["backup", "create"]);
    assert_eq!(ran.status, Some(0), "a good plugin after `{after}`: {}", ran.shown());
}

/// Why an act counts as escaped; nothing if it was contained.
fn escape(ran: &Ran, code: &str) -> Option<String> {
    let shown = ran.shown();
    let expected = [format!("error[{code}"), "state: ".to_owned(), "next: ".to_owned()];
    if ran.status != Some(1) || expected.iter().any(|text| !shown.contains(text.as_str())) {
        return Some(format!("status {:?}, expected {code}: {shown}", ran.status));
    }
    let named = shown.contains("evil") && shown.contains("backup.estimate");
    let traces = [CANARY, "ESCAPED", "escaped", "uid=", "panicked"];
    let shows = traces.iter().find(|trace| shown.contains(**trace));
    match (named, shows) {
        (false, _) => Some(format!("neither plugin nor function is named: {shown}")),
        (_, Some(trace)) => Some(format!("`{trace}` is shown: {shown}")),
        _ => None,
    }
}

#[test]
fn a_hostile_plugin_in_a_stack_is_contained_and_a_good_one_works_after_it() {
    let (_folder, shop) = shop();
    let mut escaped = Vec::new();
    for (act, code) in ACTS {
        infest(&shop, act, 2);
        let before = shop.fingerprint().unwrap();
        let ran = vaultup(&shop, &["backup", "create"]);
        escaped.extend(escape(&ran, code).map(|how| format!("{act}: {how}")));
        if shop.fingerprint().unwrap() != before {
            escaped.push(format!("{act}: the operator's files were changed"));
        }
        good_plugin_works(&shop, act);
    }
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    let all = ACTS.len();
    figure(&format!("hostile acts through the binary: contained {}/{all}", all - escaped.len()));
    assert!(escaped.is_empty(), "{escaped:#?}");
}

#[test]
fn a_plugin_without_a_grant_does_not_run_at_all() {
    let (_folder, shop) = shop();
    infest(&shop, "loop", 2);
    assert_eq!(vaultup(&shop, &["plugin", "revoke", "evil"]).status, Some(0));
    let ran = vaultup(&shop, &["backup", "create"]);
    assert_eq!(ran.status, Some(2), "{}", ran.shown());
    for text in ["evil", "vaultup plugin grant evil", "state: nothing was changed"] {
        assert!(ran.errors.contains(text), "{}", ran.shown());
    }
    assert_eq!(vaultup(&shop, &["plugin", "grant", "evil", "--yes"]).status, Some(0));
    good_plugin_works(&shop, "a revoked grant");
}

#[test]
fn a_lie_about_a_proof_is_found_out_before_anything_is_changed() {
    let (_folder, shop) = shop();
    let before = (shop.digest().unwrap(), shop.schema().unwrap());
    infest(&shop, "lie-proof", 3);
    let ran = vaultup(&shop, &["backup", "create"]);
    assert_eq!(ran.status, Some(1), "{}", ran.shown());
    let said = ["error[VU0412]", "was never restored", "is not proven", "vaultup backup prove"];
    for text in said {
        assert!(ran.errors.contains(text), "`{text}` is missing: {}", ran.shown());
    }
    // What was taken is listed as what it is.
    let listed = vaultup(&shop, &["backup", "list", "--format", "json"]);
    assert!(!listed.output.contains("\"proof\":3"), "{}", listed.output);

    let ran = vaultup(&shop, &["run", "--to", "2.0.0"]);
    assert!(matches!(ran.status, Some(1 | 3)), "{}", ran.shown());
    assert!(ran.shown().contains("was never restored"), "{}", ran.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    assert_eq!((shop.digest().unwrap(), shop.schema().unwrap()), before);
    assert!(!shop.invocations().unwrap().contains_key("migrate 2.0.0"));

    // The same backup at the level that it really has lets the upgrade through.
    infest(&shop, "none", 2);
    let ran = vaultup(&shop, &["run", "--to", "2.0.0"]);
    assert_eq!(ran.status, Some(0), "{}", ran.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
}

#[test]
fn a_backup_that_was_never_taken_is_not_published() {
    let (_folder, shop) = shop();
    infest(&shop, "lie-take", 2);
    let ran = vaultup(&shop, &["backup", "create"]);
    assert_eq!(ran.status, Some(1), "{}", ran.shown());
    assert!(ran.errors.contains("`store` has no artifact"), "{}", ran.shown());
    let listed = vaultup(&shop, &["backup", "list", "--format", "json"]);
    assert_eq!(listed.output.trim(), "[]", "{}", listed.shown());
    let ran = vaultup(&shop, &["run", "--to", "2.0.0"]);
    assert!(matches!(ran.status, Some(1 | 3)), "{}", ran.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    assert!(!shop.invocations().unwrap().contains_key("migrate 2.0.0"));
    good_plugin_works(&shop, "lie-take");
}

/// Makes the hostile plugin deploy the component, whose probe asks the real application.
fn deploy_with(shop: &Shop, act: &str) {
    shop.write_stack_file("").unwrap();
    let path = shop.folder().join("vaultup.toml");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("plugin = \"host\"").unwrap();
    let (_, tail) = rest.split_once("[components.api.health]").unwrap();
    let tail = tail.replace("within = \"10s\"", "within = \"2s\"");
    let text = format!(
        "{head}plugin = \"evil\"\nwithin = \"5s\"\n\n[components.api.settings]\nact = \"{act}\"\n\
         path = \"data/store\"\n\n[components.api.health]{tail}"
    );
    fs::write(&path, text).unwrap();
    let release = shop.folder().join("releases/2.0.0/release.toml");
    fs::write(release, "format = 1\nversion = \"2.0.0\"\n").unwrap();
}

#[test]
fn a_deployment_that_only_says_so_is_found_out_by_the_operators_probe() {
    let (_folder, shop) = shop();
    deploy_with(&shop, "lie-apply");
    let before = shop.digest().unwrap();
    let ran = vaultup(&shop, &["run", "--to", "2.0.0"]);
    // It says that it went back as well, and there the probe agrees.
    assert_eq!(ran.status, Some(3), "{}", ran.shown());
    assert!(ran.shown().contains("/version"), "the fact is named: {}", ran.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(shop.digest().unwrap(), before);
}

#[test]
fn a_plugin_that_says_all_is_done_before_anything_was_begun_changes_nothing() {
    let (_folder, shop) = shop();
    deploy_with(&shop, "lie-done");
    let (before, tree) = (shop.digest().unwrap(), shop.fingerprint().unwrap());
    let ran = vaultup(&shop, &["run", "--to", "2.0.0"]);
    assert_eq!(ran.status, Some(1), "{}", ran.shown());
    assert!(ran.errors.contains("next: `vaultup verify`"), "{}", ran.shown());
    assert_eq!((shop.digest().unwrap(), shop.fingerprint().unwrap()), (before, tree));
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
}
