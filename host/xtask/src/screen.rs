//! What the commands say: figures and steps on stdout, errors on stderr. A reader that has gone
//! away is no error, so that `cargo xtask … | head` ends quietly.

use std::fmt::Display;
use std::io::Write;
use std::time::{Duration, Instant};

/// One line on stdout. In this crate's own tests nothing is said, since whoever runs them reads
/// their output for results.
pub(crate) fn say(line: impl Display) {
    if cfg!(test) {
        return;
    }
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// An error with its causes on stderr.
pub(crate) fn error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
}

/// Says what begins now, does it, and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    say(format_args!("== {name}"));
    let started = Instant::now();
    let result = work();
    let outcome = if result.is_ok() { "done" } else { "failed" };
    say(format_args!("== {name}: {outcome} after {}", seconds(started.elapsed())));
    result
}

/// A duration as people read it in a log: `0.4 s`, `72.1 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
