//! Real database servers, upgraded, damaged, killed and restored by the real binary.

#![expect(clippy::unwrap_used, reason = "a failing test may panic")]

mod bad_catalogue;
mod bad_input;
mod damage;
mod killed;
mod mongo;
mod postgres;
mod runbooks;
mod schemas;
mod support;
