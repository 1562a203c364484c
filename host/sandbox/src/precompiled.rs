//! The one place where the workspace runs `unsafe` code: loading compiled components.
//!
//! Threat: `Component::deserialize` maps bytes as machine code. Bytes that somebody else chose are
//! somebody else's code in this process.
//!
//! Why it is sound: wasmtime asks that the bytes come, unmodified, from `precompile_component` of
//! the same version. They do, because
//! 1. they lie in a directory that only this user can enter: it belongs to the effective user, has
//!    mode 0700 and is no symbolic link ([`durable::private_directory`]), which [`Sealed::read`]
//!    demands as a [`PrivateDirectory`] value that only that check can make, and the file itself
//!    belongs to this user alone;
//! 2. they were put there whole, by rename, by [`write`], which alone makes such files and takes
//!    its bytes from `precompile_component` in the compiling child;
//! 3. a file is named by the digest of the component and the hash of everything in wasmtime and
//!    its settings that the code depends on, and begins with the BLAKE3 hash of that name and the
//!    content, which is computed again over the very bytes that are then loaded. A file that was
//!    cut, damaged, renamed or left by another version is refused, and made anew by its caller;
//! 4. wasmtime itself compares its version, the target and every setting once more.
//!
//! Why the bytes are copied and not mapped from the file: the hash is of what was read, and a
//! mapped file could change after that. Hashing reads every byte anyway; the copy of a Rust
//! plugin's megabyte costs a fraction of a millisecond.
//!
//! Whoever can write into the directory in spite of (1) acts with this user's rights and could
//! replace vaultup's executable as well.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use system::durable;
use wasmtime::Engine;
use wasmtime::component::Component;

const MAGIC: &[u8; 19] = b"vaultup-compiled-1\n";
const HASH_BYTES: usize = 32;
const FILE_MODE: u32 = 0o600;
/// What a file that others could have changed, before the directory was closed to them, has.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// The largest compiled component: code of the largest component (64 MiB) takes about five times
/// its bytes.
pub(crate) const COMPILED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A directory that only this user can enter.
#[derive(Clone, Debug)]
pub(crate) struct PrivateDirectory {
    path: PathBuf,
}

/// Compiled code whose hash was found right.
pub(crate) struct Sealed {
    bytes: Vec<u8>,
}

impl PrivateDirectory {
    /// Makes the directory if there is none, and checks that it is private.
    pub(crate) fn open(path: &Path) -> Result<Self, system::Error> {
        durable::private_directory(path)?;
        Ok(Self { path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Sealed {
    /// Reads a file that [`write`] made. `None`: there is none, or it is not whole.
    pub(crate) fn read(directory: &PrivateDirectory, name: &str) -> io::Result<Option<Self>> {
        let file = match File::open(directory.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let found = file.metadata()?;
        let length = found.len();
        let is_ours = found.uid() == rustix::process::geteuid().as_raw();
        if !is_ours || found.mode() & WRITABLE_BY_OTHERS != 0 || length > COMPILED_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(length as usize);
        file.take(COMPILED_BYTES_MAX).read_to_end(&mut bytes)?;
        let whole = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.split_at_checked(HASH_BYTES))
            .is_some_and(|(hash, content)| seal(name, content).as_bytes() == hash);
        Ok(whole.then_some(Self { bytes }))
    }

    /// The component, ready to be instantiated.
    ///
    /// # Errors
    /// If another version or setting of wasmtime made it.
    #[expect(unsafe_code, reason = "the AOT load; the module's documentation is its proof")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        let content = self.bytes.get(MAGIC.len() + HASH_BYTES..).unwrap_or_default();
        // SAFETY: `self` exists only if the content is, byte for byte, what `precompile_component`
        // gave in the compiling child (points 1 to 3 above), and it is copied before it is mapped.
        unsafe { Component::deserialize(engine, content) }
    }
}

/// Puts compiled code into the directory, whole or not at all.
pub(crate) fn write(
    directory: &PrivateDirectory,
    name: &str,
    content: &[u8],
) -> Result<(), system::Error> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + HASH_BYTES + content.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(seal(name, content).as_bytes());
    bytes.extend_from_slice(content);
    durable::write_atomically(&directory.path.join(name), &bytes, FILE_MODE)
}

/// The hash of the name and the content.
fn seal(name: &str, content: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[0]);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{PrivateDirectory, Sealed, write};

    #[test]
    fn what_was_written_is_read_and_has_modes_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&parent.path().join("a/b")).unwrap();
        write(&directory, "name", b"content").unwrap();
        assert!(Sealed::read(&directory, "name").unwrap().unwrap().bytes.ends_with(b"content"));
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.path().to_owned()), 0o700);
        assert_eq!(mode(directory.path().join("name")), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_others_can_enter_is_closed_to_them_and_a_link_to_one_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let open = parent.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        PrivateDirectory::open(&open).unwrap();
        assert_eq!(fs::metadata(&open).unwrap().permissions().mode() & 0o777, 0o700);
        symlink(&open, parent.path().join("link")).unwrap();
        PrivateDirectory::open(&parent.path().join("link")).unwrap_err();
    }

    #[test]
    fn a_file_that_was_cut_changed_or_renamed_is_not_read() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&parent.path().join("cache")).unwrap();
        write(&directory, "name", b"some machine code").unwrap();
        let path = directory.path().join("name");
        let good = fs::read(&path).unwrap();
        for length in 0..good.len() {
            fs::write(&path, &good[..length]).unwrap();
            assert!(Sealed::read(&directory, "name").unwrap().is_none(), "cut at {length}");
        }
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(Sealed::read(&directory, "name").unwrap().is_none(), "bit {bit} flipped");
        }
        fs::write(directory.path().join("other"), &good).unwrap();
        assert!(Sealed::read(&directory, "other").unwrap().is_none());
        assert!(Sealed::read(&directory, "absent").unwrap().is_none());
    }
}
