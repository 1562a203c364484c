//! `vaultup man`: manual pages, from the same definition as the parser.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use model::Exit;

use crate::arguments::Arguments;
use crate::error::{CliError, Fault};
use crate::shell::Shell;

/// Arguments of `vaultup man`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup man | man -l -\n  vaultup man --into man1")]
pub(crate) struct ManArguments {
    /// Write a page for each command into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub into: Option<PathBuf>,
}

/// Carries it out.
///
/// # Errors
/// When a page cannot be written.
pub(crate) fn execute(arguments: &ManArguments, shell: &Shell) -> Result<Exit, Fault> {
    let command = Arguments::command();
    let written = match &arguments.into {
        Some(directory) => clap_mangen::generate_to(command, directory),
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            shell.data(&String::from_utf8_lossy(&page));
            rendered
        }
    };
    let path = arguments.into.clone().unwrap_or_default();
    written.map_err(|source| CliError::NotWritten { path, source })?;
    Ok(Exit::Done)
}
