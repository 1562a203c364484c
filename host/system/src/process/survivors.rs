//! Finds the tools of a killed vaultup, so that they are waited for or ended, never run twice.
//!
//! A tool is recognised by three signs: it carries the operation's key in its environment, it
//! leads its process group (every program is started so), and it does *not* lead a session. A
//! service that a `start` command left behind carries the key as well, but leads no group, or has
//! made itself a session as daemons do; it is never touched. (A `start` script that turns on job
//! control, `set -m`, makes its service look like a tool. Scripts have no reason to.)
//!
//! Threat: a number that is used again. A process is signalled only while it has the start time
//! with which it was found.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Signal, kill_process_group};
use tokio::time::timeout;

use super::group::Group;
use super::identity::{Here, Liveness, ProcessIdentity, Stat};
use super::{KEY_VARIABLE, KILL_WAIT, STOP_GRACE};
use crate::error::Error;

/// How often a process that is not our own child is looked at while its end is waited for. The
/// kernel tells only the parent.
const LOOK: Duration = Duration::from_millis(10);

/// A tool that outlived the vaultup that started it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survivor {
    /// Which process it is; it leads its group.
    pub process: ProcessIdentity,
    /// When it was started, to about 10 ms.
    pub started: Timestamp,
    /// Its arguments, the program first.
    pub arguments: Vec<OsString>,
}

/// All tools that run under this key, by start, then process id. Programs that this very process
/// has started are not among them.
///
/// # Errors
/// [`Error::ProcessTable`] when `/proc` cannot be read.
pub fn survivors(key: &str) -> Result<Vec<Survivor>, Error> {
    let failed = |source| Error::ProcessTable { source };
    let here = Here::look()?;
    let booted = booted()?;
    let own_id = std::process::id();
    let user = rustix::process::geteuid().as_raw();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(process_id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Some(stat) = Stat::of(process_id) else { continue };
        let leads = stat.group == process_id && stat.session != process_id;
        if !leads || !stat.runs() || process_id == own_id || stat.parent == own_id {
            continue;
        }
        let directory = Path::new("/proc").join(&name);
        let own = std::fs::metadata(&directory).is_ok_and(|metadata| metadata.uid() == user);
        if !own || !carries(&directory, key) {
            continue;
        }
        let survivor = Survivor {
            process: here.identity(&stat),
            started: since(booted, stat.started_ticks),
            arguments: arguments(&directory),
        };
        // Read last: had the number changed hands meanwhile, the start would be another.
        if survivor.is_alive() {
            found.insert((stat.started_ticks, process_id), survivor);
        }
    }
    Ok(found.into_values().collect())
}

impl Survivor {
    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.liveness() == Liveness::Alive
    }

    /// Waits for its end, so long at most. True: it has ended.
    pub async fn wait(&self, deadline: Duration) -> bool {
        let ended = async {
            while self.is_alive() {
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(deadline, ended).await.is_ok()
    }

    /// Ends it and its whole group: asks, waits, kills.
    ///
    /// # Errors
    /// [`Error::SurvivorStays`] when it hangs in the kernel.
    pub async fn kill(&self) -> Result<(), Error> {
        let Some(leader) = self.leader().filter(|_| self.is_alive()) else { return Ok(()) };
        let group = Group::led_by(leader);
        group.release();
        group.signal(Signal::TERM);
        let _ = timeout(STOP_GRACE, async {
            self.wait(STOP_GRACE).await;
            while group.has_members() {
                tokio::time::sleep(LOOK).await;
            }
        })
        .await;
        // Nothing holds the number when the group has no members; then this reaches nobody.
        let _ = kill_process_group(leader, Signal::KILL);
        if self.wait(KILL_WAIT).await {
            Ok(())
        } else {
            Err(Error::SurvivorStays { process_id: self.process.process_id })
        }
    }

    fn leader(&self) -> Option<rustix::process::Pid> {
        i32::try_from(self.process.process_id).ok().and_then(rustix::process::Pid::from_raw)
    }
}

fn carries(directory: &Path, key: &str) -> bool {
    let Ok(environment) = std::fs::read(directory.join("environ")) else { return false };
    let wanted = [KEY_VARIABLE.as_bytes(), b"=", key.as_bytes()].concat();
    environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
}

fn arguments(directory: &Path) -> Vec<OsString> {
    let Ok(line) = std::fs::read(directory.join("cmdline")) else { return Vec::new() };
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    line.split(|byte| *byte == 0).map(|argument| OsString::from_vec(argument.to_vec())).collect()
}

/// When the machine started.
fn booted() -> Result<Timestamp, Error> {
    let failed = |source| Error::ProcessTable { source };
    let text = std::fs::read_to_string("/proc/stat").map_err(failed)?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|seconds| seconds.trim().parse().ok())
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or_else(|| failed(std::io::Error::from(std::io::ErrorKind::InvalidData)))
}

fn since(booted: Timestamp, ticks: u64) -> Timestamp {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let elapsed = Duration::from_millis(ticks.saturating_mul(1_000) / per_second);
    booted.saturating_add(elapsed).unwrap_or(booted)
}
