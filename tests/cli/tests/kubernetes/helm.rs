//! helm releases.

use std::time::Duration;

use stage::Namespace;
use tempfile::TempDir;

use super::support::{Gate, expect, namespace};

const BAD: &str = "2.0.1-bad";

/// A shop installed by helm at 1.0.0, with a stack file about it and charts of later releases.
fn shop() -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm"]);
    for version in ["1.0.0", "2.0.0", BAD] {
        let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n");
        namespace.chart(version, &entry).unwrap();
    }
    let stack = format!(
        "format = 1\n[stack]\nname = \"shop\"\nreleases = \"releases\"\n\
         [components.shop]\nplugin = \"helm\"\nwithin = \"40s\"\n\
         [components.shop.settings]\nrelease = \"shop\"\nnamespace = \"{}\"\n",
        namespace.name()
    );
    std::fs::write(namespace.folder().join("vaultup.toml"), stack).unwrap();
    namespace.helm(&["install", "shop", "charts/1.0.0", "--wait"]).unwrap();
    (namespace, folder)
}

fn statuses(namespace: &Namespace) -> Vec<String> {
    let history = namespace.history("shop").unwrap();
    history.into_iter().map(|(revision, status, _)| format!("{revision} {status}")).collect()
}

#[test]
fn a_release_is_upgraded_and_its_history_says_so() {
    let (namespace, _folder) = shop();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(statuses(&namespace), ["1 superseded", "2 deployed"], "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn a_plan_shows_each_object_and_the_cluster_and_changes_nothing() {
    let (namespace, _folder) = shop();
    let shown = expect(&namespace.vaultup(&["plan", "--to", "2.0.0"]).unwrap(), 0);
    assert!(shown.contains("localhost/app:1.0.0 → localhost/app:2.0.0"), "{shown}");
    assert_eq!(statuses(&namespace), ["1 deployed"]);
}

#[test]
fn an_image_that_never_gets_ready_leads_back_to_the_previous_revision_r53() {
    let (namespace, _folder) = shop();
    let shown = expect(&namespace.vaultup(&["run", "--to", BAD]).unwrap(), 3);
    assert!(shown.contains("Readiness probe failed"), "{shown}");
    assert!(shown.contains("statuscode: 503"), "{shown}");
    let history = namespace.history("shop").unwrap();
    assert_eq!(history.last().unwrap().2, "Rollback to 1", "{history:?}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

#[test]
fn a_hook_that_fails_leads_back_and_its_last_lines_are_shown() {
    let (namespace, _folder) = shop();
    let entry = "[components.shop]\nchart = \"charts/2.0.0\"\n\
                 set = [\"hook.enabled=true\", \"hook.exit=3\"]\n";
    namespace.chart("2.0.0", entry).unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 3);
    assert!(shown.contains("exited with status 3"), "{shown}");
    assert!(shown.contains("migrating for 2.0.0"), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

#[test]
fn one_line_without_a_stack_file_upgrades_a_release() {
    let (namespace, _folder) = shop();
    std::fs::remove_file(namespace.folder().join("vaultup.toml")).unwrap();
    std::fs::remove_dir_all(namespace.folder().join("releases")).unwrap();
    let scope = format!("namespace={}", namespace.name());
    let words = [
        "run",
        "--plugin",
        "helm",
        "--set",
        "release=shop",
        "--set",
        "chart=./charts/2.0.0",
        "--set",
        &scope,
        "--to",
        "2.0.0",
    ];
    expect(&namespace.vaultup(&words).unwrap(), 0);
    assert_eq!(statuses(&namespace), ["1 superseded", "2 deployed"]);
}

#[test]
fn a_field_that_somebody_set_by_hand_stops_the_plan_before_anything_happens() {
    let (namespace, _folder) = shop();
    namespace
        .kubectl(&["set", "image", "deployment/shop", "app=localhost/app:2.0.1-slow"])
        .unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("`kubectl-set` has set"), "{shown}");
    assert_eq!(statuses(&namespace), ["1 deployed"]);
}

#[test]
fn vaultup_and_helm_killed_in_the_middle_are_resumed_to_the_end() {
    let (namespace, _folder) = shop();
    let slow = "2.0.1-slow";
    let entry = format!("[components.shop]\nchart = \"charts/{slow}\"\n");
    namespace.chart(slow, &entry).unwrap();
    let mut child = namespace.command(&["run", "--to", slow]).spawn().unwrap();
    let pending = |namespace: &Namespace| {
        statuses(namespace).iter().any(|status| status.ends_with("pending-upgrade"))
    };
    while !pending(&namespace) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before helm began");
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    kill_helm(&namespace);
    expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(statuses(&namespace).last().unwrap(), "4 deployed");
    assert_eq!(namespace.serving().unwrap(), [format!("localhost/app:{slow}")]);
}

/// Kills the helm that works in the namespace, if one still does.
fn kill_helm(namespace: &Namespace) {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let flag = format!("--namespace={}", namespace.name());
        if arguments.contains("helm\0upgrade") && arguments.contains(&flag) {
            let id = entry.file_name().into_string().unwrap();
            std::process::Command::new("kill").args(["-9", &id]).status().unwrap();
        }
    }
}

#[test]
fn another_helm_at_work_is_not_disturbed() {
    let (namespace, _folder) = shop();
    let words =
        ["upgrade", "shop", "charts/2.0.0", "--set=hook.enabled=true", "--set=hook.sleep=8s"];
    let mut other = namespace.program("helm", &words).spawn().unwrap();
    while !statuses(&namespace).iter().any(|status| status.ends_with("pending-upgrade")) {
        assert!(other.try_wait().unwrap().is_none(), "helm ended early");
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("is pending-upgrade since"), "{shown}");
    assert!(other.wait().unwrap().success());
}

#[test]
fn bad_input_is_refused_with_code_and_next_step_and_nothing_changes() {
    let (namespace, _folder) = shop();
    std::fs::remove_dir_all(namespace.folder().join("releases")).unwrap();
    let scope = format!("namespace={}", namespace.name());
    let long = format!("release={}", "x".repeat(54));
    let cases: [(&[&str], &str); 5] = [
        (&["release=shop", "chart=./charts/9.9.9", &scope], "there is no chart"),
        (&["release=nobody", "chart=./charts/2.0.0", &scope], "there is no release `nobody`"),
        (&["release=shop", "chart=./charts/2.0.0", "namespace=other"], "no release `shop`"),
        (&["release=shop", "chart=./charts/2.0.0", &scope, "context=nope"], "does not exist"),
        (&[&long, "chart=./charts/2.0.0", &scope], "53"),
    ];
    for (sets, words) in cases {
        let mut arguments = vec!["run", "--plugin", "helm", "--to", "2.0.0"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        let ran = namespace.vaultup(&arguments).unwrap();
        let shown = ran.shown();
        assert!(matches!(ran.status, Some(1 | 2)), "{sets:?}: {shown}");
        assert!(shown.contains(words), "{sets:?}: {shown}");
        assert!(shown.contains("error[VU") && shown.contains("next:"), "{sets:?}: {shown}");
    }
    assert_eq!(statuses(&namespace), ["1 deployed"]);
}

/// A shop whose chart mounts a store of schema 1, and a release 3.0.0 whose hook migrates it.
fn shop_with_store(migrate: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm", "files"]);
    let path = namespace.folder().to_owned();
    std::fs::create_dir(path.join("data")).unwrap();
    std::fs::write(path.join("data/schema.json"), r#"{"version":1}"#).unwrap();
    std::fs::write(path.join("data/orders"), "one\ntwo\n").unwrap();
    let orders = "[datastores.orders]\nschema = 1\n";
    for version in ["1.0.0", "2.0.0"] {
        let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n{orders}");
        namespace.chart(version, &entry).unwrap();
    }
    let entry = "[components.shop]\nchart = \"charts/3.0.0\"\nvalues = [\"migrating.yaml\"]\n\
                 [datastores.orders]\nschema = 3\nmigration = \"breaking\"\n\
                 migrate = { with = \"shop\", at-start = true }\n";
    namespace.chart("3.0.0", entry).unwrap();
    let hook = format!("hook: {{enabled: true, migrate: [{migrate}, /data, \"3\"]}}\n");
    std::fs::write(path.join("migrating.yaml"), hook).unwrap();
    let data = format!("data={}", path.join("data").display());
    let stack = format!(
        "format = 1\n[stack]\nname = \"shop\"\nreleases = \"releases\"\n\
         [components.shop]\nplugin = \"helm\"\nneeds = [\"orders\"]\nwithin = \"40s\"\n\
         [components.shop.settings]\nrelease = \"shop\"\nnamespace = \"{}\"\nset = [\"{data}\"]\n\
         [datastores.orders]\nplugin = \"files\"\nwritten-by = [\"shop\"]\n\
         [datastores.orders.settings]\npath = \"data\"\n\
         schema = [\"{}\", \"schema\", \"${{directory}}\"]\n",
        namespace.name(),
        namespace.cluster_program("app").display()
    );
    std::fs::write(path.join("vaultup.toml"), stack).unwrap();
    let set = format!("--set={data}");
    namespace.helm(&["install", "shop", "charts/1.0.0", &set, "--wait"]).unwrap();
    (namespace, folder)
}

#[test]
fn a_hook_that_fails_after_the_schema_changed_is_restored_before_anything_starts_r52_r55_t8() {
    let (namespace, _folder) = shop_with_store("migrate, -fail");
    let shown = expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    assert!(shown.contains("duplicate key in `orders`"), "{shown}");
    let read = |name: &str| std::fs::read_to_string(namespace.folder().join(name)).unwrap();
    assert_eq!(read("data/schema.json"), r#"{"version":1}"#);
    assert_eq!(read("data/orders"), "one\ntwo\n");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
    let staged = shown.find("at revision 1, not started yet").unwrap();
    let restored = shown.find("into an empty target").unwrap();
    let started = shown.rfind("shop, 2 instances").unwrap();
    assert!(staged < restored && restored < started, "{shown}");
    // 1.0.0 does not start on schema 3: had it been started first, its pods would have ended.
    let words = ["get", "pods", "--selector=app=shop", "--output=jsonpath={..restartCount}"];
    assert_eq!(namespace.kubectl(&words).unwrap().trim(), "0 0");
    assert_eq!(namespace.history("shop").unwrap().last().unwrap().2, "Rollback to 1");
}

#[test]
fn a_hook_that_migrates_leads_to_the_next_release_with_its_schema() {
    let (namespace, _folder) = shop_with_store("migrate");
    expect(&namespace.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 0);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:3.0.0"]);
}

#[test]
fn a_cluster_that_is_gone_in_the_middle_and_comes_back_is_no_reason_to_guess() {
    let (namespace, _folder) = shop();
    let gate = Gate::before(&namespace);
    let mut child = gate.command(&namespace, &["run", "--to", "2.0.0"]).spawn().unwrap();
    while !statuses(&namespace).iter().any(|status| status.ends_with("pending-upgrade")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before helm began");
        std::thread::sleep(Duration::from_millis(20));
    }
    gate.close();
    std::thread::sleep(Duration::from_secs(3));
    gate.open();
    let status = child.wait().unwrap().code();
    // Whatever helm made of it: upgraded, back, or held with a command that leads on.
    let last = match status {
        Some(0 | 3) => statuses(&namespace).pop().unwrap(),
        Some(4) => {
            let resumed = namespace.vaultup(&["resume"]).unwrap();
            assert!(matches!(resumed.status, Some(0 | 3)), "{}", resumed.shown());
            statuses(&namespace).pop().unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert!(last.ends_with(" deployed"), "{last}");
    assert_eq!(namespace.serving().unwrap().len(), 1);
}

/// Killed before, in the middle of and after each of the four effects of a run: 12 moments.
#[test]
fn vaultup_killed_at_every_moment_of_a_run_is_resumed_to_the_end() {
    let (namespace, _folder) = shop();
    let mut targets = ["2.0.0", "1.0.0"].into_iter().cycle();
    for effect in 1..=4 {
        for instant in ["before", "unrecorded", "recorded"] {
            let to = targets.next().unwrap();
            let mut command = namespace.command(&["run", "--to", to]);
            let killed = command.env("VAULTUP_TEST_CRASH", format!("{effect}:{instant}")).output();
            assert_eq!(killed.unwrap().status.code(), None, "{effect}:{instant}");
            let resumed = namespace.vaultup(&["resume"]).unwrap();
            if (effect, instant) == (4, "recorded") {
                // Everything was recorded: there is nothing left to be done.
                assert!(expect(&resumed, 1).contains("is upgraded"));
            } else {
                expect(&resumed, 0);
            }
            assert!(statuses(&namespace).pop().unwrap().ends_with(" deployed"));
            assert_eq!(namespace.serving().unwrap(), [format!("localhost/app:{to}")]);
        }
    }
}

/// helm alone is killed, 200 ms later each time: the release ends deployed, at one of the two.
#[test]
fn helm_killed_at_ten_moments_leaves_nothing_pending() {
    let (namespace, _folder) = shop();
    for moment in 0..10 {
        let (from, to) = match namespace.serving().unwrap().first().map(String::as_str) {
            Some("localhost/app:1.0.0") => ("1.0.0", "2.0.0"),
            _ => ("2.0.0", "1.0.0"),
        };
        let mut child = namespace.command(&["run", "--to", to]).spawn().unwrap();
        while !statuses(&namespace).iter().any(|status| status.ends_with("pending-upgrade"))
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(200 * moment));
        kill_helm(&namespace);
        let runs = match child.wait().unwrap().code() {
            Some(0) => to,
            Some(3) => from,
            other => panic!("moment {moment}: {other:?}, {:?}", statuses(&namespace)),
        };
        assert!(statuses(&namespace).pop().unwrap().ends_with(" deployed"), "moment {moment}");
        assert_eq!(namespace.serving().unwrap(), [format!("localhost/app:{runs}")]);
    }
}
