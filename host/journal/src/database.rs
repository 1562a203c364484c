//! The SQLite file: how it is made, recognised, and opened so that nothing in it is trusted.
//!
//! The format of a journal is SQLite's `user_version`, the application id is [`APPLICATION_ID`].
//! A foreign or newer file is refused before anything else in it is read.
//!
//! Invariants:
//! - The database appears under its name only when complete (made aside, fsynced, renamed).
//! - It is in WAL mode with `synchronous=FULL`: a commit is durable when it returns, for one
//!   fsync. A rollback journal beside it is never ours, and would be played back into it by
//!   SQLite, so it is refused.
//! - There is no index beside the tables' own trees: nothing can say something else than the
//!   records do.
//! - Nothing here opens the database file but SQLite: closing a second descriptor would silently
//!   drop the locks that SQLite holds for other connections of this process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::Error;
use crate::lock::LockState;

/// The database's file name in the journal's directory.
pub(crate) const FILE: &str = "journal.sqlite";

/// Files that SQLite keeps beside the database, and which move with it.
pub(crate) const SIDE_FILES: [&str; 3] =
    ["journal.sqlite-wal", "journal.sqlite-shm", ROLLBACK_FILE];

/// A rollback journal: never made under the database's final name.
const ROLLBACK_FILE: &str = "journal.sqlite-journal";

/// Where the database is made before it gets its name.
const FILE_UNFINISHED: &str = "journal.sqlite.new";

/// The newest format that this build reads, and the one that it writes.
pub(crate) const FORMAT: u32 = 1;

/// `VUJ1` in ASCII: tells a journal from every other SQLite database.
pub(crate) const APPLICATION_ID: u32 = 0x5655_4a31;

/// Bytes of a page. A record is a few hundred bytes and each append rewrites the page it lands
/// in, so a small page writes least, and makes a journal small enough to flip its every bit.
const PAGE_BYTES: u16 = 1024;

/// The least a database has from its making on: the schema and a page for each table.
const FILE_BYTES_MIN: u64 = 3 * PAGE_BYTES as u64;

/// How long to wait for another process's write, in milliseconds. A write takes about one; who
/// needs thousands is stopped or on a dying disk.
pub(crate) const WAIT_MS_MAX: u64 = 5_000;

/// Pages in the write-ahead log (32 MiB) after which an append itself copies them back. Renewals
/// and releases do so much earlier; this bounds the log where nobody renews.
pub(crate) const LOG_PAGES_MAX: u32 = 32 * 1024;

/// Bytes of the write-ahead log from which a renewal copies it back: a megabyte is recovered in
/// about a millisecond when the next process starts.
pub(crate) const LOG_BYTES_BEFORE_COPY: u64 = 1024 * 1024;

/// How long a copy back waits for readers, in milliseconds. It is only tidying.
const COPY_WAIT_MS_MAX: u64 = 50;

/// The tables, exactly as they stand in `sqlite_schema`.
const TABLES: [(&str, &str); 2] = [
    (
        "record",
        "CREATE TABLE record (\
         sequence INTEGER PRIMARY KEY, run TEXT NOT NULL, epoch INTEGER NOT NULL, \
         at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, \
         previous BLOB NOT NULL, hash BLOB NOT NULL) STRICT",
    ),
    (
        "lock",
        "CREATE TABLE lock (\
         one INTEGER PRIMARY KEY CHECK (one = 1), state TEXT NOT NULL, hash BLOB NOT NULL) STRICT",
    ),
];

/// Whether the connection may change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Change,
}

/// Makes the database with an unheld lock whose epochs continue after `epoch`.
///
/// The caller holds the directory's lock and has made sure that there is none.
pub(crate) fn create(directory: &Path, epoch: u64) -> Result<(), Error> {
    let unfinished = directory.join(FILE_UNFINISHED);
    remove_leftovers(directory)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(|source| Error::inaccessible(&unfinished, "created", source))?;
    fill(&unfinished, epoch)
        .map_err(|source| Error::writing(directory, "creating the database", source))?;
    let finish = || {
        file.sync_all()?;
        std::fs::rename(&unfinished, directory.join(FILE))?;
        File::open(directory)?.sync_all()
    };
    finish().map_err(|source| Error::write_failed(directory, "naming the database", source))
}

/// Opens the database. Nothing in it was looked at yet.
pub(crate) fn open(directory: &Path, access: Access) -> Result<Connection, Error> {
    check_files(directory)?;
    connect(&directory.join(FILE), access)
        .and_then(|connection| configure(&connection, access).map(|()| connection))
        .map_err(|source| Error::reading(directory, source))
}

