//! The words of vaultup as types: what operators and vendors write, what plugins answer, and what
//! every error says.
//!
//! Pure: nothing here reads a file, a clock or the environment. What comes from outside is parsed
//! into these types once, with file, line and column in every error; after that a bad state cannot
//! be said.
//!
//! - [`stack`]: `vaultup.toml`, written by the operator
//! - [`release`]: `release.toml`, written by the product's vendor
//! - [`manifest`]: `plugin.toml`, what a plugin says of itself, and [`pattern`], what it may run
//! - [`lock`]: `vaultup.lock`, which plugins were installed and what was granted to them
//! - [`settings`] and [`mod@interpolate`]: what the host knows of values that it hands on
//! - [`contract`]: the facts of the plugin contract, as the host keeps them
//! - [`problem`]: what every error says of itself, and [`error`], those of this crate
//!
//! The four files are TOML with `format = 1`. They are read through one tree that knows the place
//! of every key (`tree`) and one reader that collects all faults (`read`), so that they complain
//! alike: unknown keys name the nearest known one, wrong types say expected and got.

pub mod contract;
pub mod duration;
pub mod error;
pub mod interpolate;
pub mod lock;
pub mod manifest;
pub mod name;
mod nearest;
pub mod pattern;
pub mod places;
pub mod problem;
mod read;
pub mod release;
pub mod settings;
pub mod size;
pub mod stack;
mod tree;

pub use error::{CODES, Error, Fault};
pub use interpolate::{interpolate, interpolate_text};
pub use name::Name;
pub use places::Places;
pub use problem::{Code, Exit, Place, Problem};
