//! The migrations, what of them a store has, and whether a release may run on it.
//!
//! Invariants: a shipped migration's text is never edited (its checksum is recorded); migrations 1
//! and 2 are one transaction each; migration 3 is recorded as begun before it touches anything and
//! as ended when it is complete, so a kill between leaves a row with `success = 0`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs::File, fs::TryLockError, thread};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::failure;
use crate::release::Release;

/// One step of the schema.
pub(crate) struct Migration {
    /// 1, 2, 3 …
    pub(crate) version: u32,
    /// What it is called.
    pub(crate) description: &'static str,
    statements: &'static [&'static str],
    stepwise: bool,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        description: "create orders",
        statements: &["CREATE TABLE orders (
            id INTEGER PRIMARY KEY, item TEXT NOT NULL, quantity INTEGER NOT NULL);"],
        stepwise: false,
    },
    Migration {
        version: 2,
        description: "add notes to orders",
        statements: &["ALTER TABLE orders ADD COLUMN note TEXT;
            CREATE INDEX orders_by_item ON orders (item);"],
        stepwise: false,
    },
    Migration {
        version: 3,
        description: "split orders into lines",
        statements: &[LINES_CREATE, LINES_COPY, LINES_FINISH],
        stepwise: true,
    },
];

/// First half of migration 3: beside the old columns.
const LINES_CREATE: &str = "CREATE TABLE order_lines (
    order_id INTEGER NOT NULL REFERENCES orders (id), line INTEGER NOT NULL,
    item TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (order_id, line));";
/// Copies the rows whose id is above the first parameter, as many as the second says.
const LINES_COPY: &str = "INSERT INTO order_lines (order_id, line, item, quantity)
    SELECT id, 1, item, quantity FROM orders WHERE id > ?1 ORDER BY id LIMIT ?2;";
/// Second half: the old columns go, and with them release 2's way to read the store.
const LINES_FINISH: &str = "DROP INDEX orders_by_item;
    ALTER TABLE orders DROP COLUMN item;
    ALTER TABLE orders DROP COLUMN quantity;
    CREATE INDEX order_lines_by_item ON order_lines (item);";

const RECORD_CREATE: &str = "CREATE TABLE IF NOT EXISTS _migrations (
    version INTEGER PRIMARY KEY, description TEXT NOT NULL, checksum TEXT NOT NULL,
    success INTEGER NOT NULL, applied_at TEXT NOT NULL);";
const RECORD_BEGUN: &str = "INSERT INTO _migrations
    (version, description, checksum, success, applied_at)
    VALUES (?1, ?2, ?3, 0, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));";
const RECORD_ENDED: &str = "UPDATE _migrations SET success = 1,
    applied_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') WHERE version = ?1;";

/// A store of many rows is copied in about this many batches, so that progress shows.
const BATCHES_WANTED: i64 = 10;
/// Rows of a batch at most, so that a batch is a short transaction.
const BATCH_ROWS_MAX: i64 = 10_000;
/// How long a migration waits for another one on the same data directory.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often it looks.
const LOCK_POLL: Duration = Duration::from_millis(5);
/// In the release directory while the fault `migrate-pauses` holds a migration up.
const HALF_WAY_FILE: &str = "half-way";
/// How long that fault waits for somebody to remove the file.
const PAUSE_WAIT: Duration = Duration::from_secs(600);

impl Migration {
    /// Digest of its text, `blake3:hex`.
    pub(crate) fn checksum(&self) -> String {
        format!("blake3:{}", blake3::hash(self.statements.join("\n").as_bytes()).to_hex())
    }
}

/// The migrations that a release knows, in order.
pub(crate) fn known(release: &Release) -> &'static [Migration] {
    let count = (release.version.major() as usize).min(MIGRATIONS.len());
    &MIGRATIONS[..count]
}

/// A row of `_migrations`.
pub(crate) struct Applied {
    pub(crate) description: String,
    pub(crate) checksum: String,
    pub(crate) success: bool,
}

/// What a store says of its migrations, by version.
#[derive(Default)]
pub(crate) struct Record(pub(crate) BTreeMap<u32, Applied>);

