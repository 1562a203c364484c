//! The stack of an Institutional Vault: a bus, three policy nodes that keep a ledger, and a wallet,
//! each a helm release, upgraded as one bundle of charts.

use std::fs;

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{StackFile, schema, write_migrating_values, write_store};
use super::support::{WITHIN, WITHIN_SHORT, expect, in_order, namespace, statuses};

/// Releases of the stack in the order of start, with their replicas.
const PARTS: [(&str, &str); 3] = [("nats", "1"), ("policy", "3"), ("wallet", "1")];

/// The stack at 1.0.0, with bundles 2.0.0, which migrates nothing, and 3.0.0, which migrates the
/// ledger before the policy nodes are replaced.
fn vault(within: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm", "files"]);
    write_store(namespace.folder());
    bundle(&namespace, "1.0.0", "", "");
    bundle(&namespace, "2.0.0", "", "");
    write_migrating_values(namespace.folder(), "migrate");
    bundle(&namespace, "3.0.0", "values = [\"migrating.yaml\"]\n", "");
    let folder_of_data = namespace.folder().join("data").display().to_string();
    for (name, replicas) in PARTS {
        let mut words = vec!["install", name, "charts/1.0.0", "--wait", "--timeout=4m"];
        let replicas = format!("--set=replicas={replicas}");
        let data = format!("--set=data={folder_of_data}");
        words.push(&replicas);
        if name == "policy" {
            words.push(&data);
        }
        namespace.helm(&words).unwrap();
    }
    write_stack(&namespace, within);
    (namespace, folder)
}

fn write_stack(namespace: &Namespace, within: &str) {
    let scope = namespace.name();
    let asked = |name: &str, words: &str| {
        format!(
            "[\"kubectl\", \"exec\", \"deployment/{name}\", \"--namespace={scope}\", \"--\", \
             \"/app\", \"get\", {words}]\nwithin = \"{WITHIN}\""
        )
    };
    let health = "\"-expect\", \"${release.version}\", \"http://127.0.0.1:8080/health\"";
    let health = PARTS.map(|(name, _)| {
        format!("[[components.{name}.health]]\ncommand = {}", asked(name, health))
    });
    let smoke = asked("wallet", "\"http://127.0.0.1:8080/version\"");
    let data = namespace.folder().join("data").display().to_string();
    let policy = format!("set = [\"replicas=3\", \"data={data}\"]");
    StackFile::new(namespace, "vault")
        .helm("nats", within, "", "set = [\"replicas=1\"]")
        .helm("policy", within, "needs = [\"nats\", \"ledger\"]", &policy)
        .helm("wallet", within, "needs = [\"policy\"]", "set = [\"replicas=1\"]")
        .lines(&health.join("\n"))
        .lines(&format!("[components.wallet.smoke]\nrun = {smoke}"))
        .store("ledger", "\"policy\"")
        .write();
}

/// A bundle: one chart for all three, with what differs for policy nodes and wallet.
fn bundle(namespace: &Namespace, version: &str, policy: &str, wallet: &str) {
    let entry = |name: &str, more: &str| {
        format!("[components.{name}]\nchart = \"charts/{version}\"\n{more}")
    };
    let ledger = match version {
        "3.0.0" => {
            "[datastores.ledger]\nschema = 3\nmigration = \"breaking\"\n\
             migrate = { with = \"policy\", at-start = true }\n"
        }
        _ => "[datastores.ledger]\nschema = 1\n",
    };
    let text = [entry("nats", ""), entry("policy", policy), entry("wallet", wallet)].concat();
    namespace.chart(version, &(text + ledger)).unwrap();
}

/// R1 the bundle is the release; R12 Helm; R13 R48 every `/health` is asked before and after, and
/// must name the release; R39 the order; R50 an operation end to end.
#[test]
fn bus_policy_nodes_and_wallet_are_upgraded_in_order_as_one_bundle_r1_r12_r13_r39_r48_r50() {
    let (namespace, _folder) = vault(WITHIN);
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    in_order(&shown, &["nats, wave 1 of 1", "policy, wave 1 of 1", "wallet, wave 1 of 1"]);
    for (name, _) in PARTS {
        assert_eq!(statuses(&namespace, name), ["1 superseded", "2 deployed"], "{name}");
    }
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
    let report = expect(&namespace.vaultup(&["report"]).unwrap(), 0);
    assert!(report.contains("1 checks passed") || report.contains("smoke"), "{report}");
}

