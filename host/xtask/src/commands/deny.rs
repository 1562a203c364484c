//! `cargo xtask deny`: licences, sources and bans of every dependency, after `.cargo/deny.toml`.
//!
//! cargo-deny is compiled once, unoptimised (about a minute), into the user's cache folder, where
//! it stands under its version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::no_arguments;
use crate::process;
use crate::workspace::Workspace;

const VERSION: &str = "0.20.2";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    let folder = cache()?.join(format!("cargo-deny-{VERSION}"));
    let program = folder.join("bin/cargo-deny");
    if !program.is_file() {
        install(workspace, &folder)?;
    }
    let mut command = Command::new(program);
    command.current_dir(&workspace.root);
    command.args(["--workspace", "--config", ".cargo/deny.toml"]);
    command.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

fn install(workspace: &Workspace, folder: &Path) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["install", "--locked", "--debug", "--version", VERSION, "--root"]).arg(folder);
    // Its own folder: the workspace's would be locked for as long as it compiles.
    command.arg("--target-dir").arg(folder.join("build")).arg("cargo-deny");
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    process::run(&mut command)?;
    let build = folder.join("build");
    std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))
}

/// `$XDG_CACHE_HOME/vaultup`, or `~/.cache/vaultup`.
fn cache() -> Result<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
    let cache = given.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    Ok(cache.context("there is no home directory to cache cargo-deny in")?.join("vaultup"))
}
