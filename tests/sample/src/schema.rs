//! `schema`: what schema the store has and what this release would still apply. Changes nothing.

use std::process::ExitCode;

use anyhow::Result;
use rusqlite::Connection;
use serde::Serialize;

use crate::arguments::Arguments;
use crate::migrations::{self, Activity, Record};
use crate::output;
use crate::release::Release;
use crate::store;

/// The line that is printed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Schema {
    /// Highest migration that was applied completely; 0 when there is no store.
    version: u32,
    /// Whether one was begun and not ended.
    dirty: bool,
    /// Whether one is under way at this moment; then `dirty` says nothing yet.
    running: bool,
    /// Digest of the real schema, `blake3:hex`.
    fingerprint: String,
    /// Oldest first, complete ones only.
    applied: Vec<Entry>,
    /// What this release would apply, in order.
    pending: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    id: String,
    checksum: String,
    description: String,
}

/// Prints one JSON line.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = arguments.path("data")?;
    let release = Release::current()?;
    // Kept until the store is read: a migration that begins now would look like one that was left.
    let activity = Activity::of(&data)?;
    let observed = store::read(&data, |connection| {
        let moment = migrations::moment(connection)?;
        Ok((Record::read(&moment)?, fingerprint(&moment)?))
    })?;
    let (record, fingerprint) = match observed {
        Some(observed) => observed,
        None => (Record::default(), digest_of(&[])),
    };
    let running = matches!(activity, Activity::Migrating);
    output::say_json(&describe(&record, fingerprint, running, &release))?;
    Ok(ExitCode::SUCCESS)
}

fn describe(record: &Record, fingerprint: String, running: bool, release: &Release) -> Schema {
    let complete = record.0.iter().filter(|(_, applied)| applied.success);
    let applied = complete.map(|(version, applied)| Entry {
        id: version.to_string(),
        checksum: applied.checksum.clone(),
        description: applied.description.clone(),
    });
    let pending = record.pending(release).into_iter().map(|migration| Entry {
        id: migration.version.to_string(),
        checksum: migration.checksum(),
        description: migration.description.to_owned(),
    });
    Schema {
        version: record.version(),
        dirty: record.dirty().is_some(),
        running,
        fingerprint,
        applied: applied.collect(),
        pending: pending.collect(),
    }
}

/// Digest of `sqlite_master` without SQLite's own objects, white space made one space.
fn fingerprint(connection: &Connection) -> Result<String> {
    let mut statement = connection.prepare(
        "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master
         WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type, name",
    )?;
    let rows = statement.query_map([], |row| {
        let columns: [String; 4] = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?];
        Ok(columns.map(|column| column.split_whitespace().collect::<Vec<_>>().join(" ")))
    })?;
    let rows: Vec<[String; 4]> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(digest_of(&rows))
}

fn digest_of(rows: &[[String; 4]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for column in rows.iter().flatten() {
        hasher.update(&(column.len() as u64).to_le_bytes());
        hasher.update(column.as_bytes());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}
