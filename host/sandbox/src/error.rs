//! What can go wrong with a plugin, from its file to its answer.
//!
//! [`Error`]: it cannot be compiled or loaded. [`CallError`]: it was called and did not answer, or
//! it answered with an error of the contract.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use model::Name;
use model::contract::{Interface, PluginError, Said};
use model::pattern::shown;
use model::problem::{Code, Exit, Problem};

use crate::limits::{DEADLINE_GRACE_MS, Limit};

/// Every error of this crate: number and name.
pub const CODES: &[(u16, &str)] = &[
    (110, "sandbox-unusable"),
    (111, "plugin-cache-unusable"),
    (112, "plugin-not-compiled"),
    (113, "plugin-compiler-failed"),
    (114, "plugin-compiler-limit"),
    (115, "plugin-not-loadable"),
    (116, "plugin-code-refused"),
    (130, "plugin-answered-error"),
    (131, "plugin-function-missing"),
    (132, "plugin-call-refused"),
    (133, "plugin-trapped"),
    (134, "plugin-deadline"),
    (135, "plugin-limit"),
    (136, "plugin-answer-unusable"),
    (137, "plugin-cannot-be-watched"),
    (138, "plugin-settings-unusable"),
    (139, "plugin-platform-unreachable"),
    (140, "plugin-platform-refused"),
    (141, "plugin-platform-busy"),
    (142, "plugin-cancelled"),
    (143, "plugin-denied"),
];

/// Why a plugin cannot be compiled or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine does not start: this machine or build of vaultup cannot run WebAssembly.
    #[error("the WebAssembly engine does not start")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory of compiled plugins cannot be used.
    #[error("the directory of compiled plugins `{}` cannot be used", path.display())]
    Cache {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no compiled code of this plugin for this version of vaultup.
    #[error("plugin `{plugin}` is not compiled for this version of vaultup")]
    NotCompiled {
        /// The plugin.
        plugin: Name,
    },
    /// The compiling process could not be started or failed.
    #[error("{what} could not be compiled: {reason}")]
    Compiler {
        /// What was compiled.
        what: String,
        /// What the compiling process said.
        reason: String,
    },
    /// The compiling process went past a limit.
    #[error("{what} could not be compiled within {limit}")]
    CompilerLimit {
        /// What was compiled.
        what: String,
        /// The limit, in words.
        limit: String,
    },
    /// The compiled code does not fit the contract.
    #[error("plugin `{plugin}` cannot be loaded: {reason}")]
    NotLoadable {
        /// The plugin.
        plugin: Name,
        /// Why not.
        reason: String,
    },
    /// It is no valid component, or uses what this host does not offer.
    #[error("{what} was refused by the compiler: {reason}")]
    Refused {
        /// What was compiled.
        what: String,
        /// Why.
        reason: String,
    },
}

/// Which call an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The plugin.
    pub plugin: Name,
    /// The function, as in `deploy.apply`.
    pub function: &'static str,
}

impl std::fmt::Display for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "`{}` of plugin `{}`", self.function, self.plugin)
    }
}

/// Why a call of a plugin gave no value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The plugin answered with an error of the contract.
    #[error("{context}: {error}")]
    Plugin {
        /// Which call.
        context: Context,
        /// What it answered.
        error: PluginError,
    },
    /// The plugin does not export the interface; the guest was not touched.
    #[error("plugin `{}` has no `{interface}`", context.plugin)]
    NotExported {
        /// Which call.
        context: Context,
        /// The interface.
        interface: Interface,
    },
    /// The host refused the call; the guest was not touched.
    #[error("{context} was not called: {reason}")]
    Refused {
        /// Which call.
        context: Context,
        /// Why.
        reason: String,
    },
    /// The guest trapped or exited.
    #[error("{context} ended without an answer: {reason}{}", last_words(said))]
    Trap {
        /// Which call.
        context: Context,
        /// Why.
        reason: String,
        /// The end of its standard error; may be empty.
        said: String,
    },
    /// The guest did not answer in time.
    #[error(
        "{context} did not answer within {deadline_ms} ms and {DEADLINE_GRACE_MS} ms of grace{}",
        last_words(said)
    )]
    Deadline {
        /// Which call.
        context: Context,
        /// The operation's deadline.
        deadline_ms: u64,
        /// The end of its standard error; may be empty.
        said: String,
    },
    /// The guest went past a limit.
    #[error("{context} was ended: it took more than {limit}")]
    Limit {
        /// Which call.
        context: Context,
        /// Which limit.
        limit: Limit,
    },
    /// The guest answered with a value that cannot be used.
    #[error("{context} answered with {reason}")]
    Answer {
        /// Which call.
        context: Context,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that watches guests cannot be started, so none may run.
    #[error("{context} was not called: it could not be watched")]
    NoTicks {
        /// Which call.
        context: Context,
        /// Why not.
        source: Arc<io::Error>,
    },
}

impl CallError {
    /// Which call it is about.
    #[must_use]
    pub fn context(&self) -> &Context {
        match self {
            Self::Plugin { context, .. }
            | Self::NotExported { context, .. }
            | Self::Refused { context, .. }
            | Self::Trap { context, .. }
            | Self::Deadline { context, .. }
            | Self::Limit { context, .. }
            | Self::Answer { context, .. }
            | Self::NoTicks { context, .. } => context,
        }
    }

