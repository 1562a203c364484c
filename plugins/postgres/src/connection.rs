//! How the server is reached, and what the tools are asked.

use serde::de::DeserializeOwned;
use vaultup_sdk::process::{self, Arguments, Asked, Command, Finished};
use vaultup_sdk::{Error, Operation, artifact};

use crate::literals::literal;
use crate::{Keep, Settings, trouble};

/// The dump of the database.
pub(crate) const DUMP: &str = "database.dump";
/// The roles of the cluster.
pub(crate) const GLOBALS: &str = "globals.sql";
/// What sessions of dumps call themselves in the live database.
pub(crate) const DUMPING: &str = "vaultup-dump";
/// What sessions of restores call themselves in a copy.
const RESTORING: &str = "vaultup-restore";
/// Seconds that a tool tries to reach the server.
const CONNECT_SECONDS: &str = "10";

/// How the server of an operation is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection<'a> {
    settings: &'a Settings,
}

/// A name and a value for `:'name'` in a text of SQL.
pub(crate) type Variable<'a> = (&'a str, &'a str);

impl<'a> Connection<'a> {
    pub(crate) fn of(operation: &'a Operation<Settings>) -> Result<Self, Error> {
        let settings = &operation.settings;
        if settings.inside.is_some() && settings.password.is_some() {
            return Err(Error::invalid_settings(
                "`password` does not reach a tool that runs `inside` a component: let the server \
                 there trust its own socket, or keep a `.pgpass` there",
            ));
        }
        Ok(Self { settings })
    }

    /// Whether the tools run inside a component.
    pub(crate) fn is_inside(&self) -> bool {
        self.settings.inside.is_some()
    }

