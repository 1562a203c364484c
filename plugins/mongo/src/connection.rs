//! How the server is reached, and what the tools are asked.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use vaultup_sdk::process::{self, Arguments, Command, Finished};
use vaultup_sdk::{Error, Figure, Operation, artifact};

use crate::archive::{self, Counts, Pieces};
use crate::literals::literal;
use crate::names::Names;
use crate::{Settings, State, trouble};

/// The only artifact of a backup.
pub(crate) const ARCHIVE: &str = "database.archive";
/// How much of it is read at once.
const PIECE_BYTES: u32 = 1024 * 1024;
/// How long a question may take that reads no documents.
const QUESTION: Duration = Duration::from_secs(60);

/// How often a server is looked for that does not refuse, and does not answer in time either.
const SELECTIONS_MAX: usize = 10;
/// What the shell says then.
const SELECTION_TIMED_OUT: &str = "Server selection timed out";

/// How the server of an operation is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection<'a> {
    settings: &'a Settings,
}

/// What the server says of itself and of the database.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) bytes: u64,
    /// Bytes free on the server's file system, if it tells.
    pub(crate) free: Option<u64>,
    pub(crate) writable: bool,
    pub(crate) set: Option<String>,
    pub(crate) collections: u64,
    /// Who else is connected, if the server tells.
    pub(crate) named: Option<Vec<String>>,
    /// How many connections there are, this question's own too, if it tells at least that.
    pub(crate) connections: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Figure { name: String, count: u64, digest: Option<String> },
    Measured { measured: bool },
}

impl<'a> Connection<'a> {
    pub(crate) fn of(operation: &'a Operation<Settings>) -> Result<Self, Error> {
        let settings = &operation.settings;
        if settings.inside.is_some() && settings.config.is_some() {
            return Err(Error::invalid_settings(
                "`config` does not reach a tool that runs `inside` a component: let the server \
                 there take its own machine's connections",
            ));
        }
        if settings.config.is_some() && (settings.host.is_some() || settings.port.is_some()) {
            return Err(Error::invalid_settings(
                "`config` has the address: leave `host` and `port`",
            ));
        }
        Ok(Self { settings })
    }

    pub(crate) fn facts(&self) -> Result<Facts, Error> {
        let mut answered = self.ask(&self.settings.database, "facts")?;
        answered.pop().ok_or_else(|| Error::corrupt("the server says nothing of the database"))
    }

    /// Asks a text of the manifest; each line is a JSON value.
    pub(crate) fn ask<Answer: DeserializeOwned>(
        &self,
        database: &str,
        question: &str,
    ) -> Result<Vec<Answer>, Error> {
        let script = format!("--eval={}", literal(question));
        let command = || self.shell(database, None).argument(&script).within(QUESTION);
        let answered = reached(command)?.output;
        answered.lines().filter(|line| !line.trim().is_empty()).map(read).collect()
    }

    /// Asks an expression of the operator's; what it prints.
    pub(crate) fn ask_own(&self, database: &str, query: &str) -> Result<String, Error> {
        let command = || self.shell(database, None).argument(format!("--eval={query}"));
        Ok(reached(command)?.output.trim().to_owned())
    }

    /// Measures a database, or, with names, the collections of a restored copy beside it.
    pub(crate) fn figures(
        &self,
        database: &str,
        names: Option<&Names>,
    ) -> Result<Vec<Figure>, Error> {
        let names = names.map(|names| names.script(&names.new, false));
        let script = format!("--eval={}", literal("figures"));
        let command = || self.shell(database, names.as_deref()).argument(&script);
        let answered = reached(command)?.output;
        let mut figures = Vec::new();
        for line in answered.lines().filter(|line| !line.trim().is_empty()) {
            match read(line)? {
                Line::Figure { name, count, digest } => {
                    figures.push(Figure { count: Some(count), digest, ..Figure::named(name) });
                }
                Line::Measured { measured: true } => return Ok(figures),
                Line::Measured { .. } => break,
            }
        }
        Err(Error::corrupt("`mongosh` ended before everything was measured")
            .with_platform(answered))
    }

    /// Carries a text of the manifest out that changes something.
    pub(crate) fn change(&self, database: &str, change: &str, names: &str) -> Result<(), Error> {
        let script = format!("--eval={}", literal(change));
        reached(|| self.shell(database, Some(names)).argument(&script)).map(drop)
    }

    /// The command that dumps the database.
    pub(crate) fn dump(&self) -> Command<Arguments> {
        let command = process::command("mongodump").argument("--archive");
        self.reach(command)
            .argument(format!("--db={}", self.settings.database))
            .argument("--excludeCollectionsWithPrefix=vaultup_")
            .argument("--serverSelectionTimeout=5")
    }

    /// The command that restores an archive under other names.
    pub(crate) fn restore(&self, source: &str, to: &str) -> Command<Arguments> {
        let words: &[&str] = match self.settings.inside {
            Some(_) => &["mongorestore", "--archive"],
            None => &["prlimit", "--as=8589934592", "mongorestore", "--archive"],
        };
        let (tool, words) = words.split_first().unwrap_or((&"mongorestore", &[]));
        let command = process::command(*tool).arguments(words.iter().copied());
        self.reach(command)
            .arguments(["--stopOnError", "--serverSelectionTimeout=5"])
            .argument(format!("--nsInclude={source}.*"))
            .argument(format!("--nsFrom={source}.*"))
            .argument(format!("--nsTo={to}*"))
            .from_artifact(ARCHIVE)
    }

