//! Takes backups of one datastore and shows how good they are.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::bindings::backs_up::exports::vaultup::plugin::backup::{self as raw, Guest};
#[doc(inline)]
pub use crate::bindings::backs_up::exports::vaultup::plugin::backup::{
    Change, Consistency, Cost, Level, Proof,
};
use crate::bindings::imports::vaultup::plugin::types;
use crate::operation::{Figure, Observation, Operation, Plugin, understood};

/// What a backup consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken<State> {
    /// Figures measured while or before it was taken; a restore must show the same.
    pub figures: Vec<Figure>,
    /// How its parts relate in time.
    pub consistency: Consistency,
    /// What the plugin needs to know to restore it: at most 64 KiB as JSON, no secrets.
    pub state: State,
}

/// Takes backups of one datastore and shows how good they are.
///
/// The bytes never enter the plugin: [`crate::process::Command::into_artifact`] leads the output
/// of a program into the vault. Compression, encryption, hashing and durability are the host's.
pub trait Backup: Plugin {
    /// What [`Backup::take`] notes for whoever inspects, proves and restores it.
    type State: Serialize + DeserializeOwned;

    /// Says what a backup will cost. Changes nothing. If writers could go on without the backup
    /// being of one moment, the host holds them first.
    ///
    /// # Errors
    /// If the datastore cannot be asked.
    fn estimate(operation: &Operation<Self::Settings>) -> Result<Cost, Error>;

    /// Takes a backup into artifacts that it makes. The host publishes them as one set only after
    /// success; after a failure or a crash they are discarded, and the call is made anew.
    ///
    /// # Errors
    /// If anything at all is in doubt: half a backup is none.
    fn take(operation: &Operation<Self::Settings>) -> Result<Taken<Self::State>, Error>;

    /// Says what the artifacts of an existing backup contain. Changes nothing. Unsupported unless
    /// written.
    ///
    /// # Errors
    /// [`crate::Case::Corrupt`] if they cannot be read.
    fn inspect(
        operation: &Operation<Self::Settings>,
        state: &Self::State,
    ) -> Result<Vec<Figure>, Error> {
        let _ = state;
        let subject = &operation.subject;
        Err(Error::unsupported(format!("backups of {subject} can only be proven")))
    }

    /// Proves an existing backup at a level, and answers with the level that was reached: never a
    /// higher one than was asked for, and none that was not shown. The host compares the figures
    /// with those taken. Scratch space that it makes is removed on every path.
    ///
    /// # Errors
    /// [`crate::Case::Corrupt`] if the backup is not good.
    fn prove(
        operation: &Operation<Self::Settings>,
        level: Level,
        state: &Self::State,
    ) -> Result<Proof, Error>;

    /// The read-only twin: what an interrupted `take` or `prove` of this key left or still does.
    ///
    /// # Errors
    /// If it cannot be told.
    fn status(operation: &Operation<Self::Settings>, change: Change) -> Result<Observation, Error>;

    /// Removes the scratch space that an interrupted call of this key left. Idempotent. A plugin
    /// that makes none has nothing to write here.
    ///
    /// # Errors
    /// If something is left.
    fn clean(operation: &Operation<Self::Settings>) -> Result<(), Error> {
        let _ = operation;
        Ok(())
    }
}

/// A state as it was noted.
pub(crate) fn noted<State: DeserializeOwned>(text: &str) -> Result<State, Error> {
    serde_json::from_str(text).map_err(|error| {
        Error::corrupt("what the plugin noted of this backup cannot be read")
            .with_platform(error.to_string())
    })
}

impl<P: Backup> Guest for P {
    fn estimate(raw: types::Operation) -> Result<Cost, types::Error> {
        Ok(<P as Backup>::estimate(&understood(raw)?)?)
    }
    fn take(operation: types::Operation) -> Result<raw::Taken, types::Error> {
        let Taken { figures, consistency, state } = <P as Backup>::take(&understood(operation)?)?;
        let state = serde_json::to_string(&state).map_err(|error| {
            Error::failed("what the plugin notes of the backup cannot be written")
                .with_platform(error.to_string())
        })?;
        Ok(raw::Taken { figures, consistency, state })
    }
    fn inspect(raw: types::Operation, state: String) -> Result<Vec<Figure>, types::Error> {
        Ok(<P as Backup>::inspect(&understood(raw)?, &noted(&state)?)?)
    }
    fn prove(raw: types::Operation, level: Level, state: String) -> Result<Proof, types::Error> {
        Ok(<P as Backup>::prove(&understood(raw)?, level, &noted(&state)?)?)
    }
    fn status(raw: types::Operation, change: Change) -> Result<Observation, types::Error> {
        Ok(<P as Backup>::status(&understood(raw)?, change)?)
    }
    fn clean(raw: types::Operation) -> Result<(), types::Error> {
        Ok(<P as Backup>::clean(&understood(raw)?)?)
    }
}
