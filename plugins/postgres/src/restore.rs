//! The interface `restore`.
//!
//! `fill` restores into `…fill…`, compares, and renames it to `…new…` last: that name has a
//! complete copy behind it. `switch` closes the live database to new sessions, sees that none is
//! left, and changes both names in one transaction. Whatever a crash leaves, the names tell where
//! it was: `…old…` without `…new…` is there only when both were changed. If they could not be, the
//! live database is opened again.

use serde::Deserialize;
use vaultup_sdk::process::Asked;
use vaultup_sdk::restore::{Cost, Stage};
use vaultup_sdk::{Error, Figure, Observation, Operation, Restore, log};

use crate::backup::bytes_free;
use crate::connection::{Connection, require_artifacts};
use crate::names::Names;
use crate::sessions::Session;
use crate::tools::Facts;
use crate::{PostgresPlugin, Sessions, Settings, State, figures};

/// A database of the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// Whether it allows sessions.
    allows: bool,
}

/// A database that is made of a backup.
pub(crate) struct Copy<'a> {
    pub(crate) connection: Connection<'a>,
    pub(crate) database: &'a str,
    pub(crate) state: &'a State,
}

impl Copy<'_> {
    /// Begins to ask what the server is that it is to be made on.
    pub(crate) fn server(connection: Connection<'_>) -> Asked<'static, Facts> {
        Facts::asked(connection, connection.maintenance())
    }

    /// Makes it anew; what an interrupted call left is removed first.
    pub(crate) fn made(&self, server: Asked<'_, Facts>) -> Result<(), Error> {
        server.answer()?.require_major(self.state)?;
        let properties = self.state.properties.to_string();
        let variables = [("new", self.database), ("properties", properties.as_str())];
        self.connection.change("create", &variables)?;
        self.connection.restore_into(self.database)?;
        self.connection.change("dress", &variables)
    }

    /// Gives it the name that says so, and what would have been in the way before: how many
    /// sessions it allows.
    fn completed(&self, new: &str) -> Result<(), Error> {
        let properties = self.state.properties.to_string();
        let variables = [("new", new), ("old", self.database), ("properties", &properties)];
        self.connection.change("complete", &variables)
    }

    pub(crate) fn removed(&self) -> Result<(), Error> {
        self.connection.change("drop", &[("new", self.database)])
    }
}

impl Restore for PostgresPlugin {
    type State = State;

    fn estimate(operation: &Operation<Settings>, state: &State) -> Result<Cost, Error> {
        state.require_known()?;
        let names = Names::of(operation)?;
        let commands = vec![Connection::of(operation)?.restore(&names.fill).shown()];
        Ok(Cost { bytes: state.bytes, bytes_free: bytes_free(&operation.settings)?, commands })
    }

    fn fill(operation: &Operation<Settings>, state: &State) -> Result<Vec<Figure>, Error> {
        state.require_known()?;
        state.require_same(operation)?;
        require_artifacts()?;
        let connection = Connection::of(operation)?;
        let names = Names::of(operation)?;
        let server = Copy::server(connection);
        let all = database_names(operation, &names)?;
        if is_switched(&all, &names) {
            return Err(Error::conflict("what this restore filled was put in place already"));
        }
        if has(&all, &names.new) {
            return figures::measure_copy(connection, &names.new, state);
        }
        for left in all.iter().filter(|known| names.is_left_by_another(&known.name)) {
            connection.change("drop", &[("new", &left.name)])?;
        }
        require_room(&operation.settings, state)?;
        let copy = Copy { connection, database: &names.fill, state };
        copy.made(server)?;
        let analyzed = connection.analyze(&names.fill);
        let found = figures::measure_copy(connection, &names.fill, state)?;
        figures::answers(connection, &names.fill, &operation.settings.check)?;
        if let Err(error) = analyzed.answer() {
            log::warning(format!(
                "the restored copy has no statistics, and queries may be slow until `ANALYZE` or \
                 autovacuum has been there: {error}"
            ));
        }
        copy.completed(&names.new)?;
        Ok(found)
    }

