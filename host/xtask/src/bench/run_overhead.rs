//! The whole upgrade of the sample application from 1.0.0 to 2.0.0, over a shell script of the same
//! commands (`upgrade.sh`, beside this file).
//!
//! Both find the same application, serving 1000 orders, with the same data, on a disk that has
//! nothing left to write; both stop it, back up and prove both datastores at level 3, migrate,
//! switch, start and verify. After each it is looked at that release 2.0.0 serves the same orders
//! on schema 2. vaultup's side is `vaultup run --to 2.0.0` as an operator types it: the plan is
//! made in it as well. Its journal grows from run to run, as it would for an operator.
//!
//! What it takes longer may be 1 % and 5 ms for each of the plan's steps, so
//! `run-overhead-ms-per-step` is the difference, less 1 % of the script's time, by step.
//!
//! Counted with `strace -f -e trace=execve,fsync,fdatasync`: a run has nine steps and 84 flushes,
//! five of them the migration's own (each record of the journal is two, its commit and its anchor;
//! the rest is the vault's), and starts 22 programs, two `status` and two `schema` for the plan and
//! two more `status` for the preflights among them. A flush took 0.3 ms at best and 0.6 to 1.2 ms
//! beside others' writes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use stage::{Programs, Shop};

use super::Figures;
use super::statistics::{described, in_turns, median, median_ms, median_ratio};
use super::tools::{self, Key};
use crate::workspace::Workspace;
use crate::{process, screen};

/// How often each is run.
const ROUNDS: usize = 15;
/// Of these first ones nothing is kept: they bring the files into memory.
const ROUNDS_BEFORE: usize = 2;
/// The part of the script's time that vaultup may take besides what a step may.
const FREE_PART: f64 = 0.01;
const SCRIPT: &str = include_str!("upgrade.sh");
const FROM: &str = "1.0.0";
const TO: &str = "2.0.0";

pub(super) fn run(workspace: &Workspace) -> Result<Figures> {
    tools::install()?;
    let folder = workspace.empty_scratch("bench/run-overhead")?;
    let theatre = Theatre::open(&folder, &Programs::below(&workspace.target)?)?;
    let ours = || theatre.play(theatre.shop.command(&["run", "--to", TO]), "vaultup");
    let theirs = || theatre.play(theatre.script(), "script");
    in_turns(ROUNDS_BEFORE, [&ours, &theirs])?;
    let [ours, theirs] = in_turns(ROUNDS, [&ours, &theirs])?;
    let steps = theatre.steps()?;
    drop(theatre);
    fs::remove_dir_all(folder)?;
    let (shown, shown_theirs) = (described(&ours), described(&theirs));
    screen::say(format_args!("{steps} steps: vaultup {shown}, script {shown_theirs}"));
    Ok(Figures::from([
        ("run-ms", median_ms(&ours)),
        ("run-script-ms", median_ms(&theirs)),
        ("run-steps", steps as f64),
        ("run-overhead-ratio", median_ratio(&ours, &theirs)),
        ("run-overhead-ms-per-step", overhead_ms(&ours, &theirs) / steps as f64),
    ]))
}

/// The median of how much longer each of ours took than theirs of the same round and the part that
/// is free.
fn overhead_ms(ours: &[Duration], theirs: &[Duration]) -> f64 {
    let longer = |(ours, theirs): (&Duration, &Duration)| {
        (ours.as_secs_f64() - theirs.as_secs_f64() * (1.0 + FREE_PART)) * 1_000.0
    };
    median(&ours.iter().zip(theirs).map(longer).collect::<Vec<f64>>())
}

/// A shop that plays the same upgrade again and again.
struct Theatre {
    shop: Shop,
    folder: PathBuf,
    key: Key,
    /// What the orders are, whatever the schema.
    digest: String,
}

impl Theatre {
    fn open(folder: &Path, programs: &Programs) -> Result<Self> {
        let shop = Shop::open(&folder.join("shop"), programs)?;
        let digest = shop.digest()?;
        shop.stop()?;
        copy(&shop.folder().join("data"), &folder.join("data"))?;
        let key = tools::make_key(folder)?;
        Ok(Self { shop, folder: folder.to_owned(), key, digest })
    }

    /// Puts everything back to the beginning, plays, and looks at how it ended.
    fn play(&self, mut command: Command, who: &str) -> Result<Duration> {
        self.set_up()?;
        let log = self.folder.join(format!("{who}.log"));
        command.stderr(File::create(&log)?);
        let duration = process::timed(&mut command)
            .with_context(|| format!("what it said is in {}", log.display()))?;
        let serving = self.shop.serving()?;
        ensure!(serving.as_deref() == Some(TO), "{who} left {serving:?} serving");
        ensure!(self.shop.schema()? == (2, false), "{who} left another schema");
        ensure!(self.shop.digest()? == self.digest, "{who} left other orders");
        Ok(duration)
    }

    fn set_up(&self) -> Result<()> {
        let shop = self.shop.folder();
        self.shop.stop()?;
        fs::remove_dir_all(shop.join("data"))?;
        copy(&self.folder.join("data"), &shop.join("data"))?;
        fs::remove_file(shop.join("current"))?;
        std::os::unix::fs::symlink(format!("releases/{FROM}"), shop.join("current"))?;
        let backups = self.backups();
        if backups.exists() {
            fs::remove_dir_all(&backups)?;
        }
        fs::create_dir_all(&backups)?;
        self.shop.start()?;
        process::quiet(&mut Command::new("sync"))
    }

    fn script(&self) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", SCRIPT, "upgrade.sh", &self.key.recipient]).arg(&self.key.identity);
        command.arg(self.shop.address()).arg(self.backups()).current_dir(self.shop.folder());
        command
    }

    fn backups(&self) -> PathBuf {
        self.folder.join("backups")
    }

    /// How many steps vaultup's last run had.
    fn steps(&self) -> Result<usize> {
        let mut command = self.shop.command(&["report", "--format", "json"]);
        let report: Value = serde_json::from_str(&process::output(&mut command)?)?;
        let steps = report["steps"].as_array().context("a report has steps")?;
        ensure!(!steps.is_empty(), "the last run had no steps");
        Ok(steps.len())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    process::quiet(Command::new("cp").arg("--archive").arg(from).arg(to).stdout(Stdio::null()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "these sums are exact")]

    use super::*;

    #[test]
    fn what_is_free_does_not_count_as_overhead() {
        let milliseconds = |all: &[u64]| all.iter().copied().map(Duration::from_millis).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (milliseconds(&[101, 204, 900]), milliseconds(&[100, 200, 100]));
        assert_eq!(overhead_ms(&ours, &theirs).round(), 2.0);
    }
}
