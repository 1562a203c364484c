//! What the tests share.

use stage::{Namespace, Programs, Ran};
use tempfile::TempDir;

/// A namespace with these plugins; the folder goes with it.
pub(crate) fn namespace(plugins: &[&str]) -> (Namespace, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let programs = Programs::beside_this_test().unwrap();
    (Namespace::open(folder.path(), &programs, plugins).unwrap(), folder)
}

/// The exit status must be this; what was shown is given back.
pub(crate) fn expect(ran: &Ran, status: i32) -> String {
    assert_eq!(ran.status, Some(status), "{}", ran.shown());
    ran.shown()
}
