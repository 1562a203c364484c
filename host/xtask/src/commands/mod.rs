//! The commands, as one table: a file each, with a `run` that takes the words after its name.

mod bench;
mod build;
mod demo;
mod deny;
mod e2e;
mod lint;
mod plugins;
mod test;
mod tidy;

use anyhow::{Result, bail, ensure};

use crate::workspace::Workspace;

/// What can be asked of `cargo xtask`.
struct Command {
    name: &'static str,
    summary: &'static str,
    run: fn(&Workspace, &[String]) -> Result<()>,
}

const COMMANDS: &[Command] = &[
    Command { name: "demo", summary: "builds everything and shows what it does", run: demo::run },
    Command { name: "test", summary: "the house rules and all tests", run: test::run },
    Command {
        name: "lint",
        summary: "clippy over everything, warnings are errors",
        run: lint::run,
    },
    Command {
        name: "e2e",
        summary: "[SUITE] end to end with real tools and servers",
        run: e2e::run,
    },
    Command { name: "bench", summary: "[--suite NAME] figures and goals", run: bench::run },
    Command { name: "tidy", summary: "the house rules alone", run: tidy::run },
    Command { name: "deny", summary: "licences, sources and bans of dependencies", run: deny::run },
    Command { name: "build", summary: "plugins, programs, examples and tests", run: build::run },
    Command { name: "plugins", summary: "the plugins alone", run: plugins::run },
];

/// Runs the command that the first word names.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let Some((name, arguments)) = words.split_first() else {
        bail!("which command? There are:\n{}", help());
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        bail!("there is no command `{name}`. There are:\n{}", help());
    };
    (command.run)(&Workspace::find()?, arguments)
}

/// The names of all commands.
pub(crate) fn names() -> Vec<&'static str> {
    COMMANDS.iter().map(|command| command.name).collect()
}

/// For commands that take nothing.
fn no_arguments(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "`{}` is more than this command takes", arguments.join(" "));
    Ok(())
}

fn help() -> String {
    let line = |command: &Command| format!("  {:8} {}", command.name, command.summary);
    COMMANDS.iter().map(line).collect::<Vec<_>>().join("\n")
}
