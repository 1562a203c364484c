//! `vaultup check`: every preflight for a release; nothing is changed.

use std::sync::Arc;

use clap::Args;
use engine::plan::Intent;
use model::Exit;
use runner::news::Silence;
use serde_json::json;

use crate::arguments::{Global, ProjectArguments};
use crate::error::Fault;
use crate::machinery::{block_on, gather, open, project};
use crate::shell::{Paint, Shell};

/// Arguments of `vaultup check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vaultup check --to 2.5.0")]
pub(crate) struct CheckArguments {
    /// The release to check for.
    #[arg(long, value_name = "VERSION")]
    pub to: String,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// The obstacles, or what cannot be observed.
pub(crate) fn execute(
    arguments: &CheckArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let (mut platform, vault) = open(gather(Arc::new(Silence))?, project, shell).await?;
        let plan = platform.plan(&vault, &arguments.to, Intent::Upgrade).await?;
        let checks = platform.preflights(&vault, &plan).await?;
        let failed = checks.iter().filter(|check| check.fault.is_some()).count();
        shell.answer(&json!({ "check": checks, "failed": failed }), || {
            let lines = checks.iter().map(|check| match &check.fault {
                None => {
                    let mark = shell.paint(Paint::Green, "✓");
                    format!("{mark} {:<28} {}", check.name, check.detail)
                }
                Some(fault) => {
                    let mark = shell.paint(Paint::Red, "✗");
                    format!("{mark} {:<28} {fault}", check.name)
                }
            });
            lines.collect::<Vec<_>>().join("\n")
        });
        shell.note(&format!("{} of {} preflights passed", checks.len() - failed, checks.len()));
        match runner::perform::check::refused(&checks) {
            None => Ok(Exit::Done),
            Some(failure) => Err(runner::Error::act(failure).into()),
        }
    })
}
