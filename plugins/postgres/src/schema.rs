//! What schema a database has: what migration tools record of it, and what it really is.
//!
//! The fingerprint is of what `pg_dump --schema-only` prints, without comments, settings of its
//! own session and the random words that it puts around a dump. It, and not the version, tells a
//! migration that was applied half.

use serde::Deserialize;
use vaultup_sdk::migrate::{Extent, Migration, ObservedSchema};
use vaultup_sdk::{Error, Operation};

use crate::connection::Connection;
use crate::{Settings, trouble};

/// How lines begin that say nothing of the schema.
const UNTOLD: [&str; 5] =
    ["--", "\\restrict ", "\\unrestrict ", "SET ", "SELECT pg_catalog.set_config("];

/// A migration as one of the known tools records it.
#[derive(Deserialize)]
struct Recorded {
    tool: String,
    id: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    checksum: Option<String>,
    complete: bool,
}

/// A table and its size.
#[derive(Deserialize)]
struct Sized {
    name: String,
    bytes: u64,
    count: Option<u64>,
}

/// The schema as it is.
pub(crate) fn observed(operation: &Operation<Settings>) -> Result<ObservedSchema, Error> {
    let settings = &operation.settings;
    let connection = Connection::of(operation)?;
    let recorded: Vec<Recorded> = connection.ask(&settings.database, "migrations", &[])?;
    let dirty = recorded.iter().any(|migration| !migration.complete);
    let last = recorded.iter().rev().find(|migration| migration.complete);
    let version = match &settings.schema {
        Some(query) => Some(connection.ask_own(&settings.database, query)?),
        None => last.map(|migration| migration.id.clone()),
    };
    let applied = recorded.into_iter().filter(|migration| migration.complete);
    Ok(ObservedSchema {
        version: version.filter(|version| !version.is_empty()),
        fingerprint: fingerprint(connection)?,
        dirty,
        applied: applied.map(Recorded::migration).collect(),
    })
}

/// The largest tables, and roughly how many rows they have.
pub(crate) fn extents(operation: &Operation<Settings>) -> Result<Vec<Extent>, Error> {
    let connection = Connection::of(operation)?;
    let sized: Vec<Sized> = connection.ask(&operation.settings.database, "extents", &[])?;
    let extent = |Sized { name, bytes, count }| Extent { name, bytes, count };
    Ok(sized.into_iter().map(extent).collect())
}

impl Recorded {
    fn migration(self) -> Migration {
        let Self { tool, id, description, checksum, .. } = self;
        Migration { id, description: description.unwrap_or(tool), checksum }
    }
}

fn fingerprint(connection: Connection<'_>) -> Result<String, Error> {
    let mut digest = Fingerprint::default();
    let dumped = connection.schema().for_each_line(|line| {
        digest.add(&line);
        Ok(())
    });
    dumped.map_err(|error| trouble::read("pg_dump", error))?;
    Ok(digest.told())
}

/// A digest of the lines that say something.
#[derive(Default)]
struct Fingerprint(blake3::Hasher);

impl Fingerprint {
    fn add(&mut self, line: &str) {
        if line.is_empty() || UNTOLD.iter().any(|untold| line.starts_with(untold)) {
            return;
        }
        self.0.update(line.as_bytes());
        self.0.update(b"\n");
    }

    fn told(&self) -> String {
        format!("blake3:{}", self.0.finalize().to_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    fn of(dump: &str) -> String {
        let mut fingerprint = Fingerprint::default();
        dump.lines().for_each(|line| fingerprint.add(line));
        fingerprint.told()
    }

    #[test]
    fn the_random_words_around_a_dump_and_its_comments_do_not_count() {
        let one = "--\n-- Dumped by pg_dump version 15.18\n\\restrict a1\nSET x = 1;\n\n\
            CREATE TABLE a (\n    id integer\n);\n\\unrestrict a1\n";
        let other = "\\restrict b2\nCREATE TABLE a (\n    id integer\n);\n\n\\unrestrict b2\n";
        assert_eq!(of(one), of(other));
        assert_ne!(of(one), of(&one.replace("id", "key")));
    }
}
