//! Which release this process is: the directory that its executable lies in, and what stands there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::faults::Faults;

/// Name of the file that says which release a release directory holds.
pub(crate) const VERSION_FILE: &str = "VERSION";
/// Name of the file that says how the release misbehaves.
pub(crate) const FAULTS_FILE: &str = "faults.toml";
/// Where the program lies inside a release directory.
pub(crate) const PROGRAM: &str = "bin/vaultup-sample";

/// A release version, `MAJOR.MINOR.PATCH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    text: String,
    major: u32,
}

impl Version {
    /// Parses three numbers, the first not zero. `2.0`, `v2.0.0` and `2.0.0-rc1` are refused.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let numbers: Vec<Option<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers[..] {
            [Some(major @ 1..), Some(_), Some(_)] => Ok(Self { text: text.to_owned(), major }),
            _ => bail!("`{text}` is not a release such as 2.0.0"),
        }
    }

    /// As written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The first number, from 1.
    pub(crate) fn major(&self) -> u32 {
        self.major
    }
}

/// The release that this process is.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    /// From `VERSION`.
    pub(crate) version: Version,
    /// From `faults.toml`; none if there is no such file.
    pub(crate) faults: Faults,
    /// Its release directory.
    pub(crate) directory: PathBuf,
}

impl Release {
    /// Finds the release directory of the running executable and reads it.
    pub(crate) fn current() -> Result<Self> {
        let program = std::env::current_exe().context("cannot tell where this program lies")?;
        let Some(directory) = program.parent().and_then(Path::parent) else {
            bail!("{} lies in no release directory", program.display());
        };
        Self::read(directory)
    }

    fn read(directory: &Path) -> Result<Self> {
        let file: PathBuf = directory.join(VERSION_FILE);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!("cannot read {}; make a release with `install`", file.display())
        })?;
        let version = Version::parse(text.trim())?;
        let faults = Faults::read(&directory.join(FAULTS_FILE))?;
        Ok(Self { version, faults, directory: directory.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn a_version_has_three_numbers_and_the_first_is_not_zero() {
        assert_eq!(Version::parse("2.10.3").unwrap().major(), 2);
        for wrong in ["", "2", "2.0", "v2.0.0", "2.0.0-rc1", "0.9.0", "2.0.0.0", "2..0"] {
            assert!(Version::parse(wrong).is_err(), "{wrong}");
        }
    }
}
