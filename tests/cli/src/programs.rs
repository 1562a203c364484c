//! Where what was built lies.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The programs and plugins that were built.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The real binary.
    pub vaultup: PathBuf,
    /// The sample application.
    pub sample: PathBuf,
    /// Finished plugins, as `<name>.wasm`.
    pub plugins: PathBuf,
}

impl Programs {
    /// Those below a target directory.
    ///
    /// # Errors
    /// When one is missing: nothing is skipped.
    pub fn below(target: &Path) -> Result<Self> {
        let programs = Self {
            vaultup: target.join("debug/vaultup"),
            sample: target.join("debug/vaultup-sample"),
            plugins: target.join("plugins"),
        };
        for path in [&programs.vaultup, &programs.sample, &programs.plugins] {
            ensure!(path.exists(), "{} is missing: run `cargo xtask build`", path.display());
        }
        Ok(programs)
    }

    /// Those beside the test that runs now.
    ///
    /// # Errors
    /// As [`Programs::below`].
    pub fn beside_this_test() -> Result<Self> {
        let executable = std::env::current_exe()?;
        let target = executable.ancestors().nth(3).context("a test lies in target/debug/deps")?;
        Self::below(target)
    }
}
