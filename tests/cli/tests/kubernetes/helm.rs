//! helm releases.

use std::fs;
use std::process::Stdio;

use stage::Namespace;
use tempfile::TempDir;

use super::stack_file::{StackFile, write_release};
use super::support::{
    Registry, WITHIN, WITHIN_SHORT, expect, in_order, is_pending, namespace, statuses, until,
};

const BAD: &str = "2.0.1-bad";

/// A shop installed by helm at 1.0.0, with a stack file about it and charts of later releases.
pub(crate) fn shop(within: &str) -> (Namespace, TempDir) {
    let (namespace, folder) = namespace(&["helm"]);
    for version in ["1.0.0", "2.0.0", BAD] {
        let entry = format!("[components.shop]\nchart = \"charts/{version}\"\n");
        namespace.chart(version, &entry).unwrap();
    }
    StackFile::new(&namespace, "shop").helm("shop", within, "", "").write();
    namespace.helm(&["install", "shop", "charts/1.0.0", "--wait", "--timeout=4m"]).unwrap();
    (namespace, folder)
}

#[test]
fn a_release_is_upgraded_and_its_history_says_so() {
    let (namespace, _folder) = shop(WITHIN);
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    assert_eq!(statuses(&namespace, "shop"), ["1 superseded", "2 deployed"], "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn a_plan_shows_each_object_and_the_cluster_and_changes_nothing() {
    let (namespace, _folder) = shop(WITHIN);
    let shown = expect(&namespace.vaultup(&["plan", "--to", "2.0.0"]).unwrap(), 0);
    assert!(shown.contains("localhost/app:1.0.0 → localhost/app:2.0.0"), "{shown}");
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
}

/// What the chart brings itself counts, whether or not the cluster has it yet.
#[test]
fn a_variable_that_no_container_of_the_chart_gets_stops_the_plan_r8() {
    let (namespace, _folder) = shop(WITHIN);
    let entry = "[components.shop]\nchart = \"charts/2.0.0\"\nconfig = \".env.example\"\n";
    namespace.chart("2.0.0", entry).unwrap();
    let known = "RELEASE=\nSIGNING_KEY=\nPORT=8080\n";
    fs::write(namespace.folder().join("releases/2.0.0/.env.example"), known).unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("requires SIGNING_KEY, and"), "{shown}");
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
}

#[test]
fn an_image_that_never_gets_ready_leads_back_to_the_previous_revision_r53() {
    let (namespace, _folder) = shop(WITHIN_SHORT);
    let shown = expect(&namespace.vaultup(&["run", "--to", BAD]).unwrap(), 3);
    assert!(shown.contains("Readiness probe failed"), "{shown}");
    assert!(shown.contains("statuscode: 503"), "{shown}");
    let history = namespace.history("shop").unwrap();
    assert_eq!(history.last().unwrap().2, "Rollback to 1", "{history:?}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

/// Somebody removes helm's record of the revision while the run is at it: it holds, and says so.
#[test]
fn a_way_back_to_a_revision_that_is_unknown_by_then_holds_with_code_state_and_next_step() {
    let (namespace, _folder) = shop(WITHIN_SHORT);
    let mut command = namespace.command(&["run", "--to", BAD]);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("helm is at it", || is_pending(&namespace, "shop"));
    namespace.kubectl(&["delete", "secret", "sh.helm.release.v1.shop.v1"]).unwrap();
    let ended = run.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(4), "{shown}");
    let words =
        ["error[VU0415]", "`shop` has no revision 1 any more", "state: ", "next: `vaultup "];
    in_order(&shown, &words);
    let report = expect(&namespace.vaultup(&["report"]).unwrap(), 0);
    let words = ["## What failed\n", "Readiness probe failed", "## Why it holds\n"];
    in_order(&report, &words);
    in_order(&report, &["## What failed afterwards\n", "`shop` has no revision 1 any more"]);
}

#[test]
fn a_hook_that_fails_leads_back_and_its_last_lines_are_shown() {
    let (namespace, _folder) = shop(WITHIN);
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
    let (namespace, _folder) = shop(WITHIN);
    fs::remove_file(namespace.folder().join("vaultup.toml")).unwrap();
    fs::remove_dir_all(namespace.folder().join("releases")).unwrap();
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
    assert_eq!(statuses(&namespace, "shop"), ["1 superseded", "2 deployed"]);
}

#[test]
fn a_chart_is_fetched_from_a_registry_by_the_version_of_the_release() {
    let (namespace, _folder) = shop(WITHIN);
    let registry = Registry::start(&namespace);
    let chart = format!("chart={}", registry.push(&namespace, "2.0.0"));
    fs::remove_dir_all(namespace.folder().join("charts")).unwrap();
    fs::remove_dir_all(namespace.folder().join("releases")).unwrap();
    let scope = format!("namespace={}", namespace.name());
    let run = |to: &str| {
        let sets = ["release=shop", &chart, "plain-http=true", &scope];
        let mut words = vec!["run", "--plugin", "helm", "--to", to];
        words.extend(sets.iter().flat_map(|set| ["--set", set]));
        namespace.vaultup(&words).unwrap()
    };
    let shown = expect(&run("3.0.0"), 2);
    assert!(shown.contains("there is no chart") && shown.contains("not found"), "{shown}");
    expect(&run("2.0.0"), 0);
    assert_eq!(statuses(&namespace, "shop"), ["1 superseded", "2 deployed"]);
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:2.0.0"]);
}

#[test]
fn a_field_that_somebody_set_by_hand_stops_the_plan_before_anything_happens() {
    let (namespace, _folder) = shop(WITHIN);
    namespace
        .kubectl(&["set", "image", "deployment/shop", "app=localhost/app:2.0.1-slow"])
        .unwrap();
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("`kubectl-set` has set"), "{shown}");
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
}

