//! `vaultup unlock`: take the lock from whoever holds it; what it does is refused from then on.

use std::sync::Arc;

use clap::Args;
use model::Exit;
use runner::news::Silence;
use runner::writer::{set_journal_aside, take_over};
use runner::{Machinery, Platform, Project};
use serde_json::json;

use crate::arguments::{Global, ProjectArguments};
use crate::error::{CliError, Fault};
use crate::machinery::{block_on, gather, project};
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
    if !arguments.set_journal_aside {
        return block_on(take_away(arguments, machinery, project, shell));
    }
    let stack = &project.stack.name;
    let question = format!("put the journal of {stack} away? no run in it can go on afterwards");
    if !arguments.yes && !shell.confirm(&question) {
        return Err(CliError::NotConfirmed("the journal stays where it is".to_owned()).into());
    }
    let path = set_journal_aside(&machinery, stack)?.display().to_string();
    shell.answer(&json!({ "set-aside": path }), || {
        format!("the journal lies in `{path}` now; a new one begins with the next run")
    });
    Ok(Exit::Done)
}

/// Takes the stack's own lock away, and those of its components at their platforms.
async fn take_away(
    arguments: &UnlockArguments,
    machinery: Machinery,
    project: Project,
    shell: &Shell,
) -> Result<Exit, Fault> {
    let stack = project.stack.name.clone();
    // Whoever cannot reach a platform can still unlock the stack itself.
    let (platform, unseen) = match Platform::open(machinery.clone(), project).await {
        Ok(platform) => (Some(platform), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let (locks, unseen) = match &platform {
        Some(platform) => match platform.locks().await {
            Ok(locks) => (locks, unseen),
            Err(error) => (Vec::new(), Some(error.to_string())),
        },
        None => (Vec::new(), unseen),
    };
    if let Some(why) = &unseen {
        shell.note(&format!("what is locked at the platforms cannot be told: {why}"));
    }
    let held = locks.iter().filter(|(_, lock)| lock.holder.is_some());
    let held: Vec<_> = held.collect();
    for (name, lock) in &held {
        shell.note(&format!("{name} is held by {} ({})", lock.owner, lock.place));
    }
    if !arguments.yes && !shell.confirm(&format!("take the lock of {stack} away?")) {
        return Err(CliError::NotConfirmed("the lock was not taken away".to_owned()).into());
    }
    let was = take_over(&machinery, &stack)?;
    for (name, lock) in &held {
        if let Some(platform) = &platform {
            platform.break_lock(name, lock).await?;
        }
    }
    let owners: Vec<&str> = held.iter().map(|(_, lock)| lock.owner.as_str()).collect();
    shell.answer(&json!({ "held-by": was, "held-at-platforms-by": owners }), || {
        let own = was
            .iter()
            .map(|its| format!("{} on {}, process {}", its.user, its.host, its.process_id));
        let all: Vec<String> = own.chain(owners.iter().map(|&owner| owner.to_owned())).collect();
        match all.is_empty() {
            true => "nobody held it".to_owned(),
            false => format!("taken from {}", all.join("; ")),
        }
    });
    Ok(Exit::Done)
}
