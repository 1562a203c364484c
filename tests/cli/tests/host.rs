//! The sample application, upgraded by the real binary through the real plugins, killed for real.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};

use stage::{Programs, Ran, Shop, figure};
use tempfile::TempDir;

const BEFORE: &str = "before";
const UNRECORDED: &str = "unrecorded";
const RECORDED: &str = "recorded";

/// A shop at a release, and its folder: named first, so that it goes after the shop was stopped.
fn shop_at(release: &str) -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    if release != "1.0.0" {
        expect(&shop.vaultup(&["run", "--to", release]).unwrap(), 0);
    }
    (folder, shop)
}

/// A run to release 3.0.0 that stands still in the middle of its migration.
fn half_way(shop: &Shop) -> Child {
    let mut run = shop.command(&["run", "--to", "3.0.0"]);
    shop.until_half_way(run.stdout(Stdio::null()).stderr(Stdio::piped())).unwrap()
}

#[track_caller]
fn expect(ran: &Ran, status: i32) {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
}

#[test]
fn an_upgrade_succeeds_and_keeps_every_row() {
    let (_folder, shop) = shop_at("1.0.0");
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.schema().unwrap(), (2, false));
    assert_eq!(shop.digest().unwrap(), before);
}

#[test]
fn a_failure_before_the_migration_redeploys_the_previous_release() {
    let (_folder, shop) = shop_at("2.0.0");
    shop.install("3.0.0", &["migrate-fails-before"]).unwrap();
    let before = shop.digest().unwrap();
    let ran = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
    expect(&ran, 3);
    assert!(ran.errors.contains("decided: redeploy"), "{}", ran.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
}

#[test]
fn a_failure_after_the_migration_restores_and_redeploys() {
    for fault in ["migrate-fails-half-way", "never-ready", "exit-at-start"] {
        let (_folder, shop) = shop_at("2.0.0");
        shop.install("3.0.0", &[fault]).unwrap();
        let before = shop.digest().unwrap();
        let ran = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
        expect(&ran, 3);
        assert!(ran.errors.contains("decided: restore and redeploy"), "{}", ran.shown());
        assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"), "{fault}");
        assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
    }
}

#[test]
fn a_release_that_lies_about_its_version_is_not_accepted() {
    let (_folder, shop) = shop_at("2.0.0");
    shop.write_stack_file("\n[policy]\nloss-budget = \"5m\"\n").unwrap();
    shop.install("3.0.0", &["wrong-version"]).unwrap();
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((2, false), before));
}

/// What a scenario ends with, whatever was killed on the way.
struct Scenario {
    name: &'static str,
    from: &'static str,
    to: &'static str,
    faults: &'static [&'static str],
    allowed: &'static [(&'static str, i32)],
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "upgrade", from: "1.0.0", to: "2.0.0", faults: &[], allowed: &[("2.0.0", 0)] },
    Scenario {
        name: "breaking upgrade",
        from: "2.0.0",
        to: "3.0.0",
        faults: &[],
        allowed: &[("3.0.0", 0), ("2.0.0", 3)],
    },
    Scenario {
        name: "failure before the migration",
        from: "2.0.0",
        to: "3.0.0",
        faults: &["migrate-fails-before"],
        allowed: &[("2.0.0", 3)],
    },
    Scenario {
        name: "failure after the migration",
        from: "2.0.0",
        to: "3.0.0",
        faults: &["migrate-fails-half-way"],
        allowed: &[("2.0.0", 3)],
    },
];

#[test]
fn a_kill_at_every_instant_of_every_effect_loses_nothing() {
    let (mut covered, mut total, mut invoked) = (0, 0, 0);
    for scenario in SCENARIOS {
        let undisturbed = Undisturbed::of(scenario);
        for effect in 1..=undisturbed.effects {
            for instant in [BEFORE, UNRECORDED, RECORDED] {
                total += 1;
                invoked += kill_and_resume(scenario, &undisturbed, effect, instant);
                covered += 1;
            }
        }
    }
    figure(&format!("crash points covered {covered}/{total}"));
    figure(&format!("commands that changed something {invoked}, carried out twice 0"));
    assert_eq!(covered, total);
}

/// A scenario when nothing is killed.
struct Undisturbed {
    /// How many effects it has.
    effects: u32,
    /// How often each command that changes something really ran.
    invocations: BTreeMap<String, usize>,
    /// What it ends with.
    end: (String, Option<i32>),
}

impl Undisturbed {
    fn of(scenario: &Scenario) -> Self {
        let (_folder, shop) = shop_at(scenario.from);
        shop.install(scenario.to, scenario.faults).unwrap();
        let former = shop.invocations().unwrap();
        let ran = shop.vaultup(&["run", "--to", scenario.to]).unwrap();
        Self {
            effects: u32::try_from(steps(&shop).len()).unwrap(),
            invocations: since(&shop, &former),
            end: (shop.serving().unwrap().unwrap_or_default(), ran.status),
        }
    }
}

