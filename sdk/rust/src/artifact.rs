//! Artifacts of the backup set that the current operation is about.
//!
//! A plugin sees names, sizes and digests; the bytes pass it by, from a process into the vault
//! ([`crate::process::Command::into_artifact`]) and back
//! ([`crate::process::Command::from_artifact`]).

use crate::Error;
#[doc(inline)]
pub use crate::bindings::imports::vaultup::plugin::artifact::Description;
use crate::host::*;

/// The artifacts of this datastore in the set, by name.
///
/// # Errors
/// If the operation is not about a backup set.
pub fn all() -> Result<Vec<Description>, Error> {
    host().artifacts()
}

/// Reads a whole artifact without giving it out, and checks every byte.
///
/// # Errors
/// [`crate::Case::Corrupt`] if it is damaged, [`crate::Case::NotFound`] if there is none.
pub fn check(name: &str) -> Result<Description, Error> {
    host().check_artifact(name)
}

/// The first bytes of an artifact, at most 64 KiB, to read a header.
///
/// # Errors
/// As [`check`], of what was read.
pub fn head(name: &str, bytes_max: u32) -> Result<Vec<u8>, Error> {
    host().artifact_head(name, bytes_max)
}

/// The next bytes of an artifact, at most 1 MiB, from its beginning on; none at its end, and after
/// that from the beginning again. For formats that no tool of the platform's checks well; what a
/// tool can check goes to it with [`crate::process::Command::from_artifact`].
///
/// # Errors
/// As [`check`], of what was read; [`crate::Case::Denied`] if it holds the value of a secret.
pub fn next(name: &str, bytes_max: u32) -> Result<Vec<u8>, Error> {
    host().artifact_next(name, bytes_max)
}
