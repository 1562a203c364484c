//! What the program says. Data goes to stdout, the log to stderr, and neither may stop the program:
//! whoever reads may be gone (killed in the middle of a run), and then a migration must go on.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde::Serialize;

/// One line on stdout; a reader that has gone away is not an error.
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(format!("{line}\n").as_bytes());
    let _ = stdout.flush();
}

/// One JSON object on stdout.
pub(crate) fn say_json(value: &impl Serialize) -> Result<()> {
    say(&serde_json::to_string(value)?);
    Ok(())
}

/// One log line on stderr: seconds since 1970 with milliseconds, level, text.
pub(crate) fn log(level: &str, text: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let line = format!("{}.{:03} {level} {text}\n", now.as_secs(), now.subsec_millis());
    // One write, so that lines of several processes in one log file do not interleave.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
