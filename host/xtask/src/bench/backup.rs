//! A backup of a folder over what a runbook would type: `tar | zstd | age > file`, then `sync`.
//!
//! Three things in turns, over the same files, which lie in the page cache, on a disk that has
//! nothing left to write, each until its bytes are on the disk:
//!
//! - the pipe
//! - the same `tar` into vaultup's vault, which compresses at zstd's same level, encrypts for one
//!   recipient, hashes what goes in and what comes out, makes a set durable and reads every byte of
//!   it back: `backup-throughput-ratio`, above 1 if it is faster than the pipe
//! - `vaultup backup create`, the whole command with its plugin, without a proof beyond reading
//!   back: `backup-command-ratio`. It reads the files twice more than the pipe, before and after,
//!   to show that nobody changed them while they were copied.
//!
//! Throughput is bytes read over time, so the ratio of throughputs is the ratio of times the other
//! way round. Memory is the most that either vaultup process ever had resident.
//!
//! The vault takes no more processor time than the pipe (256 MiB: 1.2 s and 0.4 s in the kernel;
//! the pipe 1.0 s and 0.6 to 1.3 s), so where it is slower it waits for the disk: it writes past
//! the page cache, flushes every 16 MiB and reads back on one thread, while the pipe writes into
//! the cache and flushes once. On a disk that others write to at the same time it took twice the
//! pipe's time. Flushing and reading back on a thread beside the writing was tried there: three
//! measurements of each, 7.7, 7.8 and 4.7 s against 8.2, 6.8 and 6.3 s, did not tell.
//!
//! Half of the data is text that compresses well, half is random and does not compress.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stage::Programs;

use super::statistics::{described, in_turns, median_ms, median_ratio};
use super::tools::{self, Key};
use super::{Figures, data};
use crate::process::{self, Measured};
use crate::screen;
use crate::workspace::Workspace;

const MEBIBYTE: u64 = 1024 * 1024;
/// The pipe; folder, recipient and file are its arguments.
const PIPE: &str = "set -euo pipefail
tar -C \"$1\" -cf - . | zstd --quiet | age --encrypt --recipient \"$2\" > \"$3\"
sync";
/// The vault: an example of that crate streams its standard input into a backup set.
const VAULT: &str = "examples/throughput";
/// What `vaultup backup create` backs up: one folder.
const STACK_FILE: &str = "format = 1

[stack]
name = \"bench\"

[datastores.source]
plugin = \"files\"
proof = 0
settings = { path = \"source\" }
";

/// One size.
struct Size {
    bytes: u64,
    rounds: usize,
    ratio: &'static str,
    command_ratio: &'static str,
    rate: &'static str,
    memory: &'static str,
}

pub(super) fn of_256_mebibytes(workspace: &Workspace) -> Result<Figures> {
    let size = Size {
        bytes: 256 * MEBIBYTE,
        rounds: 7,
        ratio: "backup-throughput-ratio-256m",
        command_ratio: "backup-command-ratio-256m",
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
        command_ratio: "backup-command-ratio-4g",
        rate: "backup-mib-per-second-4g",
        memory: "backup-memory-mib-4g",
    };
    measure(workspace, &size)
}

fn measure(workspace: &Workspace, size: &Size) -> Result<Figures> {
    tools::install()?;
    let folder = workspace.empty_scratch("bench/backup")?;
    let bench = Bench::prepare(workspace, &folder, size.bytes)?;
    let (vault, command, pipe) = (|| bench.vault(), || bench.command(), || bench.pipe());
    let [vault, command, pipe] = in_turns(size.rounds, [&vault, &command, &pipe])?;
    fs::remove_dir_all(folder)?;
    let memory = vault.iter().chain(&command).map(|one| one.memory_bytes_max).max();
    let [vault, command, pipe] = [&vault, &command, &pipe].map(|all| durations(all));
    let shown = [&vault, &command, &pipe].map(|all| described(all));
    let [shown_vault, shown_command, shown_pipe] = shown;
    screen::say(format_args!("vault {shown_vault}"));
    screen::say(format_args!("`backup create` {shown_command}"));
    screen::say(format_args!("pipe {shown_pipe}"));
    Ok(Figures::from([
        (size.ratio, median_ratio(&pipe, &vault)),
        (size.command_ratio, median_ratio(&pipe, &command)),
        (size.rate, (size.bytes / MEBIBYTE) as f64 / (median_ms(&vault) / 1_000.0)),
        (size.memory, memory.unwrap_or_default() as f64 / MEBIBYTE as f64),
    ]))
}

/// One folder to back up, and who does it.
struct Bench {
    folder: PathBuf,
    vault: PathBuf,
    vaultup: PathBuf,
    key: Key,
}

impl Bench {
    fn prepare(workspace: &Workspace, folder: &Path, bytes: u64) -> Result<Self> {
        data::write(&folder.join("source"), bytes)?;
        fs::write(folder.join("vaultup.toml"), STACK_FILE)?;
        let programs = Programs::below(&workspace.target)?;
        let bench = Self {
            folder: folder.to_owned(),
            vault: workspace.program(VAULT),
            vaultup: programs.vaultup,
            key: tools::make_key(folder)?,
        };
        let mut add = bench.vaultup(&["plugin", "add", "--yes"]);
        add.arg(programs.plugins.join("files.wasm")).stdout(Stdio::null()).stderr(Stdio::null());
        process::quiet(&mut add)?;
        Ok(bench)
    }

    fn vault(&self) -> Result<Measured> {
        let output = self.empty_output()?;
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(self.source()).args(["-cf", "-", "."]).stdout(Stdio::piped());
        let mut tar = tar.spawn().context("cannot start `tar`")?;
        let files = tar.stdout.take().context("`tar` has no stdout")?;
        let mut command = Command::new(&self.vault);
        let measured = process::measured(command.arg("-").arg(output.join("vault")), files.into())?;
        ensure!(tar.wait()?.success(), "`tar` failed");
        Ok(measured)
    }

    fn command(&self) -> Result<Measured> {
        self.empty_output()?;
        let mut create = self.vaultup(&["backup", "create"]);
        process::measured(create.stderr(Stdio::null()), Stdio::null())
    }

    fn pipe(&self) -> Result<Measured> {
        let output = self.empty_output()?;
        let mut command = Command::new("bash");
        command.args(["-c", PIPE, "pipe"]).arg(self.source()).arg(&self.key.recipient);
        process::measured(command.arg(output.join("file")), Stdio::null())
    }

    fn vaultup(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.vaultup);
        command.args(arguments).current_dir(&self.folder);
        command.env("VAULTUP_HOME", self.folder.join("home"));
        command
    }

    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// Removes what any of them wrote before, and waits for the disk.
    fn empty_output(&self) -> Result<PathBuf> {
        let output = self.folder.join("output");
        for folder in [&output, &self.folder.join("home/data/backups")] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        fs::create_dir_all(&output)?;
        process::quiet(&mut Command::new("sync"))?;
        Ok(output)
    }
}

fn durations(measured: &[Measured]) -> Vec<Duration> {
    measured.iter().map(|one| one.duration).collect()
}
