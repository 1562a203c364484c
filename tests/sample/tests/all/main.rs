//! The sample application as real processes: nothing here is simulated, and all of it stops by
//! itself.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod checkpoint;
mod control;
mod faults;
mod install;
mod migrations;
mod service;
mod survival;
mod world;
