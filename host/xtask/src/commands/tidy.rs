//! `cargo xtask tidy`: the house rules as checks; see [`crate::tidy`].

use anyhow::{Result, ensure};

use super::no_arguments;
use crate::screen;
use crate::tidy::{Tree, findings};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    check(workspace)
}

/// Says everything that breaks a rule, and fails if anything does.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(workspace)?;
    let findings = findings(&tree);
    for finding in &findings {
        screen::say(finding);
    }
    let errors = findings.iter().filter(|finding| finding.is_error).count();
    let warnings = findings.len() - errors;
    let files = tree.files.len();
    screen::say(format_args!("{files} files, {errors} findings, {warnings} warnings"));
    ensure!(errors == 0, "{errors} places break a house rule");
    Ok(())
}
