//! `vaultup resume`: go on with a run that was interrupted or holds.

use clap::Args;
use engine::machine::{Ending, Request};
use model::Exit;
use runner::carry_out::{Carrier, take_up};

use crate::arguments::{Global, ProjectArguments};
use crate::commands::run::to_its_end;
use crate::error::Fault;
use crate::machinery::{block_on, gather, open, project};
use crate::screen::run::Screen;
use crate::shell::Shell;

/// Arguments of `vaultup resume`.
#[derive(Debug, Args)]
#[command(after_help = "An effect whose outcome was never recorded is observed at the platform \
    before anything else\nhappens to it.\n\nExample:\n  vaultup resume")]
pub(crate) struct ResumeArguments {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// When there is nothing to resume, or somebody else is at it.
pub(crate) fn execute(
    arguments: &ResumeArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let (platform, vault) = open(gather(Screen::new(shell))?, project, shell).await?;
        let mut carrier = take_up(platform, vault).await?;
        if let Err(refused) = go_on(&mut carrier) {
            carrier.give_up().await;
            return Err(refused.into());
        }
        to_its_end(carrier).await
    })
}

fn go_on(carrier: &mut Carrier) -> Result<(), runner::Error> {
    match carrier.machine().ending() {
        Some(Ending::Held(_)) => carrier.ask(Request::GoOn),
        Some(_) => Err(runner::Error::NothingToResume {
            what: "resume",
            why: format!("run {} is {}", carrier.run(), carrier.machine().state()),
        }),
        None => Ok(()),
    }
}
