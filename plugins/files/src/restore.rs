//! The interface `restore`.
//!
//! `fill` makes `…new…` and `switch` exchanges it with what is live. Two names that are exchanged
//! look the same before and after, so the exchange is announced first: the file `…digest…` of what
//! is to become live is renamed to `…switch…`. If a crash leaves that, what has this digest tells
//! which side of the exchange the crash was on; and if both have it, it does not matter. Without a
//! crash nothing needs to be read again while everybody waits.

use vaultup_sdk::restore::{Cost, Stage};
use vaultup_sdk::{Error, Figure, Observation, Operation, Restore, log};

use crate::archive::{self, FILE};
use crate::place::{Beside, Place};
use crate::{FilesPlugin, Settings, Shape, State};

/// Everything that a restore leaves beside the live data.
const LEFT: [Beside; 5] = [Beside::Fill, Beside::New, Beside::Digest, Beside::Switch, Beside::Old];

impl Restore for FilesPlugin {
    type State = State;

    fn estimate(operation: &Operation<Settings>, state: &State) -> Result<Cost, Error> {
        state.require_known()?;
        let place = Place::open(operation)?;
        let into = place.root.path(&place.beside(Beside::Fill))?;
        let bytes_free = Some(place.root.room()?.bytes_free);
        Ok(Cost { bytes: state.bytes, bytes_free, commands: vec![archive::extract(&into).shown()] })
    }

    fn fill(operation: &Operation<Settings>, state: &State) -> Result<Vec<Figure>, Error> {
        state.require_known()?;
        let place = Place::open(operation)?;
        if place.has(Beside::Old)? {
            return Err(Error::conflict("what this restore filled was put in place already"));
        }
        let new = place.beside(Beside::New);
        if place.has(Beside::New)? {
            let there = place.measure(&new)?;
            if there == state.figure() {
                return Ok(vec![there]);
            }
            place.remove(Beside::New)?;
        }
        require_room(&place, state)?;
        place.remove(Beside::Fill)?;
        let fill = place.beside(Beside::Fill);
        place.root.create_directory(&fill)?;
        archive::unpack(&place.root.path(&fill)?)?;
        let copy = match state.shape {
            Shape::Directory => fill,
            Shape::File => format!("{fill}/{FILE}"),
        };
        let figure = place.measure(&copy)?;
        state.require_equal(&figure)?;
        place.root.write(&place.beside(Beside::Digest), state.digest.as_bytes())?;
        place.root.rename(&copy, &new)?;
        place.remove(Beside::Fill)?;
        Ok(vec![figure])
    }

    fn switch(operation: &Operation<Settings>) -> Result<String, Error> {
        let place = Place::open(operation)?;
        let (new, old) = (place.beside(Beside::New), place.beside(Beside::Old));
        if !place.has(Beside::New)? {
            if !place.has(Beside::Old)? {
                return Err(Error::not_found("there is no filled copy to put in place"));
            }
            place.remove(Beside::Digest)?;
            place.remove(Beside::Switch)?;
            return place.root.path(&old);
        }
        if place.shape()?.is_none() {
            // Nothing was live: an empty directory stands for it, so that this can be told apart.
            place.root.create_directory(&old)?;
            place.root.rename(&new, &place.name)?;
            place.remove(Beside::Digest)?;
            return place.root.path(&old);
        }
        if !is_exchanged(&place)? {
            place.root.exchange(&place.name, &new)?;
        }
        place.root.rename(&new, &old)?;
        place.remove(Beside::Switch)?;
        let old = place.root.path(&old)?;
        log::info(format!("what was live is {old}"));
        Ok(old)
    }

    fn discard(operation: &Operation<Settings>) -> Result<(), Error> {
        let place = Place::open(operation)?;
        if operation.is_live() {
            return LEFT.into_iter().try_for_each(|left| place.remove(left));
        }
        // A copy was made for a rehearsal, whole: nothing here is anybody's data.
        place.made()?.iter().try_for_each(|name| place.root.remove(name))
    }

    fn figures(operation: &Operation<Settings>) -> Result<Vec<Figure>, Error> {
        let place = Place::open(operation)?;
        place.present_shape()?;
        Ok(vec![place.measure(&place.name)?])
    }

    fn status(operation: &Operation<Settings>, stage: Stage) -> Result<Observation, Error> {
        let place = Place::open(operation)?;
        let [fill, new, digest, switch, old] = LEFT.map(|left| place.has(left));
        let (fill, new, digest, switch, old) = (fill?, new?, digest?, switch?, old?);
        let path = |left| place.root.path(&place.beside(left));
        Ok(match stage {
            Stage::Fill if new => Observation::done(format!("{} is there", path(Beside::New)?)),
            Stage::Fill if old => Observation::done("it was put in place already"),
            Stage::Fill if fill => {
                let left = path(Beside::Fill)?;
                Observation::failed(format!("it was interrupted and left {left}"))
            }
            Stage::Switch if old && !new => {
                Observation::done(format!("what was live is {}", path(Beside::Old)?))
            }
            Stage::Switch if switch => {
                Observation::failed("it was interrupted; made again, it is completed")
            }
            Stage::Discard if !operation.is_live() && place.made()?.is_empty() => {
                Observation::done("nothing is left of the copy")
            }
            Stage::Discard if operation.is_live() && !(fill || new || digest || switch || old) => {
                Observation::done("nothing is left beside the datastore")
            }
            Stage::Fill | Stage::Switch | Stage::Discard => Observation::NotStarted,
        })
    }
}

/// Whether the exchange has happened already. Announces it if it was not announced.
fn is_exchanged(place: &Place) -> Result<bool, Error> {
    let switch = place.beside(Beside::Switch);
    if !place.has(Beside::Switch)? {
        place.root.rename(&place.beside(Beside::Digest), &switch)?;
        return Ok(false);
    }
    let announced = place.root.read(&switch)?;
    let has_it = |figure: Figure| figure.digest.is_some_and(|its| its.as_bytes() == announced);
    if has_it(place.measure(&place.name)?) {
        return Ok(true);
    }
    if has_it(place.measure(&place.beside(Beside::New))?) {
        return Ok(false);
    }
    let message = "neither what is live nor what was filled is what was to be put in place";
    Err(Error::conflict(message))
}

fn require_room(place: &Place, state: &State) -> Result<(), Error> {
    let (free, needed) = (place.root.room()?.bytes_free, state.bytes);
    if free >= needed {
        return Ok(());
    }
    let path = place.path()?;
    Err(Error::no_space(format!("{needed} bytes are needed beside {path}, {free} are free")))
}
