//! The store: one SQLite file, `orders.db`, in WAL mode in the data directory.
//!
//! Invariants: reading creates no file and changes none; only `create` makes a store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags};

/// Name of the store in the data directory.
pub(crate) const STORE_FILE: &str = "orders.db";
/// How long a statement waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(5);
/// How often reading begins anew because a writer came or went meanwhile.
const READ_ATTEMPTS_MAX: u32 = 10;
/// Prepared statements kept; the application has fewer.
const STATEMENTS_KEPT: usize = 32;

/// Where the store of a data directory lies.
pub(crate) fn path(data: &Path) -> PathBuf {
    data.join(STORE_FILE)
}

/// Opens an existing store for reading and writing.
pub(crate) fn open(data: &Path) -> Result<Connection> {
    connect(data, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Opens a store for reading and writing, and makes it and its directory when missing.
pub(crate) fn create(data: &Path) -> Result<Connection> {
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot make the data directory {}", data.display()))?;
    connect(data, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
}

/// Asks a store a question without leaving a trace; `None` when there is no store.
///
/// SQLite makes `-wal` and `-shm` files beside a WAL store even for a reader. A store at rest (no
/// such file) is therefore read as an immutable one; if it turns out afterwards that a writer came,
/// the answer is thrown away and the question is asked again, with SQLite's locks.
pub(crate) fn read<T>(
    data: &Path,
    mut question: impl FnMut(&Connection) -> Result<T>,
) -> Result<Option<T>> {
    let file = path(data);
    for _ in 0..READ_ATTEMPTS_MAX {
        let Some(before) = Stamp::of(&file)? else { return Ok(None) };
        let at_rest = !companion_exists(&file);
        let connection = connect_to_read(&file, at_rest)?;
        let answer = question(&connection);
        if !at_rest || (!companion_exists(&file) && Stamp::of(&file)? == Some(before)) {
            return answer.map(Some);
        }
    }
    bail!("{} changed hands {READ_ATTEMPTS_MAX} times while it was read", file.display())
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

fn connect(data: &Path, flags: OpenFlags) -> Result<Connection> {
    let file = path(data);
    let opened = || -> rusqlite::Result<Connection> {
        let connection =
            Connection::open_with_flags(&file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.pragma_update(None, "journal_mode", "wal")?;
        // Full: an order that was answered with 201 survives a power cut.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    };
    opened().with_context(|| format!("cannot open the store {}", file.display()))
}

fn connect_to_read(file: &Path, at_rest: bool) -> Result<Connection> {
    let Some(text) = file.to_str() else { bail!("{} is not valid UTF-8", file.display()) };
    let escaped = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let immutable = if at_rest { "?immutable=1" } else { "" };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(format!("file:{escaped}{immutable}"), flags);
    let connection = opened.with_context(|| format!("cannot open the store {}", file.display()))?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Whether a writer is at the store, or one died at it.
fn companion_exists(file: &Path) -> bool {
    ["-wal", "-journal"].iter().any(|suffix| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        Path::new(&name).exists()
    })
}

/// Tells whether a file was written between two looks.
#[derive(PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: SystemTime,
}

impl Stamp {
    fn of(file: &Path) -> Result<Option<Self>> {
        match std::fs::metadata(file) {
            Ok(seen) => Ok(Some(Self { bytes: seen.len(), modified: seen.modified()? })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot see {}", file.display())),
        }
    }
}