/// R3: what the bundle calls itself and what its charts are must be the same.
#[test]
fn a_bundle_whose_chart_is_of_another_version_is_refused_r3() {
    let (namespace, _folder) = vault(WITHIN);
    let path = namespace.folder().join("releases/2.0.0/release.toml");
    let text = fs::read_to_string(&path).unwrap();
    let wallet = "[components.wallet]\nchart = \"charts/2.0.0\"";
    fs::write(&path, text.replace(wallet, &wallet.replace("2.0.0", "3.0.0"))).unwrap();
    let ran = namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap();
    assert!(matches!(ran.status, Some(1 | 2)), "{}", ran.shown());
    assert!(ran.shown().contains("neither is release 2.0.0"), "{}", ran.shown());
    assert_eq!(statuses(&namespace, "wallet"), ["1 deployed"]);
}

/// R52 R53: without a migration `helm rollback` of each; R57 the same verification afterwards.
#[test]
fn a_wallet_that_fails_takes_bus_and_policy_nodes_back_without_a_restore_r52_r53_r57() {
    let (namespace, _folder) = vault(WITHIN_SHORT);
    bundle(&namespace, "2.0.0", "", "set = [\"image=2.0.1-crash\"]\n");
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 3);
    assert!(shown.contains("crashing as told"), "{shown}");
    for (name, _) in PARTS {
        let history = namespace.history(name).unwrap();
        assert_eq!(history.last().unwrap().2, "Rollback to 1", "{name}: {history:?}");
    }
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    assert!(!shown.contains("into an empty target"), "nothing was migrated: {shown}");
}

/// R28 R36 the backup is the only way back after a migration; R56 what was written since is lost
/// only with consent; R55 T8 restored before anything starts, then in the order of R39; T9 T7 the
/// policy nodes do not write while the ledger is backed up and migrated.
#[test]
fn after_a_migration_consent_leads_back_with_the_ledger_restored_first_r28_r36_r55_r56_t7_t8_t9() {
    let (namespace, _folder) = vault(WITHIN_SHORT);
    bundle(
        &namespace,
        "3.0.0",
        "values = [\"migrating.yaml\"]\n",
        "set = [\"image=2.0.1-crash\"]\n",
    );
    let held = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 4);
    assert!(held.contains("rollback --accept-loss"), "{held}");
    // Stopped before the backup, which is before the migration.
    let before = ["policy, all instances stopped", "back up   ledger", "policy, wave 1 of 1"];
    in_order(&held, &before);
    let shown = expect(&namespace.vaultup(&["rollback", "--accept-loss"]).unwrap(), 3);
    let restored = ["at revision 1, not started yet", "into an empty target"];
    let started = ["nats, 1 instances", "policy, 3 instances", "wallet, 1 instances"];
    in_order(&shown, &[restored, [started[0], started[1]]].concat());
    in_order(&shown, &started);
    assert_eq!(schema(&namespace), r#"{"version":1}"#);
    let orders = fs::read_to_string(namespace.folder().join("data/orders")).unwrap();
    assert_eq!(orders, "one\ntwo\n");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    let words = ["get", "pods", "--selector=app=policy", "--output=jsonpath={..restartCount}"];
    let restarts = namespace.kubectl(&words).unwrap();
    assert_eq!(restarts.trim(), "0 0 0", "1.0.0 never met schema 3");
}

/// R11: what the way back needs must be there before anything is touched.
#[test]
fn without_a_revision_to_go_back_to_nothing_is_begun_r11() {
    let (namespace, _folder) = vault(WITHIN);
    // Somebody's upgrade failed, and somebody cleaned up what was deployed before.
    let failing =
        ["upgrade", "wallet", "charts/1.0.0", "--set=image=nowhere", "--wait", "--timeout=1s"];
    namespace.program("helm", &failing).output().unwrap();
    namespace.kubectl(&["delete", "secret", "sh.helm.release.v1.wallet.v1"]).unwrap();
    let ran = namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap();
    assert!(matches!(ran.status, Some(1)), "{}", ran.shown());
    assert!(
        ran.shown().contains("no way back") || ran.shown().contains("not deployed"),
        "{}",
        ran.shown()
    );
    assert_eq!(statuses(&namespace, "nats"), ["1 deployed"]);
}
