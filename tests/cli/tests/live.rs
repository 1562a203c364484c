//! A run while it lasts: signals, a second process that looks or asks it to hold, and what programs
//! read of it, during and afterwards.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

use std::process::{Child, Command, Stdio};

use serde_json::Value;
use stage::{Programs, Ran, Shop};
use tempfile::TempDir;

/// A shop at release 2.0.0; the folder goes with it.
fn shop() -> (TempDir, Shop) {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    expect(&shop.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 0);
    (folder, shop)
}

#[track_caller]
fn expect(ran: &Ran, status: i32) {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
}

/// A run to release 3.0.0 that stands still in the middle of its migration.
fn in_the_middle_of_the_migration(shop: &Shop) -> Child {
    let mut run = shop.command(&["run", "--to", "3.0.0"]);
    shop.until_half_way(run.stdout(Stdio::null()).stderr(Stdio::piped())).unwrap()
}

fn json(shop: &Shop, arguments: &[&str]) -> Value {
    let ran = shop.vaultup(&[arguments, &["--format", "json"]].concat()).unwrap();
    expect(&ran, 0);
    serde_json::from_str(&ran.output).unwrap()
}

/// Held after the migration, which came to its end: nothing is torn, and the run goes on.
#[track_caller]
fn holds_in_good_order(shop: &Shop, child: Child) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    for fragment in ["a person asked for it", "is kept", "next: `vaultup resume`"] {
        assert!(said.contains(fragment), "`{fragment}` is missing in:\n{said}");
    }
    assert_eq!(shop.schema().unwrap(), (3, false), "the migration was torn");
    assert_eq!(json(shop, &["status"])["run"]["state"], "held");
    expect(&shop.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(shop.serving().unwrap().as_deref(), Some("3.0.0"));
}

#[test]
fn an_interrupt_holds_the_run_before_its_next_step() {
    for signal in ["-INT", "-TERM"] {
        let (_folder, shop) = shop();
        let child = in_the_middle_of_the_migration(&shop);
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        shop.go_on().unwrap();
        holds_in_good_order(&shop, child);
    }
}

#[test]
fn a_second_process_sees_a_live_run_and_asks_it_to_hold() {
    let (_folder, shop) = shop();
    let child = in_the_middle_of_the_migration(&shop);
    let process = child.id();
    let seen = json(&shop, &["status"]);
    assert_eq!(seen["run"]["state"], "upgrading");
    assert!(seen["run"]["step"].as_str().unwrap().starts_with("migrate orders"), "{seen}");
    assert!(seen["holder"].as_str().unwrap().contains(&format!("process {process}")), "{seen}");
    let asked = json(&shop, &["hold"]);
    assert_eq!(asked["asked"], process);
    shop.go_on().unwrap();
    holds_in_good_order(&shop, child);
}

#[test]
fn nobody_to_hold_and_nothing_to_resume_are_said() {
    let (_folder, shop) = shop();
    for command in ["hold", "resume"] {
        let ran = shop.vaultup(&[command]).unwrap();
        expect(&ran, 1);
        for fragment in ["VU0405", "state: ", "next: `vaultup status`"] {
            assert!(ran.errors.contains(fragment), "{}", ran.shown());
        }
    }
}

/// The lines of a run, each an object with its kind.
fn lines(ran: &Ran) -> Vec<(String, Value)> {
    let line = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        (value["news"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned(), value)
    };
    ran.output.lines().map(line).collect()
}

#[test]
fn every_line_of_a_run_is_json_of_the_documented_shape() {
    let (_folder, shop) = shop();
    shop.install("3.0.0", &["migrate-fails-half-way"]).unwrap();
    let ran = shop.vaultup(&["run", "--to", "3.0.0", "--format", "json"]).unwrap();
    expect(&ran, 3);
    assert_eq!(ran.errors, "", "programs read standard output alone");
    let lines = lines(&ran);
    let (first, last) = (&lines[0], lines.last().unwrap());
    assert_eq!(
        (first.0.as_str(), &first.1["from"], &first.1["to"], &first.1["resumed"]),
        ("run", &"2.0.0".into(), &"3.0.0".into(), &false.into())
    );
    let run = first.1["run"].as_str().unwrap();
    assert_eq!((last.0.as_str(), &last.1["run"]), ("over", &run.into()));
    assert_eq!(
        (&last.1["ending"], &last.1["state"]),
        (&"rolled-back".into(), &"rolled back".into())
    );
    assert_eq!(last.1["backup"], format!("{run}-before"));
    let mut open = None;
    for (kind, value) in &lines {
        match kind.as_str() {
            "begun" => {
                assert_eq!(open.replace(value["number"].as_u64().unwrap()), None);
                assert!(value["phase"].is_string() && value["subject"].is_string(), "{value}");
            }
            "ended" => {
                assert_eq!(open.take(), value["number"].as_u64());
                let outcome = value["outcome"].as_object().unwrap();
                assert!(outcome.contains_key("done") || outcome.contains_key("failed"), "{value}");
                assert!(value["elapsed"]["secs"].is_u64(), "{value}");
            }
            "decided" => {
                assert_eq!(value["choice"], "restore and redeploy");
                assert!(value["decision"]["datastores"]["orders"].is_array(), "{value}");
            }
            "log" => assert!(value["line"].is_string(), "{value}"),
            "progress" => assert!(value["done"].is_u64() && value["unit"].is_string(), "{value}"),
            "run" | "over" => {}
            other => panic!("`{other}` is documented nowhere"),
        }
    }
    assert_eq!(open, None);
    assert_eq!(lines.iter().filter(|(kind, _)| kind == "decided").count(), 1);
}

