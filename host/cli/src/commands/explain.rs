//! `vaultup explain`: the page of an error code.

use clap::Args;
use model::Exit;

use crate::error::{CliError, Fault};
use crate::explain::PAGES;
use crate::shell::Shell;

/// Arguments of `vaultup explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vaultup explain VU0402\n  vaultup explain")]
pub(crate) struct ExplainArguments {
    /// The code; without it all are listed.
    pub code: Option<String>,
}

/// Carries it out.
///
/// # Errors
/// [`CliError::NoSuchCode`].
pub(crate) fn execute(arguments: &ExplainArguments, shell: &Shell) -> Result<Exit, Fault> {
    let Some(code) = &arguments.code else {
        let titles = PAGES.iter().filter_map(|(_, page)| page.lines().next());
        let lines = titles.map(|title| title.trim_start_matches("# "));
        shell.data(&lines.collect::<Vec<_>>().join("\n"));
        return Ok(Exit::Done);
    };
    let digits = code.trim_start_matches(['V', 'U', 'v', 'u']);
    let number: Option<u16> = digits.parse().ok();
    let page = PAGES.iter().find(|(its, _)| Some(*its) == number);
    let (_, page) = page.ok_or_else(|| CliError::NoSuchCode(code.clone()))?;
    shell.data(page);
    Ok(Exit::Done)
}
