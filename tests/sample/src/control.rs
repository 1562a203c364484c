//! `start`, `stop`, `status`: the service as a daemon, known by its pid file.
//!
//! Invariants:
//! * One `start` or `stop` of a pid file at a time: each holds a lock on `<pid-file>.lock`. `start`
//!   hands the lock to the daemon as its standard input, and the daemon lets go of it only when its
//!   pid file is written. So a `stop` never overlooks a daemon that is just coming up, even when
//!   the `start` that made it was killed.
//! * The daemon has its own session, standard input from `/dev/null`, and its log as standard
//!   output and error: nothing of its starter's.
//! * A `start` that fails leaves nothing running that it started.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::output;
use crate::probe;
use crate::process::Daemon;
use crate::release::Release;
use crate::serve::{self, DRAIN, Settings};

/// How long `start` waits for readiness unless told otherwise.
const READY_MS: u64 = 10_000;
/// How long `stop` waits for the drain, unless told otherwise, before it kills.
const STOP_MS: u64 = DRAIN.as_millis() as u64 + 2_000;
/// How long a killed process may take to vanish.
const KILLED: Duration = Duration::from_secs(5);
/// How long another `start` or `stop` of the same pid file is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// How often a state that is to change is looked at.
const POLL: Duration = Duration::from_millis(2);
/// How much of the log is shown when a start fails.
const LOG_LINES_SHOWN: usize = 20;
const LOG_BYTES_SHOWN: u64 = 16 * 1024;

/// Starts this release as a daemon and waits until it is ready. Idempotent.
pub(crate) fn start(arguments: &Arguments) -> Result<ExitCode> {
    let release = Release::current()?;
    let pid_file = arguments.path("pid-file")?;
    let log_file = arguments.path("log")?;
    let listen = Settings::from(arguments)?.listen;
    let patience = arguments.optional_number("ready-timeout-ms")?.unwrap_or(READY_MS);
    let lock = lock(&pid_file)?;
    let deadline = Instant::now() + Duration::from_millis(patience);
    while let Some(running) = running(&pid_file)? {
        same(&running, &release, &listen)?;
        if wait_until_ready(&pid_file, deadline, || running.runs())? {
            output::say(&format!("release {} runs already", running.version));
            return Ok(ExitCode::SUCCESS);
        }
        if running.runs()? {
            bail!("process {} runs but is not ready", running.process);
        }
    }
    let log_start = std::fs::metadata(&log_file).map_or(0, |found| found.len());
    let mut child = spawn(arguments, &lock, &log_file)?;
    match wait_until_ready(&pid_file, deadline, || Ok(child.try_wait()?.is_none())) {
        Ok(true) => {
            output::say(&format!("release {} is ready", release.version.as_str()));
            Ok(ExitCode::SUCCESS)
        }
        outcome => {
            let reason = give_up(&mut child, &pid_file, patience)?;
            show_log(&log_file, log_start);
            outcome?;
            bail!("release {} did not start: {reason}", release.version.as_str())
        }
    }
}

/// What `start` runs: leaves the starter's session, says who it is, then is `serve`.
pub(crate) fn daemon(arguments: &Arguments) -> Result<ExitCode> {
    rustix::process::setsid().context("cannot open a session")?;
    let release = Release::current()?;
    let pid_file = arguments.path("pid-file")?;
    let mut myself = Daemon::myself(release.version.as_str())?;
    myself.write(&pid_file)?;
    // Standard input was the lock of `start`; replacing it lets go of the lock.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let settings = Settings::from(arguments)?;
    serve::serve(&settings, &release, &mut |address| {
        myself.listen = Some(address.to_string());
        myself.write(&pid_file)
    })
}

/// Stops what the pid file means, gracefully if it goes. Idempotent.
pub(crate) fn stop(arguments: &Arguments) -> Result<ExitCode> {
    let pid_file = arguments.path("pid-file")?;
    let patience = arguments.optional_number("timeout-ms")?.unwrap_or(STOP_MS);
    let _lock = lock(&pid_file)?;
    match running(&pid_file)? {
        None => output::say("nothing runs"),
        Some(daemon) => {
            let gentle = end(&daemon, Duration::from_millis(patience))?;
            let how = if gentle { "stopped" } else { "killed" };
            output::say(&format!("{how} process {}", daemon.process));
        }
    }
    remove(&pid_file)?;
    Ok(ExitCode::SUCCESS)
}

/// What `status` prints.
#[derive(Serialize)]
struct Status {
    /// Whether the pid file's process runs.
    running: bool,
    /// Whether it answers 200 to `/health/ready`.
    ready: bool,
    /// What `/health` says, else what the pid file says; null when nothing runs.
    version: Option<String>,
    /// Its process id; null when nothing runs.
    process: Option<i32>,
    /// Whether a `start` or `stop` is under way.
    changing: bool,
}

