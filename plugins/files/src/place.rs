//! Where the datastore lies, and what lies beside it.

use vaultup_sdk::files::{Kind, Root};
use vaultup_sdk::{Error, Figure, Operation};

use crate::{FIGURE, Settings, Shape};

/// The longest name that file systems allow, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// What names that vaultup makes contain; the host lets nothing else be removed.
const OURS: &str = ".vaultup-";

/// Something that lies beside the datastore; the module of the crate says what each is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Checkpoint,
    Proof,
    Fill,
    Digest,
    New,
    Switch,
    Old,
}

impl Beside {
    fn word(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Proof => "proof",
            Self::Fill => "fill",
            Self::Digest => "digest",
            Self::New => "new",
            Self::Switch => "switch",
            Self::Old => "old",
        }
    }
}

/// Where the datastore lies.
pub(crate) struct Place {
    /// The directory in which it lies.
    pub(crate) root: Root,
    /// Its name there.
    pub(crate) name: String,
    key: String,
}

impl Place {
    /// Opens the path of the settings.
    pub(crate) fn open(operation: &Operation<Settings>) -> Result<Self, Error> {
        let path = &operation.settings.path;
        let name = name_of(path)
            .ok_or_else(|| Error::invalid_settings(format!("`path` names nothing: `{path}`")))?;
        if !operation.is_live() && !name.contains(OURS) {
            let message = format!("`{path}` is no path of a copy: its name must contain `{OURS}`");
            return Err(Error::invalid_settings(message));
        }
        let root = Root::open("path")?;
        let key = operation.key.clone();
        let place = Self { root, name: name.to_owned(), key };
        let longest = place.beside(Beside::Checkpoint).len();
        if longest > NAME_BYTES_MAX {
            let message = format!("the name `{name}` is too long to restore beside it");
            return Err(Error::invalid_settings(message));
        }
        Ok(place)
    }

    /// The name of what lies beside the datastore for this operation.
    pub(crate) fn beside(&self, what: Beside) -> String {
        format!("{}{OURS}{}-{}", self.name, what.word(), self.key)
    }

    /// Whether it is there.
    pub(crate) fn has(&self, what: Beside) -> Result<bool, Error> {
        self.root.exists(&self.beside(what))
    }

    /// Removes it; nothing happens if it is not there.
    pub(crate) fn remove(&self, what: Beside) -> Result<(), Error> {
        self.root.remove(&self.beside(what))
    }

    /// Names of everything here that vaultup made, whatever the key.
    pub(crate) fn made(&self) -> Result<Vec<String>, Error> {
        let names = self.root.entries("")?.into_iter().map(|entry| entry.name);
        Ok(names.filter(|name| name.contains(OURS)).collect())
    }

    /// The live path.
    pub(crate) fn path(&self) -> Result<String, Error> {
        self.root.path(&self.name)
    }

    /// What is live: nothing, a directory or a file.
    pub(crate) fn shape(&self) -> Result<Option<Shape>, Error> {
        let Some(entry) = self.root.describe(&self.name)? else { return Ok(None) };
        match entry.kind {
            Kind::Directory => Ok(Some(Shape::Directory)),
            Kind::File => Ok(Some(Shape::File)),
            kind => {
                let what = if kind == Kind::Link { "a symbolic link" } else { "something else" };
                let name = &self.name;
                let message = format!("{name} is {what}: name a directory or a file");
                Err(Error::invalid_settings(message))
            }
        }
    }

    /// As [`Place::shape`], if anything is there.
    pub(crate) fn present_shape(&self) -> Result<Shape, Error> {
        match self.shape()? {
            Some(shape) => Ok(shape),
            None => Err(Error::not_found(format!("there is no {}", self.path()?))),
        }
    }

    /// Measures something here.
    pub(crate) fn measure(&self, name: &str) -> Result<Figure, Error> {
        let measured = self.root.measure(name)?;
        Ok(Figure { name: FIGURE.to_owned(), ..measured })
    }

    /// Bytes of all files here, by their sizes only: quick, where [`Place::measure`] reads all.
    pub(crate) fn bytes(&self) -> Result<u64, Error> {
        let Some(live) = self.root.describe(&self.name)? else { return Ok(0) };
        let mut bytes = live.bytes;
        let mut directories = Vec::new();
        if live.kind == Kind::Directory {
            directories.push(self.name.clone());
        }
        while let Some(directory) = directories.pop() {
            vaultup_sdk::cancel::check()?;
            for entry in self.root.entries(&directory)? {
                bytes += entry.bytes;
                if entry.kind == Kind::Directory {
                    directories.push(format!("{directory}/{}", entry.name));
                }
            }
        }
        Ok(bytes)
    }
}

/// Does `work` with scratch space that is not there before and not afterwards, whatever happens.
pub(crate) fn with_scratch<Found>(
    place: &Place,
    scratch: Beside,
    work: impl FnOnce(&str) -> Result<Found, Error>,
) -> Result<Found, Error> {
    place.remove(scratch)?;
    let found = work(&place.beside(scratch));
    let removed = place.remove(scratch);
    let found = found?;
    removed?;
    Ok(found)
}

/// The last part of a path; nothing if it has none of its own.
fn name_of(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    (!matches!(name, "" | "." | "..")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_path_without_a_name_of_its_own_is_no_datastore() {
        assert_eq!(name_of("/srv/data/"), Some("data"));
        assert_eq!(name_of("key.bin"), Some("key.bin"));
        for path in ["", "/", ".", "..", "/srv/..", "a/."] {
            assert_eq!(name_of(path), None, "{path}");
        }
    }
}
