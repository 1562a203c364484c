//! Whether the host wants the operation to stop.

use crate::Error;
use crate::host::*;

/// Once true it stays true; the operation is to end with [`Error::cancelled`] within a second.
/// [`crate::clock::wait_until`] and commands see it by themselves.
#[must_use]
pub fn requested() -> bool {
    host().cancel_requested()
}

/// For a `?` in long loops.
///
/// # Errors
/// [`Error::cancelled`] when the host wants the operation to stop.
pub fn check() -> Result<(), Error> {
    if requested() { Err(Error::cancelled()) } else { Ok(()) }
}
