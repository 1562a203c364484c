//! `vaultup restore`: a backup set over what is there; what is there is kept.

use clap::Args;
use model::Exit;
use runner::Platform;
use runner::carry_out::begin;
use runner::restore::bring_to_rest;
use vault::Vault;

use crate::arguments::{Global, ProjectArguments};
use crate::commands::backup::set_id;
use crate::commands::plan::id_of;
use crate::commands::run::to_its_end;
use crate::error::{CliError, Fault};
use crate::machinery::{block_on, gather, open, project};
use crate::screen;
use crate::screen::run::Screen;
use crate::shell::Shell;

/// Arguments of `vaultup restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "For when the live state is broken: half-migrated, mixed, gone. The set is \
    proven first, what is\nthere is kept as a set of its own as far as it can be read, the release \
    that the data belongs to\nis put in place, and the restored copy is switched in only when it \
    is complete. What could not be\nkept is set aside and never removed. It may follow a run that \
    holds or was interrupted.\n\nExamples:\n  vaultup backup list\n  \
    vaultup restore 3f9c2a17"
)]
pub(crate) struct RestoreArguments {
    /// The set's id.
    pub set: String,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// What keeps it from being begun or recorded.
pub(crate) fn execute(
    arguments: &RestoreArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let set = set_id(&arguments.set)?;
        let (mut platform, vault) = opened(arguments, global, shell).await?;
        let prepared = platform.restore_plan(&vault, &set).await?;
        let id = id_of(&prepared.plan)?;
        shell.note(&screen::restore::rendered(&prepared, &id, shell));
        if !arguments.yes && !shell.confirm(&format!("restore {set} over what is there?")) {
            return Err(CliError::NotConfirmed("nothing was restored".to_owned()).into());
        }
        if prepared.interrupted.is_none() {
            return to_its_end(begin(platform, vault, prepared.plan).await?).await;
        }
        bring_to_rest(platform, vault).await?;
        let (mut platform, vault) = opened(arguments, global, shell).await?;
        let prepared = platform.restore_plan(&vault, &set).await?;
        to_its_end(begin(platform, vault, prepared.plan).await?).await
    })
}

async fn opened(
    arguments: &RestoreArguments,
    global: &Global,
    shell: &Shell,
) -> Result<(Platform, Vault), Fault> {
    let project = project(global, &arguments.project)?;
    open(gather(Screen::new(shell))?, project, shell).await
}