    /// The database from which others are made and renamed.
    pub(crate) fn maintenance(&self) -> &'a str {
        &self.settings.maintenance
    }

    /// Asks a text of the manifest in a session that can only read; each line is a JSON value.
    pub(crate) fn ask<Answer: DeserializeOwned>(
        &self,
        database: &str,
        question: &str,
        variables: &[Variable<'_>],
    ) -> Result<Vec<Answer>, Error> {
        answers(&trouble::run("psql", self.question(database, question, variables))?)
    }

    /// Begins to ask the same.
    pub(crate) fn begin_to_ask<Answer: DeserializeOwned + 'static>(
        &self,
        database: &str,
        question: &str,
        variables: &[Variable<'_>],
    ) -> Asked<'static, Vec<Answer>> {
        let command = self.question(database, question, variables);
        trouble::begin("psql", command).and_then(|finished| answers(&finished))
    }

    fn question(
        &self,
        database: &str,
        question: &str,
        variables: &[Variable<'_>],
    ) -> Command<Arguments> {
        let session = if question == "migrations" { "asking" } else { "reading" };
        self.psql(database, variables, &[literal(session)]).input_text(literal(question))
    }

    /// Asks a query of the operator's; its answer as text, a row a line.
    pub(crate) fn ask_own(&self, database: &str, query: &str) -> Result<String, Error> {
        let command = self.psql(database, &[], &[literal("asking")]).input_text(query);
        Ok(trouble::run("psql", command)?.output.trim().to_owned())
    }

    /// The command that opens a moment of the database, measures it and holds it.
    pub(crate) fn moment(&self, rows: u64) -> Command<Arguments> {
        let sessions = [literal("measuring"), literal("moment")];
        self.psql(&self.settings.database, &[("rows", &rows.to_string())], &sessions)
            .argument(format!("--command={}", literal("hold")))
            .input_text(literal("figures"))
    }

    /// Measures a database.
    pub(crate) fn figures(&self, database: &str, rows: u64) -> Result<String, Error> {
        let rows = rows.to_string();
        let command = self.psql(database, &[("rows", &rows)], &[literal("measuring")]);
        Ok(trouble::run("psql", command.input_text(literal("figures")))?.output)
    }

    /// Carries a text of the manifest out that makes, renames or removes databases.
    pub(crate) fn change(&self, change: &str, variables: &[Variable<'_>]) -> Result<(), Error> {
        let database = &self.settings.maintenance;
        let command = self.psql(database, variables, &[literal("changing")]);
        trouble::run("psql", command.input_text(literal(change))).map(drop)
    }

    /// Begins to collect what the server's planner needs to know of a database: no dump has it.
    pub(crate) fn analyze(&self, database: &str) -> Asked<'static, ()> {
        let command = self.psql(database, &[], &[literal("changing")]);
        trouble::begin("psql", command.input_text(literal("analyze"))).and_then(|_| Ok(()))
    }

    /// The command that dumps a moment of the database, uncompressed.
    pub(crate) fn dump(&self, snapshot: &str) -> Command<Arguments> {
        let command = process::command("pg_dump").arguments([
            "--format=custom",
            "--compress=0",
            "--no-password",
            "--lock-wait-timeout=30s",
        ]);
        self.reach(command)
            .argument(format!("--snapshot={snapshot}"))
            .argument(named(&self.settings.database, DUMPING))
    }

    /// The command that dumps the roles; their passwords only for who may read them.
    pub(crate) fn globals(&self, with_passwords: bool) -> Command<Arguments> {
        let command = process::command("pg_dumpall").arguments(["--globals-only", "--no-password"]);
        let command =
            if with_passwords { command } else { command.argument("--no-role-passwords") };
        self.reach(command).argument(format!("--database={}", self.settings.database))
    }

    /// The command that prints the real schema.
    pub(crate) fn schema(&self) -> Command<Arguments> {
        let words = ["--schema-only", "--no-password", "--lock-wait-timeout=30s"];
        let command = process::command("pg_dump").arguments(words);
        self.reach(command).argument(named(&self.settings.database, DUMPING))
    }

    /// The command that restores the dump into an empty database.
    pub(crate) fn restore(&self, database: &str) -> Command<Arguments> {
        let words = ["--exit-on-error", "--single-transaction", "--no-password"];
        let mut command = process::command("pg_restore").arguments(words);
        if self.settings.owners == Keep::Drop {
            command = command.argument("--no-owner");
        }
        if self.settings.grants == Keep::Drop {
            command = command.argument("--no-privileges");
        }
        self.reach(command).argument(named(database, RESTORING)).from_artifact(DUMP)
    }

    /// Restores the dump into a database that was made for it.
    pub(crate) fn restore_into(&self, database: &str) -> Result<(), Error> {
        trouble::run("pg_restore", self.restore(database)).map(drop)
    }

    /// A command that runs where the tools are, and needs no server.
    pub(crate) fn tool<const WORDS: usize>(
        &self,
        tool: &str,
        words: [&str; WORDS],
    ) -> Command<Arguments> {
        self.place(process::command(tool).arguments(words))
    }

    fn psql(
        &self,
        database: &str,
        variables: &[Variable<'_>],
        sessions: &[&str],
    ) -> Command<Arguments> {
        let command = process::command("psql").arguments([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--no-password",
            "--set=ON_ERROR_STOP=1",
        ]);
        let command = self.reach(command).argument(format!("--dbname={database}"));
        let variables = variables.iter().map(|(name, value)| format!("--set={name}={value}"));
        command
            .arguments(variables)
            .arguments(sessions.iter().map(|session| format!("--command={session}")))
            .argument("--file=-")
            .environment("PGCLIENTENCODING", "UTF8")
    }

    /// Adds what every tool is told of the server, and the password.
    fn reach(&self, command: Command<Arguments>) -> Command<Arguments> {
        let Settings { host, port, user, .. } = self.settings;
        let host = host.iter().map(|host| format!("--host={host}"));
        let port = port.iter().map(|port| format!("--port={port}"));
        let user = user.iter().map(|user| format!("--username={user}"));
        let command = command
            .arguments(host.chain(port).chain(user))
            .environment("PGCONNECT_TIMEOUT", CONNECT_SECONDS)
            .environment("PGAPPNAME", "vaultup");
        self.place(match &self.settings.password {
            Some(secret) => command.secret_environment("PGPASSWORD", &secret.name),
            None => command,
        })
    }

    fn place(&self, command: Command<Arguments>) -> Command<Arguments> {
        match &self.settings.inside {
            Some(component) => command.inside(component),
            None => command,
        }
    }
}

/// The database of a tool, whose session then says whose it is: no variable of the environment
/// reaches a tool inside a component, and what it left there must be known after a crash.
fn named(database: &str, session: &str) -> String {
    format!("--dbname=application_name={session} dbname={database}")
}

/// Whether a command wrote anything; half a backup is none.
pub(crate) fn require_output(name: &str, finished: &Finished) -> Result<(), Error> {
    if finished.bytes > 0 {
        return Ok(());
    }
    Err(Error::failed(format!("`{name}` exited with status 0, but wrote nothing")))
}

/// Both artifacts of a backup, with something in them.
pub(crate) fn require_artifacts() -> Result<(), Error> {
    let all = artifact::all()?;
    for wanted in [DUMP, GLOBALS] {
        if !all.iter().any(|known| known.name == wanted && known.bytes > 0) {
            return Err(Error::corrupt(format!("the backup has no artifact `{wanted}`")));
        }
    }
    Ok(())
}

/// The lines that SQL of the manifest answered.
fn answers<Answer: DeserializeOwned>(finished: &Finished) -> Result<Vec<Answer>, Error> {
    finished.output.lines().filter(|line| !line.is_empty()).map(read).collect()
}

/// A line that SQL of the manifest answered.
pub(crate) fn read<Answer: DeserializeOwned>(line: &str) -> Result<Answer, Error> {
    serde_json::from_str(line).map_err(|error| {
        Error::corrupt(format!("`psql` answered something else than was asked for: {error}"))
            .with_platform(line)
    })
}
