//! `cargo xtask`: everything that CI runs, one file a command.
//!
//! - [`commands`]: the commands, which say what happens in which order
//! - [`tidy`]: the house rules as checks; [`bench`]: what is measured against what
//! - [`component`], [`process`], [`screen`], [`tally`], [`toolchain`], [`workspace`]: what all
//!   these stand on; `stage` of `tests/cli` is where the demonstration and the benches play
//!
//! Invariants:
//! - Every step that compiles for the host selects `--workspace` with its tests or examples, in the
//!   one profile, so that features unify to the same set and nothing heavy is built twice.
//! - A step that fails ends the command with its exact command line and a status that is not 0.
//! - Nothing here depends on a crate below `host/`: a house that does not compile can be looked at.

mod bench;
mod commands;
mod component;
mod process;
mod screen;
mod tally;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen::error(&error);
            ExitCode::FAILURE
        }
    }
}
