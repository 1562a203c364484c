//! The interface `backup`.

use serde::Deserialize;
use serde_json::Value;
use vaultup_sdk::backup::{Change, Consistency, Cost, Level, Proof, Taken};
use vaultup_sdk::files::Root;
use vaultup_sdk::process::{Arguments, Command, Origin, Running};
use vaultup_sdk::{Backup, Error, Figure, Observation, Operation, artifact, log};

use crate::connection::{Connection, DUMP, GLOBALS, require_artifacts, require_output};
use crate::figures::{self, Told};
use crate::header::Header;
use crate::names::Names;
use crate::restore::{Copy, database_names};
use crate::sessions::name_others;
use crate::tools::Facts;
use crate::{PostgresPlugin, STATE_FORMAT, Settings, State, trouble};

/// What stands for the name of a moment that does not exist yet, in a plan.
const SOME_SNAPSHOT: &str = "SNAPSHOT";
/// Enough for a dump's head, whose only long part is the database's name.
const HEAD_BYTES_MAX: u32 = 4096;
/// How the list of a dump names the database that was dumped.
const LISTED_DATABASE: &str = ";     dbname: ";
/// How it says how many entries there are.
const LISTED_ENTRIES: &str = ";     TOC Entries: ";

impl Backup for PostgresPlugin {
    type State = State;

    fn estimate(operation: &Operation<Settings>) -> Result<Cost, Error> {
        let connection = Connection::of(operation)?;
        let facts = Facts::of(connection, &operation.settings.database)?;
        facts.require_server(operation)?;
        facts.require_tools(connection)?;
        facts.require_rights()?;
        let commands = vec![
            connection.dump(SOME_SNAPSHOT).shown(),
            connection.globals(facts.superuser).shown(),
        ];
        let consistency = Consistency::OneMoment;
        let bytes_free = bytes_free(&operation.settings)?;
        Ok(Cost { bytes: facts.bytes, bytes_free, consistency, commands })
    }

    fn take(operation: &Operation<Settings>) -> Result<Taken<State>, Error> {
        let settings = &operation.settings;
        let connection = Connection::of(operation)?;
        let facts = Facts::of(connection, &settings.database)?;
        facts.require_tools(connection)?;
        connection.ask::<Value>(&settings.database, "release-left", &[])?;
        name_others(connection, settings)?;
        let mut moment = Moment::open(connection.moment(settings.digest_rows))?;
        let dumped = trouble::run("pg_dump", connection.dump(&moment.snapshot).into_artifact(DUMP))
            .map_err(|error| moment.explained(error))?;
        require_output("pg_dump", &dumped)?;
        let globals = connection.globals(facts.superuser).into_artifact(GLOBALS);
        require_output("pg_dumpall", &trouble::run("pg_dumpall", globals)?)?;
        let figures = moment.figures()?;
        moment.release(connection, &settings.database)?;
        let state = State {
            format: STATE_FORMAT,
            database: settings.database.clone(),
            server: facts.version,
            bytes: facts.bytes,
            digest_rows: settings.digest_rows,
            figures: figures.len(),
            properties: facts.properties,
        };
        Ok(Taken { figures, consistency: Consistency::OneMoment, state })
    }

    fn inspect(operation: &Operation<Settings>, state: &State) -> Result<Vec<Figure>, Error> {
        state.require_known()?;
        let entries = listed(Connection::of(operation)?, state)?;
        Ok(vec![Figure { count: Some(entries), ..Figure::named("entries of the dump") }])
    }

    fn prove(operation: &Operation<Settings>, level: Level, state: &State) -> Result<Proof, Error> {
        state.require_known()?;
        require_artifacts()?;
        let connection = Connection::of(operation)?;
        let nothing = (Vec::new(), Vec::new());
        let (figures, answers) = match level {
            Level::Exists => nothing,
            Level::Readable => {
                listed(connection, state)?;
                nothing
            }
            Level::Checked => {
                checked(connection, state)?;
                nothing
            }
            Level::Restored => {
                artifact::check(GLOBALS)?;
                restored(operation, connection, state)?
            }
        };
        Ok(Proof { level, figures, answers })
    }

    fn status(operation: &Operation<Settings>, change: Change) -> Result<Observation, Error> {
        let names = Names::of(operation)?;
        let known = database_names(operation, &names)?;
        Ok(match change {
            Change::Prove if known.iter().any(|known| known.name == names.proof) => {
                Observation::failed(format!("it was interrupted and left {}", names.proof))
            }
            Change::Take | Change::Prove => Observation::NotStarted,
        })
    }

    fn clean(operation: &Operation<Settings>) -> Result<(), Error> {
        let names = Names::of(operation)?;
        Connection::of(operation)?.change("drop", &[("new", &names.proof)])
    }
}

/// A moment of the database that is held until this is dropped.
struct Moment {
    session: Running,
    snapshot: String,
    process: u32,
}

/// What the server says of the process that held a moment.
#[derive(Deserialize)]
struct Released {
    /// Whether it was told to end.
    ends: bool,
}

impl Moment {
    fn open(command: Command<Arguments>) -> Result<Self, Error> {
        let session = command.start()?;
        match next(&session)? {
            Told::Moment(snapshot, process) => Ok(Self { session, snapshot, process }),
            Told::Figure(_) | Told::Measured => {
                Err(Error::corrupt("`psql` measured before it held a moment"))
            }
        }
    }

    /// Ends it on the server too, which notices only later that nobody listens any more.
    fn release(self, connection: Connection<'_>, database: &str) -> Result<(), Error> {
        let process = self.process.to_string();
        let told: Vec<Released> = connection.ask(database, "release", &[("process", &process)])?;
        if told.iter().any(|its| its.ends) {
            // `psql` ends when its server process has let go of the moment. The server could wait
            // for that as well, but looks only every 100 ms.
            self.session.finish()?;
        }
        Ok(())
    }

