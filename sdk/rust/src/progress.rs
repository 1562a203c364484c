//! How far an operation is.

use crate::host::*;

/// Shows that so much of it is done. `total` is `None` when it is not known; `unit` is a plural
/// noun or `bytes`.
pub fn report(done: u64, total: Option<u64>, unit: &str) {
    host().progress(done, total, unit);
}
