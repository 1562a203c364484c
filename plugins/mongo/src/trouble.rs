//! What went wrong, from what the tools said: the case decides what the host does next.

use vaultup_sdk::process::{Command, Exit, Finished, Program};
use vaultup_sdk::{Case, Error};

/// What the tools say, the case, and what helps. The first that is found counts.
const KNOWN: &[(&str, Case, &str)] = &[
    ("Authentication failed", Case::Refused, "check the user and the password in `config`"),
    ("AuthenticationFailed", Case::Refused, "check the user and the password in `config`"),
    ("requires authentication", Case::Refused, "name a secret with the address under `config`"),
    ("not authorized", Case::Refused, "the user needs `readWrite` and `dbAdmin` on the database"),
    ("No space left on device", Case::NoSpace, "make room where the server keeps its data"),
    ("ECONNREFUSED", Case::Unreachable, "see whether the server runs there"),
    ("connection refused", Case::Unreachable, "see whether the server runs there"),
    ("server selection error", Case::Unreachable, "see whether the server runs there"),
    ("Server selection timed out", Case::Unreachable, "see whether the server answers there"),
    ("server selection timeout", Case::Unreachable, "see whether the server runs there"),
    ("ENOTFOUND", Case::Unreachable, "check the server's name"),
    ("MongoNetworkError", Case::Unreachable, "the connection was lost"),
    ("connection pool", Case::Unreachable, "the connection was lost"),
    ("socket was unexpectedly closed", Case::Unreachable, "the connection was lost"),
    ("connection(", Case::Unreachable, "the connection was lost"),
    ("archive parser", Case::Corrupt, "the archive is damaged"),
    ("stream or file does not appear to be a mongodump archive", Case::Corrupt, "it is no archive"),
    ("vaultup: nothing was filled", Case::NotFound, "there is no filled copy to put in place"),
];

/// Runs a tool to its end; it must exit with 0.
pub(crate) fn run<What: Program>(tool: &str, command: Command<What>) -> Result<Finished, Error> {
    let finished = command.attempt()?;
    if finished.is_success() {
        return Ok(finished);
    }
    let words = finished.words();
    Err(match KNOWN.iter().find(|(said, ..)| words.contains(said)) {
        Some((_, case, help)) => Error::new(case.clone(), format!("`{tool}` failed: {help}")),
        None => Error::failed(format!("`{tool}` {}", ended(finished.exit))),
    }
    .with_platform(words))
}

fn ended(exit: Exit) -> String {
    match exit {
        Exit::Status(status) => format!("exited with status {status}"),
        Exit::Signal(signal) => format!("was killed by signal {signal}"),
        Exit::Deadline => "did not end in time".to_owned(),
        Exit::OutputLimit => "wrote more than is read".to_owned(),
        Exit::Cancelled => "was stopped".to_owned(),
    }
}