    /// The error of who needed the moment: if the session has ended, what it said is the reason.
    fn explained(&mut self, error: Error) -> Error {
        match self.session.has_ended() {
            Ok(true) => self.figures().err().unwrap_or(error),
            _ => error,
        }
    }

    /// What was measured at this moment.
    fn figures(&mut self) -> Result<Vec<Figure>, Error> {
        let mut figures = Vec::new();
        loop {
            match next(&self.session)? {
                Told::Figure(figure) => figures.push(figure),
                Told::Measured => return Ok(figures),
                Told::Moment(..) => return Err(Error::corrupt("`psql` lost its moment")),
            }
        }
    }
}

/// What the session says next; it says more until it is stopped, so its end is a failure.
fn next(session: &Running) -> Result<Told, Error> {
    let mut errors = Vec::new();
    while let Some(line) = session.next_line()? {
        match line.origin {
            Origin::StandardOutput if line.text.is_empty() => {}
            Origin::StandardOutput => return figures::told(&line.text),
            Origin::StandardError => errors.push(line.text),
        }
    }
    let exit = session.finish()?;
    Err(trouble::failure("psql", &errors.join("\n"), format!("{} too early", trouble::ended(exit))))
}

/// Reads the dump's table of contents: as many entries as it says, of the database that was
/// dumped. This is no proof of what comes after it: `pg_restore --list` answers 0 on half a dump.
fn listed(connection: Connection<'_>, state: &State) -> Result<u64, Error> {
    if connection.is_inside() {
        return listed_inside(connection, state);
    }
    let listing = connection.tool("pg_restore", ["--list"]).from_artifact(DUMP).start()?;
    let (mut database, mut wanted, mut found) = (None, None, 0_u64);
    let mut errors = Vec::new();
    // It ends when it has read the contents; that it left the rest is not asked.
    while let Some(line) = listing.next_line()? {
        let text = line.text;
        if line.origin == Origin::StandardError {
            errors.push(text);
        } else if let Some(name) = text.strip_prefix(LISTED_DATABASE) {
            database = Some(name.to_owned());
        } else if let Some(number) = text.strip_prefix(LISTED_ENTRIES) {
            wanted = number.trim().parse().ok();
        } else if text.starts_with(|c: char| c.is_ascii_digit()) {
            found += 1;
        }
    }
    let Some(wanted) = wanted else {
        let message = "`pg_restore --list` finds no contents in the dump";
        return Err(Error::corrupt(message).with_platform(errors.join("\n")));
    };
    require_database(database.as_deref(), state)?;
    // The header counts what the list leaves out: encoding, quoting and search path.
    if found == 0 || found > wanted {
        let message = format!("the dump says that it has {wanted} entries, and has {found}");
        return Err(Error::corrupt(message));
    }
    Ok(found)
}

/// The same where the tools run inside a component: the dump's head says what it is, and
/// `pg_restore` reads it to its end, because a program there must not leave input unread (see
/// [`crate::header`]).
fn listed_inside(connection: Connection<'_>, state: &State) -> Result<u64, Error> {
    let header = Header::read(&artifact::head(DUMP, HEAD_BYTES_MAX)?)?;
    require_database(Some(&header.database), state)?;
    read_to_its_end(connection)?;
    Ok(header.entries)
}

fn require_database(found: Option<&str>, state: &State) -> Result<(), Error> {
    let wanted = &state.database;
    match found {
        Some(name) if name == wanted => Ok(()),
        Some(name) => {
            Err(Error::corrupt(format!("this is a dump of the database {name}, not of {wanted}")))
        }
        None => Err(Error::corrupt("the dump does not say of which database it is")),
    }
}

/// Reads every byte: the host compares it with what was recorded, `pg_restore` understands it.
fn checked(connection: Connection<'_>, state: &State) -> Result<(), Error> {
    artifact::check(GLOBALS)?;
    artifact::check(DUMP)?;
    listed(connection, state)?;
    if connection.is_inside() { Ok(()) } else { read_to_its_end(connection) }
}

/// Has `pg_restore` read the whole dump and keep nothing of it.
fn read_to_its_end(connection: Connection<'_>) -> Result<(), Error> {
    let words = ["--file=/dev/null"];
    let reading = connection.tool("pg_restore", words).from_artifact(DUMP);
    trouble::run("pg_restore", reading).map(drop)
}

/// Restores to scratch, measures it there and asks it.
fn restored(
    operation: &Operation<Settings>,
    connection: Connection<'_>,
    state: &State,
) -> Result<(Vec<Figure>, Vec<String>), Error> {
    let server = Copy::server(connection);
    listed(connection, state)?;
    let names = Names::of(operation)?;
    let copy = Copy { connection, database: &names.proof, state };
    let found = copy.made(server).and_then(|()| {
        let figures = figures::measure_copy(connection, &names.proof, state)?;
        let answers = figures::answers(connection, &names.proof, &operation.settings.check)?;
        Ok((figures, answers))
    });
    let removed = copy.removed();
    if let (Err(_), Err(error)) = (&found, &removed) {
        log::warning(format!("the scratch database {} is left: {error}", names.proof));
    }
    let found = found?;
    removed?;
    Ok(found)
}

/// Room on the server's file system, if it is on this machine and the operator says where.
pub(crate) fn bytes_free(settings: &Settings) -> Result<Option<u64>, Error> {
    match settings.data {
        Some(_) => Ok(Some(Root::open("data")?.room()?.bytes_free)),
        None => Ok(None),
    }
}
