//! A stack that was said in flags is remembered while it is of use: after `vaultup run --plugin …`,
//! `status`, `resume`, `rollback` and the others find it again from the same directory.
//!
//! The flags stand beside the stack's journal, in `flags.json`. They hold no secrets: settings name
//! those only. A stack file in the directory comes first.

use std::path::{Path, PathBuf};

use model::Name;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::project::{Origin, Project};

/// The file's name, beside the journal.
const FILE: &str = "flags.json";
/// The version of the file's format.
const FORMAT: u32 = 1;
/// Readable for this user only, as the journal is.
const MODE: u32 = 0o600;

/// What was said in flags, and where.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Remembered {
    format: u32,
    directory: PathBuf,
    plugin: Name,
    sets: Vec<(String, String)>,
}

/// Keeps the flags of a project beside its journal; for a stack file there is nothing to keep.
///
/// # Errors
/// [`Error::System`] when the file cannot be written.
pub(crate) fn remember(state_directory: &Path, project: &Project) -> Result<(), Error> {
    let Origin::Flags { plugin, sets } = &project.origin else { return Ok(()) };
    let remembered = Remembered {
        format: FORMAT,
        directory: project.directory.clone(),
        plugin: plugin.clone(),
        sets: sets.clone(),
    };
    let text = serde_json::to_vec_pretty(&remembered).map_err(std::io::Error::from);
    let path = state_directory.join(FILE);
    let text = text.map_err(|source| Error::Unwritable { path: path.clone(), source })?;
    Ok(system::durable::write_atomically(&path, &text, MODE)?)
}

/// The project that was last run from flags in this directory. `stacks` is where journals lie.
///
/// # Errors
/// [`Error::SeveralStacks`] when more than one was; those of [`Project::from_flags`].
pub fn recall(stacks: &Path, directory: &Path) -> Result<Option<Project>, Error> {
    let Ok(directory) = directory.canonicalize() else { return Ok(None) };
    let Ok(entries) = std::fs::read_dir(stacks) else { return Ok(None) };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::Unreadable { path, source }),
        };
        let remembered: Remembered = serde_json::from_slice(&text)
            .map_err(|error| Error::Unreadable { path, source: error.into() })?;
        if remembered.format == FORMAT && remembered.directory == directory {
            found.push((entry.file_name().to_string_lossy().into_owned(), remembered));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    match found.as_slice() {
        [] => Ok(None),
        [(_, only)] => Project::from_flags(&directory, &only.plugin, &only.sets).map(Some),
        several => Err(Error::SeveralStacks {
            directory,
            names: several.iter().map(|(name, _)| name.clone()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    fn project(directory: &Path, name: &str) -> Project {
        let sets = [("name", name), ("release", "shop")];
        let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Project::from_flags(directory, &Name::parse("helm").unwrap(), &sets).unwrap()
    }

    fn run_in(stacks: &Path, directory: &Path, name: &str) {
        let state = stacks.join(name);
        std::fs::create_dir_all(&state).unwrap();
        remember(&state, &project(directory, name)).unwrap();
    }

    #[test]
    fn what_was_run_here_is_found_again_and_nothing_else() {
        let (stacks, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(recall(stacks.path(), here.path()).unwrap().is_none());
        run_in(stacks.path(), here.path(), "shop");
        run_in(stacks.path(), elsewhere.path(), "other");
        let found = recall(stacks.path(), here.path()).unwrap().unwrap();
        assert_eq!(found.stack, project(here.path(), "shop").stack);
        assert_eq!(found.files, project(here.path(), "shop").files);
    }

    #[test]
    fn of_several_stacks_none_is_guessed() {
        let (stacks, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run_in(stacks.path(), here.path(), "shop");
        run_in(stacks.path(), here.path(), "bank");
        let error = recall(stacks.path(), here.path()).unwrap_err();
        assert!(error.to_string().ends_with("bank, shop"), "{error}");
    }

    #[test]
    fn flags_that_cannot_be_understood_are_an_error() {
        let (stacks, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        run_in(stacks.path(), here.path(), "shop");
        std::fs::write(stacks.path().join("shop").join(FILE), "{").unwrap();
        assert!(matches!(recall(stacks.path(), here.path()), Err(Error::Unreadable { .. })));
    }
}
