//! `cargo xtask e2e [SUITE]`: end to end, through the real binary, with real tools and servers that
//! the suite itself installs, starts and stops. Without a name, every suite. Closes with
//! `N passed, N failed`.
//!
//! A suite is a test program in `tests/cli` with `test = false` in its entry in the manifest, so
//! that a plain `cargo test` neither needs the real binary nor servers.

use std::ffi::OsString;

use anyhow::{Result, bail};

use super::build;
use crate::screen;
use crate::tally::{self, Tally};
use crate::workspace::Workspace;

/// Tests on the cluster at once. They mostly wait for pods, each in a namespace of its own; the
/// node has room for 60 pods.
const ON_KUBERNETES_AT_ONCE: &str = "6";

/// The suites that need nothing but this machine.
const ON_THIS_MACHINE: [&str; 3] = ["host", "restore", "live"];

/// One suite.
struct Suite {
    name: &'static str,
    summary: &'static str,
    run: fn(&Workspace) -> Result<Tally>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "host",
        summary: "the sample application as plain programs on this machine",
        run: |workspace| test_program(workspace, "host", None),
    },
    Suite {
        name: "restore",
        summary: "restoring by hand what is broken, and what a decision to hold leaves",
        run: |workspace| test_program(workspace, "restore", None),
    },
    Suite {
        name: "kubernetes",
        summary: "helm releases and workloads on a real cluster (root, go and npm)",
        run: on_kubernetes,
    },
    Suite {
        name: "databases",
        summary: "PostgreSQL and a MongoDB server: backups, proofs, restores, kills, damage",
        run: |workspace| test_program(workspace, "databases", None),
    },
    Suite {
        name: "live",
        summary: "signals, a second process beside a run, JSON lines, reports",
        run: |workspace| test_program(workspace, "live", None),
    },
];

/// The names of the suites, which are those of their test programs.
pub(crate) fn suites() -> impl Iterator<Item = &'static str> {
    SUITES.iter().map(|suite| suite.name)
}

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let suites = select(arguments)?;
    screen::step("build", || build::programs(workspace))?;
    let mut total = Tally::default();
    for suite in suites {
        let tally = screen::step(suite.name, || (suite.run)(workspace))?;
        screen::say(format_args!(
            "{}: {} passed, {} failed",
            suite.name, tally.passed, tally.failed
        ));
        total.add(tally);
    }
    total.close()
}

/// The suites that need no servers, as a part of `cargo xtask test`. Everything must be built.
pub(crate) fn on_this_machine(workspace: &Workspace) -> Result<Tally> {
    let mut total = Tally::default();
    for name in ON_THIS_MACHINE {
        total.add(test_program(workspace, name, None)?);
    }
    Ok(total)
}

/// Starts a cluster for the suite; it is stopped whatever becomes of the tests.
fn on_kubernetes(workspace: &Workspace) -> Result<Tally> {
    let cluster = screen::step("cluster", || stage::Cluster::start(&workspace.root))?;
    let threads = ["--", "--test-threads", ON_KUBERNETES_AT_ONCE];
    test_program_with(workspace, "kubernetes", Some(cluster.variable()), &threads)
}

fn select(arguments: &[String]) -> Result<Vec<&'static Suite>> {
    match arguments {
        [] => Ok(SUITES.iter().collect()),
        [name] => match SUITES.iter().find(|suite| suite.name == name) {
            Some(suite) => Ok(vec![suite]),
            None => bail!("there is no suite `{name}`. There are:\n{}", help()),
        },
        _ => bail!("one suite, or none for all. There are:\n{}", help()),
    }
}

/// Runs the test program of this name. `--workspace` selects the same features as everywhere else.
fn test_program(
    workspace: &Workspace,
    name: &str,
    variable: Option<(&str, OsString)>,
) -> Result<Tally> {
    test_program_with(workspace, name, variable, &[])
}

fn test_program_with(
    workspace: &Workspace,
    name: &str,
    variable: Option<(&str, OsString)>,
    more: &[&str],
) -> Result<Tally> {
    let mut command = workspace.cargo();
    command.envs(variable);
    command.args(["test", "--workspace", "--no-fail-fast", "--test", name]).args(more);
    tally::run(&mut command, &workspace.scratch("e2e"))
}

fn help() -> String {
    let line = |suite: &Suite| format!("  {:12} {}", suite.name, suite.summary);
    SUITES.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn an_unknown_suite_names_those_that_exist() {
        let error = select(&["kubernets".to_owned()]).err().unwrap().to_string();
        assert!(error.contains("no suite `kubernets`"), "{error}");
        assert!(error.contains("\n  host "), "{error}");
    }

    #[test]
    fn no_name_means_every_suite() {
        assert_eq!(select(&[]).unwrap().len(), SUITES.len());
    }
}
