//! Real database servers, upgraded, damaged, killed and restored by the real binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing test may panic")]

mod damage;
mod killed;
mod postgres;
mod runbooks;
mod support;
