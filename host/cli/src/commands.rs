//! One file a command: its arguments, and what is done with them.

pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod hold;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod rehearse;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod unlock;
pub(crate) mod verify;

use model::Exit;

use crate::arguments::{Arguments, Command};
use crate::error::Fault;
use crate::shell::Shell;

/// Carries a command out.
///
/// # Errors
/// What the command could not do.
pub(crate) fn execute(arguments: Arguments, shell: &Shell) -> Result<Exit, Fault> {
    let global = arguments.global;
    match arguments.command {
        Command::Init(its) => init::execute(&its, &global, shell),
        Command::Check(its) => check::execute(&its, &global, shell),
        Command::Plan(its) => plan::execute(&its, &global, shell),
        Command::Run(its) => run::execute(&its, &global, shell),
        Command::Rehearse(its) => rehearse::execute(&its, &global, shell),
        Command::Status(its) => status::execute(&its, &global, shell),
        Command::Resume(its) => resume::execute(&its, &global, shell),
        Command::Hold(its) => hold::execute(&its, &global, shell),
        Command::Rollback(its) => rollback::execute(&its, &global, shell),
        Command::Verify(its) => verify::execute(&its, &global, shell),
        Command::Report(its) => report::execute(&its, &global, shell),
        Command::Unlock(its) => unlock::execute(&its, &global, shell),
        Command::Backup(its) => backup::execute(its, &global, shell),
        Command::Restore(its) => restore::execute(&its, &global, shell),
        Command::Plugin(its) => plugin::execute(its, &global, shell),
        Command::Explain(its) => explain::execute(&its, shell),
        Command::Completions(its) => Ok(completions::execute(&its, shell)),
        Command::Man(its) => man::execute(&its, shell),
        Command::CompilePlugin(its) => plugin::compile(&its),
    }
}
