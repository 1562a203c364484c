//! `cargo xtask test`: the house rules, the format, and every test of the workspace with the
//! examples in its documentation. Closes with `N passed, N failed`.
//!
//! What is cheap comes first. A test program that fails does not keep the others from running.

use anyhow::Result;

use super::{build, lint, no_arguments, plugins, tidy};
use crate::workspace::Workspace;
use crate::{screen, tally};

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    screen::step("house rules", || tidy::check(workspace))?;
    screen::step("format", || lint::format(workspace))?;
    screen::step("plugins", || plugins::build(workspace))?;
    screen::step("build", || build::everything(workspace))?;
    let tally = screen::step("tests", || {
        let mut command = workspace.cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]);
        tally::run(&mut command, &workspace.scratch("test"))
    })?;
    tally.close()
}