/// Whether this is a journal at all, and one that this build reads.
pub(crate) fn recognise(
    connection: &Connection,
    access: Access,
    directory: &Path,
) -> Result<(), Error> {
    let number = |pragma: &str| -> Result<i64, Error> {
        connection
            .query_row(pragma, [], |row| row.get(0))
            .map_err(|source| Error::reading(directory, source))
    };
    // SQLite shows both as signed; the bits are what counts.
    let application = number("PRAGMA application_id")?.cast_unsigned() as u32;
    if application != APPLICATION_ID {
        return Err(Error::Foreign { file: directory.join(FILE), application });
    }
    let found = number("PRAGMA user_version")?.cast_unsigned() as u32;
    if found > FORMAT {
        return Err(Error::NewerFormat { directory: directory.to_owned(), found, known: FORMAT });
    }
    let mode: String = connection
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .map_err(|source| Error::reading(directory, source))?;
    // A header that asks for a newer SQLite to write with makes the file read-only.
    let writable =
        connection.is_readonly("main").map_err(|source| Error::reading(directory, source))?
            != (access == Access::Change);
    let ours = found == FORMAT
        && writable
        && mode == "wal"
        && number("PRAGMA page_size")? == i64::from(PAGE_BYTES)
        && number("PRAGMA auto_vacuum")? == 0;
    if ours {
        Ok(())
    } else {
        Err(Error::damaged(directory, "the header of its database is not a journal's"))
    }
}

/// Refuses every schema but ours: a trigger, a view or a changed column could make a sound
/// record read differently.
pub(crate) fn check_schema(connection: &Connection, directory: &Path) -> Result<(), Error> {
    let reading = |source| Error::reading(directory, source);
    let mut statement = connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")
        .map_err(reading)?;
    let found = statement
        .query_map([], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, String>(2)?,
                row.get::<_, String>(3)?,
            ))
        })
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(reading)?;
    let expected = TABLES.map(|(name, sql)| ("table", name, name, sql));
    let same = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| {
            (found.0.as_str(), found.1.as_str(), found.2.as_str(), found.3.as_str()) == expected
        });
    if same { Ok(()) } else { Err(Error::damaged(directory, "its tables are not a journal's")) }
}

/// SQLite's own check of the file's structure, free pages included, so that a later write cannot
/// land in a page that is in use.
pub(crate) fn check_structure(connection: &Connection, directory: &Path) -> Result<(), Error> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| Error::reading(directory, source))?;
    if verdict == "ok" { Ok(()) } else { Err(Error::damaged(directory, verdict)) }
}

/// Copies the write-ahead log back into the database and empties it, as far as readers allow.
///
/// Besides keeping the log short this writes anew what a killed process may have left in the
/// page cache only, or what an fsync that failed there has dropped.
pub(crate) fn copy_log_back(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_millis(COPY_WAIT_MS_MAX))?;
    let copied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(Duration::from_millis(WAIT_MS_MAX))?;
    match copied {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
            Ok(())
        }
        other => other,
    }
}

/// Bytes in the write-ahead log; 0 when there is none.
pub(crate) fn log_bytes(directory: &Path) -> u64 {
    std::fs::metadata(directory.join(SIDE_FILES[0])).map_or(0, |metadata| metadata.len())
}

/// The tables of an empty journal. Nothing here is durable until the caller has synced the file.
fn fill(path: &Path, epoch: u64) -> Result<(), rusqlite::Error> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES}; PRAGMA journal_mode = MEMORY; \
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
    ))?;
    connection.execute_batch("BEGIN")?;
    for (_, sql) in TABLES {
        connection.execute_batch(sql)?;
    }
    let (state, hash) = LockState::first(epoch).encode();
    connection.execute(
        "INSERT INTO lock (one, state, hash) VALUES (1, ?1, ?2)",
        (state, hash.as_slice()),
    )?;
    connection.execute_batch("COMMIT; PRAGMA journal_mode = WAL;")?;
    connection.close().map_err(|(_, error)| error)
}

fn connect(path: &Path, access: Access) -> Result<Connection, rusqlite::Error> {
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Change => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let safely = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    Connection::open_with_flags(path, mode | safely)
}

fn configure(connection: &Connection, access: Access) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(Duration::from_millis(WAIT_MS_MAX))?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    // A process that ends must not pay for tidying, nor a reader change anything.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0;")?;
    if access == Access::Change {
        connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; \
             PRAGMA checkpoint_fullfsync = ON; PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX};"
        ))?;
    }
    Ok(())
}

/// Before SQLite is let near the files: a rollback journal would be played back into the
/// database, and beside a database of no or one byte the write-ahead log would be deleted.
fn check_files(directory: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    if directory.join(ROLLBACK_FILE).symlink_metadata().is_ok() {
        return Err(Error::damaged(directory, format!("`{ROLLBACK_FILE}` is not a journal's")));
    }
    let metadata =
        path.symlink_metadata().map_err(|source| Error::inaccessible(&path, "read", source))?;
    if metadata.is_file() && metadata.len() >= FILE_BYTES_MIN {
        Ok(())
    } else {
        Err(Error::damaged(directory, "its database is cut short or no file"))
    }
}

/// What a crash in the middle of [`create`] left behind.
fn remove_leftovers(directory: &Path) -> Result<(), Error> {
    let sides = ["", "-wal", "-shm", "-journal"];
    for path in sides.map(|side| PathBuf::from(format!("{FILE_UNFINISHED}{side}"))) {
        let path = directory.join(path);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::inaccessible(&path, "removed", source));
            }
            _ => {}
        }
    }
    Ok(())
}
