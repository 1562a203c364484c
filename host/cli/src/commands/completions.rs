//! `vaultup completions`: completions for a shell, from the same definition as the parser.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell as Kind;
use model::Exit;

use crate::arguments::Arguments;
use crate::shell::Shell;

/// Arguments of `vaultup completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vaultup completions bash > \
    ~/.local/share/bash-completion/completions/vaultup")]
pub(crate) struct CompletionsArguments {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Kind,
}

/// Carries it out.
pub(crate) fn execute(arguments: &CompletionsArguments, shell: &Shell) -> Exit {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "vaultup", &mut text);
    shell.data(&String::from_utf8_lossy(&text));
    Exit::Done
}
