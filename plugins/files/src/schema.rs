//! What the operator's `schema` command answers: a JSON line.
//!
//! ```json
//! {"version": "17", "dirty": false, "running": false, "fingerprint": "blake3:…",
//!  "applied": [{"id": "17", "description": "orders", "checksum": "sha256:…"}], "pending": []}
//! ```
//! `fingerprint` is a digest of the real schema and must be there: it, and not the version, tells a
//! migration that was applied half. Everything else may be left out; `version` may be a number.
//! `running` means that a migration is under way at this moment, so that nothing else is true yet.
//! Of several lines the last that is a JSON object counts.
//!
//! A datastore without this command has no schema that anybody could compare, and the plugin says
//! so instead of making a fingerprint up.

use serde::Deserialize;
use serde_json::Value;
use vaultup_sdk::Error;
use vaultup_sdk::migrate::{Migration, ObservedSchema};

#[derive(Deserialize)]
struct Said {
    fingerprint: String,
    version: Option<Value>,
    #[serde(default)]
    dirty: bool,
    #[serde(default)]
    running: bool,
    #[serde(default)]
    applied: Vec<SaidMigration>,
    #[serde(default)]
    pending: Vec<SaidMigration>,
}

#[derive(Deserialize)]
struct SaidMigration {
    id: Value,
    #[serde(default)]
    description: String,
    checksum: Option<String>,
}

/// Reads the answer: the schema as it is, and what is still to be applied.
///
/// # Errors
/// [`vaultup_sdk::Case::Corrupt`] if it is no such line, [`vaultup_sdk::Case::Conflict`] if a
/// migration is under way.
pub fn read(output: &str) -> Result<(ObservedSchema, Vec<Migration>), Error> {
    let corrupt = |message: &str| {
        Error::corrupt(format!("the command `schema` {message}")).with_platform(output)
    };
    let line = output.lines().rev().find(|line| line.trim_start().starts_with('{'));
    let line = line.ok_or_else(|| corrupt("printed no JSON object"))?;
    let said: Said = serde_json::from_str(line)
        .map_err(|error| corrupt(&format!("printed something else than is expected: {error}")))?;
    if said.fingerprint.is_empty() {
        return Err(corrupt("printed an empty `fingerprint`"));
    }
    if said.running {
        return Err(Error::conflict("a migration of the datastore is under way"));
    }
    let version = said.version.map(|version| text(&version)).transpose()?.flatten();
    let all = |migrations: Vec<SaidMigration>| {
        migrations.into_iter().map(SaidMigration::migration).collect::<Result<Vec<_>, Error>>()
    };
    let schema = ObservedSchema {
        version,
        fingerprint: said.fingerprint,
        dirty: said.dirty,
        applied: all(said.applied)?,
    };
    Ok((schema, all(said.pending)?))
}

impl SaidMigration {
    fn migration(self) -> Result<Migration, Error> {
        let id = text(&self.id)?
            .ok_or_else(|| Error::corrupt("the command `schema` names a migration without `id`"))?;
        Ok(Migration { id, description: self.description, checksum: self.checksum })
    }
}

/// A text or a number, as text; `null` is nothing.
fn text(value: &Value) -> Result<Option<String>, Error> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(Error::corrupt("the command `schema` gives a version that is no text or number")),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use vaultup_sdk::Case;

    use super::*;

    #[test]
    fn a_schema_is_read_with_what_is_still_to_be_applied() {
        let output = "a notice\n{\"version\":2,\"dirty\":true,\"fingerprint\":\"blake3:0a\",\
            \"applied\":[{\"id\":\"1\",\"checksum\":\"c\",\"description\":\"d\"}],\
            \"pending\":[{\"id\":2}]}\n";
        let (schema, pending) = read(output).unwrap();
        assert_eq!((schema.version.as_deref(), schema.dirty), (Some("2"), true));
        assert_eq!(schema.applied[0].checksum.as_deref(), Some("c"));
        assert_eq!((pending[0].id.as_str(), pending.len()), ("2", 1));
    }

    #[test]
    fn only_the_fingerprint_must_be_there() {
        let (schema, pending) = read(r#"{"fingerprint": "x:1", "version": null}"#).unwrap();
        assert_eq!((schema.version, schema.dirty, pending.len()), (None, false, 0));
        for wrong in ["", "{}", "17", r#"{"fingerprint":""}"#, r#"{"fingerprint":1}"#, "{\"fin"] {
            assert_eq!(read(wrong).unwrap_err().case(), &Case::Corrupt, "{wrong}");
        }
        let list = r#"{"fingerprint": "x:1", "version": [1]}"#;
        assert_eq!(read(list).unwrap_err().case(), &Case::Corrupt);
    }

    #[test]
    fn a_migration_under_way_is_no_schema_yet() {
        let error = read(r#"{"fingerprint": "x:1", "running": true}"#).unwrap_err();
        assert_eq!(error.case(), &Case::Conflict);
    }
}
