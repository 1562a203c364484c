//! `cargo xtask test`: the house rules, the format, every test of the workspace with the examples
//! in its documentation, and the end-to-end tests that need nothing but this machine. Closes with
//! `N passed, N failed`.
//!
//! What is cheap comes first. A test program that fails does not keep the others from running.

use anyhow::Result;

use super::{build, e2e, lint, no_arguments, plugins, tidy};
use crate::workspace::Workspace;
use crate::{screen, tally};

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    screen::step("house rules", || tidy::check(workspace))?;
    screen::step("format", || lint::format(workspace))?;
    screen::step("plugins", || plugins::build(workspace))?;
    screen::step("build", || build::everything(workspace))?;
    let mut tally = screen::step("tests", || {
        let mut command = workspace.cargo();
        command.args(["test", "--workspace", "--no-fail-fast"]);
        tally::run(&mut command, &workspace.scratch("test"))
    })?;
    tally.add(screen::step("end to end", || e2e::on_this_machine(workspace))?);
    tally.close()
}
