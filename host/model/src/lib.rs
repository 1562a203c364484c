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
//! - [`contract`]: the facts of the plugin contract, as the host keeps them
//! - [`problem`]: what every error says of itself

pub mod contract;
pub mod manifest;
pub mod name;
pub mod pattern;
pub mod problem;
pub mod release;
pub mod stack;

pub use name::Name;
pub use problem::{Code, Exit, Place, Problem};
