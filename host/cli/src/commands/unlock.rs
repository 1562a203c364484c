//! `vaultup unlock`: take the lock from whoever holds it; what it does is refused from then on.

use std::sync::Arc;

use clap::Args;
use model::Exit;
use runner::news::Silence;
use runner::writer::{set_journal_aside, take_over};
use serde_json::json;

use crate::arguments::{Global, ProjectArguments};
use crate::error::{CliError, Fault};
use crate::machinery::{gather, project};
use crate::shell::Shell;

/// Arguments of `vaultup unlock`.
#[derive(Debug, Args)]
#[command(after_help = "The process that held the lock is not ended, but can neither record nor \
    change anything any more.\n\nExamples:\n  vaultup unlock\n  \
    vaultup unlock --set-journal-aside --yes")]
pub(crate) struct UnlockArguments {
    /// Put a damaged journal away and begin a new one. Backups stay where they are.
    #[arg(long)]
    pub set_journal_aside: bool,
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
/// When the journal cannot be opened, or nobody said yes.
pub(crate) fn execute(
    arguments: &UnlockArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let project = project(global, &arguments.project)?;
    let machinery = gather(Arc::new(Silence))?;
    let stack = &project.stack.name;
    let (question, refused) = match arguments.set_journal_aside {
        true => (
            format!("put the journal of {stack} away? no run in it can go on afterwards"),
            "the journal stays where it is",
        ),
        false => (format!("take the lock of {stack} away?"), "the lock was not taken away"),
    };
    if !arguments.yes && !shell.confirm(&question) {
        return Err(CliError::NotConfirmed(refused.to_owned()).into());
    }
    if arguments.set_journal_aside {
        let path = set_journal_aside(&machinery, stack)?;
        let path = path.display().to_string();
        shell.answer(&json!({ "set-aside": path }), || {
            format!("the journal lies in `{path}` now; a new one begins with the next run")
        });
        return Ok(Exit::Done);
    }
    let was = take_over(&machinery, stack)?;
    shell.answer(&json!({ "held-by": was }), || match &was {
        Some(owner) => {
            format!("taken from {} on {}, process {}", owner.user, owner.host, owner.process_id)
        }
        None => "nobody held it".to_owned(),
    });
    Ok(Exit::Done)
}
