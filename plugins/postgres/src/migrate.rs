//! The half of the interface `migrate` that is a database's: what schema there is, and what a
//! migration would touch. Applying one is the release's own command, run by a component.

use vaultup_sdk::migrate::{Backlog, ObservedSchema, Request};
use vaultup_sdk::{Error, Migrate, Operation};

use crate::{PostgresPlugin, Settings, schema};

impl Migrate for PostgresPlugin {
    fn schema(operation: &Operation<Settings>) -> Result<ObservedSchema, Error> {
        schema::observed(operation)
    }

    fn pending(operation: &Operation<Settings>, _request: &Request) -> Result<Backlog, Error> {
        // What is to be applied is known to the release alone; what it can touch, here.
        let extents = schema::extents(operation)?;
        Ok(Backlog { migrations: Vec::new(), extents, commands: Vec::new() })
    }
}
