//! Engine, journal and effects together: the loop that carries a run out.
//!
//! The engine says what is to be done; this crate journals the intent, has it done by a plugin,
//! the vault or the system, journals the outcome, and tells the engine. After a crash it replays
//! the journal into the engine and goes on; an effect whose outcome is missing is observed at the
//! platform before anything else happens to it.
//!
//! - [`project`]: what an operator has: stack file, releases, lock file
//! - [`platform`]: the project's plugins, ready to be called; [`operation`]: what a call is told
//! - [`observe`]: what is there now; [`health`]: whether it is well
//! - [`prepare`]: a plan made from it; [`restore`]: one of a restore
//! - [`record`]: what the journal holds, and how a run is read back from it
//! - [`writer`]: the lock that is held while a run is written; [`platform_lock`]: those at the
//!   platforms, which other machines see
//! - [`carry_out`]: the loop; [`perform`]: one effect; [`recover`]: one whose outcome is unknown
//! - [`backups`], [`report`], [`status`]: what a person asks besides
//!
//! Files: `<state>/stacks/<stack>/` holds the journal and `hold-requested`;
//! `<data>/backups/<stack>/` the vault; `<configuration>/identity.txt` the key; `<data>/plugins/`
//! the components; `<cache>/compiled/` what was compiled of them.
//!
//! Nothing here prints: news goes to a [`news::Listener`].

pub mod backups;
pub mod barrier;
pub mod carry_out;
pub mod error;
pub mod flags;
pub mod health;
mod loader;
pub mod news;
pub mod observe;
pub mod operation;
pub mod perform;
pub mod platform;
pub mod platform_lock;
pub mod prepare;
pub mod project;
pub mod record;
pub mod recover;
pub mod report;
pub mod restore;
mod shipped;
pub mod status;
pub mod writer;

pub use error::{CODES, Error};
pub use platform::{Machinery, Platform};
pub use project::Project;