    /// The contract's error, if the plugin answered with one.
    #[must_use]
    pub fn plugin_error(&self) -> Option<&PluginError> {
        match self {
            Self::Plugin { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What was said, by plugin and platform.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::Plugin { error, .. } => error.said(),
            Self::Trap { reason, said, .. } => {
                Said { message: reason.clone(), platform: said.clone() }
            }
            other => Said { message: other.to_string(), platform: String::new() },
        }
    }

    /// Whether the guest ran, so that it may have changed something before it ended.
    #[must_use]
    pub fn guest_ran(&self) -> bool {
        !matches!(self, Self::NotExported { .. } | Self::Refused { .. } | Self::NoTicks { .. })
    }
}

impl Problem for Error {
    fn code(&self) -> Code {
        Code(match self {
            Self::Engine(_) => 110,
            Self::Cache { .. } => 111,
            Self::NotCompiled { .. } => 112,
            Self::Compiler { .. } => 113,
            Self::CompilerLimit { .. } => 114,
            Self::NotLoadable { .. } => 115,
            Self::Refused { .. } => 116,
        })
    }

    fn next(&self) -> Option<String> {
        Some(match self {
            Self::Engine(_) => "run vaultup on a 64-bit machine with at least 1 GiB of \
                                address space (`ulimit -v`)"
                .to_owned(),
            Self::Cache { path, .. } => {
                format!("`chmod 0700 '{0}'`, or remove `{0}`: it is made anew", path.display())
            }
            Self::NotCompiled { plugin } => format!("`vaultup plugin add {plugin}`"),
            Self::Compiler { .. } | Self::CompilerLimit { .. } => {
                "try again on a machine with more memory; if it stays, tell the plugin's author"
                    .to_owned()
            }
            Self::NotLoadable { plugin, .. } => {
                format!("install a version made for this contract: `vaultup plugin add {plugin}`")
            }
            Self::Refused { .. } => {
                "ask the plugin's author for a component without these features".to_owned()
            }
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::NotLoadable { .. } | Self::Refused { .. } => Exit::BadInput,
            _ => Exit::Failed,
        }
    }
}

impl Problem for CallError {
    fn code(&self) -> Code {
        Code(match self {
            Self::Plugin { error, .. } => match error {
                PluginError::InvalidSettings(_) => 138,
                PluginError::Unreachable(_) => 139,
                PluginError::Refused(_) => 140,
                PluginError::Conflict(_) => 141,
                PluginError::Cancelled => 142,
                PluginError::Denied(_) => 143,
                _ => 130,
            },
            Self::NotExported { .. } => 131,
            Self::Refused { .. } => 132,
            Self::Trap { .. } => 133,
            Self::Deadline { .. } => 134,
            Self::Limit { .. } => 135,
            Self::Answer { .. } => 136,
            Self::NoTicks { .. } => 137,
        })
    }

    fn state(&self) -> Option<String> {
        // Only the runner knows what the step was for; this is what is known of the call.
        self.guest_ran().then(|| {
            format!("what `{}` left behind is found by observing", self.context().function)
        })
    }

    fn next(&self) -> Option<String> {
        let plugin = &self.context().plugin;
        Some(match self {
            Self::Plugin { error: PluginError::InvalidSettings(_), .. } => {
                "correct the settings in the stack file, then `vaultup check --to VERSION`"
                    .to_owned()
            }
            Self::Plugin { error: PluginError::Denied(_), .. } => {
                format!("`vaultup plugin inspect {plugin}` shows what it may do")
            }
            Self::Plugin { error: PluginError::Refused(_), .. } => {
                "give the account that vaultup runs as the right that is named".to_owned()
            }
            Self::Plugin { .. } | Self::Deadline { .. } => "`vaultup status`".to_owned(),
            Self::NotExported { interface, .. } => {
                format!("name a plugin with `{interface}` in the stack file: `vaultup plugin list`")
            }
            Self::Refused { .. } => "`vaultup status` shows what can be done now".to_owned(),
            Self::Trap { .. } | Self::Limit { .. } | Self::Answer { .. } => {
                format!("`vaultup status`; tell the author of plugin `{plugin}`")
            }
            Self::NoTicks { .. } => "free processes or memory, then try again".to_owned(),
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Plugin { error: PluginError::InvalidSettings(_), .. }
            | Self::NotExported { .. } => Exit::BadInput,
            _ => Exit::Failed,
        }
    }
}

fn last_words(said: &str) -> String {
    match said.trim() {
        "" => String::new(),
        said => format!("; it said: {}", shown(said)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CODES;

    #[test]
    fn every_code_lies_in_this_crates_range_and_is_used_once() {
        let numbers: BTreeSet<u16> = CODES.iter().map(|(number, _)| *number).collect();
        let names: BTreeSet<&str> = CODES.iter().map(|(_, name)| *name).collect();
        assert_eq!(numbers.len(), CODES.len());
        assert_eq!(names.len(), CODES.len());
        assert!(numbers.iter().all(|number| (110..=169).contains(number)));
    }
}
