//! Migrations that were shipped are never edited: a database that has applied one would not get
//! the change, and its tool may refuse to start.
//!
//! A release may name the directory with the files of a datastore's migrations. Each file that the
//! previous release has too must be the same, byte for byte, whatever tool they are for. Where the
//! tool records a checksum of what it applied, the file is held against that as well: SHA-384 of
//! the file (sqlx), SHA-256 of `<id>/migration.sql` (Prisma), CRC-32 of its lines (Flyway). The
//! tools' documentation says so.
//!
//! Not looked at: names that begin with `.` or `_` (caches, helpers), `R__…` (Flyway repeats those
//! whenever they change), and files that are no source.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::obstacle::Obstacle;
use engine::snapshot::Snapshot;
use model::Name;
use model::contract::Migration;
use model::release::Release;
use sha2::{Digest as _, Sha256, Sha384};

use crate::error::Error;
use crate::project::Project;

/// More files than decades of weekly releases have.
const FILES_MAX: usize = 10_000;
/// A migration is written by a person.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How deep directories may lie in each other.
const DEPTH_MAX: usize = 8;
/// How names end that migrations have.
const SOURCES: [&str; 10] = ["sql", "py", "rb", "js", "ts", "java", "json", "xml", "yaml", "yml"];

/// Files below a directory by their path in it.
type Files = BTreeMap<String, Vec<u8>>;

/// Every migration that is not what was shipped or applied.
///
/// # Errors
/// [`Error::Unreadable`] when a directory that a release names cannot be read.
pub(crate) fn edited(
    project: &Project,
    previous: Option<&Release>,
    next: &Release,
    seen: &Snapshot,
) -> Result<Vec<Obstacle>, Error> {
    let mut found = Vec::new();
    for name in next.datastores.keys() {
        let Some(now) = files_of(project, next, name)? else { continue };
        let before = previous.map(|previous| files_of(project, previous, name)).transpose()?;
        if let (Some(previous), Some(Some(before))) = (previous, before) {
            let when = format!("release {} shipped it", previous.version);
            let changed = before
                .iter()
                .filter(|(path, content)| now.get(*path).is_some_and(|other| other != *content));
            found.extend(changed.map(|(path, _)| obstacle(name, path, &when)));
        }
        let schema = seen.datastores.get(name).and_then(|its| its.schema.as_ref());
        for migration in schema.iter().flat_map(|schema| &schema.applied) {
            let differing = differs_from_recorded(&now, migration);
            found.extend(differing.map(|path| obstacle(name, path, "it was applied")));
        }
    }
    found.dedup();
    Ok(found)
}

fn obstacle(datastore: &Name, path: &str, when: &str) -> Obstacle {
    Obstacle::MigrationEdited {
        datastore: datastore.clone(),
        migration: path.to_owned(),
        when: when.to_owned(),
    }
}

fn files_of(project: &Project, release: &Release, name: &Name) -> Result<Option<Files>, Error> {
    let named = release.datastores.get(name).and_then(|its| its.migrations.as_ref());
    let Some(directory) = named else { return Ok(None) };
    let beside = project.releases_directory().join(release.version.to_string());
    let mut files = Files::new();
    read(&beside.join(directory), "", DEPTH_MAX, &mut files)?;
    Ok(Some(files))
}

fn read(directory: &Path, below: &str, depth: usize, files: &mut Files) -> Result<(), Error> {
    let unreadable = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |source| Error::Unreadable { path, source }
    };
    let too_much = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) || name.starts_with("R__") {
            continue;
        }
        let inside = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = fs::metadata(&path).map_err(unreadable(&path))?;
        if kind.is_dir() {
            let Some(depth) = depth.checked_sub(1) else {
                let what = format!("directories lie deeper than {DEPTH_MAX} in each other");
                return Err(unreadable(&path)(too_much(what)));
            };
            read(&path, &inside, depth, files)?;
        } else if path.extension().is_some_and(|end| SOURCES.iter().any(|known| end == *known)) {
            if kind.len() > FILE_BYTES_MAX {
                let what = format!("no migration has more than {FILE_BYTES_MAX} bytes");
                return Err(unreadable(&path)(too_much(what)));
            }
            if files.len() == FILES_MAX {
                return Err(unreadable(&path)(too_much(format!("more than {FILES_MAX} files"))));
            }
            files.insert(inside, fs::read(&path).map_err(unreadable(&path))?);
        }
    }
    Ok(())
}

