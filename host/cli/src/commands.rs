//! One file a command: its arguments, and what is done with them.

pub mod backup;
pub mod check;
pub mod completions;
pub mod explain;
pub mod hold;
pub mod init;
pub mod man;
pub mod plan;
pub mod plugin;
pub mod rehearse;
pub mod report;
pub mod restore;
pub mod resume;
pub mod rollback;
pub mod run;
pub mod status;
pub mod unlock;
pub mod verify;

use model::Exit;

use crate::arguments::{Arguments, Command};
use crate::error::Fault;
use crate::shell::Shell;

/// Carries a command out.
///
/// # Errors
/// What the command could not do.
pub fn execute(arguments: Arguments, shell: &Shell) -> Result<Exit, Fault> {
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
