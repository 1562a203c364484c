//! `vaultup rollback`: decide on the way back of the last run and take it.

use clap::Args;
use engine::machine::Request;
use model::Exit;
use runner::carry_out::{Carrier, take_up};

use crate::arguments::{Global, ProjectArguments};
use crate::commands::run::to_its_end;
use crate::error::Fault;
use crate::machinery::{block_on, gather, open, project};
use crate::screen::run::Screen;
use crate::shell::Shell;

/// Arguments of `vaultup rollback`.
#[derive(Debug, Args)]
#[command(
    after_help = "What is observed decides: redeploy, redeploy and keep the data, or restore \
    and redeploy. Where none\nmay be taken without a person, the run holds: the new release is \
    stopped and requests are held\nback, and from there `vaultup rollback --accept-loss`, `vaultup \
    resume` and `vaultup restore SET`\ngo on.\n\nExamples:\n  vaultup rollback\n  \
    vaultup rollback --accept-loss"
)]
pub(crate) struct RollbackArguments {
    /// Restore even if that loses more than the loss budget of the stack file.
    #[arg(long)]
    pub accept_loss: bool,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// When there is no run to roll back, or somebody else is at it.
pub(crate) fn execute(
    arguments: &RollbackArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let (platform, vault) = open(gather(Screen::new(shell))?, project, shell).await?;
        let mut carrier = take_up(platform, vault).await?;
        if let Err(refused) = turn_round(&mut carrier, arguments.accept_loss).await {
            carrier.give_up().await;
            return Err(refused.into());
        }
        to_its_end(carrier).await
    })
}

async fn turn_round(carrier: &mut Carrier, accept_loss: bool) -> Result<(), runner::Error> {
    carrier.settle().await?;
    carrier.ask(Request::RollBack { accept_loss })
}