/// The file of a migration whose checksum was recorded, if it has another one now.
fn differs_from_recorded<'a>(files: &'a Files, migration: &Migration) -> Option<&'a str> {
    let (kind, recorded) = migration.checksum.as_deref()?.split_once(':')?;
    let (path, content) = files.iter().find(|(path, _)| match kind {
        "sha256" => path.strip_suffix("/migration.sql") == Some(migration.id.as_str()),
        "sha384" => numbered(path) == migration.id.parse().ok() && !path.ends_with(".down.sql"),
        "crc32" => versioned(path).as_deref() == Some(migration.id.as_str()),
        _ => false,
    })?;
    let now = match kind {
        "sha256" => hexadecimal(&Sha256::digest(content)),
        "sha384" => hexadecimal(&Sha384::digest(content)),
        _ => checksum_of_lines(content).to_string(),
    };
    (now != recorded).then_some(path)
}

/// The number that the name of a file begins with: 17 of `0017_split_orders.sql`.
fn numbered(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    name.split('_').next()?.parse().ok()
}

/// The version in a name as Flyway has it: `1.2` of `V1_2__split_orders.sql`.
fn versioned(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let (version, _) = name.strip_prefix('V')?.split_once("__")?;
    Some(version.replace('_', "."))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// CRC-32 of the lines without their ends and without a mark of byte order, as a signed number.
fn checksum_of_lines(content: &[u8]) -> i32 {
    let text = String::from_utf8_lossy(content);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut checksum = u32::MAX;
    for byte in text.split(['\n', '\r']).flat_map(str::bytes) {
        checksum ^= u32::from(byte);
        for _ in 0..8 {
            checksum = (checksum >> 1) ^ (0xedb8_8320 & (checksum & 1).wrapping_neg());
        }
    }
    (!checksum).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(id: &str, checksum: &str) -> Migration {
        Migration {
            id: id.to_owned(),
            description: String::new(),
            checksum: Some(checksum.to_owned()),
        }
    }

    fn files(path: &str, content: &str) -> Files {
        Files::from([(path.to_owned(), content.as_bytes().to_vec())])
    }

    /// R21: checksums of SQL as `sqlx`, Prisma and Flyway record them.
    #[test]
    fn a_file_is_held_against_the_checksum_that_its_tool_records() {
        let sql = "CREATE TABLE a (id int);\n";
        let recorded = [
            ("0001_a.sql", "1", format!("sha384:{}", hexadecimal(&Sha384::digest(sql)))),
            ("7_a/migration.sql", "7_a", format!("sha256:{}", hexadecimal(&Sha256::digest(sql)))),
            ("V1_2__a.sql", "1.2", format!("crc32:{}", checksum_of_lines(sql.as_bytes()))),
        ];
        for (path, id, checksum) in recorded {
            let migration = applied(id, &checksum);
            assert_eq!(differs_from_recorded(&files(path, sql), &migration), None, "{path}");
            let other = files(path, "CREATE TABLE a (id bigint);\n");
            assert_eq!(differs_from_recorded(&other, &migration), Some(path));
            let another = files("0002_b.sql", "");
            assert_eq!(differs_from_recorded(&another, &migration), None, "{path}");
        }
    }

    /// The check value of CRC-32 that is published with it, and line ends that do not count.
    #[test]
    fn the_checksum_of_lines_is_the_published_one_and_line_ends_do_not_count() {
        assert_eq!(checksum_of_lines(b"123456789").cast_unsigned(), 0xcbf4_3926);
        assert_eq!(checksum_of_lines(b"1234\r\n56789\n").cast_unsigned(), 0xcbf4_3926);
        assert_eq!(checksum_of_lines("\u{feff}123456789".as_bytes()).cast_unsigned(), 0xcbf4_3926);
    }
}
