//! `migrate`: applies pending migrations, with progress lines on stdout.

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::failure;
use crate::migrations::{self, MigrationLock, Record};
use crate::output;
use crate::release::Release;
use crate::server::Server;
use crate::store;

/// Applies what is pending up to this release; 3 when a migration fails or is refused.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let release = Release::current()?;
    if release.faults.migrate_fails_before {
        return Err(failure::migration("fault migrate-fails-before".to_owned()));
    }
    if let Some(database) = arguments.optional_text("database")? {
        Server::at(database).migrate(&release, &mut |line| output::say(line))?;
        return Ok(ExitCode::SUCCESS);
    }
    let data = arguments.path("data")?;
    let mut connection = store::create(&data)?;
    let lock = MigrationLock::acquire(&data)?;
    migrations::apply(&mut connection, &release, false, &lock, &mut |line| output::say(line))?;
    let version = Record::read(&connection)?.version();
    output::say(&format!("the schema is at version {version}"));
    Ok(ExitCode::SUCCESS)
}
