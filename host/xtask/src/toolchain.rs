//! What a step needs of the Rust toolchain beyond a compiler, added through rustup if it is
//! missing: a minimal installation has none of it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process;

/// Adds the standard library for a target.
pub(crate) fn add_target(target: &str) -> Result<()> {
    let mut query = Command::new("rustc");
    let libraries = process::output(query.args(["--print=target-libdir", "--target", target]))?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    add("target", target)
}

/// Adds a component, which brings the cargo command of this name.
pub(crate) fn add_component(component: &str, cargo_command: &str) -> Result<()> {
    let mut query = Command::new("cargo");
    query.args([cargo_command, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    if process::quiet(&mut query).is_ok() {
        return Ok(());
    }
    add("component", component)
}

fn add(kind: &str, name: &str) -> Result<()> {
    let mut install = Command::new("rustup");
    let Err(error) = process::run(install.args([kind, "add", name])) else { return Ok(()) };
    bail!("{error:#}; install it with `rustup {kind} add {name}`, which needs the network once");
}