/// Each with code, state and next command, and nothing changed. A name over 53 characters is
/// refused by the settings themselves, with the place.
#[test]
fn bad_input_is_refused_with_code_state_and_next_step_and_nothing_changes() {
    let (namespace, _folder) = shop(WITHIN);
    fs::remove_dir_all(namespace.folder().join("releases")).unwrap();
    fs::write(namespace.folder().join("list.yaml"), "- replicas\n").unwrap();
    fs::write(namespace.folder().join("wrong.yaml"), "replicas: many\n").unwrap();
    let template = "apiVersion: a.example/v1\nkind: Thing\nmetadata: {name: thing}\n";
    let thing = namespace.folder().join("charts/2.0.1-bad/templates/thing.yaml");
    fs::write(thing, template).unwrap();
    let scope = format!("namespace={}", namespace.name());
    let long = format!("release={}", "x".repeat(54));
    let chart = "chart=./charts/2.0.0";
    let cases: [(&str, &[&str], &str); 10] = [
        ("2.0.0", &["release=shop", "chart=./charts/9.9.9", &scope], "there is no chart"),
        ("2.0.0", &["release=nobody", chart, &scope], "there is no release `nobody`"),
        ("2.0.0", &["release=shop", chart, "namespace=other"], "no release `shop`"),
        ("2.0.0", &["release=shop", chart, &scope, "context=nope"], "does not exist"),
        ("2.0.0", &[&long, chart, &scope], "53"),
        ("2.0.0", &["release=shop", chart, &scope, r#"values=["list.yaml"]"#], "cannot unmarshal"),
        ("2.0.0", &["release=shop", chart, &scope, r#"values=["none.yaml"]"#], "none.yaml"),
        ("2.0.0", &["release=shop", chart, &scope, r#"values=["wrong.yaml"]"#], "Deployment/shop"),
        (BAD, &["release=shop", "chart=./charts/2.0.1-bad", &scope], "no matches for kind"),
        ("2.0.0", &["release=shop", "chart=oci://127.0.0.1:9/shop", &scope], "cannot be fetched"),
    ];
    for (to, sets, words) in cases {
        let mut arguments = vec!["run", "--plugin", "helm", "--to", to];
        arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
        let ran = namespace.vaultup(&arguments).unwrap();
        let shown = ran.shown();
        assert!(matches!(ran.status, Some(1 | 2)), "{sets:?}: {shown}");
        assert!(shown.contains(words), "{sets:?}: {shown}");
        for part in ["error[VU", "state:", "next:"] {
            assert!(shown.contains(part), "{sets:?}: no `{part}` in {shown}");
        }
    }
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
}

#[test]
fn a_quota_that_is_exceeded_is_told_and_leads_back() {
    let (namespace, _folder) = shop(WITHIN_SHORT);
    namespace.kubectl(&["create", "quota", "small", "--hard=pods=2"]).unwrap();
    // Its status says when the cluster holds to it.
    let used = ["get", "quota/small", "--output=jsonpath={.status.used.pods}"];
    until("the quota counts", || namespace.kubectl(&used).unwrap().trim() == "2");
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 3);
    assert!(shown.contains("gets no pod") && shown.contains("exceeded quota: small"), "{shown}");
    assert_eq!(namespace.serving().unwrap(), ["localhost/app:1.0.0"]);
}

/// A plan is for one cluster, context and namespace; where it would go is shown in it.
#[test]
fn a_context_that_changed_between_plan_and_run_is_refused() {
    let (namespace, _folder) = shop(WITHIN);
    let shown =
        expect(&namespace.vaultup(&["plan", "--to", "2.0.0", "--save", "a.plan"]).unwrap(), 0);
    assert!(shown.contains("context `test` as `admin`"), "{shown}");
    namespace.through(1).unwrap();
    let kubeconfig = fs::read_to_string(namespace.kubeconfig()).unwrap();
    let other = namespace.folder().join("other.conf");
    fs::write(
        &other,
        kubeconfig
            .replace("name: test, context", "name: other, context")
            .replace("current-context: test", "current-context: other"),
    )
    .unwrap();
    let mut command = namespace.command(&["run", "--plan", "a.plan"]);
    let ran = stage::Ran::of(command.env("KUBECONFIG", &other).output().unwrap());
    let shown = expect(&ran, 1);
    assert!(shown.contains("component `shop` is not as it was"), "{shown}");
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
    expect(&namespace.vaultup(&["run", "--plan", "a.plan"]).unwrap(), 0);
}

#[test]
fn rights_that_are_missing_are_named_with_the_role_that_gives_them() {
    let (namespace, _folder) = shop(WITHIN);
    let as_viewer = namespace.as_viewer().unwrap();
    let shown = expect(&as_viewer(&["check", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("not allowed: ") && shown.contains("list secrets"), "{shown}");
    assert!(shown.contains(r#""kind":"Role""#), "{shown}");
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
}

/// What an operator wants to know before: a selector, an object that goes, a definition, a hook,
/// who owns the number of instances, and a budget that is not met.
#[test]
fn a_preview_finds_what_would_fail_or_surprise() {
    let (namespace, _folder) = shop(WITHIN);
    let chart = namespace.folder().join("charts/2.0.0");
    let template = fs::read_to_string(chart.join("templates/all.yaml")).unwrap();
    let changed = template
        .replacen(
            "selector: {matchLabels: {app: {{ .Release.Name }}}}",
            "selector: {matchLabels: {app: other}}",
            1,
        )
        .replacen(
            "metadata: {labels: {app: {{ .Release.Name }}}}",
            "metadata: {labels: {app: other}}",
            1,
        )
        .replacen("-configuration}", "-settings}", 1);
    fs::write(chart.join("templates/all.yaml"), changed).unwrap();
    fs::create_dir(chart.join("crds")).unwrap();
    let definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n\
                      metadata: {name: things.a.example}\nspec: {group: a.example}\n";
    fs::write(chart.join("crds/things.yaml"), definition).unwrap();
    let entry = "[components.shop]\nchart = \"charts/2.0.0\"\nset = [\"hook.enabled=true\"]\n";
    write_release(namespace.folder(), "2.0.0", entry);
    let shown = expect(&namespace.vaultup(&["plan", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("spec.selector differs, and the cluster refuses"), "{shown}");
    assert!(shown.contains("things.a.example: the cluster does not have it"), "{shown}");
    assert_eq!(statuses(&namespace, "shop"), ["1 deployed"]);
}

#[test]
fn hooks_objects_that_go_autoscalers_and_budgets_are_shown_in_the_plan() {
    let (namespace, _folder) = shop(WITHIN);
    let path = namespace.folder().join("charts/2.0.0/templates/all.yaml");
    let template = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        template.replacen("-configuration}", "-settings}", 1).replacen(
            "-configuration}}]",
            "-settings}}]",
            1,
        ),
    )
    .unwrap();
    let entry = "[components.shop]\nchart = \"charts/2.0.0\"\nset = [\"hook.enabled=true\"]\n";
    write_release(namespace.folder(), "2.0.0", entry);
    namespace.kubectl(&["autoscale", "deployment", "shop", "--min=2", "--max=4"]).unwrap();
    let budget =
        ["create", "poddisruptionbudget", "shop", "--selector=app=shop", "--min-available=1"];
    namespace.kubectl(&budget).unwrap();
    let allowed = ["get", "pdb/shop", "--output=jsonpath={.status.disruptionsAllowed}"];
    until("the budget counts", || namespace.kubectl(&allowed).unwrap().trim() == "1");
    let shown = expect(&namespace.vaultup(&["plan", "--to", "2.0.0"]).unwrap(), 0);
    for words in [
        "ConfigMap/shop-configuration: no longer in the chart",
        "Job/shop-migrate: hook pre-upgrade, runs localhost/app:2.0.0",
        "keeps deployment/shop between 2 and 4 instances",
        "an autoscaler owns",
        "so 1 may be away",
    ] {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    namespace
        .kubectl(&["patch", "pdb/shop", "--type=merge", "--patch={\"spec\":{\"minAvailable\":3}}"])
        .unwrap();
    let wanted = ["get", "pdb/shop", "--output=jsonpath={.status.desiredHealthy}"];
    until("the budget wants more", || namespace.kubectl(&wanted).unwrap().trim() == "3");
    let shown = expect(&namespace.vaultup(&["plan", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("PodDisruptionBudget/shop") && shown.contains("is not met"), "{shown}");
}
