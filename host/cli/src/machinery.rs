//! What this machine gives, taken from the world once: places, time, environment, signals, and the
//! process that compiles plugins.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use journal::Owner;
use model::Name;
use registry::{Bundled, PluginStore};
use runner::barrier::{Barrier, Instant, Open};
use runner::news::Listener;
use runner::{Machinery, Platform, Project};
use sandbox::{COMPILER_MS_MAX, CompilerCommand, Sandbox, Settings};
use system::clock::SystemClock;
use system::places::Places;
use system::process::ProcessIdentity;
use tokio::sync::watch;
use vault::{KeysOrigin, Vault};

use crate::arguments::{Global, ProjectArguments};
use crate::error::{CliError, Fault};
use crate::shell::Shell;

/// Environment variable by which a test says where the process is to kill itself:
/// `<effect>:before`, `<effect>:unrecorded` or `<effect>:recorded`.
const CRASH_VARIABLE: &str = "VAULTUP_TEST_CRASH";

/// Gathers what this machine gives.
///
/// # Errors
/// When the home directory or the plugin store cannot be had.
pub(crate) fn gather(listener: Arc<dyn Listener>) -> Result<Machinery, Fault> {
    let places = Places::of_this_user()?;
    let executable = executable()?;
    let sandbox = Sandbox::new(&Settings { cache_directory: places.cache.join("compiled") })?;
    let store = PluginStore::open(&places.data)?;
    let (cancel, hold) = watch_signals();
    Ok(Machinery {
        places,
        clock: Arc::new(SystemClock::new()),
        sandbox,
        store,
        bundled: Bundled::beside(&executable),
        compiler: CompilerCommand {
            program: executable.clone(),
            arguments: vec![OsString::from("compile-plugin")],
            deadline: Duration::from_millis(COMPILER_MS_MAX),
        },
        owner: owner()?,
        environment: std::env::vars_os().collect(),
        listener,
        barrier: barrier(),
        cancel,
        hold,
    })
}

/// Opens the project that the arguments name: that of the flags, of the stack file, or the one that
/// was last run from flags in this directory.
///
/// # Errors
/// [`runner::Error`].
pub(crate) fn project(global: &Global, arguments: &ProjectArguments) -> Result<Project, Fault> {
    match &arguments.plugin {
        None => match Project::open(&global.stack_file) {
            Err(missing @ runner::Error::NoStackFile(_)) => {
                let stacks = runner::carry_out::stacks_directory(&Places::of_this_user()?);
                Ok(runner::flags::recall(&stacks, Path::new("."))?.ok_or(missing)?)
            }
            opened => Ok(opened?),
        },
        Some(plugin) => {
            let plugin = plugin_name(plugin)?;
            Ok(Project::from_flags(Path::new("."), &plugin, &arguments.sets)?)
        }
    }
}

/// A plugin's name from an argument.
///
/// # Errors
/// [`CliError::Usage`].
pub(crate) fn plugin_name(text: &str) -> Result<Name, CliError> {
    Name::parse(text).map_err(|error| CliError::Usage(error.to_string()))
}

/// Opens a project's platform and vault, and says what a new key means.
///
/// # Errors
/// Whatever keeps a plugin or the vault from being opened.
pub(crate) async fn open(
    machinery: Machinery,
    project: Project,
    shell: &Shell,
) -> Result<(Platform, Vault), Fault> {
    // A plugin that cannot be opened ends it here, before a key is made.
    let platform = Platform::open(machinery, project).await?;
    let (vault, origin) = runner::backups::open_vault(&platform.machinery, &platform.project)?;
    if let KeysOrigin::Created { .. } = origin {
        let path = platform.machinery.places.configuration.join(runner::backups::IDENTITY_FILE);
        shell.note(&format!(
            "made a key for backups: {}\n  without it no backup can be read: keep a copy of it \
             somewhere else",
            path.display()
        ));
    }
    Ok((platform, vault))
}

/// Runs a future to its end on one thread: plugins run one at a time, and starting up is quick.
///
/// # Errors
/// Those of the future, or when there is no executor to be had.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|error| CliError::Start(error.to_string()))?;
    executor.block_on(future)
}

fn executable() -> Result<std::path::PathBuf, CliError> {
    std::env::current_exe().map_err(|error| CliError::Start(error.to_string()))
}

fn owner() -> Result<Owner, Fault> {
    let identity = ProcessIdentity::current()?;
    let user = std::env::var("USER")
        .unwrap_or_else(|_| format!("user {}", rustix::process::getuid().as_raw()));
    Ok(Owner {
        host: identity.host.clone(),
        process_id: identity.process_id,
        process_started: identity.started(),
        user,
        command: std::env::args().collect::<Vec<_>>().join(" ").chars().take(200).collect(),
    })
}

/// The first signal holds before the next step; the second stops the step that is under way.
fn watch_signals() -> (watch::Receiver<bool>, watch::Receiver<bool>) {
    let (cancel, cancelled) = watch::channel(false);
    let (hold, held) = watch::channel(false);
    if tokio::runtime::Handle::try_current().is_ok() {
        tokio::spawn(async move {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
            loop {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                if *hold.borrow() {
                    let _ = cancel.send(true);
                }
                let _ = hold.send(true);
            }
        });
    }
    (cancelled, held)
}

/// Kills this process at an instant that a test names.
struct Crash {
    effect: u32,
    instant: String,
}

impl Barrier for Crash {
    fn reached(&self, instant: Instant, effect: u32) {
        if self.effect == effect && self.instant == instant.as_str() {
            let _ = rustix::process::kill_process(
                rustix::process::getpid(),
                rustix::process::Signal::KILL,
            );
        }
    }
}

fn barrier() -> Arc<dyn Barrier> {
    let named = std::env::var(CRASH_VARIABLE).ok();
    let crash = named.as_deref().and_then(|text| {
        let (effect, instant) = text.split_once(':')?;
        Some(Crash { effect: effect.parse().ok()?, instant: instant.to_owned() })
    });
    match crash {
        Some(crash) => Arc::new(crash),
        None => Arc::new(Open),
    }
}
