//! Which process a pid file means, and signals that reach that one or none.
//!
//! A process id is reused; a process id with its start time and the boot that it belongs to is not.
//! A signal goes through a descriptor of the process (pidfd) that is opened *before* the identity
//! is compared, so that no reuse can slip in between.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Version of the pid file's format.
const FORMAT: u32 = 1;
/// How often a process that is to end is looked at.
const POLL: Duration = Duration::from_millis(2);

/// A pid file: one process of one boot, and what runs in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Daemon {
    format: u32,
    /// Process id.
    pub(crate) process: i32,
    /// When it started, in clock ticks since the boot: field 22 of `/proc/PID/stat`.
    start_time: u64,
    /// The boot, from `/proc/sys/kernel/random/boot_id`.
    boot: String,
    /// The release that runs in it.
    pub(crate) version: String,
    /// Where it listens, as soon as it does.
    pub(crate) listen: Option<String>,
}

impl Daemon {
    /// This very process.
    pub(crate) fn myself(version: &str) -> Result<Self> {
        let process = i32::try_from(std::process::id())?;
        let Some(seen) = Stat::of(process)? else { bail!("/proc does not show this process") };
        Ok(Self {
            format: FORMAT,
            process,
            start_time: seen.start_time,
            boot: boot()?,
            version: version.to_owned(),
            listen: None,
        })
    }

    /// Reads a pid file; `None` when there is none.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        let daemon: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a pid file of this program", file.display()))?;
        if daemon.format != FORMAT || daemon.process < 1 {
            bail!("{} is not a pid file of format {FORMAT}", file.display());
        }
        Ok(Some(daemon))
    }

    /// Writes a pid file, whole or not at all.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        write_whole(file, &format!("{}\n", serde_json::to_string(self)?))
    }

    /// Whether this process, and no other with its id, runs.
    pub(crate) fn runs(&self) -> Result<bool> {
        let Some(seen) = Stat::of(self.process)? else { return Ok(false) };
        // A zombie is over: it holds nothing and only waits for its parent to look.
        Ok(!seen.over && seen.start_time == self.start_time && boot()? == self.boot)
    }

    /// Sends a signal if this process still runs, and says whether it did.
    pub(crate) fn signal(&self, signal: Signal) -> Result<bool> {
        let Some(process) = Pid::from_raw(self.process) else { return Ok(false) };
        let descriptor = match pidfd_open(process, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error).context("cannot open the process"),
        };
        if !self.runs()? {
            return Ok(false);
        }
        match pidfd_send_signal(descriptor, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error)
                .with_context(|| format!("cannot send a signal to process {}", self.process)),
        }
    }

    /// Waits until the process is over, at most `patience`; says whether it is.
    pub(crate) fn wait(&self, patience: Duration) -> Result<bool> {
        let deadline = Instant::now() + patience;
        while self.runs()? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            thread::sleep(POLL);
        }
        Ok(true)
    }
}

/// Replaces a file by rename, so that a reader sees the old text or the new one.
pub(crate) fn write_whole(file: &Path, text: &str) -> Result<()> {
    let mut made = file.as_os_str().to_owned();
    made.push(format!(".{}", std::process::id()));
    std::fs::write(&made, text)
        .and_then(|()| std::fs::rename(&made, file))
        .with_context(|| format!("cannot write {}", file.display()))
}

/// What `/proc/PID/stat` says.
struct Stat {
    start_time: u64,
    over: bool,
}

impl Stat {
    fn of(process: i32) -> Result<Option<Self>> {
        match std::fs::read(format!("/proc/{process}/stat")) {
            Ok(bytes) => Self::parse(&String::from_utf8_lossy(&bytes))
                .map(Some)
                .with_context(|| format!("cannot read /proc/{process}/stat")),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot see process {process}")),
        }
    }

    /// The second field is the program's name in parentheses and may contain both spaces and
    /// parentheses; what follows the last of them is field 3, the state.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        // The first thread may be over while others still hold the files and sockets.
        let over = matches!(*fields.first()?, "Z" | "X") && number(20)? <= 1;
        Some(Self { start_time: number(22)?, over })
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    // A process that ends while its file is read answers ESRCH.
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn boot() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .context("cannot tell which boot this is")?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let tail = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = Stat::parse(&format!("42 (a) R (b 7) {tail}")).unwrap();
        assert_eq!((stat.start_time, stat.over), (4711, false));
    }

    #[test]
    fn a_process_is_over_when_its_last_thread_is() {
        let of = |state: &str, threads: u32| {
            let text =
                format!("42 (a) {state} 1 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 {threads} 0 47 0 0");
            Stat::parse(&text).unwrap().over
        };
        assert!(of("Z", 1));
        assert!(!of("Z", 2));
        assert!(!of("S", 1));
    }

    #[test]
    fn this_process_runs_and_the_same_id_of_another_time_does_not() {
        let myself = Daemon::myself("1.0.0").unwrap();
        assert!(myself.runs().unwrap());
        let earlier = Daemon { start_time: myself.start_time - 1, ..myself.clone() };
        assert!(!earlier.runs().unwrap());
        let other_boot = Daemon { boot: "another".to_owned(), ..myself };
        assert!(!other_boot.runs().unwrap());
    }

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = i32::try_from(child.id()).unwrap();
        let seen = Stat::of(process).unwrap().unwrap();
        let daemon =
            Daemon { process, start_time: seen.start_time, ..Daemon::myself("1.0.0").unwrap() };
        assert!(daemon.wait(Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
    }
}
