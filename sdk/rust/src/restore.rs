//! Brings a backup of one datastore back, beside what is there, and then puts it in its place.

use serde::de::DeserializeOwned;

use crate::Error;
use crate::backup::noted;
use crate::bindings::imports::vaultup::plugin::types;
use crate::bindings::restores::exports::vaultup::plugin::restore::Guest;
#[doc(inline)]
pub use crate::bindings::restores::exports::vaultup::plugin::restore::{Cost, Stage};
use crate::operation::{Figure, Observation, Operation, Plugin, understood};

/// Brings a backup of one datastore back, beside what is there, and then puts it in its place.
///
/// Nothing that exists is touched before the new copy is complete and shown to be equal: `fill`,
/// then the host compares figures, then `switch`, and `discard` only when nothing needs what was
/// set aside any more. Each stage is idempotent and has [`Restore::status`] as its twin.
pub trait Restore: Plugin {
    /// What [`crate::Backup::take`] noted.
    type State: DeserializeOwned;

    /// Says what restoring will need. Changes nothing.
    ///
    /// # Errors
    /// If the datastore's place cannot be asked.
    fn estimate(operation: &Operation<Self::Settings>, state: &Self::State) -> Result<Cost, Error>;

    /// Restores into an empty target beside the live one and stops at the first error. Answers
    /// with figures of the restored copy, which the host compares with those of the backup. What
    /// an interrupted call of this key left is removed and done anew.
    ///
    /// # Errors
    /// If anything differs from what was backed up. The live datastore is as it was.
    fn fill(
        operation: &Operation<Self::Settings>,
        state: &Self::State,
    ) -> Result<Vec<Figure>, Error>;

    /// Puts the filled copy in the live one's place. What was live stays beside it, and the answer
    /// names where. The host has stopped the writers before.
    ///
    /// # Errors
    /// If nothing was filled, or it cannot be put in place.
    fn switch(operation: &Operation<Self::Settings>) -> Result<String, Error>;

    /// Removes what `fill` or `switch` of this key left beside the live data.
    ///
    /// # Errors
    /// If something is left.
    fn discard(operation: &Operation<Self::Settings>) -> Result<(), Error>;

    /// Measures the live data as [`crate::Backup::take`] did. Changes nothing.
    ///
    /// # Errors
    /// If it cannot be measured.
    fn figures(operation: &Operation<Self::Settings>) -> Result<Vec<Figure>, Error>;

    /// The read-only twin of each stage.
    ///
    /// # Errors
    /// If it cannot be told.
    fn status(operation: &Operation<Self::Settings>, stage: Stage) -> Result<Observation, Error>;
}

impl<P: Restore> Guest for P {
    fn estimate(raw: types::Operation, state: String) -> Result<Cost, types::Error> {
        Ok(<P as Restore>::estimate(&understood(raw)?, &noted(&state)?)?)
    }
    fn fill(raw: types::Operation, state: String) -> Result<Vec<Figure>, types::Error> {
        Ok(<P as Restore>::fill(&understood(raw)?, &noted(&state)?)?)
    }
    fn switch(raw: types::Operation) -> Result<String, types::Error> {
        Ok(<P as Restore>::switch(&understood(raw)?)?)
    }
    fn discard(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Restore>::discard(&understood(raw)?)?)
    }
    fn figures(raw: types::Operation) -> Result<Vec<Figure>, types::Error> {
        Ok(<P as Restore>::figures(&understood(raw)?)?)
    }
    fn status(raw: types::Operation, stage: Stage) -> Result<Observation, types::Error> {
        Ok(<P as Restore>::status(&understood(raw)?, stage)?)
    }
}
