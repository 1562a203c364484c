//! What went wrong, from what the tools said: the case decides what the host does next.

use vaultup_sdk::process::{Asked, Command, Exit, Finished, Program};
use vaultup_sdk::{Case, Error};

/// What the tools say, the case, and what helps. The first that is found counts.
const KNOWN: &[(&str, Case, &str)] = &[
    ("server version mismatch", Case::InvalidSettings, VERSIONS),
    ("unsupported version", Case::InvalidSettings, VERSIONS),
    ("password authentication failed", Case::Refused, "check `user` and `password`"),
    ("no password supplied", Case::Refused, "name a secret under `password`"),
    ("no pg_hba.conf entry", Case::Refused, "the server's pg_hba.conf does not let the user in"),
    ("permission denied to create database", Case::Refused, "grant it: ALTER ROLE … CREATEDB"),
    ("must be able to SET ROLE", Case::Refused, MEMBER),
    ("must be member of role", Case::Refused, MEMBER),
    ("must be owner of", Case::Refused, MEMBER),
    ("must be a superuser to terminate", Case::Refused, SIGNAL),
    ("must be a member of the role whose process", Case::Refused, SIGNAL),
    ("query would be affected by row-level security", Case::Refused, OWNER),
    ("permission denied", Case::Refused, OWNER),
    ("No space left on device", Case::NoSpace, "make room where the server keeps its data"),
    ("could not extend file", Case::NoSpace, "make room where the server keeps its data"),
    ("is being accessed by other users", Case::Conflict, "end the sessions that use it"),
    (
        "is not currently accepting connections",
        Case::Conflict,
        "a restore closed it: `vaultup resume`",
    ),
    ("too many connections", Case::Unreachable, "the server has no connection left"),
    ("too many clients", Case::Unreachable, "the server has no connection left"),
    ("statement timeout", Case::TimedOut, "a statement ran longer than it may"),
    ("lock timeout", Case::TimedOut, "somebody holds a lock on it"),
    ("canceling statement due to lock", Case::TimedOut, "somebody holds a lock on it"),
    ("connection to server", Case::Unreachable, "see whether the server runs there"),
    ("server closed the connection", Case::Unreachable, "see whether the server still runs"),
    ("terminating connection", Case::Unreachable, "the server ended the session"),
    ("could not translate host name", Case::Unreachable, "check `host`"),
    ("does not appear to be a valid archive", Case::Corrupt, "this is no dump of pg_dump"),
    ("unexpected end of file", Case::Corrupt, "the dump is cut off"),
    ("could not read from input file", Case::Corrupt, "the dump is cut off"),
    ("unrecognized data block type", Case::Corrupt, "the dump is damaged"),
];

const VERSIONS: &str = "tools of the server's major version, or a newer one, are needed";
const MEMBER: &str = "the user must own the database or be a member of its owner";
const SIGNAL: &str = "grant it: GRANT pg_signal_backend TO …";
const OWNER: &str = "the user must be able to read every row: let it be the owner or a superuser";

/// Runs a tool to its end; it must exit with 0.
pub(crate) fn run<What: Program>(tool: &str, command: Command<What>) -> Result<Finished, Error> {
    succeeded(tool, command.attempt().map_err(|error| read(tool, error))?)
}

/// Begins to run a tool; it must exit with 0.
pub(crate) fn begin<What: Program>(
    tool: &'static str,
    command: Command<What>,
) -> Asked<'static, Finished> {
    command.ask(move |finished| succeeded(tool, finished))
}

fn succeeded(tool: &str, finished: Finished) -> Result<Finished, Error> {
    if finished.is_success() {
        return Ok(finished);
    }
    Err(failure(tool, finished.words(), ended(finished.exit)))
}

/// An error of a tool that says what it means.
pub(crate) fn read(tool: &str, error: Error) -> Error {
    let words = error.to_string();
    match known(&words) {
        Some((case, help)) => Error::new(case, format!("`{tool}`: {help}")).with_platform(words),
        None => error,
    }
}

/// What a tool that failed said, as an error.
pub(crate) fn failure(tool: &str, words: &str, otherwise: String) -> Error {
    let missing = words.contains("does not exist") && words.contains("database \"");
    let found = match known(words) {
        _ if missing => Some((Case::NotFound, "there is no such database on this server")),
        found => found,
    };
    let role = words.contains("role \"") && words.contains("does not exist");
    let (case, message) = match found {
        Some((case, help)) => (case, format!("`{tool}` failed: {help}")),
        None if role => {
            let help = "a role is missing on this server; the backup's `globals.sql` has it";
            (Case::NotFound, format!("`{tool}` failed: {help}"))
        }
        None => (Case::Failed, format!("`{tool}` {otherwise}")),
    };
    Error::new(case, message).with_platform(words)
}

/// How a tool ended, in words.
pub(crate) fn ended(exit: Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exited with status {status}"),
        Exit::Signal(signal) => format!("was killed by signal {signal}"),
        Exit::Deadline => "did not end in time".to_owned(),
        Exit::OutputLimit => "wrote more than is read".to_owned(),
        Exit::Cancelled => "was stopped".to_owned(),
    }
}

fn known(words: &str) -> Option<(Case, &'static str)> {
    let found = KNOWN.iter().find(|(said, ..)| words.contains(said));
    found.map(|(_, case, help)| (case.clone(), *help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_say_becomes_a_case_that_the_host_acts_on() {
        let connection = "psql: error: connection to server at \"127.0.0.1\", port 5432 failed: ";
        for (words, case) in [
            (format!("{connection}Connection refused"), Case::Unreachable),
            (format!("{connection}FATAL:  password authentication failed for u"), Case::Refused),
            (format!("{connection}FATAL:  database \"x\" does not exist"), Case::NotFound),
            ("ERROR:  permission denied to create database".to_owned(), Case::Refused),
            ("ERROR:  could not extend file: No space left on device".to_owned(), Case::NoSpace),
            ("ERROR:  role \"app\" does not exist".to_owned(), Case::NotFound),
            ("pg_restore: error: unexpected end of file".to_owned(), Case::Corrupt),
            ("ERROR:  relation \"a\" already exists".to_owned(), Case::Failed),
        ] {
            assert_eq!(failure("psql", &words, "failed".to_owned()).case(), &case, "{words}");
        }
    }
}
