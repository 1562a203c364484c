//! The command line's definition. From it come parser, help, manual pages and completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{
    backup, check, completions, explain, hold, init, man, plan, plugin, rehearse, report, restore,
    resume, rollback, run, status, unlock, verify,
};

const AFTER_HELP: &str = "\
Exit codes: 0 done · 1 failed, nothing changed · 2 bad input · 3 rolled back · 4 held, a person is
needed · 70 a bug in vaultup.

Examples:
  vaultup init                     write vaultup.toml from what is here
  vaultup plugin add host          show what a plugin wants, ask, allow it
  vaultup plan --to 2.5.0          the exact steps, and the way back of each
  vaultup run --to 2.5.0           carry them out
  vaultup status                   where it is, and what to type next";

/// Upgrades software so that there is always a way back.
#[derive(Debug, Parser)]
#[command(name = "vaultup", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The stack file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "vaultup.toml",
        env = "VAULTUP_STACK_FILE"
    )]
    pub stack_file: PathBuf,
    /// `json`: one JSON object a line on standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// More about what happens inside, on standard error; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// For whom output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// People.
    Human,
    /// Programs.
    Json,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a stack file from what is found here.
    Init(init::InitArguments),
    /// Run every preflight for a release; nothing is changed.
    Check(check::CheckArguments),
    /// Show the exact steps to a release, and the way back of each; nothing is changed.
    Plan(plan::PlanArguments),
    /// Upgrade to a release; on failure take the way back that fits what is observed.
    Run(run::RunArguments),
    /// Carry an upgrade and its way back out on a copy.
    Rehearse(rehearse::RehearseArguments),
    /// Say where the stack is and what to type next.
    Status(status::StatusArguments),
    /// Go on with a run that was interrupted or holds.
    Resume(resume::ResumeArguments),
    /// Ask the run that is under way to hold before its next step.
    Hold(hold::HoldArguments),
    /// Decide on the way back of the last run and take it.
    Rollback(rollback::RollbackArguments),
    /// Probe everything that runs.
    Verify(verify::VerifyArguments),
    /// Show the record of a run: steps, times, decision and its inputs.
    Report(report::ReportArguments),
    /// Take the lock from whoever holds it; what it does is refused from then on.
    Unlock(unlock::UnlockArguments),
    /// Take, list, prove and prune backup sets.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Restore a backup set over what is there; what is there is kept.
    Restore(restore::RestoreArguments),
    /// Add plugins, and say what each may do.
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Explain an error code.
    Explain(explain::ExplainArguments),
    /// Write completions for a shell.
    Completions(completions::CompletionsArguments),
    /// Write manual pages.
    Man(man::ManArguments),
    /// Compile a plugin in this process, which limits itself first.
    #[command(hide = true)]
    CompilePlugin(plugin::CompileArguments),
}

/// The project that a command is about.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProjectArguments {
    /// Without a stack file: this plugin deploys one component.
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// A setting of it, such as `release=shop`. Can be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "plugin", value_parser = assignment)]
    pub sets: Vec<(String, String)>,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let split = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = split.ok_or_else(|| format!("`{text}` is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
