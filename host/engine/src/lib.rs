//! What is to be done next, decided without doing anything.
//!
//! The engine is a sans-IO state machine: events go in, effects come out, and time is an argument.
//! It reads no file, clock or environment and starts no process, so that the same engine runs in
//! the simulator, on one machine with an embedded journal, and one day on a distributed one.
//!
//! - [`snapshot`]: what was observed before a run
//! - [`plan`]: the content-addressed list of steps; [`planner`], [`rehearsal`] and [`restore`]
//!   make it, or tell every [`obstacle`]
//! - [`act`]: what a step does, and what is known afterwards
//! - [`facts`]: what a run has learnt so far
//! - [`machine`]: carries a plan out, event by event
//! - [`decision`]: the way back, chosen from what was observed
//! - [`way_back`]: the steps of the way back that was chosen
//!
//! Invariants, checked by tests over every reachable state:
//! - No act that can destroy data comes before the proof of a backup of this run
//!   ([`act::Act::needs_proof`]).
//! - An act whose outcome is unknown is observed before anything else happens to it.
//! - A way back that fails holds; it never turns round again.

pub mod act;
pub mod decision;
pub mod facts;
pub mod machine;
pub mod obstacle;
pub mod plan;
pub mod planner;
pub mod rehearsal;
pub mod restore;
pub mod snapshot;
pub mod way_back;
mod writers;

pub use act::{Act, Answer, Failure, Outcome, Survey};
pub use decision::{Choice, Decision};
pub use machine::{Effect, Ending, Event, Machine, Request};
pub use plan::{Plan, Step};
pub use snapshot::Snapshot;
