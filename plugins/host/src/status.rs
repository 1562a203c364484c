//! What the operator's status command answers.
//!
//! | answer | meaning |
//! |---|---|
//! | a line with a JSON object that has `running` | what it says: `running`, `ready` (default: as `running`), `version`, `reason`, `changing` (a start or stop is under way) |
//! | no such line, exit status 0 | it runs and is ready |
//! | no such line, exit status 3 | it does not run (as `systemctl` and LSB scripts say) |
//! | anything else | it cannot be told, which is an error |
//!
//! Of several such lines the last counts. If no version is said, an instance that runs is taken to
//! run the release that its link names.

use serde::Deserialize;
use vaultup_sdk::Error;
use vaultup_sdk::process::{Exit, Finished};

/// Exit status of a status command for what does not run.
const NOT_RUNNING: i32 = 3;

/// How an instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it runs at all.
    pub running: bool,
    /// Whether it says that it can serve.
    pub ready: bool,
    /// The version that it says it is.
    pub version: Option<String>,
    /// Why it is not ready; empty when it is.
    pub reason: String,
    /// Whether somebody is starting or stopping it now.
    pub changing: bool,
}

#[derive(Deserialize)]
struct Said {
    running: bool,
    ready: Option<bool>,
    version: Option<String>,
    reason: Option<String>,
    changing: Option<bool>,
}

impl Status {
    /// It does not run, for this reason.
    pub fn not_running(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::default() }
    }

    /// Reads what a status command answered.
    ///
    /// # Errors
    /// If that tells nothing of the instance.
    pub fn read(answer: &Finished) -> Result<Self, Error> {
        let mut said = answer.output.lines().filter_map(|line| {
            let line = line.trim();
            line.starts_with('{').then(|| serde_json::from_str::<Said>(line).ok()).flatten()
        });
        if let Some(said) = said.next_back() {
            return Ok(Self::of(said));
        }
        let running = Self { running: true, ready: true, ..Self::default() };
        match answer.exit {
            Exit::Status(0) => Ok(running),
            Exit::Status(NOT_RUNNING) => Ok(Self::not_running("it does not run")),
            Exit::Cancelled => Err(Error::cancelled()),
            Exit::Deadline => Err(Error::timed_out("the command `status` did not end in time")),
            exit => {
                let message = format!("the command `status` tells nothing: {}", shown(exit));
                Err(Error::failed(message).with_platform(answer.words()))
            }
        }
    }

    fn of(said: Said) -> Self {
        let ready = said.running && said.ready.unwrap_or(true);
        let default = if said.running { "it runs but is not ready" } else { "it does not run" };
        let reason = said.reason.filter(|reason| !reason.is_empty());
        Self {
            running: said.running,
            ready,
            version: said.version.filter(|_| said.running),
            reason: if ready { String::new() } else { reason.unwrap_or_else(|| default.into()) },
            changing: said.changing.unwrap_or(false),
        }
    }
}

fn shown(exit: Exit) -> String {
    match exit {
        Exit::Status(status) => format!("it exited with status {status}"),
        Exit::Signal(signal) => format!("it was killed by signal {signal}"),
        Exit::OutputLimit => "it wrote more than is read".to_owned(),
        Exit::Deadline | Exit::Cancelled => "it was stopped".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    fn read(exit: Exit, output: &str) -> Result<Status, Error> {
        let (output, errors) = (output.to_owned(), "words".to_owned());
        Status::read(&Finished { exit, output, errors, bytes: 0 })
    }

    #[test]
    fn an_exit_status_alone_says_whether_it_runs() {
        let running = read(Exit::Status(0), "active\n").unwrap();
        assert!(running.running && running.ready);
        let stopped = read(Exit::Status(3), "inactive\n").unwrap();
        assert!(!stopped.running && !stopped.ready);
        for exit in [Exit::Status(1), Exit::Status(4), Exit::Signal(9), Exit::OutputLimit] {
            let error = read(exit, "").unwrap_err();
            assert!(error.to_string().ends_with(": words"), "{error}");
        }
    }

    #[test]
    fn what_the_last_json_line_says_counts_more() {
        let line = r#"{"running":true,"ready":false,"version":"2.0.0","process":7}"#;
        let status = read(Exit::Status(1), &format!("{{\"running\":false}}\n{line}\n")).unwrap();
        assert_eq!(status.version.as_deref(), Some("2.0.0"));
        assert!(status.running && !status.ready);
        assert_eq!(status.reason, "it runs but is not ready");
    }

    #[test]
    fn json_that_says_nothing_of_running_is_no_answer() {
        for output in ["{}", "[true]", "{\"running\": \"yes\"}", "{\"running\": true"] {
            read(Exit::Status(1), output).unwrap_err();
        }
    }

    #[test]
    fn what_does_not_run_is_never_ready_and_has_no_version() {
        let status =
            read(Exit::Status(0), r#"{"running":false,"ready":true,"version":"1.0.0"}"#).unwrap();
        assert_eq!(status, Status::not_running("it does not run"));
    }
}