impl Record {
    /// Reads `_migrations`; a store without that table has none.
    pub(crate) fn read(connection: &Connection) -> Result<Self> {
        if !connection.table_exists(None, "_migrations")? {
            return Ok(Self::default());
        }
        let mut statement = connection.prepare(
            "SELECT version, description, checksum, success FROM _migrations ORDER BY version",
        )?;
        let rows = statement.query_map([], |row| {
            let applied =
                Applied { description: row.get(1)?, checksum: row.get(2)?, success: row.get(3)? };
            Ok((row.get(0)?, applied))
        })?;
        Ok(Self(rows.collect::<rusqlite::Result<_>>()?))
    }

    /// The highest migration that was applied completely; 0 when there is none.
    pub(crate) fn version(&self) -> u32 {
        let complete = self.0.iter().filter(|(_, applied)| applied.success);
        complete.map(|(version, _)| *version).next_back().unwrap_or(0)
    }

    /// The migration that was begun and not ended.
    pub(crate) fn dirty(&self) -> Option<u32> {
        self.0.iter().find(|(_, applied)| !applied.success).map(|(version, _)| *version)
    }

    /// What a release would still have to apply, a half-applied migration included.
    pub(crate) fn pending(&self, release: &Release) -> Vec<&'static Migration> {
        let applied = |version| self.0.get(version).is_some_and(|row| row.success);
        known(release).iter().filter(|migration| !applied(&migration.version)).collect()
    }

    /// Why a release must not touch this store, in sqlx's order; `None` if it may. With
    /// `ignore_missing` (sqlx has it too) a migration that the release does not know is no reason.
    pub(crate) fn refusal(&self, release: &Release, ignore_missing: bool) -> Option<String> {
        if let Some(version) = self.dirty() {
            return Some(format!(
                "migration {version} is partially applied (Dirty); restore the store from a backup"
            ));
        }
        for (version, applied) in &self.0 {
            let known = known(release).iter().find(|migration| migration.version == *version);
            match known {
                None if ignore_missing => {}
                None => {
                    return Some(format!(
                        "migration {version} was applied but is missing in release {} \
                         (VersionMissing)",
                        release.version.as_str()
                    ));
                }
                Some(migration) if migration.checksum() != applied.checksum => {
                    return Some(format!(
                        "migration {version} was applied but has been modified (VersionMismatch)"
                    ));
                }
                Some(_) => {}
            }
        }
        None
    }
}

/// Held while migrations are applied to a data directory; the kernel releases it with the process.
pub(crate) struct MigrationLock {
    _directory: File,
}

impl MigrationLock {
    /// Waits for a migration that is under way, at most [`LOCK_WAIT`].
    pub(crate) fn acquire(data: &Path) -> Result<Self> {
        let directory = open_directory(data)?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(Self { _directory: directory }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    bail!("another migration of {} is under way", data.display());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", data.display()));
                }
            }
        }
    }
}

/// What a look at a data directory finds. While a `Resting` lives, no migration can begin.
pub(crate) enum Activity {
    /// A migration is under way right now.
    Migrating,
    /// None is.
    Resting { _directory: Option<File> },
}

impl Activity {
    /// Looks, without waiting. Changes nothing.
    pub(crate) fn of(data: &Path) -> Result<Self> {
        if !data.exists() {
            return Ok(Self::Resting { _directory: None });
        }
        let directory = open_directory(data)?;
        match directory.try_lock_shared() {
            Ok(()) => Ok(Self::Resting { _directory: Some(directory) }),
            Err(TryLockError::WouldBlock) => Ok(Self::Migrating),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot see the lock of {}", data.display()))
            }
        }
    }
}