#[test]
fn an_error_is_one_json_object_too_and_so_is_wrong_usage() {
    let (_folder, shop) = shop();
    let refused: [&[&str]; 4] = [
        &["plan", "--to", "9.9.9", "--format", "json"],
        &["--format", "json", "plan"],
        &["frobnicate", "--format=json"],
        &["report", "abcdef", "--format", "json"],
    ];
    for arguments in refused {
        let ran = shop.vaultup(arguments).unwrap();
        assert_eq!((ran.status, ran.errors.as_str()), (Some(2), ""), "{}", ran.shown());
        let value: Value = serde_json::from_str(&ran.output).unwrap();
        let error = &value["error"];
        assert!(error["code"].as_str().unwrap().starts_with("VU0"), "{value}");
        for key in ["message", "state", "next"] {
            assert!(error[key].is_string(), "{key}: {value}");
        }
    }
}

#[test]
fn a_report_tells_steps_times_and_the_decision_with_its_inputs() {
    let (_folder, shop) = shop();
    shop.install("3.0.0", &["migrate-fails-half-way"]).unwrap();
    expect(&shop.vaultup(&["run", "--to", "3.0.0"]).unwrap(), 3);
    let report = json(&shop, &["report"]);
    assert_eq!((&report["format"], &report["state"]), (&1.into(), &"rolled back".into()));
    assert_eq!((&report["from"], &report["to"]), (&"2.0.0".into(), &"3.0.0".into()));
    assert_eq!(report["failure"]["code"], 414);
    let (input, choice) = {
        let orders = &report["decision"]["datastores"]["orders"];
        (&orders[0], &orders[1])
    };
    assert_eq!((&input["schema"], &input["migration"]), (&"partial".into(), &"ended".into()));
    assert_eq!((&input["previous-runs"], &input["proof"]), (&"not-declared".into(), &3.into()));
    assert_eq!(choice, "restore-and-redeploy");
    let steps = report["steps"].as_array().unwrap();
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["number"], index + 1);
        assert!(step["began"].is_string() && step["milliseconds"].is_u64(), "{step}");
        assert!(step["outcome"].is_object() && step["recovered"] == false, "{step}");
    }
    let ran = |step: &Value| step["commands"].as_array().unwrap().len();
    assert!(steps.iter().map(ran).sum::<usize>() > 5);

    let run = report["run"].as_str().unwrap();
    let markdown = shop.vaultup(&["report", &run[..4]]).unwrap();
    expect(&markdown, 0);
    for fragment in [
        "# shop 2.0.0 → 3.0.0: rolled back",
        &format!("- run `{run}`"),
        "## What failed",
        "(VU0414)",
        "## Decision: restore and redeploy",
        "| orders | partial | ended | not-declared | 3 of 3 | 0s of 0s | restore and redeploy |",
        "| keys | unchanged |",
        "## Steps",
        " ms | failed: migration",
        "## Commands",
        "bin/vaultup-sample migrate --data",
        "exited with status 3",
    ] {
        assert!(
            markdown.output.contains(fragment),
            "`{fragment}` missing in:\n{}",
            markdown.output
        );
    }
}

#[test]
fn without_a_run_there_is_no_report_and_the_answer_says_how_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    let shop = Shop::open(folder.path(), &Programs::beside_this_test().unwrap()).unwrap();
    let ran = shop.vaultup(&["report"]).unwrap();
    expect(&ran, 2);
    for fragment in ["VU0423", "no run of this stack was begun yet", "`vaultup plan --to VERSION`"]
    {
        assert!(ran.errors.contains(fragment), "{}", ran.shown());
    }
}
