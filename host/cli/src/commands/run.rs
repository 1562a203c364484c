//! `vaultup run`: upgrade to a release; on failure take the way back that fits what is observed.

use std::path::PathBuf;

use clap::Args;
use engine::machine::{Ending, Machine};
use engine::plan::{Intent, Plan};
use model::Exit;
use runner::carry_out::{Carrier, begin};
use runner::platform::Platform;
use runner::prepare::read_plan;
use runner::writer::require_free;

use crate::arguments::{Global, ProjectArguments};
use crate::error::Fault;
use crate::machinery::{block_on, gather, open, project};
use crate::screen::run::Screen;
use crate::shell::Shell;

/// Arguments of `vaultup run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup run --to 2.5.0\n  \
    vaultup run --plan upgrade.plan\n  \
    vaultup run --plugin host --set releases=/srv/shop/releases --set current=/srv/shop/current \
    --to 2.5.0")]
pub(crate) struct RunArguments {
    /// The release to upgrade to.
    #[arg(long, value_name = "VERSION", required_unless_present = "plan")]
    pub to: Option<String>,
    /// Carry a saved plan out exactly; refused if anything that it was made for has changed.
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub plan: Option<PathBuf>,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// What keeps the run from being begun or recorded; a run that failed and came back is no error.
pub(crate) fn execute(
    arguments: &RunArguments,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let machinery = gather(Screen::new(shell))?;
        require_free(&machinery, &project.stack.name)?;
        let (mut platform, vault) = open(machinery, project, shell).await?;
        let planned = match (&arguments.plan, &arguments.to) {
            (Some(path), _) => {
                let plan = read_plan(path)?;
                platform.still_fits(&vault, &plan).await.map(|()| plan)
            }
            (None, to) => {
                let to = to.as_deref().unwrap_or_default();
                platform.plan(&vault, to, Intent::Upgrade).await
            }
        };
        let plan = explained(&platform, planned).await?;
        to_its_end(begin(platform, vault, plan).await?).await
    })
}

/// A plan, or why there is none: if somebody is at work, that explains what was seen.
///
/// # Errors
/// [`runner::Error::LockedElsewhere`] naming the holder; what hinders the plan.
pub(crate) async fn explained(
    platform: &Platform,
    planned: Result<Plan, runner::Error>,
) -> Result<Plan, Fault> {
    if planned.is_err() {
        platform.require_unlocked().await?;
    }
    Ok(planned?)
}

/// Carries a run to its end, and says how the process exits.
///
/// # Errors
/// What keeps it from being recorded.
pub(crate) async fn to_its_end(carrier: Carrier) -> Result<Exit, Fault> {
    let machine = carrier.carry_out().await?;
    Ok(exit_of(&machine))
}

fn exit_of(machine: &Machine) -> Exit {
    match machine.ending() {
        Some(Ending::Upgraded) => Exit::Done,
        Some(Ending::RolledBack) => Exit::RolledBack,
        Some(Ending::Held(_)) => Exit::Held,
        Some(Ending::Unchanged(_)) => Exit::Failed,
        None => Exit::Bug,
    }
}
