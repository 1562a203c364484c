//! Granted paths of a [`super::Machine`]: real files in its scratch directory.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use crate::Error;
use crate::files::{Entry, Kind, Room};
use crate::host::Files;
use crate::operation::Figure;

/// What names that vaultup made contain.
const OURS: &str = ".vaultup-";

/// An opened path.
pub(super) struct Opened {
    directory: PathBuf,
    /// With `beside = true`: the only name that can be reached, besides those that it begins.
    only: Option<String>,
}

impl Opened {
    pub(super) fn at(path: &Path, beside: bool) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if beside {
            let directory = path.parent().unwrap_or(path).to_owned();
            Self { directory, only: Some(name) }
        } else {
            Self { directory: path.to_owned(), only: None }
        }
    }

    fn resolve(&self, relative: &str) -> Result<PathBuf, Error> {
        let denied = || Error::denied(format!("`{relative}` leaves what is granted"));
        let mut components = Path::new(relative).components();
        if !components.clone().all(|part| matches!(part, Component::Normal(_))) {
            return Err(denied());
        }
        let first = components.next().map(|part| part.as_os_str().to_string_lossy());
        if !self.permits(&first.unwrap_or_default()) {
            return Err(denied());
        }
        Ok(if relative.is_empty() { self.directory.clone() } else { self.directory.join(relative) })
    }

    fn permits(&self, first: &str) -> bool {
        let begins = |only: &String| first == only || first.starts_with(&format!("{only}{OURS}"));
        self.only.as_ref().is_none_or(begins)
    }
}

impl Files for Opened {
    fn path(&self, relative: &str) -> Result<String, Error> {
        let path = self.resolve(relative)?;
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink()) {
            return Err(Error::denied(format!("{} leads elsewhere", path.display())));
        }
        Ok(path.to_string_lossy().into_owned())
    }

    fn describe(&self, relative: &str) -> Result<Option<Entry>, Error> {
        let path = self.resolve(relative)?;
        match described(&path) {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(broken(&path)(error)),
        }
    }

    fn entries(&self, relative: &str) -> Result<Vec<Entry>, Error> {
        let path =
            if relative.is_empty() { self.directory.clone() } else { self.resolve(relative)? };
        let mut paths = children(&path).map_err(broken(&path))?;
        if relative.is_empty() {
            let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into());
            paths.retain(|path| name(path).is_some_and(|name: String| self.permits(&name)));
        }
        paths.iter().map(|path| described(path).map_err(broken(path))).collect()
    }

    fn read(&self, relative: &str) -> Result<Vec<u8>, Error> {
        let path = self.resolve(relative)?;
        fs::read(&path).map_err(broken(&path))
    }

    fn measure(&self, relative: &str) -> Result<Figure, Error> {
        let path = self.resolve(relative)?;
        let mut measured = Measured { count: 0, bytes: 0, hasher: DefaultHasher::new() };
        measured.add(&path).map_err(broken(&path))?;
        Ok(Figure {
            name: relative.to_owned(),
            count: Some(measured.count),
            bytes: Some(measured.bytes),
            digest: Some(format!("sip:{:016x}", measured.hasher.finish())),
        })
    }

    fn room(&self) -> Result<Room, Error> {
        Ok(Room { bytes_free: 1 << 40, bytes_total: 1 << 41 })
    }

    fn write(&self, relative: &str, content: &[u8]) -> Result<(), Error> {
        let path = self.resolve(relative)?;
        fs::write(&path, content).map_err(broken(&path))
    }

    fn link(&self, relative: &str, to: &str) -> Result<(), Error> {
        let path = self.resolve(relative)?;
        if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_symlink()) {
            return Err(Error::refused(format!("{} is no link", path.display())));
        }
        let made = path.with_extension("vaultup-link");
        symlink(to, &made).and_then(|()| fs::rename(&made, &path)).map_err(broken(&path))
    }

    fn create_directory(&self, relative: &str) -> Result<(), Error> {
        let path = self.resolve(relative)?;
        fs::create_dir_all(&path).map_err(broken(&path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(broken(&path))
    }

    fn rename(&self, source: &str, destination: &str) -> Result<(), Error> {
        let (source, destination) = (self.resolve(source)?, self.resolve(destination)?);
        if fs::symlink_metadata(&destination).is_ok() {
            return Err(Error::conflict(format!("{} exists", destination.display())));
        }
        fs::rename(&source, destination).map_err(broken(&source))
    }

    fn exchange(&self, first: &str, second: &str) -> Result<(), Error> {
        let (first, second) = (self.resolve(first)?, self.resolve(second)?);
        let between = first.with_extension("vaultup-between");
        fs::symlink_metadata(&second).map_err(broken(&second))?;
        fs::rename(&first, &between)
            .and_then(|()| fs::rename(&second, &first))
            .and_then(|()| fs::rename(&between, &second))
            .map_err(broken(&first))
    }

    fn remove(&self, relative: &str) -> Result<(), Error> {
        let path = self.resolve(relative)?;
        if !relative.contains(OURS) {
            return Err(Error::denied(format!("{} was not made by vaultup", path.display())));
        }
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(broken(&path)(error)),
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path).map_err(broken(&path)),
            Ok(_) => fs::remove_file(&path).map_err(broken(&path)),
        }
    }
}

/// A digest of bytes as artifacts show it. Not BLAKE3: nothing here needs a real one.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

struct Measured {
    count: u64,
    bytes: u64,
    hasher: DefaultHasher,
}

impl Measured {
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let entry = described(path)?;
        self.count += u64::from(entry.kind == Kind::File);
        self.bytes += entry.bytes;
        self.hasher.write_u8(entry.kind as u8);
        match entry.kind {
            Kind::Link => self.hasher.write(fs::read_link(path)?.as_os_str().as_bytes()),
            Kind::File => self.hasher.write(&fs::read(path)?),
            Kind::Directory | Kind::Other => {}
        }
        if entry.kind != Kind::Link {
            self.hasher.write_u32(fs::symlink_metadata(path)?.permissions().mode());
        }
        if entry.kind == Kind::Directory {
            for child in children(path)? {
                self.hasher.write(child.file_name().unwrap_or_default().as_bytes());
                self.add(&child)?;
            }
        }
        Ok(())
    }
}

fn children(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn described(path: &Path) -> io::Result<Entry> {
    let found = fs::symlink_metadata(path)?;
    let kind = match found.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Directory,
        kind if kind.is_symlink() => Kind::Link,
        _ => Kind::Other,
    };
    let link = (kind == Kind::Link).then(|| fs::read_link(path)).transpose()?;
    Ok(Entry {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        kind,
        bytes: if kind == Kind::File { found.len() } else { 0 },
        link: link.map(|to| to.to_string_lossy().into_owned()),
    })
}

fn broken(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.display().to_string();
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Error::not_found(format!("there is no {path}")),
        _ => Error::failed(format!("{path} cannot be used")).with_platform(error.to_string()),
    }
}
