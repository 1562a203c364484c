//! A simulated stack on which the real engine carries out upgrades, with faults and crashes.
//!
//! Time is virtual, every choice comes from a seed, and a run that failed prints the line that
//! reproduces it. [`world`] is what is acted on, [`drive`] plays the part of the runner (journal
//! included) and dies where it is told to, [`check`] holds the end against the invariants.

pub mod check;
pub mod drive;
pub mod scenario;
pub mod world;

pub use check::violations;
pub use drive::{Crash, CrashPoint, Driver};
pub use scenario::Scenario;
pub use world::{Fault, Sabotage, World};
