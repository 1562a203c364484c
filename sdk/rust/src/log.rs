//! What a person is shown and what is kept. At most 16 KiB a line.

use crate::bindings::imports::vaultup::plugin::log::Level;
use crate::host::*;

/// For those who look into a failure.
pub fn debug(text: impl AsRef<str>) {
    host().log(Level::Debug, text.as_ref());
}

/// For everybody who follows the run.
pub fn info(text: impl AsRef<str>) {
    host().log(Level::Information, text.as_ref());
}

/// For the operator to look at: it goes on, but not as it should.
pub fn warning(text: impl AsRef<str>) {
    host().log(Level::Warning, text.as_ref());
}
