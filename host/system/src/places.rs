//! Where state, configuration, data, cache and short-lived files of this user belong.
//!
//! Looked up once, by the command line, and passed around: no library asks the environment, so
//! that a test or a CI job that sets `VAULTUP_HOME` touches nothing outside it.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Environment variable under whose directory everything is kept instead, for tests and CI.
pub const HOME_VARIABLE: &str = "VAULTUP_HOME";

/// The directories of one user. None of them need exist; see [`crate::durable::private_directory`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Journals: what must survive a restart and is of this machine.
    pub state: PathBuf,
    /// Identities and what the operator chose.
    pub configuration: PathBuf,
    /// Backup sets and installed plugins.
    pub data: PathBuf,
    /// What can be made again: compiled plugins.
    pub cache: PathBuf,
    /// Short-lived files of running processes, secrets among them.
    pub runtime: PathBuf,
}

impl Places {
    /// The places of the user who runs this process: below `VAULTUP_HOME` if it is set, else as
    /// the platform has it (on Linux the XDG base directories).
    ///
    /// # Errors
    /// [`Error::PlacesUnknown`] when `VAULTUP_HOME` is not absolute or there is no home directory.
    pub fn of_this_user() -> Result<Self, Error> {
        if let Some(home) = std::env::var_os(HOME_VARIABLE).filter(|home| !home.is_empty()) {
            return Self::below(Path::new(&home));
        }
        let unknown = || Error::PlacesUnknown { reason: "there is no home directory".to_owned() };
        let user = directories::ProjectDirs::from("", "", "vaultup").ok_or_else(unknown)?;
        let state = user.state_dir().unwrap_or_else(|| user.data_local_dir()).to_path_buf();
        // Without a session there is no runtime directory (cron, CI); the state directory is as
        // private, though not gone after a restart: `secrets::sweep` cleans it.
        let runtime =
            user.runtime_dir().map_or_else(|| state.join("runtime"), |path| path.to_path_buf());
        Ok(Self {
            state,
            configuration: user.config_dir().to_path_buf(),
            data: user.data_dir().to_path_buf(),
            cache: user.cache_dir().to_path_buf(),
            runtime,
        })
    }

    /// The places below one directory.
    ///
    /// # Errors
    /// [`Error::PlacesUnknown`] when it is not absolute.
    pub fn below(home: &Path) -> Result<Self, Error> {
        if !home.is_absolute() {
            let reason = format!("{HOME_VARIABLE} is `{}`, which is not absolute", home.display());
            return Err(Error::PlacesUnknown { reason });
        }
        Ok(Self {
            state: home.join("state"),
            configuration: home.join("configuration"),
            data: home.join("data"),
            cache: home.join("cache"),
            runtime: home.join("runtime"),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::Places;
    use std::path::Path;

    #[test]
    fn everything_is_below_the_directory_that_is_given() {
        let places = Places::below(Path::new("/scratch")).unwrap();
        for place in [places.state, places.configuration, places.data, places.cache, places.runtime]
        {
            assert!(place.starts_with("/scratch"), "{place:?}");
        }
    }

    #[test]
    fn a_relative_directory_is_refused() {
        Places::below(Path::new("scratch")).unwrap_err();
    }

    #[test]
    fn a_user_has_five_different_places() {
        let places = Places::of_this_user().unwrap();
        let all = [places.state, places.configuration, places.data, places.cache, places.runtime];
        for (index, place) in all.iter().enumerate() {
            assert!(place.is_absolute());
            assert!(!all[index + 1..].contains(place), "{place:?} stands for two things");
        }
    }
}
