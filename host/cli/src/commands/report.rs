//! `vaultup report`: the record of a run.

use std::sync::Arc;

use clap::Args;
use model::Exit;
use runner::news::Silence;
use runner::report::report;

use crate::arguments::{Global, ProjectArguments};
use crate::error::Fault;
use crate::machinery::{gather, project};
use crate::shell::Shell;

/// Arguments of `vaultup report`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup report > report.md\n  \
    vaultup report 7b20 --format json")]
pub(crate) struct ReportArguments {
    /// The run's id or its beginning; the last run if none is given.
    pub run: Option<String>,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// When there is no such run.
pub(crate) fn execute(
    arguments: &ReportArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let project = project(global, &arguments.project)?;
    let machinery = gather(Arc::new(Silence))?;
    let report = report(&machinery, &project.stack.name, arguments.run.as_deref())?;
    shell.answer(&report, || report.markdown());
    Ok(Exit::Done)
}
