//! Runs other programs: loudly, without standard input, and with an error that names the command.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::screen;

/// How often the memory of a measured process is looked at. The kernel keeps the peak, so only what
/// is allocated in the last interval before the end can be missed.
const MEMORY_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// What a measured process took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// From just before the start until after the end.
    pub(crate) duration: Duration,
    /// The most memory that was resident, in bytes; 0 if the process ended before the first look.
    pub(crate) memory_bytes_max: u64,
}

/// Says the command, runs it with its output on the screen, and demands success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    screen::say(format_args!("$ {}", line(command)));
    quiet(command)
}

/// As [`run`], without saying the command.
pub(crate) fn quiet(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    demand(command, status)
}

/// Runs a command and gives what it wrote to stdout; its stderr stays on the screen.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    demand(command, output.status)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("what `{}` wrote is not UTF-8", line(command)))
}

/// Says the command and runs it; each line of its stdout goes to the screen at once and then to
/// `read`. What the exit status means is for the caller to say.
pub(crate) fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
    screen::say(format_args!("$ {}", line(command)));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", line(command)))?;
    let stdout = child.stdout.take().context("the child has no stdout")?;
    let mut lines = BufReader::new(stdout);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        screen::say(text);
        read(text);
        bytes.clear();
    }
    Ok(child.wait()?)
}

/// Runs a command, its output discarded, and says how long it took. Nothing but starting the
/// process and waiting for it lies between the two looks at the clock.
pub(crate) fn timed(command: &mut Command) -> Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    let duration = started.elapsed();
    demand(command, status)?;
    Ok(duration)
}

/// As [`timed`], fed from `input`, and watches how much memory the process (not its children) has
/// resident.
pub(crate) fn measured(command: &mut Command, input: Stdio) -> Result<Measured> {
    command.stdin(input).stdout(Stdio::null());
    let ended = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", line(command)))?;
    let status_file = format!("/proc/{}/status", child.id());
    let (status, duration) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let status = std::fs::read_to_string(&status_file).unwrap_or_default();
                peak.fetch_max(resident_bytes_max(&status), Ordering::Relaxed);
                std::thread::sleep(MEMORY_POLL_INTERVAL);
            }
        });
        let status = child.wait();
        let duration = started.elapsed();
        ended.store(true, Ordering::Relaxed);
        (status, duration)
    });
    demand(command, status?)?;
    Ok(Measured { duration, memory_bytes_max: peak.into_inner() })
}

/// Whether a program of this name can be found on the path.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn demand(command: &Command, status: ExitStatus) -> Result<()> {
    ensure!(status.success(), "`{}` ended with {status}", line(command));
    Ok(())
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=:,@+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// `VmHWM` of a `/proc/<pid>/status`, in bytes.
fn resident_bytes_max(status: &str) -> u64 {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = kibibytes.and_then(|rest| rest.trim().strip_suffix("kB"));
    kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).map_or(0, |number| number * 1024)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn a_command_line_is_quoted_where_a_shell_would_read_it_otherwise() {
        let mut command = Command::new("tar");
        command.args(["-C", "a b", "it's", ""]);
        assert_eq!(line(&command), r"tar -C 'a b' 'it'\''s' ''");
    }

    #[test]
    fn the_lines_of_a_child_are_read_one_by_one_with_the_last_unfinished_one() {
        let mut seen = Vec::new();
        let mut command = Command::new("printf");
        command.arg(r"one\ntwo\r\nthree");
        let status = stream(&mut command, |line| seen.push(line.to_owned())).unwrap();
        assert!(status.success());
        assert_eq!(seen, ["one", "two", "three"]);
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_status() {
        let error = quiet(Command::new("sh").args(["-c", "exit 7"])).unwrap_err().to_string();
        assert_eq!(error, "`sh -c 'exit 7'` ended with exit status: 7");
    }

    #[test]
    fn a_command_that_is_not_there_is_named() {
        let error = output(&mut Command::new("no-such-program")).unwrap_err().to_string();
        assert_eq!(error, "cannot start `no-such-program`");
    }

    #[test]
    fn the_peak_of_resident_memory_is_read_in_bytes() {
        assert_eq!(resident_bytes_max("Name:\tx\nVmHWM:\t    1200 kB\nVmRSS:\t 1 kB\n"), 1_228_800);
        assert_eq!(resident_bytes_max("Name:\tzombie\n"), 0);
    }

    #[test]
    fn the_memory_that_a_process_had_is_seen_after_it_gave_it_back() {
        let script = "x=$(head -c 30000000 /dev/zero | tr '\\0' a); x=; sleep 0.1";
        let measured = measured(Command::new("bash").args(["-c", script]), Stdio::null()).unwrap();
        assert!(measured.memory_bytes_max > 30_000_000, "{}", measured.memory_bytes_max);
    }
}
