//! What an operator has: the stack file, the releases beside it, the lock file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::Name;
use model::lock::Lock;
use model::places::Places;
use model::release::{Release, variables};
use model::stack::Stack;
use registry::lock_file::LOCK_FILE;

use crate::error::Error;

/// The name of the stack file.
pub const STACK_FILE: &str = "vaultup.toml";

/// The name of a release's file, below `<releases>/<version>/`.
pub const RELEASE_FILE: &str = "release.toml";

/// Where a stack was described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a stack file.
    File,
    /// In flags.
    Flags {
        /// `--plugin`.
        plugin: Name,
        /// `--set`, as keys and values.
        sets: Vec<(String, String)>,
    },
}

/// A stack file with what belongs to it.
#[derive(Clone, Debug)]
pub struct Project {
    /// The directory that relative paths begin in: that of the stack file. Absolute.
    pub directory: PathBuf,
    /// Where the stack was described.
    pub origin: Origin,
    /// The stack.
    pub stack: Stack,
    /// Where everything stands in the stack file.
    pub places: Places,
    /// The lock file.
    pub lock: Lock,
    /// Digests of the files that were read, by the name the operator knows.
    pub files: BTreeMap<String, String>,
}

impl Project {
    /// Opens the project of a stack file.
    ///
    /// # Errors
    /// [`Error::NoStackFile`], [`Error::Unreadable`], [`Error::Written`].
    pub fn open(stack_file: &Path) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(stack_file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NoStackFile(stack_file.to_owned()));
            }
            other => other.map_err(unreadable(stack_file))?,
        };
        let shown = stack_file.display().to_string();
        let (stack, places) = Stack::parse_with_places(&text, &shown)?;
        let directory = parent_of(stack_file)?;
        let lock = registry::lock_file::read(&directory.join(LOCK_FILE))?;
        let files = BTreeMap::from([(name_of(stack_file), digest(text.as_bytes()))]);
        Ok(Self { directory, origin: Origin::File, stack, places, lock, files })
    }

    /// A project without a stack file, from `--plugin` and `--set`.
    ///
    /// # Errors
    /// [`Error::Written`] when the flags make no stack.
    pub fn from_flags(
        directory: &Path,
        plugin: &Name,
        sets: &[(String, String)],
    ) -> Result<Self, Error> {
        let (stack, places) = Stack::from_flags_with_places(plugin, sets)?;
        let directory = directory.canonicalize().map_err(unreadable(directory))?;
        let lock = registry::lock_file::read(&directory.join(LOCK_FILE))?;
        let said: Vec<String> = sets.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let files = BTreeMap::from([("--set".to_owned(), digest(said.join("\n").as_bytes()))]);
        let origin = Origin::Flags { plugin: plugin.clone(), sets: sets.to_vec() };
        Ok(Self { directory, origin, stack, places, lock, files })
    }

    /// Where releases lie.
    #[must_use]
    pub fn releases_directory(&self) -> PathBuf {
        self.directory.join(&self.stack.releases)
    }

    /// The versions of the releases that exist, oldest first.
    #[must_use]
    pub fn versions(&self) -> Vec<semver::Version> {
        let entries = std::fs::read_dir(self.releases_directory()).into_iter().flatten().flatten();
        let with_file = entries.filter(|entry| entry.path().join(RELEASE_FILE).is_file());
        let named =
            with_file.filter_map(|entry| semver::Version::parse(entry.file_name().to_str()?).ok());
        let mut versions: Vec<_> = named.collect();
        versions.sort();
        versions
    }

    /// Reads a release and notes its digest. Without a stack file, a version of which there is no
    /// release file is a release that says nothing of itself.
    ///
    /// # Errors
    /// [`Error::ReleaseNotFound`] naming those that exist; [`Error::Written`] when its file is
    /// wrong, is of another version, or speaks of what the stack does not have.
    pub fn release(&mut self, version: &str) -> Result<Release, Error> {
        let path = self.releases_directory().join(version).join(RELEASE_FILE);
        let plain = semver::Version::parse(version).is_ok();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) if plain => text,
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Unreadable { path, source: error });
            }
            _ if plain && self.origin != Origin::File => {
                return Ok(Release::parse(
                    &format!("format = 1\nversion = \"{version}\"\n"),
                    "--to",
                )?);
            }
            _ => {
                return Err(Error::ReleaseNotFound {
                    version: version.to_owned(),
                    directory: self.releases_directory(),
                    known: self.versions().iter().map(ToString::to_string).collect(),
                });
            }
        };
        let shown = Path::new(&self.stack.releases).join(version).join(RELEASE_FILE);
        let shown = shown.display().to_string();
        let (mut release, places) = Release::parse_with_places(&text, &shown)?;
        release.check_against(&self.stack, &places)?;
        self.files.insert(shown, digest(text.as_bytes()));
        for component in release.components.values_mut() {
            let Some(config) = component.config.clone() else { continue };
            component.require(self.without_default(version, &config)?);
        }
        Ok(release)
    }

    /// The variables in a file of a release that have no default.
    fn without_default(&mut self, version: &str, config: &str) -> Result<Vec<String>, Error> {
        let shown = Path::new(&self.stack.releases).join(version).join(config);
        let path = self.directory.join(&shown);
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
        let shown = shown.display().to_string();
        let names = variables::without_default(&text, &shown)?;
        self.files.insert(shown, digest(text.as_bytes()));
        Ok(names)
    }
}

/// `blake3:` and the digest of bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("blake3:{}", blake3::hash(bytes).to_hex())
}

fn parent_of(file: &Path) -> Result<PathBuf, Error> {
    let absolute = file.canonicalize().map_err(unreadable(file))?;
    Ok(absolute.parent().unwrap_or(Path::new("/")).to_owned())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    |source| Error::Unreadable { path: path.to_owned(), source }
}
