//! `cargo xtask build`: plugins, then everything for the host in the one profile.
//!
//! Leaves `<target>/debug/vaultup`, `<target>/debug/vaultup-sample` and `<target>/plugins/*.wasm`.

use anyhow::Result;

use super::{no_arguments, plugins};
use crate::process;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    plugins::build(workspace)?;
    everything(workspace)
}

/// Programs, examples and tests.
pub(crate) fn everything(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args(["build", "--workspace", "--all-targets"]))
}

/// Plugins, programs and examples: what the demonstration and the benches need. `--examples` makes
/// cargo take the features that tests ask for into account too, so that [`everything`] later finds
/// these dependencies built.
pub(crate) fn programs(workspace: &Workspace) -> Result<()> {
    plugins::build(workspace)?;
    process::run(workspace.cargo().args(["build", "--workspace", "--bins", "--examples"]))
}