    /// Restores the archive under other names. Its success is its exit status, that no document
    /// failed, and that as many were restored as were backed up: a name that matches nothing
    /// answers 0 as well.
    pub(crate) fn restore_to(&self, state: &State, to: &str) -> Result<(), Error> {
        let finished = trouble::run("mongorestore", self.restore(&state.database, to))?;
        let wanted: u64 = state.documents.values().sum();
        let said = restored(&finished);
        if said == Some((wanted, 0)) {
            return Ok(());
        }
        let message =
            format!("`mongorestore` did not restore {wanted} documents without a failure");
        Err(Error::corrupt(message).with_platform(finished.errors))
    }

    fn shell(&self, database: &str, names: Option<&str>) -> Command<Arguments> {
        let command = process::command("mongosh").arguments(["--quiet", "--norc"]);
        let command = match &self.settings.config {
            Some(secret) => command
                .argument("--nodb")
                .argument(format!("--eval={}", literal("connect")))
                .secret_environment("VAULTUP_CONFIG", &secret.name)
                .environment("VAULTUP_DATABASE", database),
            None => self.reach(command).argument(database),
        };
        let command = self.place(command);
        command.arguments(names.map(|names| format!("--eval=names={names}")))
    }

    fn reach(&self, command: Command<Arguments>) -> Command<Arguments> {
        let Settings { host, port, config, .. } = self.settings;
        let command = match config {
            Some(secret) => command.secret_file("--config=", &secret.name),
            None => command,
        };
        let host = host.iter().map(|host| format!("--host={host}"));
        let port = port.iter().map(|port| format!("--port={port}"));
        self.place(command.arguments(host.chain(port)))
    }

    fn place(&self, command: Command<Arguments>) -> Command<Arguments> {
        match &self.settings.inside {
            Some(component) => command.inside(component),
            None => command,
        }
    }
}

/// Runs MongoDB's shell. It gives a server two seconds to be found, which a busy one may need more
/// than: then nothing has happened yet, and it is asked again.
fn reached(command: impl Fn() -> Command<Arguments>) -> Result<Finished, Error> {
    let is_slow = |error: &Error| error.to_string().contains(SELECTION_TIMED_OUT);
    for _ in 1..SELECTIONS_MAX {
        match trouble::run("mongosh", command()) {
            Err(error) if is_slow(&error) => vaultup_sdk::cancel::check()?,
            other => return other,
        }
    }
    trouble::run("mongosh", command())
}

/// The archive of the backup, piece by piece.
struct Artifact;

impl Pieces for Artifact {
    fn next(&mut self) -> Result<Vec<u8>, Error> {
        vaultup_sdk::cancel::check()?;
        artifact::next(ARCHIVE, PIECE_BYTES)
    }
}

/// Reads the whole archive and checks every byte: checksums, ends, and that the documents are as
/// many as were counted.
pub(crate) fn require_archive(state: &State) -> Result<Counts, Error> {
    let counts = archive::check(&mut Artifact)?;
    let named = |(name, count): (&String, &u64)| (format!("{}.{name}", state.database), *count);
    let wanted: Counts = state.documents.iter().map(named).collect();
    let differs = wanted.iter().find(|(name, count)| counts.get(*name) != Some(count));
    if let Some((name, count)) = differs {
        let found = counts.get(name).map_or_else(|| "no".to_owned(), u64::to_string);
        let message =
            format!("{count} documents of {name} were counted, {found} are in the archive");
        return Err(Error::corrupt(message));
    }
    Ok(counts)
}

/// How many documents `mongorestore` says that it restored, and how many it could not.
fn restored(finished: &Finished) -> Option<(u64, u64)> {
    let line = finished.errors.lines().rev().find(|line| line.contains("document(s) restored"))?;
    let (restored, failed) = line.split_once("document(s) restored successfully.")?;
    let restored = restored.split_whitespace().next_back()?.parse().ok()?;
    let failed = failed.split_whitespace().next()?.parse().ok()?;
    Some((restored, failed))
}

fn read<Answer: DeserializeOwned>(line: &str) -> Result<Answer, Error> {
    serde_json::from_str(line).map_err(|error| {
        Error::corrupt(format!("`mongosh` answered something else than was asked for: {error}"))
            .with_platform(line)
    })
}

#[cfg(test)]
mod tests {
    use vaultup_sdk::process::Exit;

    use super::*;

    #[test]
    fn what_mongorestore_says_at_its_end_is_read_and_nothing_else_counts() {
        let finished = |errors: &str| Finished {
            exit: Exit::Status(0),
            output: String::new(),
            errors: errors.to_owned(),
            bytes: 0,
        };
        let said = "2026-01-01\tdone\n2026-01-01T00:00:00.000+0000\t100 document(s) restored \
            successfully. 2 document(s) failed to restore.\n";
        assert_eq!(restored(&finished(said)), Some((100, 2)));
        assert_eq!(restored(&finished("killed")), None);
    }
}
