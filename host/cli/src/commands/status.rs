//! `vaultup status`: where the stack is and what to type next.

use std::sync::Arc;

use clap::Args;
use model::Exit;
use runner::news::Silence;
use runner::status::{history, status};

use crate::arguments::{Global, ProjectArguments};
use crate::error::Fault;
use crate::machinery::{gather, project};
use crate::screen;
use crate::shell::Shell;

/// Arguments of `vaultup status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup status\n  vaultup status --all --format json")]
pub(crate) struct StatusArguments {
    /// Every run, not only the last.
    #[arg(long)]
    pub all: bool,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn execute(
    arguments: &StatusArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let project = project(global, &arguments.project)?;
    let machinery = gather(Arc::new(Silence))?;
    if arguments.all {
        let runs = history(&machinery, &project.stack.name)?;
        shell
            .answer(&runs, || runs.iter().map(screen::status::line).collect::<Vec<_>>().join("\n"));
        return Ok(Exit::Done);
    }
    let status = status(&machinery, &project.stack.name)?;
    shell.answer(&status, || screen::status::rendered(&status, shell));
    Ok(Exit::Done)
}
