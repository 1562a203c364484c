//! `vaultup hold`: ask the run that is under way to hold before its next step.

use std::sync::Arc;

use clap::Args;
use model::Exit;
use runner::carry_out::request_hold;
use runner::news::Silence;
use serde_json::json;

use crate::arguments::{Global, ProjectArguments};
use crate::error::Fault;
use crate::machinery::{gather, project};
use crate::shell::Shell;

/// Arguments of `vaultup hold`.
#[derive(Debug, Args)]
#[command(after_help = "The run stops before its next step with everything kept safe; \
    `vaultup resume` goes on.\nWhat runs goes on running: only a decision to hold (see `vaultup \
    rollback --help`) stops the new\nrelease.\n\nExample:\n  vaultup hold")]
pub(crate) struct HoldArguments {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// When nobody carries a run out.
pub(crate) fn execute(
    arguments: &HoldArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let project = project(global, &arguments.project)?;
    let machinery = gather(Arc::new(Silence))?;
    let holder = request_hold(&machinery, &project.stack.name)?;
    let process = holder.owner.process_id;
    shell.answer(&json!({ "asked": process }), || {
        format!("asked process {process} to hold before its next step")
    });
    Ok(Exit::Done)
}