/// What really ran since then.
fn since(shop: &Shop, former: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let mut now = shop.invocations().unwrap();
    for (command, count) in &mut now {
        *count -= former.get(command).copied().unwrap_or_default();
    }
    now.retain(|_, count| *count > 0);
    now
}

/// Gives how many commands that change something really ran.
fn kill_and_resume(
    scenario: &Scenario,
    undisturbed: &Undisturbed,
    effect: u32,
    instant: &str,
) -> usize {
    let what = format!("{}, effect {effect}, {instant}", scenario.name);
    let (_folder, shop) = shop_at(scenario.from);
    shop.install(scenario.to, scenario.faults).unwrap();
    let (before, former) = (shop.digest().unwrap(), shop.invocations().unwrap());
    let serving = shop.serving().unwrap();
    let killed = shop.vaultup_killed(&["run", "--to", scenario.to], effect, instant).unwrap();
    assert_eq!(killed.status, None, "{what}: not killed: {}", killed.shown());
    let ran = since(&shop, &former);
    if ran.is_empty() {
        assert_eq!(shop.serving().unwrap(), serving, "{what}: the application died with vaultup");
    }
    let resumed = shop.vaultup(&["resume"]).unwrap();
    // A kill after the last effect leaves a run that has ended: there is nothing to resume.
    let ended = if resumed.status == Some(1) { ended_as(&shop) } else { resumed.status };
    let serving = shop.serving().unwrap().unwrap_or_default();
    let end = (serving.as_str(), ended.unwrap_or(-1));
    assert!(scenario.allowed.contains(&end), "{what}: {end:?}: {}", resumed.shown());
    assert_eq!(shop.digest().unwrap(), before, "{what}: rows differ");
    let schema = end.0.split('.').next().and_then(|major| major.parse().ok()).unwrap();
    assert_eq!(shop.schema().unwrap(), (schema, false), "{what}");
    nothing_ran_twice(&shop, &what);
    let ran = since(&shop, &former);
    if (undisturbed.end.0.as_str(), undisturbed.end.1) == (end.0, Some(end.1)) {
        // What really ran is what runs when nothing is killed: nothing less, and nothing twice.
        assert_eq!(ran, undisturbed.invocations, "{what}");
    }
    let migrations = ran.get(&format!("migrate {}", scenario.to)).copied().unwrap_or_default();
    assert!(migrations <= 1, "{what}: the migration ran {migrations} times");
    ran.values().sum()
}

