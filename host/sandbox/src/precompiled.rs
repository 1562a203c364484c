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
//! 3. a file is named by the digest of the component and the version of vaultup, and ends with the
//!    BLAKE3 hash of that name and the content, which is computed again over the very bytes that
//!    are then loaded. A file that was cut, damaged, renamed or left by another version is refused,
//!    and made anew by its caller;
//! 4. wasmtime itself refuses code of another version of wasmtime, for another processor or with
//!    other settings, before it takes anything from it. A cache that machines share is compiled
//!    anew by the one that the code does not fit.
//!
//! Why the file itself is not mapped: the hash is of what was read, and a mapped file could change
//! after that. It is copied into a file that exists in memory only and is sealed before it is
//! hashed: from then on the kernel lets nobody write to it, not even this process. Mapping that
//! copy touches a tenth of its pages, each of which costs as much as hashing it; copied into the
//! process's own memory all of them would be touched, twice.
//!
//! Whoever can write into the directory in spite of (1) acts with this user's rights and could
//! replace vaultup's executable as well.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use system::durable;
use wasmtime::Engine;
use wasmtime::component::Component;

const MAGIC: &[u8; 19] = b"vaultup-compiled-2\n";
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
    code: File,
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
        let Some(content_bytes) = length.checked_sub((MAGIC.len() + HASH_BYTES) as u64) else {
            return Ok(None);
        };
        let code = sealed_copy(&mut (&file).take(content_bytes))?;
        let mut end = Vec::with_capacity(MAGIC.len() + HASH_BYTES);
        (&file).take(length - content_bytes).read_to_end(&mut end)?;
        let seal = seal(name, &code)?;
        let whole = end.strip_prefix(MAGIC).is_some_and(|hash| hash == &seal.as_bytes()[..]);
        Ok(whole.then_some(Self { code }))
    }

    /// The component, ready to be instantiated.
    ///
    /// # Errors
    /// If another version or setting of wasmtime made it.
    #[expect(unsafe_code, reason = "the AOT load; the module's documentation is its proof")]
    pub(crate) fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        let path = format!("/proc/self/fd/{}", self.code.as_raw_fd());
        // Some machines run nothing out of a file that exists in memory only (the kernel's
        // `vm.memfd_noexec`); out of the process's own memory they have to.
        let in_own_memory = |error| std::fs::read(&path).map_err(|_| error);
        // SAFETY: `self` exists only if the content is, byte for byte, what `precompile_component`
        // gave in the compiling child (points 1 to 3 above), and nobody can write to it any more.
        unsafe {
            Component::deserialize_file(engine, &path)
                .or_else(|error| Component::deserialize(engine, in_own_memory(error)?))
        }
    }
}

/// A copy in memory that nobody can change. Its place in it is the beginning.
fn sealed_copy(source: &mut impl Read) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("vaultup-compiled", flags)?);
    io::copy(source, &mut copy)?;
    fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    copy.seek(SeekFrom::Start(0))?;
    Ok(copy)
}

/// Puts compiled code into the directory, whole or not at all.
pub(crate) fn write(
    directory: &PrivateDirectory,
    name: &str,
    content: &[u8],
) -> Result<(), system::Error> {
    let mut bytes = Vec::with_capacity(MAGIC.len() + HASH_BYTES + content.len());
    bytes.extend_from_slice(content);
    bytes.extend_from_slice(MAGIC);
    let path = directory.path.join(name);
    let seal = seal(name, content).map_err(|source| {
        let path = path.clone();
        system::Error::FileFailed { path, action: "hashed", source }
    })?;
    bytes.extend_from_slice(seal.as_bytes());
    durable::write_atomically(&path, &bytes, FILE_MODE)
}

/// The hash of the name and the content.
fn seal(name: &str, content: impl Read) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(&[0]);
    hasher.update_reader(content)?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use std::fs::{self, Permissions};
    use std::io::{self, Read, Seek, SeekFrom, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::{PrivateDirectory, Sealed, write};

    #[test]
    fn what_was_written_is_read_and_has_modes_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&parent.path().join("a/b")).unwrap();
        write(&directory, "name", b"content").unwrap();
        let sealed = Sealed::read(&directory, "name").unwrap().unwrap();
        let mut code = &sealed.code;
        code.seek(SeekFrom::Start(0)).unwrap();
        let mut content = Vec::new();
        code.read_to_end(&mut content).unwrap();
        assert_eq!(content, b"content");
        code.write_all(b"other").unwrap_err();
        assert_eq!(code.set_len(0).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
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
