//! `vaultup plan`: the exact steps to a release, and the way back of each; nothing is changed.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use engine::plan::{Intent, Plan};
use model::Exit;
use runner::news::Silence;
use runner::prepare::save_plan;
use serde_json::json;

use crate::arguments::{Global, ProjectArguments};
use crate::error::{CliError, Fault};
use crate::machinery::{block_on, gather, open, project};
use crate::screen;
use crate::shell::Shell;

/// Arguments of `vaultup plan`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup plan --to 2.5.0\n  \
    vaultup plan --to 2.5.0 --save upgrade.plan && vaultup run --plan upgrade.plan")]
pub(crate) struct PlanArguments {
    /// The release to plan for.
    #[arg(long, value_name = "VERSION")]
    pub to: String,
    /// Write the plan to a file that `vaultup run --plan` carries out exactly.
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Show the commands of each step.
    #[arg(long)]
    pub commands: bool,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// The obstacles, or what cannot be observed.
pub(crate) fn execute(
    arguments: &PlanArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let (mut platform, vault) = open(gather(Arc::new(Silence))?, project, shell).await?;
        let plan = platform.plan(&vault, &arguments.to, Intent::Upgrade).await?;
        let id = id_of(&plan)?;
        shell.answer(&json!({ "plan": plan, "id": id }), || {
            screen::plan::rendered(&plan, &id, arguments.commands, shell)
        });
        if let Some(path) = &arguments.save {
            save_plan(&plan, path)?;
            let path = path.display();
            shell.note(&format!("saved: `vaultup run --plan {path}` carries it out exactly"));
        }
        Ok(Exit::Done)
    })
}

/// A plan's id.
///
/// # Errors
/// None in practice.
pub(crate) fn id_of(plan: &Plan) -> Result<String, CliError> {
    plan.id().map_err(|error| CliError::Start(error.to_string()))
}