/// The exit code that belongs to the last run's end.
fn ended_as(shop: &Shop) -> Option<i32> {
    let status = shop.vaultup(&["status", "--format", "json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status.output).unwrap();
    match status["run"]["state"].as_str() {
        Some("upgraded") => Some(0),
        Some("rolled back") => Some(3),
        _ => None,
    }
}

fn steps(shop: &Shop) -> Vec<serde_json::Value> {
    let report = shop.vaultup(&["report", "--format", "json"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report.output).unwrap();
    report["steps"].as_array().unwrap().clone()
}

/// No effect has two outcomes, and no migration was begun twice by one plan.
fn nothing_ran_twice(shop: &Shop, what: &str) {
    let steps = steps(shop);
    let mut numbers: Vec<_> = steps.iter().map(|step| step["number"].as_u64()).collect();
    let count = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), count, "{what}: an effect was begun twice");
    let migrations =
        steps.iter().filter(|step| step["what"].as_str().unwrap().starts_with("migrate orders to"));
    assert!(migrations.count() <= 1, "{what}: the migration was begun twice");
}

#[test]
fn a_kill_in_the_middle_of_the_migration_is_survived() {
    let (_folder, shop) = shop_at("2.0.0");
    let before = shop.digest().unwrap();
    let mut child = half_way(&shop);
    child.kill().unwrap();
    child.wait().unwrap();
    shop.go_on().unwrap();
    let resumed = shop.vaultup(&["resume"]).unwrap();
    let end = (shop.serving().unwrap().unwrap_or_default(), resumed.status);
    let known = [("3.0.0".to_owned(), Some(0)), ("2.0.0".to_owned(), Some(3))];
    assert!(known.contains(&end), "{end:?}: {}", resumed.shown());
    assert_eq!(shop.digest().unwrap(), before);
}

#[test]
fn the_application_survives_the_death_of_vaultup() {
    let (_folder, shop) = shop_at("1.0.0");
    let killed = shop.vaultup_killed(&["run", "--to", "2.0.0"], 2, RECORDED).unwrap();
    assert_eq!(killed.status, None);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn of_two_runs_at_once_exactly_one_proceeds_and_the_other_names_it() {
    let (_folder, shop) = shop_at("1.0.0");
    shop.install("2.0.0", &["migrate-slow-ms=50"]).unwrap();
    let spawn = || {
        let mut command = shop.command(&["run", "--to", "2.0.0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children = [spawn(), spawn()];
    let process_ids = children.each_ref().map(std::process::Child::id);
    let ended = children.map(|child| child.wait_with_output().unwrap());
    let done: Vec<bool> = ended.iter().map(|output| output.status.code() == Some(0)).collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "{ended:?}");
    let (winner, loser) = if done[0] { (0, 1) } else { (1, 0) };
    let said = String::from_utf8_lossy(&ended[loser].stderr).into_owned();
    assert!(
        said.contains(&process_ids[winner].to_string()) || said.contains("runs already"),
        "{said}"
    );
}

#[test]
fn a_second_run_names_the_first_and_leaves_it_alone() {
    let (_folder, shop) = shop_at("2.0.0");
    let first = half_way(&shop);
    let second = shop.vaultup(&["run", "--to", "3.0.0"]).unwrap();
    expect(&second, 1);
    for text in ["error[VU0200]", &format!("process {}", first.id()), "state: ", "next: "] {
        assert!(second.errors.contains(text), "`{text}` is missing: {}", second.shown());
    }
    shop.go_on().unwrap();
    let ended = first.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "the first goes on undisturbed");
    assert_eq!(shop.serving().unwrap().as_deref(), Some("3.0.0"));
}

#[test]
fn a_holder_that_was_overtaken_can_change_nothing_more() {
    let (_folder, shop) = shop_at("2.0.0");
    let mut child = half_way(&shop);
    expect(&shop.vaultup(&["unlock", "--yes"]).unwrap(), 0);
    shop.go_on().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(4), "an overtaken run must not go on");
    assert_ne!(shop.serving().unwrap().as_deref(), Some("3.0.0"));
    let resumed = shop.vaultup(&["resume"]).unwrap();
    assert!(matches!(resumed.status, Some(0 | 3)), "{}", resumed.shown());
}

#[test]
fn a_rehearsal_leaves_nothing_behind() {
    let (_folder, shop) = shop_at("2.0.0");
    shop.write_stack_file(&shop.rehearsal().unwrap()).unwrap();
    let before = shop.tree().unwrap();
    expect(&shop.vaultup(&["rehearse", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    assert_eq!(shop.tree().unwrap(), before);
}

#[test]
fn a_run_from_flags_is_found_again_without_them() {
    let (_folder, shop) = shop_at("1.0.0");
    std::fs::remove_file(shop.folder().join("vaultup.toml")).unwrap();
    let sample = |words: &str| {
        let words = words.replace("ADDRESS", &shop.address());
        let words = ["current/bin/vaultup-sample"].into_iter().chain(words.split(' '));
        serde_json::to_string(&words.collect::<Vec<_>>()).unwrap()
    };
    let start = "start --data data/orders --key data/keys/signing.key --listen ADDRESS \
                 --pid-file run/api.pid --log run/api.log";
    let sets = [
        ("name", "api".to_owned()),
        ("releases", "releases".to_owned()),
        ("current", "current".to_owned()),
        ("data", "data/orders".to_owned()),
        ("start", sample(start)),
        ("stop", sample("stop --pid-file run/api.pid")),
        ("status", sample("status --pid-file run/api.pid --listen ADDRESS")),
        ("health.http", format!("http://{}/health", shop.address())),
        ("datastore.orders.plugin", "files".to_owned()),
        ("datastore.orders.path", "data/orders".to_owned()),
        ("datastore.orders.schema", sample("schema --data ${directory}")),
    ];
    let sets: Vec<String> = sets.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut words = vec!["run", "--to", "2.0.0", "--plugin", "host"];
    words.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    let before = shop.digest().unwrap();
    expect(&shop.vaultup(&words).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
    let status = shop.vaultup(&["status"]).unwrap();
    expect(&status, 0);
    assert!(status.output.contains("1.0.0 → 2.0.0: upgraded"), "{}", status.shown());
    expect(&shop.vaultup(&["rollback", "--accept-loss"]).unwrap(), 3);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(shop.digest().unwrap(), before);
}

/// R22, R36, T5: a release called «compatible» is believed only after a rehearsal showed it.
#[test]
fn only_a_rehearsal_lets_the_previous_release_keep_the_migrated_data() {
    for tolerant in [false, true] {
        let (_folder, shop) = shop_at("1.0.0");
        shop.write_stack_file(&shop.rehearsal().unwrap()).unwrap();
        if tolerant {
            shop.edit_stack_file("\"--log\"", "\"--ignore-missing\", \"--log\"").unwrap();
        }
        expect(&shop.vaultup(&["rehearse", "--to", "2.0.0"]).unwrap(), 0);
        shop.install("2.0.0", &["never-ready"]).unwrap();
        let before = shop.digest().unwrap();
        let ran = shop.vaultup(&["run", "--to", "2.0.0"]).unwrap();
        expect(&ran, 3);
        let (decided, schema) = match tolerant {
            true => ("decided: redeploy and keep the data", 2),
            false => ("decided: restore and redeploy", 1),
        };
        assert!(ran.errors.contains(decided), "{}", ran.shown());
        assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"), "{}", ran.shown());
        assert_eq!((shop.schema().unwrap(), shop.digest().unwrap()), ((schema, false), before));
    }
}

#[test]
fn a_holder_that_was_paused_and_overtaken_changes_nothing_when_it_wakes_up() {
    let (_folder, shop) = shop_at("2.0.0");
    let mut paused = half_way(&shop);
    signal(&paused, "STOP");
    expect(&shop.vaultup(&["unlock", "--yes"]).unwrap(), 0);
    shop.go_on().unwrap();
    let resumed = shop.vaultup(&["resume"]).unwrap();
    assert!(matches!(resumed.status, Some(0 | 3)), "{}", resumed.shown());
    let (serving, digest) = (shop.serving().unwrap(), shop.digest().unwrap());
    let (ran, steps_taken) = (shop.invocations().unwrap(), steps(&shop));
    let before = shop.tree().unwrap();
    signal(&paused, "CONT");
    let status = paused.wait().unwrap();
    assert_eq!(status.code(), Some(4), "an overtaken run must not go on");
    assert_eq!(shop.serving().unwrap(), serving);
    assert_eq!((shop.digest().unwrap(), shop.invocations().unwrap()), (digest, ran));
    assert_eq!((steps(&shop), shop.tree().unwrap()), (steps_taken, before));
}

/// Sends a signal to a process.
fn signal(child: &Child, name: &str) {
    let arguments = [format!("-{name}"), child.id().to_string()];
    let sent = std::process::Command::new("kill").args(arguments).status().unwrap();
    assert!(sent.success(), "{name}");
}

#[test]
fn a_backup_can_be_taken_proven_and_restored_by_hand() {
    let (_folder, shop) = shop_at("2.0.0");
    shop.stop().unwrap();
    let created = shop.vaultup(&["backup", "create", "--format", "json"]).unwrap();
    expect(&created, 0);
    let last: serde_json::Value =
        serde_json::from_str(created.output.lines().last().unwrap()).unwrap();
    let set = last["set"].as_str().unwrap().to_owned();
    let before = shop.digest().unwrap();
    shop.start().unwrap();
    shop.add_orders(5).unwrap();
    assert_ne!(shop.digest().unwrap(), before);
    expect(&shop.vaultup(&["backup", "prove", &set]).unwrap(), 0);
    expect(&shop.vaultup(&["restore", &set, "--yes"]).unwrap(), 0);
    assert_eq!(shop.digest().unwrap(), before);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("2.0.0"));
}

#[test]
fn a_plan_whose_preconditions_changed_is_refused() {
    let (_folder, shop) = shop_at("1.0.0");
    expect(&shop.vaultup(&["plan", "--to", "2.0.0", "--save", "saved.plan"]).unwrap(), 0);
    shop.write_stack_file("\n[policy]\nloss-budget = \"1m\"\n").unwrap();
    let refused = shop.vaultup(&["run", "--plan", "saved.plan"]).unwrap();
    assert!(refused.errors.contains("VU0403"), "{}", refused.shown());
    assert_eq!(shop.serving().unwrap().as_deref(), Some("1.0.0"));
    shop.write_stack_file("").unwrap();
    expect(&shop.vaultup(&["run", "--plan", "saved.plan"]).unwrap(), 0);
}

/// R50, R57: a check that names the release is told the one that runs, also on the way back.
#[test]
fn a_check_from_end_to_end_is_told_which_release_it_checks() {
    let (_folder, shop) = shop_at("1.0.0");
    let script = shop.folder().join("smoke.sh");
    std::fs::write(&script, "#!/bin/sh\necho \"$1\" >> run/smoked\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let smoke = "\n[components.api.smoke]\nrun = [\"./smoke.sh\", \"${release.version}\"]\n";
    shop.write_stack_file(smoke).unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    shop.install("3.0.0", &["exit-at-start"]).unwrap();
    expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    let smoked = std::fs::read_to_string(shop.folder().join("run/smoked")).unwrap();
    assert_eq!(smoked, "2.0.0\n2.0.0\n");
}
