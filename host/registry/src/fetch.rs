//! Where plugins come from: a file, or the set that lies beside the executable.
//!
//! First-party plugins need no network on first use. They are files like any other, and are
//! granted like any other: that they come with vaultup gives them no right.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use model::Name;

use crate::inspect::{COMPONENT_BYTES_MAX, Inspected, inspect};
use crate::store::read_limited;
use crate::{Error, Registry};

/// Where, relative to the executable's directory, the bundled set may lie.
const BUNDLED_PLACES: [&str; 2] = ["plugins", "../share/vaultup/plugins"];
const EXTENSION: &str = "wasm";

/// A component that was fetched and inspected.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// What it says of itself; its digest.
    pub inspected: Inspected,
    /// Where it came from.
    pub source: Source,
}

/// Where a plugin came from. Its text is what the lock records, and what `plugin add` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file; relative to the lock's directory if it lies below it.
    File(PathBuf),
    /// The set beside the executable.
    Bundled(Name),
}

/// The plugins that lie beside the executable.
#[derive(Clone, Debug, Default)]
pub struct Bundled {
    files: BTreeMap<Name, PathBuf>,
}

impl Bundled {
    /// Looks beside an executable: `plugins/<name>.wasm`, then `../share/vaultup/plugins/`.
    #[must_use]
    pub fn beside(executable: &Path) -> Self {
        let directory = executable.parent().unwrap_or(Path::new("."));
        let mut files = BTreeMap::new();
        for place in BUNDLED_PLACES {
            let Ok(entries) = std::fs::read_dir(directory.join(place)) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_stem().and_then(|stem| Name::parse(stem.to_str()?).ok());
                if let Some(name) = name
                    && path.extension().is_some_and(|extension| extension == EXTENSION)
                {
                    files.entry(name).or_insert(path);
                }
            }
        }
        Self { files }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.files.keys()
    }

    /// Where one lies.
    #[must_use]
    pub fn find(&self, name: &Name) -> Option<&Path> {
        self.files.get(name).map(PathBuf::as_path)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A path always has a `/`, so that it is told from a name.
            Self::File(path) if path.is_relative() => write!(formatter, "./{}", path.display()),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Bundled(name) => write!(formatter, "{name}"),
        }
    }
}

impl Registry {
    /// Fetches what an operator named and inspects it. Keeps nothing.
    ///
    /// `reference` is a path (it has a `/` or ends in `.wasm`; relative to `base`), or the name of
    /// a bundled plugin.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::File`], and everything of [`inspect`].
    pub fn fetch(&self, reference: &str, base: &Path) -> Result<Fetched, Error> {
        if reference.contains('/') || reference.ends_with(".wasm") {
            let path: PathBuf = base.join(reference).components().collect();
            let beside_lock = path.strip_prefix(&self.lock_directory).map(Path::to_owned);
            return fetch_file(&path, Source::File(beside_lock.unwrap_or(path.clone())));
        }
        if let Ok(name) = Name::parse(reference)
            && let Some(path) = self.bundled.find(&name)
        {
            return fetch_file(path, Source::Bundled(name));
        }
        Err(Error::Unknown {
            reference: model::pattern::shown(reference),
            nearest: nearest(reference, self.bundled.names()),
        })
    }
}

fn fetch_file(path: &Path, source: Source) -> Result<Fetched, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let not_usable = |error| Error::NotUsable { path: path.to_owned(), error: Box::new(error) };
    let bytes = read_limited(path).map_err(failed)?;
    if bytes.len() > COMPONENT_BYTES_MAX {
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        return Err(not_usable(Error::TooLarge { bytes }));
    }
    let inspected = inspect(&bytes).map_err(not_usable)?;
    Ok(Fetched { bytes, inspected, source })
}

/// The name that is spelt most alike, if it is alike enough to have been meant.
pub(crate) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a Name>) -> Option<Name> {
    /// Two letters exchanged score 0.9; what has little in common stays under 0.7.
    const ALIKE: f64 = 0.75;
    let scored = names.map(|name| (strsim::jaro_winkler(wanted, name.as_str()), name));
    let alike = scored.filter(|(score, _)| *score >= ALIKE);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name.clone())
}