/// Says what runs. Changes nothing, waits for nothing but an answer.
pub(crate) fn status(arguments: &Arguments) -> Result<ExitCode> {
    let pid_file = arguments.path("pid-file")?;
    let given = arguments.optional_text("listen")?;
    let changing = is_locked(&pid_file)?;
    let status = match running(&pid_file)? {
        None => Status { running: false, ready: false, version: None, process: None, changing },
        Some(daemon) => {
            let address = daemon.listen.clone().or(given);
            let answers = address.as_deref().map(|address| (is_ready(address), named_by(address)));
            let (ready, named) = answers.unwrap_or_default();
            Status {
                running: true,
                ready,
                version: named.or(Some(daemon.version)),
                process: Some(daemon.process),
                changing,
            }
        }
    };
    output::say_json(&status)?;
    Ok(ExitCode::SUCCESS)
}

/// The daemon of a pid file, if it runs.
fn running(pid_file: &Path) -> Result<Option<Daemon>> {
    match Daemon::read(pid_file)? {
        Some(daemon) if daemon.runs()? => Ok(Some(daemon)),
        _ => Ok(None),
    }
}

/// Refuses when what runs is not what was asked for.
fn same(running: &Daemon, release: &Release, listen: &str) -> Result<()> {
    let Daemon { process, version, .. } = running;
    if version != release.version.as_str() {
        bail!("release {version} runs already (process {process}); stop it first");
    }
    let port = |address: &str| address.rsplit_once(':').map(|(_, port)| port.to_owned());
    match &running.listen {
        Some(address) if port(address) != port(listen) && !listen.ends_with(":0") => {
            bail!("release {version} runs already at {address}, not at {listen}")
        }
        _ => Ok(()),
    }
}

fn spawn(arguments: &Arguments, lock: &File, log_file: &Path) -> Result<Child> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .open(log_file)
        .with_context(|| format!("cannot open the log {}", log_file.display()))?;
    Command::new(std::env::current_exe()?)
        .args(arguments.words_for("daemon")?)
        .stdin(Stdio::from(lock.try_clone()?))
        .stdout(Stdio::from(log.try_clone()?))
        .stderr(Stdio::from(log))
        .spawn()
        .context("cannot start the daemon")
}

/// Waits until the daemon of the pid file is ready; false when it died or the time is over.
fn wait_until_ready(
    pid_file: &Path,
    deadline: Instant,
    mut lives: impl FnMut() -> Result<bool>,
) -> Result<bool> {
    loop {
        if !lives()? {
            return Ok(false);
        }
        let address = running(pid_file)?.and_then(|daemon| daemon.listen);
        if address.is_some_and(|address| is_ready(&address)) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        thread::sleep(POLL);
    }
}

/// Ends a daemon that did not become ready and says why it is given up.
fn give_up(child: &mut Child, pid_file: &Path, patience_ms: u64) -> Result<String> {
    let reason = match child.try_wait()? {
        Some(status) => format!("it ended with {status}"),
        None => {
            child.kill()?;
            child.wait()?;
            format!("it was not ready after {patience_ms} ms")
        }
    };
    remove(pid_file)?;
    Ok(reason)
}

/// SIGTERM, and SIGKILL when that does not help in time; says whether SIGTERM was enough.
fn end(daemon: &Daemon, patience: Duration) -> Result<bool> {
    daemon.signal(Signal::TERM)?;
    if daemon.wait(patience)? {
        return Ok(true);
    }
    daemon.signal(Signal::KILL)?;
    if daemon.wait(KILLED)? {
        return Ok(false);
    }
    bail!("process {} cannot be killed", daemon.process)
}

fn is_ready(address: &str) -> bool {
    probe::ask(address, "/health/ready").is_ok_and(|answer| answer.status == 200)
}

fn named_by(address: &str) -> Option<String> {
    let answer = probe::ask(address, "/health").ok()?;
    let health: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    Some(health.get("version")?.as_str()?.to_owned())
}

fn lock_file(pid_file: &Path) -> PathBuf {
    let mut name = pid_file.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Waits for the lock on a pid file; it is held as long as the file, or a copy of it, is open.
fn lock(pid_file: &Path) -> Result<File> {
    let name = lock_file(pid_file);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&name)
        .with_context(|| format!("cannot open the lock {}", name.display()))?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => {
                bail!("another start or stop of {} is under way", pid_file.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", name.display()));
            }
        }
    }
}

fn is_locked(pid_file: &Path) -> Result<bool> {
    let name = lock_file(pid_file);
    let file = match File::open(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", name.display())),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn remove(pid_file: &Path) -> Result<()> {
    match std::fs::remove_file(pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", pid_file.display()))
        }
        _ => Ok(()),
    }
}

/// Shows on stderr what the daemon logged last, nothing older than this start.
fn show_log(log_file: &Path, since: u64) {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log_file)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(since.max(length.saturating_sub(LOG_BYTES_SHOWN))))?;
        let mut bytes = Vec::new();
        file.take(LOG_BYTES_SHOWN).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..] {
        output::log("daemon", line);
    }
}