    fn switch(operation: &Operation<Settings>) -> Result<String, Error> {
        let connection = Connection::of(operation)?;
        let names = Names::of(operation)?;
        let all = database_names(operation, &names)?;
        if is_switched(&all, &names) {
            return Ok(names.old);
        }
        if !has(&all, &names.new) {
            return Err(Error::not_found("there is no filled copy to put in place"));
        }
        connection.change("close", &[("live", &names.live)])?;
        let switched = without_sessions(operation, connection, &names).and_then(|()| {
            connection.change(
                "switch",
                &[("live", &names.live), ("new", &names.new), ("old", &names.old)],
            )
        });
        if let Err(error) = switched {
            // It still has its name, and was closed for nothing but this.
            if let Err(closed) = connection.change("open", &[("live", &names.live)]) {
                log::warning(format!(
                    "the database {} takes no sessions until `vaultup resume` has been there: \
                     {closed}",
                    names.live
                ));
            }
            return Err(error);
        }
        log::info(format!("what was live is the database {}", names.old));
        Ok(names.old)
    }

    fn discard(operation: &Operation<Settings>) -> Result<(), Error> {
        let connection = Connection::of(operation)?;
        let names = Names::of(operation)?;
        if !operation.is_live() {
            // A copy was made for a rehearsal, whole: nothing here is anybody's data.
            for known in made(operation, &names)? {
                connection.change("drop", &[("new", &known)])?;
            }
            return connection.change("drop", &[("new", &names.live)]);
        }
        for left in [&names.fill, &names.new, &names.old] {
            connection.change("drop", &[("new", left)])?;
        }
        connection.change("open", &[("live", &names.live)])
    }

    fn figures(operation: &Operation<Settings>) -> Result<Vec<Figure>, Error> {
        let settings = &operation.settings;
        figures::measure(Connection::of(operation)?, &settings.database, settings.digest_rows)
    }

    fn status(operation: &Operation<Settings>, stage: Stage) -> Result<Observation, Error> {
        let names = Names::of(operation)?;
        let all = database_names(operation, &names)?;
        let [fill, new, old] = [&names.fill, &names.new, &names.old].map(|name| has(&all, name));
        let switched = is_switched(&all, &names);
        let closed = all.iter().any(|known| known.name == names.live && !known.allows);
        Ok(match stage {
            Stage::Fill if new => Observation::done(format!("{} is there", names.new)),
            Stage::Fill if switched => Observation::done("it was put in place already"),
            Stage::Fill if fill => {
                Observation::failed(format!("it was interrupted and left {}", names.fill))
            }
            Stage::Switch if switched => {
                Observation::done(format!("what was live is the database {}", names.old))
            }
            Stage::Switch if closed => {
                Observation::failed("it was interrupted; made again, it is completed")
            }
            Stage::Discard if operation.is_live() && !(fill || new || old || closed) => {
                Observation::done("nothing is left beside the database")
            }
            Stage::Discard if !operation.is_live() && made(operation, &names)?.is_empty() => {
                Observation::done("nothing is left of the copy")
            }
            Stage::Fill | Stage::Switch | Stage::Discard => Observation::NotStarted,
        })
    }
}

/// The live database and those that vaultup made of it.
pub(crate) fn database_names(
    operation: &Operation<Settings>,
    names: &Names,
) -> Result<Vec<Known>, Error> {
    let variables = [("database", names.live.as_str()), ("like", names.beginning.as_str())];
    let connection = Connection::of(operation)?;
    connection.ask(&operation.settings.maintenance, "databases", &variables)
}

/// Everything that was made for a copy, itself too.
fn made(operation: &Operation<Settings>, names: &Names) -> Result<Vec<String>, Error> {
    Ok(database_names(operation, names)?.into_iter().map(|known| known.name).collect())
}

fn has(all: &[Known], name: &str) -> bool {
    all.iter().any(|known| known.name == name)
}

fn is_switched(all: &[Known], names: &Names) -> bool {
    has(all, &names.live) && has(all, &names.old) && !has(all, &names.new)
}

/// Sees that nobody uses the live database any more; ends sessions only if the operator says so.
fn without_sessions(
    operation: &Operation<Settings>,
    connection: Connection<'_>,
    names: &Names,
) -> Result<(), Error> {
    if operation.settings.sessions == Sessions::End {
        connection.change("end-sessions", &[("live", &names.live)])?;
    }
    let left = Session::all(connection, &operation.settings, &names.live)?;
    if left.is_empty() {
        return Ok(());
    }
    let count = left.len();
    Err(Error::conflict(format!(
        "{count} sessions still use the database {}: stop whoever writes to it, or say \
         `sessions = \"end\"`",
        names.live
    ))
    .with_platform(Session::names(&left)))
}

fn require_room(settings: &Settings, state: &State) -> Result<(), Error> {
    let needed = state.bytes;
    match bytes_free(settings)? {
        Some(free) if free < needed => Err(Error::no_space(format!(
            "{needed} bytes are needed where the server keeps its data, {free} are free"
        ))),
        _ => Ok(()),
    }
}
