//! `install`: writes a release directory whose program is this very program.
//!
//! The directory appears complete or not at all; one of the same release is replaced, so that a
//! test can take a fault away again. A process that runs from the old one goes on.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::failure::usage;
use crate::faults::Faults;
use crate::output;
use crate::release::{FAULTS_FILE, PROGRAM, VERSION_FILE, Version};

/// Writes `<into>/<release>/` and says where.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let version = arguments.text("release")?;
    let version = Version::parse(&version).map_err(|error| usage(error.to_string()))?;
    let faults = arguments.texts("fault")?;
    let faults = if faults.is_empty() { None } else { Some(Faults::file_text(&faults)?) };
    let releases = arguments.path("into")?;
    let target = releases.join(version.as_str());
    let made = releases.join(format!(".{}.{}", version.as_str(), std::process::id()));
    write(&made, &version, faults.as_deref())
        .with_context(|| format!("cannot write the release directory {}", made.display()))?;
    put_in_place(&made, &target)
        .with_context(|| format!("cannot put {} in place", target.display()))?;
    output::say(&target.display().to_string());
    Ok(ExitCode::SUCCESS)
}

fn write(made: &Path, version: &Version, faults: Option<&str>) -> Result<()> {
    let program = made.join(PROGRAM);
    std::fs::create_dir_all(program.parent().unwrap_or(made))?;
    std::fs::write(made.join(VERSION_FILE), format!("{}\n", version.as_str()))?;
    if let Some(text) = faults {
        std::fs::write(made.join(FAULTS_FILE), text)?;
    }
    let myself = std::env::current_exe()?;
    // A link costs nothing and shares the page cache; it fails across file systems.
    if std::fs::hard_link(&myself, &program).is_err() {
        std::fs::copy(&myself, &program)?;
    }
    Ok(())
}

fn put_in_place(made: &Path, target: &Path) -> Result<()> {
    if !target.exists() {
        return Ok(std::fs::rename(made, target)?);
    }
    let replaced = made.with_extension("replaced");
    std::fs::rename(target, &replaced)?;
    std::fs::rename(made, target)?;
    Ok(std::fs::remove_dir_all(&replaced)?)
}
