//! The interface `restore`.
//!
//! `fill` restores beside the live collections and notes when the copy is complete. `switch` notes
//! how far it is before each half, so that one that was interrupted goes on: first everything live
//! is set aside, then the filled collections take their names. Writers are stopped meanwhile; that
//! is the host's doing.

use serde::Deserialize;
use vaultup_sdk::restore::{Cost, Stage};
use vaultup_sdk::{Error, Figure, Observation, Operation, Restore, log};

use crate::connection::{Connection, require_archive};
use crate::names::Names;
use crate::{MongoPlugin, Settings, State};

/// The stage of a restore that filled its copy.
const FILLED: &str = "filled";
/// The stage of one that put it in place.
const DONE: &str = "done";

/// What vaultup made in a database.
#[derive(Deserialize)]
struct Made {
    made: Vec<String>,
    stages: Vec<Reached>,
}

/// How far a restore is.
#[derive(Deserialize)]
struct Reached {
    key: String,
    stage: String,
}

impl Restore for MongoPlugin {
    type State = State;

    fn estimate(operation: &Operation<Settings>, state: &State) -> Result<Cost, Error> {
        state.require_known()?;
        let names = Names::of(operation)?;
        let command = Connection::of(operation)?.restore(&state.database, &filled_as(&names));
        // A server that is gone is no reason to say nothing of what a restore needs.
        let bytes_free = Connection::of(operation)?.facts().ok().and_then(|facts| facts.free);
        Ok(Cost { bytes: state.bytes, bytes_free, commands: vec![command.shown()] })
    }

    fn fill(operation: &Operation<Settings>, state: &State) -> Result<Vec<Figure>, Error> {
        state.require_known()?;
        state.require_same(operation)?;
        let connection = Connection::of(operation)?;
        let names = Names::of(operation)?;
        let reached = Made::of(connection, &names)?.reached(&names);
        match reached.as_deref() {
            None => {}
            Some(FILLED) => return filled(connection, &names, state),
            Some(_) => {
                return Err(Error::conflict("what this restore filled was put in place already"));
            }
        }
        require_archive(state)?;
        let script = names.script(&names.new, false);
        connection.change(&names.live, "unfill", &script)?;
        connection.restore_to(state, &filled_as(&names))?;
        let figures = filled(connection, &names, state)?;
        connection.change(&names.live, "filled", &script)?;
        Ok(figures)
    }

    fn switch(operation: &Operation<Settings>) -> Result<String, Error> {
        let connection = Connection::of(operation)?;
        let names = Names::of(operation)?;
        connection.change(&names.live, "switch", &names.script(&names.new, false))?;
        let aside = format!("collections {}… of the database {}", names.old, names.live);
        log::info(format!("what was live is in the {aside}"));
        Ok(aside)
    }

    fn discard(operation: &Operation<Settings>) -> Result<(), Error> {
        let connection = Connection::of(operation)?;
        let names = Names::of(operation)?;
        if operation.is_live() {
            return connection.change(&names.live, "discard", &names.script(&names.new, false));
        }
        // A copy was made for a rehearsal, whole: nothing here is anybody's data.
        connection.change(&names.live, "drop", &names.script(&names.new, true))
    }

    fn figures(operation: &Operation<Settings>) -> Result<Vec<Figure>, Error> {
        Connection::of(operation)?.figures(&operation.settings.database, None)
    }

    fn status(operation: &Operation<Settings>, stage: Stage) -> Result<Observation, Error> {
        let names = Names::of(operation)?;
        let made = Made::of(Connection::of(operation)?, &names)?;
        let has = |beginning: &str| made.made.iter().any(|name| name.starts_with(beginning));
        let (new, old) = (has(&names.new), has(&names.old));
        let reached = made.reached(&names);
        Ok(match (stage, reached.as_deref()) {
            (Stage::Fill, Some(FILLED)) => Observation::done(format!("{}… is complete", names.new)),
            (Stage::Fill, Some(_)) => Observation::done("it was put in place already"),
            (Stage::Fill, None) if new => {
                Observation::failed(format!("it was interrupted and left {}…", names.new))
            }
            (Stage::Switch, Some(DONE)) => {
                Observation::done(format!("what was live is {}…", names.old))
            }
            (Stage::Switch, Some(stage)) if stage != FILLED => {
                Observation::failed("it was interrupted; made again, it is completed")
            }
            (Stage::Discard, None) if operation.is_live() && !(new || old) => {
                Observation::done("nothing is left beside the collections")
            }
            _ => Observation::NotStarted,
        })
    }
}

impl Made {
    fn of(connection: Connection<'_>, names: &Names) -> Result<Self, Error> {
        let mut answered = connection.ask(&names.live, "stage")?;
        answered.pop().ok_or_else(|| Error::corrupt("the server says nothing of the database"))
    }

    fn reached(&self, names: &Names) -> Option<String> {
        let its = self.stages.iter().find(|reached| reached.key == names.key)?;
        Some(its.stage.clone())
    }
}

/// What every restored collection is called, before its own name.
fn filled_as(names: &Names) -> String {
    format!("{}.{}", names.live, names.new)
}

fn filled(connection: Connection<'_>, names: &Names, state: &State) -> Result<Vec<Figure>, Error> {
    let figures = connection.figures(&names.live, Some(names))?;
    state.require_as_many(&figures)?;
    Ok(figures)
}
