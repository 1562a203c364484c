//! The interface `backup`.

use vaultup_sdk::backup::{Change, Consistency, Cost, Level, Proof, Taken};
use vaultup_sdk::{Backup, Error, Figure, Observation, Operation, artifact, log};

use crate::connection::{ARCHIVE, Connection, Facts, require_archive};
use crate::names::Names;
use crate::{MongoPlugin, STATE_FORMAT, Settings, State, trouble};

/// The beginning of an archive, where its structure shows.
const HEAD_BYTES: u32 = 64 * 1024;
/// What an archive begins with.
const MAGIC: [u8; 4] = [0x6d, 0xe2, 0x99, 0x81];
/// What ends each part of it.
const TERMINATOR: [u8; 4] = [0xff; 4];
/// The most characters of an answer of `check` that are kept.
const ANSWER_CHARACTERS_MAX: usize = 4096;
/// How many connections a warning names.
const CONNECTIONS_NAMED_MAX: usize = 10;
/// How the name of a figure begins that is not a collection's documents.
const OF_OTHERS: [&str; 2] = ["indexes and options of ", "view "];

impl Backup for MongoPlugin {
    type State = State;

    fn estimate(operation: &Operation<Settings>) -> Result<Cost, Error> {
        let connection = Connection::of(operation)?;
        let facts = connection.facts()?;
        let commands = vec![connection.dump().shown()];
        // Without an oplog the collections are of different moments while somebody writes.
        let consistency = Consistency::None;
        Ok(Cost { bytes: facts.bytes, bytes_free: facts.free, consistency, commands })
    }

    fn take(operation: &Operation<Settings>) -> Result<Taken<State>, Error> {
        let connection = Connection::of(operation)?;
        let database = &operation.settings.database;
        let facts = connection.facts()?;
        name_connections(&facts);
        let before = connection.figures(database, None)?;
        let dumped = trouble::run("mongodump", connection.dump().into_artifact(ARCHIVE))?;
        if dumped.bytes == 0 {
            return Err(Error::failed("`mongodump` exited with status 0, but wrote nothing"));
        }
        let figures = connection.figures(database, None)?;
        if figures != before {
            return Err(Error::conflict(format!(
                "the database {database} changed while it was dumped: stop whoever writes to it, \
                 and name them under `written-by`"
            )));
        }
        if figures.is_empty() {
            return Err(Error::not_found(format!("the database {database} has no collection")));
        }
        let state = State {
            format: STATE_FORMAT,
            database: database.clone(),
            bytes: facts.bytes,
            documents: documents(&figures),
            figures: figures.len(),
        };
        Ok(Taken { figures, consistency: Consistency::WritersHeld, state })
    }

    fn inspect(_operation: &Operation<Settings>, state: &State) -> Result<Vec<Figure>, Error> {
        state.require_known()?;
        let counts = require_archive(state)?;
        let figure = |(name, count)| Figure { count: Some(count), ..Figure::named(name) };
        Ok(counts.into_iter().map(figure).collect())
    }

    fn prove(operation: &Operation<Settings>, level: Level, state: &State) -> Result<Proof, Error> {
        state.require_known()?;
        if !artifact::all()?.iter().any(|known| known.name == ARCHIVE && known.bytes > 0) {
            return Err(Error::corrupt(format!("the backup has no artifact `{ARCHIVE}`")));
        }
        let nothing = (Vec::new(), Vec::new());
        let (figures, answers) = match level {
            Level::Exists => nothing,
            Level::Readable => {
                readable()?;
                nothing
            }
            Level::Checked => {
                require_archive(state)?;
                nothing
            }
            Level::Restored => restored(operation, state)?,
        };
        Ok(Proof { level, figures, answers })
    }

    fn status(operation: &Operation<Settings>, change: Change) -> Result<Observation, Error> {
        let names = Names::of(operation)?;
        let connection = Connection::of(operation)?;
        Ok(match change {
            // A database without collections is not there.
            Change::Prove if !connection.figures(&names.proof, None)?.is_empty() => {
                Observation::failed(format!("it was interrupted and left {}", names.proof))
            }
            Change::Take | Change::Prove => Observation::NotStarted,
        })
    }

    fn clean(operation: &Operation<Settings>) -> Result<(), Error> {
        let names = Names::of(operation)?;
        Connection::of(operation)?.change(&names.proof, "drop", &names.script("", false))
    }
}

/// Says who is connected while the writers should be held: what they write is in no backup.
fn name_connections(facts: &Facts) {
    match (&facts.named, facts.connections) {
        (Some(named), _) if named.is_empty() => {}
        (Some(named), _) => {
            let shown: Vec<&str> =
                named.iter().take(CONNECTIONS_NAMED_MAX).map(String::as_str).collect();
            let count = named.len();
            log::warning(format!("{count} others are connected: {}", shown.join(", ")));
        }
        (None, Some(count)) => log::info(format!(
            "{count} connections are open, vaultup's among them; the server does not name them"
        )),
        (None, None) => log::info("the server does not say who is connected"),
    }
}

/// Documents of each collection, of the figures of a database.
fn documents(figures: &[Figure]) -> std::collections::BTreeMap<String, u64> {
    let is_other = |name: &str| OF_OTHERS.iter().any(|beginning| name.starts_with(beginning));
    let collections = figures.iter().filter(|figure| !is_other(&figure.name));
    collections.map(|figure| (figure.name.clone(), figure.count.unwrap_or_default())).collect()
}

/// Whether the archive begins as one does.
fn readable() -> Result<(), Error> {
    let head = artifact::head(ARCHIVE, HEAD_BYTES)?;
    let has_end = head.windows(TERMINATOR.len()).any(|bytes| bytes == TERMINATOR);
    if head.starts_with(&MAGIC) && (has_end || head.len() == HEAD_BYTES as usize) {
        return Ok(());
    }
    Err(Error::corrupt("this does not begin as an archive of `mongodump` does"))
}

/// Restores to scratch, measures it there and asks it.
fn restored(
    operation: &Operation<Settings>,
    state: &State,
) -> Result<(Vec<Figure>, Vec<String>), Error> {
    require_archive(state)?;
    let connection = Connection::of(operation)?;
    let names = Names::of(operation)?;
    let script = names.script("", false);
    let dropped = || connection.change(&names.proof, "drop", &script);
    dropped()?;
    let found = connection.restore_to(state, &format!("{}.", names.proof)).and_then(|()| {
        let figures = connection.figures(&names.proof, None)?;
        state.require_as_many(&figures)?;
        Ok((figures, answers(connection, &names.proof, &operation.settings.check)?))
    });
    let removed = dropped();
    if let (Err(_), Err(error)) = (&found, &removed) {
        log::warning(format!("the scratch database {} is left: {error}", names.proof));
    }
    let found = found?;
    removed?;
    Ok(found)
}

/// What the operator's expressions print of a restored copy. One that prints nothing asks nothing.
fn answers(
    connection: Connection<'_>,
    database: &str,
    queries: &[String],
) -> Result<Vec<String>, Error> {
    let asked = |query: &String| {
        let answer = connection.ask_own(database, query)?;
        if answer.is_empty() {
            let message = "an expression of `check` printed nothing: let it print what it found";
            return Err(Error::failed(message).with_platform(query));
        }
        Ok(answer.chars().take(ANSWER_CHARACTERS_MAX).collect())
    };
    queries.iter().map(asked).collect()
}