/// Applies what is pending up to `release`, in order. `tell` receives a line for each step.
///
/// The lock is asked for as a value so that nobody migrates without it.
pub(crate) fn apply(
    connection: &mut Connection,
    release: &Release,
    ignore_missing: bool,
    _lock: &MigrationLock,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let record = Record::read(connection)?;
    if let Some(refusal) = record.refusal(release, ignore_missing) {
        return Err(failure::migration(refusal));
    }
    connection.execute_batch(RECORD_CREATE)?;
    for migration in record.pending(release) {
        let Migration { version, description, .. } = migration;
        tell(&format!("applying migration {version}: {description}"));
        let applied = if migration.stepwise {
            apply_stepwise(connection, release, migration, tell)
        } else {
            apply_in_transaction(connection, release, migration)
        };
        applied.map_err(|error| {
            failure::migration(format!("migration {version} failed: {error:#}"))
        })?;
        tell(&format!("applied migration {version}: {description}"));
    }
    Ok(())
}

fn apply_in_transaction(
    connection: &mut Connection,
    release: &Release,
    migration: &Migration,
) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    record_begun(&transaction, migration)?;
    for statement in migration.statements {
        transaction.execute_batch(statement)?;
    }
    if migration.version == release.version.major() {
        thread::sleep(release.faults.migrate_slow);
        if release.faults.migrate_fails_half_way {
            bail!("fault migrate-fails-half-way; the transaction is rolled back");
        }
    }
    transaction.execute(RECORD_ENDED, [migration.version])?;
    transaction.commit()?;
    Ok(())
}

/// Migration 3. Each batch is its own transaction, and the columns go in another.
fn apply_stepwise(
    connection: &mut Connection,
    release: &Release,
    migration: &Migration,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    record_begun(connection, migration)?;
    connection.execute_batch(LINES_CREATE)?;
    copy_lines(connection, release, tell)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    copy_batch(&transaction, i64::MAX)?;
    transaction.execute_batch(LINES_FINISH)?;
    transaction.commit()?;
    connection.execute(RECORD_ENDED, [migration.version])?;
    Ok(())
}

fn copy_lines(
    connection: &mut Connection,
    release: &Release,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let total: i64 = connection.query_row("SELECT count(*) FROM orders", [], |row| row.get(0))?;
    let rows = (total / BATCHES_WANTED).clamp(1, BATCH_ROWS_MAX);
    let batches = (total + rows - 1) / rows;
    let mut copied = 0;
    tell(&format!("migrated {copied}/{total}"));
    for batch in 0..batches {
        if release.faults.migrate_fails_half_way && batch >= batches / 2 {
            break;
        }
        if release.faults.migrate_pauses && batch == batches / 2 {
            pause(release)?;
        }
        thread::sleep(release.faults.migrate_slow);
        copied += copy_batch(connection, rows)?;
        tell(&format!("migrated {copied}/{total}"));
    }
    if release.faults.migrate_fails_half_way {
        bail!("fault migrate-fails-half-way, after {copied} of {total} orders");
    }
    Ok(())
}

/// Stands still until somebody who waited for that removes the file. The store is left alone.
fn pause(release: &Release) -> Result<()> {
    let file = release.directory.join(HALF_WAY_FILE);
    std::fs::write(&file, "").with_context(|| format!("cannot write {}", file.display()))?;
    let deadline = Instant::now() + PAUSE_WAIT;
    while file.exists() {
        if Instant::now() >= deadline {
            bail!("fault migrate-pauses, and nobody removed {}", file.display());
        }
        thread::sleep(LOCK_POLL);
    }
    Ok(())
}

/// Copies the next rows in the order of their ids and says how many.
fn copy_batch(connection: &Connection, rows: i64) -> Result<i64> {
    let last: Option<i64> = connection
        .query_row("SELECT max(order_id) FROM order_lines", [], |row| row.get(0))
        .optional()?
        .flatten();
    let copied = connection.execute(LINES_COPY, params![last.unwrap_or(i64::MIN), rows])?;
    Ok(i64::try_from(copied)?)
}

fn record_begun(connection: &Connection, migration: &Migration) -> Result<()> {
    let row = params![migration.version, migration.description, migration.checksum()];
    connection.execute(RECORD_BEGUN, row)?;
    Ok(())
}

fn open_directory(data: &Path) -> Result<File> {
    File::open(data).with_context(|| format!("cannot open the directory {}", data.display()))
}

/// The transaction that reading several tables at one moment needs.
pub(crate) fn moment(connection: &Connection) -> Result<Transaction<'_>> {
    Ok(connection.unchecked_transaction()?)
}
