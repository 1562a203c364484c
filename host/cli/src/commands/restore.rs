//! `vaultup restore`: a backup set over what is there; what is there is kept.

use clap::Args;
use model::Exit;
use runner::carry_out::begin;

use crate::arguments::{Global, ProjectArguments};
use crate::commands::backup::set_id;
use crate::commands::plan::id_of;
use crate::commands::run::to_its_end;
use crate::error::{CliError, Fault};
use crate::machinery::{block_on, gather, open, project};
use crate::screen::run::Screen;
use crate::shell::Shell;

/// Arguments of `vaultup restore`.
#[derive(Debug, Args)]
#[command(after_help = "The set is proven first, what is there is kept as a set of its own, and \
    the restored copy is\nswitched in only when it is complete.\n\nExample:\n  \
    vaultup restore 3f9c2a17")]
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
        let project = project(global, &arguments.project)?;
        let (mut platform, vault) = open(gather(Screen::new(shell))?, project, shell).await?;
        let plan = platform.restore_plan(&vault, &set).await?;
        let id = id_of(&plan)?;
        shell.note(&crate::screen::plan::rendered(&plan, &id, false, shell));
        if !arguments.yes && !shell.confirm(&format!("restore {set} over what is there?")) {
            return Err(CliError::NotConfirmed("nothing was restored".to_owned()).into());
        }
        to_its_end(begin(platform, vault, plan).await?).await
    })
}
