//! helm releases while vaultup or helm is killed, the cluster is gone, or somebody else is at work.

use std::time::Duration;

use super::helm::shop;
use super::support::{
    Gate, WITHIN, begun, expect, is_pending, kill_both, kill_helm, statuses, until,
};

#[test]
fn vaultup_and_helm_killed_in_the_middle_are_resumed_to_the_end() {
    let (namespace, _folder) = shop(WITHIN);
    let slow = "2.0.1-slow";
    let entry = format!("[components.shop]\nchart = \"charts/{slow}\"\n");
    namespace.chart(slow, &entry).unwrap();
    kill_both(&namespace, slow);
    expect(&namespace.vaultup(&["resume"]).unwrap(), 0);
    assert_eq!(statuses(&namespace, "shop").last().unwrap(), "4 deployed");
    assert_eq!(namespace.serving().unwrap(), [format!("localhost/app:{slow}")]);
}

#[test]
fn another_helm_at_work_is_not_disturbed() {
    let (namespace, _folder) = shop(WITHIN);
    let words =
        ["upgrade", "shop", "charts/2.0.0", "--set=hook.enabled=true", "--set=hook.sleep=8s"];
    let mut other = begun(namespace.program("helm", &words));
    until("the other helm began", || {
        assert!(other.try_wait().unwrap().is_none(), "helm ended early");
        is_pending(&namespace, "shop")
    });
    let shown = expect(&namespace.vaultup(&["run", "--to", "2.0.0"]).unwrap(), 1);
    assert!(shown.contains("is pending-upgrade since"), "{shown}");
    assert!(other.wait().unwrap().success());
}

#[test]
fn a_cluster_that_is_gone_in_the_middle_and_comes_back_is_no_reason_to_guess() {
    let (namespace, _folder) = shop(WITHIN);
    let gate = Gate::before(&namespace);
    let mut child = begun(gate.command(&namespace, &["run", "--to", "2.0.0"]));
    until("helm began", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended before helm began");
        is_pending(&namespace, "shop")
    });
    gate.close();
    std::thread::sleep(Duration::from_secs(3));
    gate.open();
    let status = child.wait().unwrap().code();
    // Whatever helm made of it: upgraded, back, or held with a command that leads on.
    let last = match status {
        Some(0 | 3) => statuses(&namespace, "shop").pop().unwrap(),
        Some(4) => {
            let resumed = namespace.vaultup(&["resume"]).unwrap();
            assert!(matches!(resumed.status, Some(0 | 3)), "{}", resumed.shown());
            statuses(&namespace, "shop").pop().unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert!(last.ends_with(" deployed"), "{last}");
    assert_eq!(namespace.serving().unwrap().len(), 1);
}

/// Killed before, in the middle of and after each of the four effects of a run: 12 moments.
#[test]
fn vaultup_killed_at_every_moment_of_a_run_is_resumed_to_the_end() {
    let (namespace, _folder) = shop(WITHIN);
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
            assert!(statuses(&namespace, "shop").pop().unwrap().ends_with(" deployed"));
            assert_eq!(namespace.serving().unwrap(), [format!("localhost/app:{to}")]);
        }
    }
}

/// helm alone is killed, 200 ms later each time: the release ends deployed, at one of the two.
#[test]
fn helm_killed_at_ten_moments_leaves_nothing_pending() {
    let (namespace, _folder) = shop(WITHIN);
    for moment in 0..10 {
        let (from, to) = match namespace.serving().unwrap().first().map(String::as_str) {
            Some("localhost/app:1.0.0") => ("1.0.0", "2.0.0"),
            _ => ("2.0.0", "1.0.0"),
        };
        let mut child = begun(namespace.command(&["run", "--to", to]));
        until("helm began, or vaultup ended", || {
            is_pending(&namespace, "shop") || child.try_wait().unwrap().is_some()
        });
        std::thread::sleep(Duration::from_millis(200 * moment));
        kill_helm(&namespace);
        let runs = match child.wait().unwrap().code() {
            Some(0) => to,
            Some(3) => from,
            other => panic!("moment {moment}: {other:?}, {:?}", statuses(&namespace, "shop")),
        };
        assert!(
            statuses(&namespace, "shop").pop().unwrap().ends_with(" deployed"),
            "moment {moment}"
        );
        assert_eq!(namespace.serving().unwrap(), [format!("localhost/app:{runs}")]);
    }
}
