//! The half of the interface `migrate` that is a datastore's: saying what schema there is.

use vaultup_sdk::migrate::{Backlog, Extent, Migration, ObservedSchema, Request};
use vaultup_sdk::{Error, Migrate, Operation, process};

use crate::place::Place;
use crate::{FilesPlugin, Settings, Shape, schema};

impl Migrate for FilesPlugin {
    fn schema(operation: &Operation<Settings>) -> Result<ObservedSchema, Error> {
        Ok(asked(operation)?.0)
    }

    fn pending(operation: &Operation<Settings>, request: &Request) -> Result<Backlog, Error> {
        let (_, migrations) = asked(operation)?;
        let place = Place::open(operation)?;
        // Which files a migration touches cannot be told; all of them is the most that there is.
        let all = Extent { name: place.name.clone(), bytes: place.bytes()?, count: None };
        let is_given = !request.command.is_empty();
        let commands = if is_given { vec![request.command.clone()] } else { Vec::new() };
        Ok(Backlog { migrations, extents: vec![all], commands })
    }
}

/// What the operator's command says of the live datastore.
fn asked(operation: &Operation<Settings>) -> Result<(ObservedSchema, Vec<Migration>), Error> {
    if operation.settings.schema.is_none() {
        let subject = &operation.subject;
        let message = format!("{subject} has no command `schema`, so nobody can tell its schema");
        return Err(Error::unsupported(message));
    }
    let place = Place::open(operation)?;
    let variable = match place.shape()? {
        Some(Shape::File) => "file",
        Some(Shape::Directory) | None => "directory",
    };
    let command = process::setting("schema").variable(variable, place.path()?);
    let release = operation.next.as_ref().or(operation.previous.as_ref());
    let command = match release {
        Some(release) => command.variable("release", &release.version),
        None => command,
    };
    schema::read(&command.read_text()?)
}
