//! Where the workspace and what was built of it lie, and which packages it has: what
//! `cargo metadata` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Variables that `cargo run` sets for this program. A cargo that is started from here must not see
/// them: build scripts watch some of them, and would run again without cause.
const LEFT_BY_CARGO: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds: `target` in the root, or what `CARGO_TARGET_DIR` says.
    pub(crate) target: PathBuf,
    /// Every member, in cargo's order.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The folder of its `Cargo.toml`.
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// Whether it is built into a WebAssembly component.
    pub(crate) is_component: bool,
}

/// A dependency as written in a member's `Cargo.toml`.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) package: String,
    /// What the code calls it.
    pub(crate) identifier: String,
    /// Whether it is for tests, benches and examples only.
    pub(crate) is_for_tests: bool,
}

impl Workspace {
    /// Asks cargo for the workspace that this program was built in.
    pub(crate) fn find() -> Result<Self> {
        // Asked for when run, not when compiled: a build may be kept while the clone moves.
        let folder = std::env::var("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`")?;
        let mut command = cargo(Path::new(&folder));
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        let metadata = serde_json::from_str(&process::output(&mut command)?)?;
        Self::parse(&metadata).context("cannot read what `cargo metadata` wrote")
    }

    /// Reads the answer of `cargo metadata`.
    pub(crate) fn parse(metadata: &Value) -> Result<Self> {
        let packages = items(metadata, "packages")?.iter().map(Package::parse);
        Ok(Self {
            root: text(metadata, "workspace_root")?.into(),
            target: text(metadata, "target_directory")?.into(),
            packages: packages.collect::<Result<_>>()?,
        })
    }

    /// A cargo command in the root.
    pub(crate) fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// A program or, with `examples/` before its name, an example, in the one profile.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Where finished plugins lie, with their manifests inside.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.target.join("plugins")
    }

    /// A folder for what a command leaves behind, always in the workspace's own `target`.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.root.join("target").join(name)
    }

    /// As [`Workspace::scratch`], and the folder is there and empty.
    pub(crate) fn empty_scratch(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }
}

impl Package {
    fn parse(package: &Value) -> Result<Self> {
        let manifest = PathBuf::from(text(package, "manifest_path")?);
        let kinds = items(package, "targets")?.iter().map(|target| items(target, "kind"));
        let kinds: Vec<&[Value]> = kinds.collect::<Result<_>>()?;
        let dependencies = items(package, "dependencies")?.iter().map(Dependency::parse);
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            folder: manifest.parent().context("a manifest lies in no folder")?.to_owned(),
            dependencies: dependencies.collect::<Result<_>>()?,
            is_component: kinds.iter().any(|kinds| kinds.iter().any(|kind| kind == "cdylib")),
        })
    }
}

impl Dependency {
    fn parse(dependency: &Value) -> Result<Self> {
        let package = text(dependency, "name")?;
        let called = dependency["rename"].as_str().unwrap_or(package);
        Ok(Self {
            package: package.to_owned(),
            identifier: called.replace('-', "_"),
            is_for_tests: dependency["kind"] == "dev",
        })
    }
}

fn cargo(folder: &Path) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(folder);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if LEFT_BY_CARGO.iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(&*name);
        }
    }
    command
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no text `{key}`"))
}

fn items<'a>(value: &'a Value, key: &str) -> Result<&'a [Value]> {
    value[key].as_array().map(Vec::as_slice).with_context(|| format!("no list `{key}`"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;

    use super::*;

    #[test]
    fn packages_dependencies_and_folders_are_read_from_cargos_answer() {
        let workspace = Workspace::parse(&json!({
            "workspace_root": "/house",
            "target_directory": "/build",
            "packages": [{
                "name": "vaultup-plugin-host",
                "manifest_path": "/house/plugins/host/Cargo.toml",
                "targets": [{ "kind": ["cdylib", "rlib"] }, { "kind": ["test"] }],
                "dependencies": [
                    { "name": "vaultup-sdk", "rename": null, "kind": null },
                    { "name": "vaultup-model", "rename": "model", "kind": "dev" },
                ],
            }],
        }));
        let workspace = workspace.unwrap();
        assert_eq!(workspace.program("vaultup"), Path::new("/build/debug/vaultup"));
        assert_eq!(workspace.scratch("demo"), Path::new("/house/target/demo"));
        let package = &workspace.packages[0];
        assert!(package.is_component);
        assert_eq!(package.folder, Path::new("/house/plugins/host"));
        assert_eq!(package.dependencies[0].identifier, "vaultup_sdk");
        assert!(!package.dependencies[0].is_for_tests);
        assert_eq!(package.dependencies[1].identifier, "model");
        assert_eq!(package.dependencies[1].package, "vaultup-model");
        assert!(package.dependencies[1].is_for_tests);
    }

    #[test]
    fn an_answer_without_packages_is_refused_by_name() {
        let error = Workspace::parse(&json!({ "workspace_root": "/", "target_directory": "/" }));
        assert_eq!(error.unwrap_err().to_string(), "no list `packages`");
    }
}
