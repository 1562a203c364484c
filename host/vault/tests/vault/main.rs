//! Backup sets against a real file system, real encryption and real kills.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod crash;
mod damage;
mod limits;
mod proof;
mod prune;
mod round_trip;
mod support;
