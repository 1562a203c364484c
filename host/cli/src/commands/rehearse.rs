//! `vaultup rehearse`: an upgrade and its way back on a copy.

use clap::Args;
use engine::plan::Intent;
use model::Exit;
use runner::carry_out::begin;

use crate::arguments::{Global, ProjectArguments};
use crate::commands::run::{explained, to_its_end};
use crate::error::Fault;
use crate::machinery::{block_on, gather, open, project};
use crate::screen::run::Screen;
use crate::shell::Shell;

/// Arguments of `vaultup rehearse`.
#[derive(Debug, Args)]
#[command(after_help = "The copy is filled from a proven backup and removed on every path. Each \
    component and datastore\nneeds a `rehearsal` table with the settings in which its copy \
    differs; a component with\n`health` or `smoke` also the copy's own (`[]` for none).\n\n\
    Example:\n  vaultup rehearse --to 2.5.0")]
pub(crate) struct RehearseArguments {
    /// The release to rehearse.
    #[arg(long, value_name = "VERSION")]
    pub to: String,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// What keeps it from being begun or recorded.
pub(crate) fn execute(
    arguments: &RehearseArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let (mut platform, vault) = open(gather(Screen::new(shell))?, project, shell).await?;
        let planned = platform.plan(&vault, &arguments.to, Intent::Rehearsal).await;
        let plan = explained(&platform, planned).await?;
        to_its_end(begin(platform, vault, plan).await?).await
    })
}
