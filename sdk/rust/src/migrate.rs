//! Says what schema a datastore has, and changes it.

use crate::Error;
use crate::bindings::imports::vaultup::plugin::types;
use crate::bindings::migrates::exports::vaultup::plugin::migrate::Guest;
#[doc(inline)]
pub use crate::bindings::migrates::exports::vaultup::plugin::migrate::{
    Backlog, Extent, LogRules, Migration, ObservedSchema, Request,
};
use crate::operation::{Observation, Operation, Plugin, understood};

/// Says what schema a datastore has, and changes it.
///
/// It has two halves, which may belong to two plugins: `schema` and `pending` are asked of the
/// datastore's plugin; `apply` and `status` of the plugin of the component that the release names
/// with `migrate.with` (it knows how to run a command in the new release, with the component's own
/// environment), else of the datastore's. A method that is not written answers
/// [`crate::Case::Unsupported`], which is the right answer for the half that is not one's own.
pub trait Migrate: Plugin {
    /// Says what schema there is. Changes nothing. The host compares fingerprints from before and
    /// after to tell what a failed upgrade did: whatever is reported here decides the way back.
    /// Unsupported: the datastore has none that this plugin knows of.
    ///
    /// # Errors
    /// If the datastore cannot be asked.
    fn schema(operation: &Operation<Self::Settings>) -> Result<ObservedSchema, Error> {
        Err(unsupported(operation, "the schema of a datastore"))
    }

    /// Says what would be applied for the next release. Changes nothing.
    ///
    /// # Errors
    /// If the datastore cannot be asked.
    fn pending(operation: &Operation<Self::Settings>, request: &Request) -> Result<Backlog, Error> {
        let _ = request;
        Err(unsupported(operation, "the migrations of a datastore"))
    }

    /// Applies what is pending and returns when it is applied or has failed. The host calls it
    /// once for a plan, with a proven backup; after a crash it asks [`Migrate::status`] and the
    /// schema, and never repeats it blindly.
    ///
    /// # Errors
    /// With the migration tool's own words. What is left behind is found by observing.
    fn apply(operation: &Operation<Self::Settings>, request: &Request) -> Result<(), Error> {
        let _ = request;
        Err(unsupported(operation, "applying migrations"))
    }

    /// The read-only twin of [`Migrate::apply`]: whether one still goes on, above all. What cannot
    /// be told is `Unknown`; a marker that `apply` left is no proof of anything.
    ///
    /// # Errors
    /// If the platform cannot be asked.
    fn status(
        operation: &Operation<Self::Settings>,
        request: &Request,
    ) -> Result<Observation, Error> {
        let _ = request;
        Err(unsupported(operation, "applying migrations"))
    }

    /// How to follow the migration of a service that migrates when it starts.
    ///
    /// # Errors
    /// If the settings do not say it.
    fn watch(operation: &Operation<Self::Settings>) -> Result<LogRules, Error> {
        Err(unsupported(operation, "migrations at start"))
    }
}

fn unsupported<Settings>(operation: &Operation<Settings>, what: &str) -> Error {
    Error::unsupported(format!("the plugin of {} knows nothing of {what}", operation.subject))
}

impl<P: Migrate> Guest for P {
    fn schema(raw: types::Operation) -> Result<ObservedSchema, types::Error> {
        Ok(<P as Migrate>::schema(&understood(raw)?)?)
    }
    fn pending(raw: types::Operation, request: Request) -> Result<Backlog, types::Error> {
        Ok(<P as Migrate>::pending(&understood(raw)?, &request)?)
    }
    fn apply(raw: types::Operation, request: Request) -> Result<(), types::Error> {
        Ok(<P as Migrate>::apply(&understood(raw)?, &request)?)
    }
    fn status(raw: types::Operation, request: Request) -> Result<Observation, types::Error> {
        Ok(<P as Migrate>::status(&understood(raw)?, &request)?)
    }
    fn watch(raw: types::Operation) -> Result<LogRules, types::Error> {
        Ok(<P as Migrate>::watch(&understood(raw)?)?)
    }
}
