//! The way back outside of a run, through the real binary: `restore` when the live state is broken
//! in every way that an upgrade would refuse, and what a decision to hold leaves behind.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

use std::fs;
use std::process::Command;

use serde_json::Value;
use stage::{Programs, Ran, Shop};
use tempfile::TempDir;

/// A shop at a release; the folder goes with it.
fn shop_at(release: &str) -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    if release != "1.0.0" {
        expect(&shop.vaultup(&["run", "--to", release]).unwrap(), 0);
    }
    (folder, shop)
}

#[track_caller]
fn expect(ran: &Ran, status: i32) {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
}

#[track_caller]
fn shows(ran: &Ran, fragments: &[&str]) {
    for fragment in fragments {
        assert!(ran.shown().contains(fragment), "`{fragment}` is missing in:\n{}", ran.shown());
    }
}

/// Takes a set while nothing writes; the shop serves again afterwards.
fn backed_up(shop: &Shop) -> String {
    shop.stop().unwrap();
    let created = shop.vaultup(&["backup", "create", "--format", "json"]).unwrap();
    expect(&created, 0);
    shop.start().unwrap();
    let last: Value = serde_json::from_str(created.output.lines().last().unwrap()).unwrap();
    last["set"].as_str().unwrap().to_owned()
}

/// A shop at release 2.0.0 with a proven set, and the digest of its rows then.
fn shop_with_set() -> (TempDir, Shop, String, String) {
    let (folder, shop) = shop_at("2.0.0");
    let set = backed_up(&shop);
    let before = shop.digest().unwrap();
    (folder, shop, set, before)
}

#[track_caller]
fn is_back(shop: &Shop, restored: &Ran, before: &str) {
    expect(restored, 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{}", restored.shown());
    assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before.to_owned()));
}

fn status(shop: &Shop) -> Value {
    let ran = shop.vaultup(&["status", "--format", "json"]).unwrap();
    serde_json::from_str(&ran.output).unwrap()
}

/// What was put beside the live data and is still there.
fn left_beside(shop: &Shop) -> Vec<String> {
    let names = shop.tree().unwrap().into_iter().map(|path| path.display().to_string());
    names.filter(|name| name.contains(".vaultup-")).collect()
}

/// Leaves the migration to release 3 half-way, as somebody does who runs it by hand.
fn migrate_half_way(shop: &Shop) {
    shop.install("3.0.0", &["migrate-fails-half-way"]).unwrap();
    let ran = Command::new(shop.folder().join("releases/3.0.0/bin/vaultup-sample"))
        .args(["migrate", "--data", "data/orders"])
        .current_dir(shop.folder())
        .output()
        .unwrap();
    assert!(!ran.status.success());
    assert!(shop.schema().unwrap().1, "the schema is not dirty");
}

#[test]
fn a_half_migrated_schema_does_not_stand_in_the_way() {
    let (_folder, shop, set, before) = shop_with_set();
    migrate_half_way(&shop);
    let refused = shop.vaultup(&["plan", "--to", "3.0.0"]).unwrap();
    shows(&refused, &["VU0402", "never ended", "vaultup restore"]);
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    shows(&restored, &["replaces    orders: now at schema", "never ended", "keep"]);
    assert_eq!(left_beside(&shop), [""; 0]);
    let kept = shop.vaultup(&["backup", "list", "--format", "json"]).unwrap();
    assert!(kept.output.contains("-replaced"), "{}", kept.output);
}

#[test]
fn a_datastore_that_is_gone_comes_back() {
    let (_folder, shop, set, before) = shop_with_set();
    shop.stop().unwrap();
    fs::remove_dir_all(shop.folder().join("data/orders")).unwrap();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    shows(&restored, &["orders: cannot be read now", "without orders", "was not removed"]);
    assert_eq!(status(&shop)["run"]["aside"].as_object().unwrap().len(), 1);
}

#[test]
fn when_every_datastore_is_gone_nothing_can_be_kept_and_all_comes_back() {
    let (_folder, shop, set, before) = shop_with_set();
    shop.stop().unwrap();
    for store in ["data/orders", "data/keys"] {
        fs::remove_dir_all(shop.folder().join(store)).unwrap();
    }
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    assert!(shop.folder().join("data/keys/signing.key").is_file());
}

#[test]
fn a_corrupt_store_is_kept_as_it_is_and_replaced() {
    let (_folder, shop, set, before) = shop_with_set();
    shop.stop().unwrap();
    for entry in fs::read_dir(shop.folder().join("data/orders")).unwrap() {
        fs::write(entry.unwrap().path(), "these are no rows\n".repeat(1000)).unwrap();
    }
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    shows(&restored, &["orders: cannot be read now", "-replaced"]);
    assert!(!restored.shown().contains("without orders"), "{}", restored.shown());
}

#[test]
fn a_running_release_without_its_file_and_a_link_that_is_gone_do_not_matter() {
    let (_folder, shop, set, before) = shop_with_set();
    fs::remove_file(shop.folder().join("releases/2.0.0/release.toml")).unwrap();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);

    shop.stop().unwrap();
    fs::remove_file(shop.folder().join("current")).unwrap();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    shows(&restored, &["redeploys   api: ? → 2.0.0"]);
}

#[test]
fn the_release_that_the_data_belongs_to_comes_back_with_it() {
    let (_folder, shop, set, before) = shop_with_set();
    expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    shows(&restored, &["redeploys   api: 3.0.0 → 2.0.0", "restored after"]);
}

