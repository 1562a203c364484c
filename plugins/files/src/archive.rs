//! The archive: what `tar` is asked, and what its answers mean.

use vaultup_sdk::process::{self, Arguments, Command, Exit, Finished};
use vaultup_sdk::{Error, artifact};

use crate::{Shape, State};

/// The only artifact of a backup.
pub(crate) const ARTIFACT: &str = "tree.tar";
/// The name of a single file in its archive, whatever it is called where it lies.
pub(crate) const FILE: &str = "file";
/// How lines of a listing begin that are regular files, or further names of one.
const FILE_KINDS: [char; 2] = ['-', 'h'];
/// What `tar` exits with when something changed while it was read.
const CHANGED: i32 = 1;

/// Archives what lies at a path, to standard output.
pub(crate) fn create(shape: Shape, path: &str) -> Command<Arguments> {
    let command = process::command("tar")
        .arguments(["--create", "--file=-", "--format=posix", "--sort=name", "--numeric-owner"])
        .arguments(["--acls", "--xattrs"]);
    let command = match shape {
        Shape::Directory => command.argument(format!("--directory={path}")).argument("."),
        Shape::File => {
            command.arguments(["--absolute-names", "--transform=s,.*,file,"]).argument(path)
        }
    };
    plainly_spoken(command)
}

/// Unpacks an archive from standard input into a directory.
pub(crate) fn extract(directory: &str) -> Command<Arguments> {
    let command = process::command("tar")
        .arguments(["--extract", "--file=-", "--numeric-owner", "--preserve-permissions"])
        .arguments(["--acls", "--xattrs"])
        .argument(format!("--directory={directory}"));
    plainly_spoken(command)
}

/// Names what is in an archive from standard input, a line each that begins with its kind.
pub(crate) fn list() -> Command<Arguments> {
    let arguments = ["--list", "--verbose", "--numeric-owner", "--file=-"];
    plainly_spoken(process::command("tar").arguments(arguments))
}

/// Archives what lies at a path into the backup set.
pub(crate) fn archive(shape: Shape, path: &str) -> Result<(), Error> {
    let finished = create(shape, path).into_artifact(ARTIFACT).attempt()?;
    if finished.exit == Exit::Status(CHANGED) {
        return Err(changed(path).with_platform(finished.errors));
    }
    require_success(&finished, &format!("archiving {path}"))
}

/// Unpacks the backup into an empty directory.
pub(crate) fn unpack(directory: &str) -> Result<(), Error> {
    let finished = extract(directory).from_artifact(ARTIFACT).attempt()?;
    require_success(&finished, &format!("unpacking into {directory}"))
}

/// How many regular files the archive of a backup has, as trees are measured.
///
/// `tar` exits with 0 on some archives that end too early; only the count tells.
pub(crate) fn count() -> Result<u64, Error> {
    let mut files = 0;
    list().from_artifact(ARTIFACT).for_each_line(|line| {
        files += u64::from(line.starts_with(FILE_KINDS));
        Ok(())
    })?;
    Ok(files)
}

/// Whether the archive has as many files as were backed up.
pub(crate) fn require_count(state: &State) -> Result<u64, Error> {
    let found = count()?;
    if found == state.count {
        return Ok(found);
    }
    let taken = state.count;
    Err(Error::corrupt(format!("{taken} files were backed up, the archive has {found}")))
}

/// Whether the backup has its archive.
pub(crate) fn require_artifact() -> Result<(), Error> {
    if artifact::all()?.iter().any(|described| described.name == ARTIFACT) {
        return Ok(());
    }
    Err(Error::corrupt(format!("the backup has no artifact `{ARTIFACT}`")))
}

/// What is told of a tree that somebody writes to.
pub(crate) fn changed(path: &str) -> Error {
    Error::conflict(format!("{path} changed while it was read: is a writer of it not named?"))
}

/// Its answers are read by this plugin, so they come in one language.
fn plainly_spoken(command: Command<Arguments>) -> Command<Arguments> {
    command.environment("LC_ALL", "C")
}

fn require_success(finished: &Finished, attempt: &str) -> Result<(), Error> {
    let error = match finished.exit {
        Exit::Status(0) => return Ok(()),
        Exit::Cancelled => return Err(Error::cancelled()),
        Exit::Deadline => Error::timed_out("`tar` did not end in time"),
        _ if finished.errors.contains("No space left on device") => {
            Error::no_space("the file system is full")
        }
        Exit::Status(status) => Error::failed(format!("`tar` exited with status {status}")),
        Exit::Signal(signal) => Error::failed(format!("`tar` was killed by signal {signal}")),
        Exit::OutputLimit => Error::failed("`tar` wrote more than is read"),
    };
    Err(error.while_doing(attempt).with_platform(&finished.errors))
}
