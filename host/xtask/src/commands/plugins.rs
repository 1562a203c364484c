//! `cargo xtask plugins`: builds every plugin into a component that carries its manifest.
//!
//! Reads `plugin.toml` beside each plugin's `Cargo.toml`; writes `<target>/plugins/<name>.wasm`,
//! only when its content changes, so that nothing later is done again without cause.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::no_arguments;
use crate::workspace::{Package, Workspace};
use crate::{component, process, screen, toolchain};

/// What plugins are compiled for. The linker of this target writes components.
const TARGET: &str = "wasm32-wasip2";
/// The profile for plugins in the root `Cargo.toml`.
const PROFILE: &str = "plugin";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    no_arguments(arguments)?;
    build(workspace)
}

/// Builds all of them.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    toolchain::add_target(TARGET)?;
    let plugins: Vec<&Package> = workspace.packages.iter().filter(|p| p.is_component).collect();
    ensure!(!plugins.is_empty(), "no package of the workspace is a component");
    let mut command = workspace.cargo();
    command.args(["build", "--target", TARGET, "--profile", PROFILE]);
    for plugin in &plugins {
        command.args(["--package", &plugin.name]);
    }
    process::run(&mut command)?;
    for plugin in plugins {
        finish(workspace, plugin).with_context(|| format!("cannot finish `{}`", plugin.name))?;
    }
    put_beside_programs(&workspace.target.join("debug"))
}

/// An installed vaultup has its plugins in `plugins/` beside it; so has the one that was built.
fn put_beside_programs(programs: &Path) -> Result<()> {
    let link = programs.join("plugins");
    fs::create_dir_all(programs)?;
    match std::os::unix::fs::symlink("../plugins", &link) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", link.display()))
        }
        _ => Ok(()),
    }
}

/// Embeds the manifest of a plugin that was compiled.
fn finish(workspace: &Workspace, plugin: &Package) -> Result<()> {
    let manifest_file = plugin.folder.join("plugin.toml");
    let manifest = fs::read_to_string(&manifest_file)
        .with_context(|| format!("cannot read {}", manifest_file.display()))?;
    let library = format!("{}.wasm", plugin.name.replace('-', "_"));
    let compiled = workspace.target.join(TARGET).join(PROFILE).join(library);
    let compiled =
        fs::read(&compiled).with_context(|| format!("cannot read {}", compiled.display()))?;
    let bytes = component::with_manifest(&compiled, &manifest)?;
    let file = workspace.plugins().join(component::plugin_name(&manifest)?).with_extension("wasm");
    let state = if write_if_changed(&file, &bytes)? { "written" } else { "unchanged" };
    let kibibytes = bytes.len().div_ceil(1024);
    screen::say(format_args!("{} {kibibytes} KiB, {state}", file.display()));
    Ok(())
}

/// Whether it had to be written. A reader sees the old content or the new one, never a part.
fn write_if_changed(file: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(file).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let unfinished = file.with_extension("unfinished");
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&unfinished, bytes))
        .and_then(|()| fs::rename(&unfinished, file))
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn a_file_is_left_alone_when_its_content_stays() {
        let folder = std::env::temp_dir().join(format!("vaultup-plugins-{}", std::process::id()));
        let file = folder.join("host.wasm");
        assert!(write_if_changed(&file, b"one").unwrap());
        assert!(!write_if_changed(&file, b"one").unwrap());
        assert!(write_if_changed(&file, b"two").unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
