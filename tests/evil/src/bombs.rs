//! What has to be stopped from outside. Whoever comes back from here has escaped.

use std::hint::black_box;
use std::time::Duration;

use vaultup_sdk::files::Root;
use vaultup_sdk::{Error, clock, log, process, progress};

const MEBIBYTE: usize = 1024 * 1024;
/// More of anything than any limit of the host allows.
const BEYOND_EVERY_LIMIT: u64 = 100_000_000;
/// More seconds than any deadline has.
const SECONDS_BEYOND_DEADLINES: u64 = 86_400;
/// An answer that is larger than the host takes from a plugin.
const ANSWER_BYTES: usize = 256 * MEBIBYTE;

/// Computes for ever.
pub(crate) fn compute() -> ! {
    let mut number = 0_u64;
    loop {
        number = black_box(number.wrapping_mul(3).wrapping_add(1));
    }
}

/// Copies large memory for ever.
pub(crate) fn copy() -> ! {
    let mut memory = vec![1_u8; 16 * MEBIBYTE];
    loop {
        memory.copy_within(..8 * MEBIBYTE, 8 * MEBIBYTE);
        black_box(&mut memory);
    }
}

/// Allocates until there is no more.
pub(crate) fn allocate() -> ! {
    let mut memory = Vec::new();
    loop {
        memory.push(vec![1_u8; MEBIBYTE]);
        black_box(&memory);
    }
}

/// Opens the granted directory again and again.
pub(crate) fn open_handles() -> Result<(), Error> {
    repeat("a handle", || {
        std::mem::forget(Root::open("path")?);
        Ok(())
    })
}

/// Starts commands and forgets them.
pub(crate) fn start_commands() -> Result<(), Error> {
    repeat("a command under way", || {
        std::mem::forget(process::command("sleep").argument("3600").start()?);
        Ok(())
    })
}

/// Calls itself without end.
pub(crate) fn recur() -> Result<(), Error> {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 32]);
        if black_box(depth) == u64::MAX { 0 } else { deeper(depth + 1) + black_box(frame)[7] }
    }
    Err(Error::other("escaped", format!("it came to an end at {}", deeper(0))))
}

/// Waits a day, a minute at a time, whatever the host says.
pub(crate) fn sleep() -> Result<(), Error> {
    let mut refused = String::new();
    for _ in 0..SECONDS_BEYOND_DEADLINES / 60 {
        if let Err(error) = clock::pause(Duration::from_secs(60)) {
            refused = error.to_string();
        }
    }
    Err(Error::other("escaped", "it waited as long as it wanted").with_platform(refused))
}

/// Runs a command for a day and, when that is stopped, goes on as if nothing were.
pub(crate) fn slow_command() -> Result<(), Error> {
    let day = SECONDS_BEYOND_DEADLINES.to_string();
    let ended = process::command("sleep").argument(day).within(Duration::MAX).attempt();
    Err(Error::other("contained", "the command was stopped").with_platform(format!("{ended:?}")))
}

/// Logs without end.
pub(crate) fn flood_log() -> Result<(), Error> {
    let line = "flood ".repeat(10_000);
    repeat("a log line", || {
        log::info(&line);
        Ok(())
    })
}

/// Reports progress without end.
pub(crate) fn flood_progress() -> Result<(), Error> {
    let mut done = 0;
    repeat("a report", || {
        done += 1;
        progress::report(done, Some(1), &"units".repeat(1000));
        Ok(())
    })
}

/// Runs `yes`.
pub(crate) fn flood_command() -> Result<(), Error> {
    let ended = process::command("yes").argument("flood").attempt();
    let told = match ended {
        Ok(finished) => format!("{:?} after {} bytes", finished.exit, finished.output.len()),
        Err(error) => error.to_string(),
    };
    Err(Error::other("contained", "the command was stopped").with_platform(told))
}

/// Leads `yes` into an artifact.
pub(crate) fn flood_artifact() -> Result<(), Error> {
    let ended = process::command("yes").argument("flood").into_artifact("flood").attempt();
    let told = match ended {
        Ok(finished) => format!("{:?} after {} bytes", finished.exit, finished.bytes),
        Err(error) => error.to_string(),
    };
    Err(Error::other("contained", "the command was stopped").with_platform(told))
}

/// Answers with an enormous text.
pub(crate) fn flood_answer() -> Result<(), Error> {
    Err(Error::other("escaped", "x".repeat(ANSWER_BYTES)))
}

/// Does something until it is refused.
fn repeat(what: &str, mut work: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    for number in 0..BEYOND_EVERY_LIMIT {
        if let Err(error) = work() {
            let message = format!("{what} was refused after {number}");
            return Err(Error::other("contained", message).with_platform(error.to_string()));
        }
    }
    Err(Error::other("escaped", format!("{what} was never refused")))
}
