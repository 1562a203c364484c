//! What was really done, one line for each command that changed something and succeeded, such as
//! `migrate 3.0.0`: noted in `run/invocations` beside the directory of the releases, if that file
//! is there.
//!
//! Tests compare it with what vaultup's journal says. No variable of the environment leads to it,
//! because vaultup hands none on. A line is written in one append, so that commands that run side
//! by side do not mix.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::release::Release;

/// Commands that change something.
const CHANGES: [&str; 3] = ["migrate", "start", "stop"];
/// From the program up to the directory that holds those of releases, data and run.
const LEVELS_UP: usize = 4;
const FILE: &str = "run/invocations";

/// Notes a command that ended well, if anybody wants to know.
pub(crate) fn note(command: &str, code: ExitCode) -> Result<()> {
    if !CHANGES.contains(&command) || code != ExitCode::SUCCESS {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let Some(folder) = program.ancestors().nth(LEVELS_UP) else { return Ok(()) };
    // The program as it was built is no release; only those are noted.
    let (file, release) = (folder.join(FILE), Release::current());
    let (true, Ok(release)) = (file.is_file(), release) else { return Ok(()) };
    let line = format!("{command} {}\n", release.version.as_str());
    let mut file = OpenOptions::new().append(true).open(&file)?;
    file.write_all(line.as_bytes()).with_context(|| format!("cannot note `{command}`"))
}
