//! `vaultup backup`: take, list, prove and prune backup sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::{Args, Subcommand};
use model::Exit;
use model::contract::ProofLevel;
use runner::backups;
use runner::news::Silence;
use serde_json::json;
use vault::SetId;

use crate::arguments::{Global, ProjectArguments};
use crate::error::{CliError, Fault};
use crate::machinery::{block_on, gather, open, project};
use crate::screen;
use crate::screen::run::Screen;
use crate::shell::Shell;

/// What is done with backup sets.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Back every datastore up as one set, and prove it.
    Create(CreateArguments),
    /// List the sets, newest first; damaged ones too.
    List(ListArguments),
    /// Prove an existing set.
    Prove(ProveArguments),
    /// Remove sets that nothing needs any more.
    Prune(PruneArguments),
}

/// Arguments of `vaultup backup create`.
#[derive(Debug, Args)]
#[command(after_help = "Writers are not stopped: a datastore that cannot be copied at one moment \
    while they write must be\nquiet.\n\nExample:\n  vaultup backup create")]
pub(crate) struct CreateArguments {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Arguments of `vaultup backup list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vaultup backup list --format json")]
pub(crate) struct ListArguments {
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Arguments of `vaultup backup prove`.
#[derive(Debug, Args)]
#[command(
    after_help = "Levels: 0 it exists · 1 structure readable · 2 every byte read · 3 restored \
    to scratch and queried.\n\nExample:\n  vaultup backup prove 3f9c2a17 --level 3"
)]
pub(crate) struct ProveArguments {
    /// The set's id.
    pub set: String,
    /// The level; what the stack file asks for if none is given.
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=3))]
    pub level: Option<u8>,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Arguments of `vaultup backup prune`.
#[derive(Debug, Args)]
#[command(after_help = "The last proven set and what an unfinished run may need are always \
    kept.\n\nExamples:\n  vaultup backup prune --dry-run\n  \
    vaultup backup prune --named 7b20aa01-failed")]
pub(crate) struct PruneArguments {
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// A set to remove though the rules would keep it for its age or purpose.
    #[arg(long = "named", value_name = "SET")]
    pub named: Vec<String>,
    /// The project.
    #[command(flatten)]
    pub project: ProjectArguments,
}

/// Carries it out.
///
/// # Errors
/// What a backup could not do.
pub(crate) fn execute(
    command: BackupCommand,
    global: &Global,
    shell: &Shell,
) -> Result<Exit, Fault> {
    match command {
        BackupCommand::Create(its) => create(&its, global, shell),
        BackupCommand::List(its) => list(&its, global, shell),
        BackupCommand::Prove(its) => prove(&its, global, shell),
        BackupCommand::Prune(its) => prune(&its, global, shell),
    }
}

/// A set's id from an argument.
///
/// # Errors
/// [`CliError::Usage`].
pub(crate) fn set_id(text: &str) -> Result<SetId, CliError> {
    SetId::parse(text).map_err(|error| CliError::Usage(error.to_string()))
}

fn create(arguments: &CreateArguments, global: &Global, shell: &Shell) -> Result<Exit, Fault> {
    block_on(async {
        let project = project(global, &arguments.project)?;
        let (platform, vault) = open(gather(Screen::new(shell))?, project, shell).await?;
        let set = backups::create(platform, vault).await?;
        shell.answer(&json!({ "set": set.id().as_str() }), || screen::backups::made(&set));
        Ok(Exit::Done)
    })
}

fn list(arguments: &ListArguments, global: &Global, shell: &Shell) -> Result<Exit, Fault> {
    let project = project(global, &arguments.project)?;
    let machinery = gather(Arc::new(Silence))?;
    let (vault, _) = backups::open_vault(&machinery, &project)?;
    let rows = screen::backups::rows(&vault)?;
    shell.answer(&rows, || screen::backups::table(&rows, shell));
    Ok(Exit::Done)
}

fn prove(arguments: &ProveArguments, global: &Global, shell: &Shell) -> Result<Exit, Fault> {
    block_on(async {
        let set = set_id(&arguments.set)?;
        let level = arguments.level.and_then(|level| ProofLevel::try_from(level).ok());
        let project = project(global, &arguments.project)?;
        let (platform, vault) = open(gather(Screen::new(shell))?, project, shell).await?;
        let proven = backups::prove(platform, vault, &set, level).await?;
        shell.answer(&json!({ "set": proven.id().as_str(), "proven": true }), || {
            format!("backup {} is proven", proven.id())
        });
        Ok(Exit::Done)
    })
}

fn prune(arguments: &PruneArguments, global: &Global, shell: &Shell) -> Result<Exit, Fault> {
    let project = project(global, &arguments.project)?;
    let machinery = gather(Arc::new(Silence))?;
    let (vault, _) = backups::open_vault(&machinery, &project)?;
    let named = arguments.named.iter().map(|text| set_id(text));
    let named: BTreeSet<SetId> = named.collect::<Result<_, _>>()?;
    let pruned = backups::prune(&machinery, &project, &vault, &named, arguments.dry_run)?;
    let ids: Vec<&str> = pruned.removed.iter().map(SetId::as_str).collect();
    shell.answer(&json!({ "removed": ids, "dry-run": arguments.dry_run }), || {
        screen::backups::pruned(&pruned, arguments.dry_run)
    });
    Ok(Exit::Done)
}
