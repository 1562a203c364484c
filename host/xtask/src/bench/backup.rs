//! A backup of a folder over what a runbook would type: `tar | zstd | age > file`, then `sync`.
//!
//! Both read the same files from the page cache, compress, encrypt for one recipient, and end when
//! the bytes are on the disk. vaultup also hashes what it writes and reads it back. The disk is
//! clean before each measurement. Throughput is bytes read over time, so the ratio of throughputs
//! is the ratio of times the other way round; above 1, vaultup is faster. Memory is the most that
//! the vaultup process ever had resident.
//!
//! Half of the data is text that compresses well, half is random and does not compress.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::statistics::{in_turns, median_ms, median_ratio};
use super::{Figures, data};
use crate::process::{self, Measured};
use crate::screen;
use crate::workspace::Workspace;

const MEBIBYTE: u64 = 1024 * 1024;
/// What the pipe is made of, with the Debian package that brings it.
const TOOLS: &[(&str, &str)] =
    &[("tar", "tar"), ("zstd", "zstd"), ("age", "age"), ("age-keygen", "age"), ("bash", "bash")];
/// The pipe; folder, recipient and file are its arguments.
const PIPE: &str = "set -euo pipefail
tar -C \"$1\" -cf - . | zstd --quiet | age --encrypt --recipient \"$2\" > \"$3\"
sync";
/// vaultup's side: an example of `vault` that streams its standard input into a backup set, with
/// all that makes the set durable and known to be readable.
const OURS: &str = "examples/throughput";

/// One size.
struct Size {
    bytes: u64,
    rounds: usize,
    ratio: &'static str,
    rate: &'static str,
    memory: &'static str,
}

pub(super) fn of_256_mebibytes(workspace: &Workspace) -> Result<Figures> {
    let size = Size {
        bytes: 256 * MEBIBYTE,
        rounds: 7,
        ratio: "backup-throughput-ratio-256m",
        rate: "backup-mib-per-second-256m",
        memory: "backup-memory-mib-256m",
    };
    measure(workspace, &size)
}

pub(super) fn of_4_gibibytes(workspace: &Workspace) -> Result<Figures> {
    let size = Size {
        bytes: 4096 * MEBIBYTE,
        rounds: 3,
        ratio: "backup-throughput-ratio-4g",
        rate: "backup-mib-per-second-4g",
        memory: "backup-memory-mib-4g",
    };
    measure(workspace, &size)
}

fn measure(workspace: &Workspace, size: &Size) -> Result<Figures> {
    install_tools()?;
    let folder = workspace.scratch("bench/backup");
    let source = folder.join(format!("source-{}m", size.bytes / MEBIBYTE));
    data::write(&source, size.bytes)?;
    let recipient = recipient(&folder)?;
    let output = folder.join("output");
    let ours = || {
        empty(&output)?;
        let mut tar = Command::new("tar");
        let mut tar =
            tar.arg("-C").arg(&source).args(["-cf", "-", "."]).stdout(Stdio::piped()).spawn()?;
        let files = tar.stdout.take().context("`tar` has no stdout")?;
        let mut command = Command::new(workspace.program(OURS));
        let measured = process::measured(command.arg("-").arg(output.join("vault")), files.into())?;
        ensure!(tar.wait()?.success(), "`tar` failed");
        report("vaultup", &measured, &output)
    };
    let theirs = || {
        empty(&output)?;
        let mut command = Command::new("bash");
        command.args(["-c", PIPE, "pipe"]).arg(&source).arg(&recipient).arg(output.join("file"));
        report("pipe", &process::measured(&mut command, Stdio::null())?, &output)
    };
    in_turns(1, ours, theirs)?;
    let (ours, theirs) = in_turns(size.rounds, ours, theirs)?;
    let memory_bytes = ours.iter().map(|one| one.memory_bytes_max).max().unwrap_or_default();
    let (ours, theirs) = (durations(&ours), durations(&theirs));
    let (our_seconds, their_seconds) = (median_ms(&ours) / 1_000.0, median_ms(&theirs) / 1_000.0);
    let rounds = size.rounds;
    screen::say(format_args!("medians of {rounds} each: {our_seconds:.2} s, {their_seconds:.2} s"));
    Ok(Figures::from([
        (size.ratio, median_ratio(&theirs, &ours)),
        (size.rate, (size.bytes / MEBIBYTE) as f64 / our_seconds),
        (size.memory, memory_bytes as f64 / MEBIBYTE as f64),
    ]))
}

/// Makes the folder empty, on a disk that has nothing left to write.
fn empty(output: &Path) -> Result<()> {
    if output.exists() {
        fs::remove_dir_all(output)?;
    }
    fs::create_dir_all(output)?;
    process::quiet(&mut Command::new("sync"))
}

fn report(who: &str, measured: &Measured, output: &Path) -> Result<Measured> {
    let duration = screen::seconds(measured.duration);
    let mebibytes = bytes_below(output)? / MEBIBYTE;
    screen::say(format_args!("{who:8} {duration}, {mebibytes} MiB on the disk"));
    Ok(*measured)
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { bytes_below(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// The public half of a key pair that is made for this run.
pub(super) fn recipient(folder: &Path) -> Result<String> {
    let identity: PathBuf = folder.join("identity");
    if identity.exists() {
        fs::remove_file(&identity)?;
    }
    process::quiet(Command::new("age-keygen").arg("--output").arg(&identity))?;
    let text = fs::read_to_string(&identity)?;
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: "));
    Ok(recipient.context("`age-keygen` wrote no public key")?.trim().to_owned())
}

/// Installs with Debian's packages what is missing of the pipe.
pub(super) fn install_tools() -> Result<()> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !process::exists(tool))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let update = process::run(Command::new("apt-get").arg("update"));
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--no-install-recommends"]).args(&missing);
    if let Err(error) = update.and_then(|()| process::run(&mut install)) {
        bail!("{error:#}; the comparison needs {}: install it", missing.join(", "));
    }
    Ok(())
}

fn durations(measured: &[Measured]) -> Vec<Duration> {
    measured.iter().map(|one| one.duration).collect()
}