#[test]
fn nothing_is_replaced_unless_somebody_says_yes() {
    let (_folder, shop, set, _) = shop_with_set();
    migrate_half_way(&shop);
    let asked = shop.vaultup(&["restore", &set]).unwrap();
    expect(&asked, 1);
    shows(&asked, &["VU0504", "nothing was restored", "nothing was changed", "replaces    orders"]);
    assert!(shop.schema().unwrap().1);
    let unknown = shop.vaultup(&["restore", "nosuchset", "--yes"]).unwrap();
    shows(&unknown, &["error[VU", "vaultup backup list"]);
}

#[test]
fn a_damaged_set_is_found_before_anything_is_touched() {
    let (_folder, shop, set, before) = shop_with_set();
    let artifact = fs::read_dir(shop.folder().join(format!("home/data/backups/shop/{set}/orders")));
    let artifact = artifact.unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&artifact).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&artifact, bytes).unwrap();
    let refused = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    expect(&refused, 1);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.digest().unwrap(), before);
}

/// A shop at release 2.0.0 that a rollback left standing still, because going back would lose
/// orders.
fn shop_standing_still() -> (TempDir, Shop, String) {
    let (folder, shop) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    let held = shop.vaultup(&["rollback"]).unwrap();
    expect(&held, 4);
    shows(
        &held,
        &[
            "api 2.0.0 was stopped",
            "-before is kept",
            "next: `vaultup rollback --accept-loss`",
            "next: `vaultup resume` starts 2.0.0 again",
        ],
    );
    assert_eq!(shop.serving().unwrap(), None, "the new release still serves");
    (folder, shop, before)
}

#[test]
fn from_a_decision_to_hold_a_run_goes_on() {
    let (_folder, shop, before) = shop_standing_still();
    expect(&shop.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.digest().unwrap(), before);
    expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
}

#[test]
fn from_a_decision_to_hold_a_run_goes_back_when_the_loss_is_accepted() {
    let (_folder, shop, before) = shop_standing_still();
    expect(&shop.vaultup(&["rollback"]).unwrap(), 4);
    assert_eq!(shop.serving().unwrap(), None);
    expect(&shop.vaultup(&["rollback", "--accept-loss"]).unwrap(), 3);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((1, false), before));
}

#[test]
fn from_a_decision_to_hold_a_set_is_restored() {
    let (_folder, shop, before) = shop_standing_still();
    let set = status(&shop)["run"]["backup"].as_str().unwrap().to_owned();
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((1, false), before));
    assert_eq!(status(&shop)["run"]["state"], "restored");
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
}

#[test]
fn a_restore_that_changed_nothing_leaves_the_run_that_holds_within_reach() {
    let (_folder, shop, _) = shop_standing_still();
    let set = status(&shop)["run"]["backup"].as_str().unwrap().to_owned();
    let directory = shop.folder().join(format!("home/data/backups/shop/{set}/orders"));
    let artifact = fs::read_dir(directory).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(&artifact).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(&artifact, damaged).unwrap();
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 1);
    assert_eq!(status(&shop)["run"]["state"], "held");
    fs::write(&artifact, whole).unwrap();
    expect(&shop.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
}

#[test]
fn a_run_that_was_interrupted_is_brought_to_rest_before_a_restore() {
    let (_folder, shop) = shop_at("2.0.0");
    let before = shop.digest().unwrap();
    let plan = shop.vaultup(&["plan", "--to", "3.0.0", "--format", "json"]).unwrap();
    let plan: Value = serde_json::from_str(&plan.output).unwrap();
    let steps = plan["plan"]["steps"].as_array().unwrap();
    let migrates = |step: &Value| step["act"].get("migrate").is_some();
    let migration = u32::try_from(steps.iter().position(migrates).unwrap() + 1).unwrap();
    let killed = shop.vaultup_killed(&["run", "--to", "3.0.0"], migration, "unrecorded").unwrap();
    assert_eq!(killed.status, None);
    let set = status(&shop)["run"]["backup"].as_str().unwrap().to_owned();
    let restored = shop.vaultup(&["restore", &set, "--yes"]).unwrap();
    is_back(&shop, &restored, &before);
    shows(&restored, &["was interrupted and is brought to rest"]);
}

#[test]
fn a_kill_at_every_instant_of_a_restore_loses_nothing() {
    let (mut covered, mut effect) = (0, 0);
    'effects: loop {
        effect += 1;
        for instant in ["before", "unrecorded", "recorded"] {
            let (_folder, shop, set, before) = shop_with_set();
            migrate_half_way(&shop);
            let killed = shop.vaultup_killed(&["restore", &set, "--yes"], effect, instant).unwrap();
            if killed.status == Some(0) {
                break 'effects;
            }
            let what = format!("effect {effect}, {instant}");
            assert_eq!(killed.status, None, "{what}: {}", killed.shown());
            let resumed = shop.vaultup(&["resume"]).unwrap();
            // After the last effect the run has ended: there is nothing to resume.
            if resumed.status != Some(0) {
                assert_eq!(status(&shop)["run"]["state"], "restored", "{what}");
            }
            assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{what}");
            assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
            assert_eq!(left_beside(&shop), [""; 0], "{what}");
            covered += 1;
        }
    }
    assert!(effect > 10 && covered == (effect - 1) * 3, "{covered} of {effect} effects");
}
