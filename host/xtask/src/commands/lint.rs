//! `cargo xtask lint`: clippy over all crates and all their targets; a warning is an error.

use anyhow::Result;

use super::{e2e, no_arguments};
use crate::workspace::Workspace;
use crate::{process, toolchain};

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    toolchain::add_component("clippy", "clippy")?;
    let mut command = workspace.cargo();
    command.args(["clippy", "--workspace", "--all-targets"]);
    // Suites are no part of `cargo test`, and so of no "all targets" either.
    command.args(e2e::suites().flat_map(|suite| ["--test", suite]));
    command.args(["--", "--deny", "warnings"]);
    process::run(&mut command)
}

/// Whether every file is formatted.
pub(crate) fn format(workspace: &Workspace) -> Result<()> {
    toolchain::add_component("rustfmt", "fmt")?;
    process::run(workspace.cargo().args(["fmt", "--all", "--check"]))
}
