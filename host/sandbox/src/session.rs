//! What a call of a plugin may do, and who is told of it: given by the runner, one a call or step.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use model::Name;
use model::contract::PluginError;
use model::manifest::Class;
use serde::{Deserialize, Serialize};
use system::clock::Clock;
use system::files::Previous;
use system::http::Http;
use system::process::Digests;
use system::redact::Redactor;
use system::secrets::Secret;
use tokio::sync::watch;

use crate::{Artifacts, Look};

/// A future that can be moved between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Asked right before every effect that may change something; an error refuses the effect.
///
/// The runner checks here that the lock is still its own: a writer that was paused and overtaken
/// must not change anything when it wakes up.
pub type Fence = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Gives the arguments that are put before a command so that it runs inside a component.
pub type Inside =
    Arc<dyn Fn(Name) -> BoxFuture<'static, Result<Vec<String>, PluginError>> + Send + Sync>;

/// What a call may do, and who is told of it.
#[derive(Clone)]
pub struct Session {
    /// Whether the call may change anything.
    pub mode: Mode,
    /// The directory of the stack file, absolute: relative paths of the operator's begin here.
    pub stack_directory: PathBuf,
    /// Gives the secrets that stand in the operation's settings.
    pub secrets: Arc<dyn Secrets>,
    /// What the `artifact` import and artifacts of commands refer to.
    pub artifacts: Artifacts,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// Turns true when the operation is to stop, and never false again.
    pub cancel: watch::Receiver<bool>,
    /// How commands get into other components of the stack.
    pub inside: Inside,
    /// The look at the platform that the call belongs to, if there is one: calls of the same look
    /// share what their reading commands answer.
    pub look: Option<Arc<Look>>,
    /// Blots secrets out of everything that a plugin, a person or a file gets to see.
    pub redactor: Arc<Redactor>,
    /// The machine, as the command line found it.
    pub surroundings: Arc<Surroundings>,
}

/// The machine, as the command line found it: the same for every call.
pub struct Surroundings {
    /// The whole environment of every command, before its own variables: PATH, HOME, LANG, TZ and
    /// what else the operator's tools need. Tools are looked up in its PATH.
    pub environment: BTreeMap<OsString, OsString>,
    /// Private directory for files that hold a secret while a command needs them.
    pub secret_directory: PathBuf,
    /// Private directory for what commands write that nobody waits for: see
    /// [`system::process::Output::File`].
    pub log_directory: PathBuf,
    /// Digests of the tools.
    pub digests: Digests,
    /// Sends requests.
    pub http: Http,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Whether a call may change anything.
#[derive(Clone)]
pub enum Mode {
    /// `check` and `plan`: every effect of the class `change` is refused, whatever the plugin does.
    ReadOnly,
    /// Effects of the class `change` are allowed while the fence holds.
    Change {
        /// Asked before each of them.
        fence: Fence,
    },
}

/// Gives secrets by name.
pub trait Secrets: Send + Sync {
    /// The secret of this name, or why it cannot be had now, a sentence without its value. The
    /// session's redactor must know it before it is given out.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Arc<Secret>, String>>;
}

/// Is told what a plugin does. All texts are redacted and made visible.
pub trait Observer: Send + Sync {
    /// The plugin wrote a line of log.
    fn log(&self, level: LogLevel, line: &str) {
        let _ = (level, line);
    }

    /// The operation came further. `total` is absent when it is not known.
    fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        let _ = (done, total, unit);
    }

    /// A command is about to run.
    ///
    /// # Errors
    /// A sentence that refuses it.
    fn command_starting(&self, command: &CommandStart) -> Result<(), String> {
        let _ = command;
        Ok(())
    }

    /// A command ended, or did not start after all.
    fn command_ended(&self, command: &CommandEnd) {
        let _ = command;
    }

    /// Something in the operator's files is about to change. When this returns, what was there
    /// before must be durable, so that it can be undone.
    ///
    /// # Errors
    /// A sentence that refuses it.
    fn file_changing(&self, edit: &FileEdit) -> Result<(), String> {
        let _ = edit;
        Ok(())
    }
}

/// How important a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// For who looks for a fault in the plugin.
    Debug,
    /// Worth keeping.
    Information,
    /// Worth looking at.
    Warning,
}

/// A command that is about to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandStart {
    /// Number of the command within its call, from 1.
    pub number: u32,
    /// The arguments, redacted; a secret's file appears as `{secret:NAME}`.
    pub arguments: Vec<String>,
    /// Whether it may change something.
    pub class: Class,
    /// The program that runs, resolved.
    pub program: PathBuf,
    /// `blake3:` and the digest of the program.
    pub program_digest: String,
    /// The component that it runs inside.
    pub inside: Option<String>,
}

/// A command that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct CommandEnd {
    /// Number of the command within its call, from 1.
    pub number: u32,
    /// How it ended, in words: `status 0`, `signal 9`, `deadline`, or why it did not start.
    pub ended: String,
    /// From its start.
    pub milliseconds: u64,
}

/// Something in the operator's files that is about to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileEdit {
    /// The granted directory, or file, absolute; [`system::files::Root`] opens it again.
    pub root: PathBuf,
    /// What changes, below the root.
    pub path: String,
    /// How.
    pub act: FileAct,
}

/// How something in the operator's files changes, with what is needed to undo it. Paths are below
/// the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileAct {
    /// A file's content is replaced.
    Write {
        /// What is there now.
        previous: Previous,
    },
    /// A link points elsewhere.
    Link {
        /// Where to.
        to: String,
        /// What is there now.
        previous: Previous,
    },
    /// A directory is made.
    CreateDirectory,
    /// It gets another name.
    Rename {
        /// The new name.
        to: String,
    },
    /// It changes places with something.
    Exchange {
        /// The other.
        with: String,
    },
    /// A tree that vaultup made is removed.
    Remove,
}
