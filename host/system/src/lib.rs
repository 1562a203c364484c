//! Real effects: processes, files, HTTP, secrets and time. This crate and the command line are the
//! only ones that touch the world; it knows nothing of WebAssembly or plugins.
//!
//! - [`process`]: programs in their own process group, ended as a tree, their output capped
//! - [`files`]: what an operator granted, opened so that nothing leads out of it
//! - [`durable`]: writes that survive a loss of power, directories that nobody else can touch
//! - [`http`]: requests to granted hosts, every address and redirect checked
//! - [`secrets`]: values that can be used and not shown, and [`redact`], which blots them out
//! - [`clock`] and [`places`]: time and directories, passed around
//!
//! It reads `/proc` (own processes only), `PATH` entries, the granted roots, the certificate
//! authorities of the machine, and, in [`places`], `VAULTUP_HOME` and the XDG variables. It writes
//! below granted roots and below [`places::Places`].

pub mod clock;
pub mod durable;
mod error;
pub mod files;
pub mod http;
pub mod places;
pub mod process;
pub mod redact;
pub mod secrets;

pub use error::{CODES, Error, Kind};
