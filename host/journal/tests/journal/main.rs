//! The journal as its callers see it, on real files.
#![expect(clippy::unwrap_used, reason = "a failing test may panic")]
#![expect(clippy::panic, reason = "a failing test may panic")]
#![expect(clippy::print_stdout, reason = "a zero without a denominator is not published")]

mod aside;
#[path = "../common/mod.rs"]
mod common;
mod golden;
mod images;
mod locking;
mod records;
mod support;
mod tampering;
