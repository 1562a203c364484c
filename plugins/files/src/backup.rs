//! The interface `backup`.

use vaultup_sdk::backup::{Change, Consistency, Cost, Level, Proof, Taken};
use vaultup_sdk::process;
use vaultup_sdk::{Backup, Error, Figure, Observation, Operation, artifact};

use crate::archive::{self, ARTIFACT, FILE};
use crate::place::{Beside, Place, with_scratch};
use crate::{FIGURE, FilesPlugin, Settings, Shape, State};

/// The most characters of an answer of `check` that are kept.
const ANSWER_CHARACTERS_MAX: usize = 4096;

impl Backup for FilesPlugin {
    type State = State;

    fn estimate(operation: &Operation<Settings>) -> Result<Cost, Error> {
        let place = Place::open(operation)?;
        let shape = place.present_shape()?;
        let path = place.path()?;
        let (consistency, commands) = match &operation.settings.checkpoint {
            Some(written) => {
                require_directory(shape)?;
                let into = place.root.path(&place.beside(Beside::Checkpoint))?;
                let copy = checkpoint(&path, &into).shown(written);
                let archive = archive::create(shape, &into).shown();
                (Consistency::OneMoment, vec![copy, archive])
            }
            None => (Consistency::None, vec![archive::create(shape, &path).shown()]),
        };
        let bytes_free = Some(place.root.room()?.bytes_free);
        Ok(Cost { bytes: place.bytes()?, bytes_free, consistency, commands })
    }

    fn take(operation: &Operation<Settings>) -> Result<Taken<State>, Error> {
        let place = Place::open(operation)?;
        let shape = place.present_shape()?;
        if operation.settings.checkpoint.is_none() {
            // The tree was the same before and after: whoever could write did not.
            return taken(&place, shape, &place.name, Consistency::WritersHeld);
        }
        require_directory(shape)?;
        with_scratch(&place, Beside::Checkpoint, |copy| {
            checkpoint(&place.path()?, &place.root.path(copy)?).run()?;
            taken(&place, shape, copy, Consistency::OneMoment)
        })
    }

    fn inspect(_operation: &Operation<Settings>, state: &State) -> Result<Vec<Figure>, Error> {
        state.require_known()?;
        Ok(vec![counted(archive::count()?)])
    }

    fn prove(operation: &Operation<Settings>, level: Level, state: &State) -> Result<Proof, Error> {
        state.require_known()?;
        archive::require_artifact()?;
        let (figures, answers) = match level {
            Level::Exists => (Vec::new(), Vec::new()),
            Level::Readable => (vec![counted(archive::require_count(state)?)], Vec::new()),
            Level::Checked => {
                artifact::check(ARTIFACT)?;
                (vec![counted(archive::require_count(state)?)], Vec::new())
            }
            Level::Restored => restored(operation, state)?,
        };
        Ok(Proof { level, figures, answers })
    }

    fn status(operation: &Operation<Settings>, change: Change) -> Result<Observation, Error> {
        let place = Place::open(operation)?;
        let scratch = match change {
            Change::Take => Beside::Checkpoint,
            Change::Prove => Beside::Proof,
        };
        Ok(if place.has(scratch)? {
            let path = place.root.path(&place.beside(scratch))?;
            Observation::failed(format!("it was interrupted and left {path}"))
        } else {
            Observation::NotStarted
        })
    }

    fn clean(operation: &Operation<Settings>) -> Result<(), Error> {
        let place = Place::open(operation)?;
        place.remove(Beside::Checkpoint)?;
        place.remove(Beside::Proof)
    }
}

/// Archives something here, and makes sure that nobody changed it meanwhile.
fn taken(
    place: &Place,
    shape: Shape,
    name: &str,
    consistency: Consistency,
) -> Result<Taken<State>, Error> {
    let before = place.measure(name)?;
    let path = place.root.path(name)?;
    archive::archive(shape, &path)?;
    if place.measure(name)? != before {
        return Err(archive::changed(&path));
    }
    let state = State::of(shape, &before)?;
    Ok(Taken { figures: vec![before], consistency, state })
}

/// Restores to scratch beside the datastore, measures it there and asks it.
fn restored(
    operation: &Operation<Settings>,
    state: &State,
) -> Result<(Vec<Figure>, Vec<String>), Error> {
    let place = Place::open(operation)?;
    with_scratch(&place, Beside::Proof, |scratch| {
        place.root.create_directory(scratch)?;
        archive::unpack(&place.root.path(scratch)?)?;
        let copy = match state.shape {
            Shape::Directory => scratch.to_owned(),
            Shape::File => format!("{scratch}/{FILE}"),
        };
        let figure = place.measure(&copy)?;
        state.require_equal(&figure)?;
        let answers = match &operation.settings.check {
            Some(_) => vec![asked(state.shape, &place.root.path(&copy)?)?],
            None => Vec::new(),
        };
        Ok((vec![figure], answers))
    })
}

/// What the operator's check answers of a restored copy.
fn asked(shape: Shape, path: &str) -> Result<String, Error> {
    let variable = match shape {
        Shape::Directory => "directory",
        Shape::File => "file",
    };
    let answer = process::setting("check").variable(variable, path).read_text()?;
    Ok(answer.trim().chars().take(ANSWER_CHARACTERS_MAX).collect())
}

fn checkpoint(directory: &str, into: &str) -> process::Command<process::Reference> {
    process::setting("checkpoint").variable("directory", directory).variable("into", into)
}

fn require_directory(shape: Shape) -> Result<(), Error> {
    match shape {
        Shape::Directory => Ok(()),
        Shape::File => Err(Error::invalid_settings(
            "`checkpoint` is only for directories, and `path` is a file",
        )),
    }
}

fn counted(count: u64) -> Figure {
    Figure { count: Some(count), ..Figure::named(FIGURE) }
}
