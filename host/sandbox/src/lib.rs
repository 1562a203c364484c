//! Runs plugins: loads what was granted, limits it, calls it, and answers its imports.
//!
//! The only crate that knows wasmtime. What it gives to the rest of the host are
//! [`model::contract`]'s types.
//!
//! - [`Sandbox`] loads a [`registry::Granted`] component into a [`Plugin`]; `compile` makes its
//!   code in a limited child process, at installation; `precompiled` loads that code and holds
//!   the workspace's only `unsafe` block
//! - [`Plugin`] has a method for every function of the contract; `call` runs it in an instance of
//!   its own and watches it; `ticker` is the clock of that watch; [`limits`] are all the numbers
//! - [`Session`] says what a call may do and who is told; `imports` decide by it; [`Look`] lets
//!   calls about the same moment share what their commands answer
//! - `convert` and `bindings` stand between the generated types and the host's
//!
//! It reads and writes its cache directory, and touches the world only through [`system`] and
//! [`vault`].

mod artifacts;
mod bindings;
mod call;
mod command;
mod compile;
mod convert;
mod error;
mod imports;
pub mod limits;
mod log;
mod look;
mod plugin;
mod precompiled;
mod sandbox;
mod session;
mod state;
mod stdio;
mod text;
mod ticker;

pub use artifacts::{Artifacts, BackupRead, BackupTaken};
pub use compile::{
    COMPILER_ADDRESS_SPACE_BYTES_MAX, COMPILER_MS_MAX, COMPILER_PROCESSOR_S_MAX,
    COMPILER_REFUSED_STATUS, CompileLimits, CompilerCommand, compile_in_this_process,
};
pub use error::{CODES, CallError, Context, Error};
pub use limits::Limit;
pub use look::Look;
pub use plugin::{BackupChange, Plugin, RestoreStage};
pub use registry::{Granted, Inspected, inspect};
pub use sandbox::{Sandbox, Settings};
pub use session::{
    BoxFuture, CommandEnd, CommandStart, Fence, FileAct, FileEdit, Inside, LogLevel, Mode,
    Observer, Secrets, Session, Surroundings,
};
