//! Plugins as files: find, fetch, inspect, keep, lock, and compare with what was granted.
//!
//! Nothing here compiles or runs a component. The way of a plugin: [`Registry::fetch`] (a file or
//! the set beside the executable; a registry on the network comes later as one more [`Source`]) →
//! [`inspect()`] → [`PluginStore`] → [`lock_file`] → [`Registry::granted`], which alone makes the
//! [`Granted`] value that the sandbox asks for.
//!
//! It reads and writes `<data>/plugins/` and `vaultup.lock`, and reads the files that the operator
//! names.

mod error;
mod fetch;
mod granted;
mod inspect;
pub mod lock_file;
mod outline;
mod store;

pub use error::{CODES, Error};
pub use fetch::{Bundled, Fetched, Source};
pub use granted::{Granted, Installed, Registry};
pub use inspect::{COMPONENT_BYTES_MAX, Inspected, digest, inspect};
pub use outline::NAMES_MAX;
pub use store::PluginStore;
