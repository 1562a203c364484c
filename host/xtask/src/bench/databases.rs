//! A backup of a PostgreSQL database over what a runbook would type, a restore of it over the raw
//! pipe back, and a proof over that restore.
//!
//! All of them read the same database of the same server, on this machine, in turns. The pipe is
//! `pg_dump -Fc -Z0 | zstd -3 -T0 | age`; the runbook's own command is `pg_dump -Fc -Z9`. vaultup's
//! side is the real binary with the real plugin: it also counts every table at the same moment,
//! dumps the roles, hashes, and reads back what it wrote. Half of a row compresses well, half is
//! random.
//!
//! A restore is over when what was restored has the place of what was there. For vaultup these are
//! the steps, as it reports them, that fill a database beside, compare it with the record and
//! exchange the two; for the raw pipe the old database is removed, and one of its name made and
//! filled. What a proof costs is compared with all of a restore: as the proof removes its copy, the
//! restore removes what it replaced.
//!
//! Before each of them as much memory as it fills is touched and given back. On a virtual machine a
//! page that was free for a while may have to be brought by the host again, which takes longer than
//! everything else that is done with it, and whoever comes right after a removal is spared it. That
//! is why the raw pipe's removal has its own time, before, which is added.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use stage::{PostgresShop, Programs};

use super::Figures;
use super::statistics::{described, in_turns, median_ratio};
use super::tools;
use crate::process::{self, Measured};
use crate::screen;
use crate::workspace::Workspace;

const MEBIBYTE: u64 = 1024 * 1024;
/// Bytes of a row in a dump, roughly: a number, 64 characters of text, 64 random ones.
const ROW_BYTES: u64 = 140;
/// Measurements of each: what the kernel still has to write slows some of them down.
const ROUNDS: usize = 5;
/// Of these first restores nothing is kept: the server makes the files of its log, which later ones
/// use again.
const ROUNDS_BEFORE: usize = 2;
/// What a restore fills: the table, and the server's log of it.
const FILLED_BYTES: usize = 2560 << 20;
const PAGE_BYTES: usize = 4096;
/// The pipe; the recipient and the file are its arguments.
const PIPE: &str = "set -euo pipefail
pg_dump -Fc -Z0 --dbname=shop | zstd --quiet -3 -T0 | age --encrypt --recipient \"$1\" > \"$2\"
sync";
const RUNBOOK: &str = "pg_dump -Fc -Z9 --dbname=shop > \"$2\"; sync";
/// Makes room for what comes back.
const REMOVE: &str = "dropdb --if-exists raw";
/// The pipe back; the identity and the file are its arguments.
const BACK: &str = "set -euo pipefail
createdb raw
age --decrypt --identity \"$1\" \"$2\" | zstd --quiet -d |
  pg_restore --exit-on-error --single-transaction --dbname=raw";

pub(super) fn run(workspace: &Workspace) -> Result<Figures> {
    let mut figures = compare(workspace)?;
    figures.insert("postgres-memory-mib-256m", memory(workspace, 256 * MEBIBYTE)?);
    figures.insert("postgres-memory-mib-4g", memory(workspace, 4096 * MEBIBYTE)?);
    Ok(figures)
}

/// Ratios at 1 GiB: each is above 1 where vaultup is faster, but for the proof, which is compared
/// with vaultup's own restore and is above 1 where it costs more.
fn compare(workspace: &Workspace) -> Result<Figures> {
    let (shop, folder) = shop(workspace, 1024 * MEBIBYTE)?;
    let key = tools::make_key(&folder)?;
    let file = folder.join("file");
    let sides = Sides { shop: &shop, file: &file };
    let ours = || sides.vaultup(&["backup", "create"]);
    let pipe = || sides.shell(PIPE, &key.recipient);
    let runbook = || sides.shell(RUNBOOK, &key.recipient);
    let [ours, pipe, runbook] = in_turns(ROUNDS, [&ours, &pipe, &runbook])?;
    let memory = ours.iter().map(|one| one.memory_bytes_max).max().unwrap_or_default();
    let set = shop.back_up()?;
    let identity = key.identity.display().to_string();
    let [ours, pipe, runbook] = [&ours, &pipe, &runbook].map(|all| durations(all));
    sides.shell(PIPE, &key.recipient)?;
    let restored = || {
        touch_memory();
        sides.restored(&set)
    };
    let back = || {
        let removal = sides.shell(REMOVE, &identity)?.duration;
        touch_memory();
        Ok(Took::at_once(removal + sides.shell(BACK, &identity)?.duration))
    };
    let proof = || {
        touch_memory();
        let proven = sides.vaultup(&["backup", "prove", &set, "--level", "3"])?;
        Ok(Took::at_once(proven.duration))
    };
    in_turns(ROUNDS_BEFORE, [&restored, &back, &proof])?;
    let restores = in_turns(ROUNDS, [&restored, &back, &proof])?;
    let [in_place, back, _] = restores.each_ref().map(|all| Took::until_in_place(all));
    let [whole, _, proof] = restores.each_ref().map(|all| Took::whole(all));
    let shown = [("vaultup", &ours), ("pipe", &pipe), ("the runbook's", &runbook)];
    let others = [
        ("restore", &in_place),
        ("restore and removal", &whole),
        ("raw restore", &back),
        ("proof", &proof),
    ];
    for (name, measured) in shown.into_iter().chain(others) {
        screen::say(format_args!("{name}: {}", described(measured)));
    }
    Ok(Figures::from([
        ("postgres-backup-ratio-1g", median_ratio(&pipe, &ours)),
        ("postgres-backup-runbook-ratio-1g", median_ratio(&runbook, &ours)),
        ("postgres-restore-ratio-1g", median_ratio(&back, &in_place)),
        ("postgres-proof-over-restore-1g", median_ratio(&proof, &whole)),
        ("postgres-memory-mib-1g", memory as f64 / MEBIBYTE as f64),
    ]))
}

/// The most memory of a backup, in MiB.
fn memory(workspace: &Workspace, bytes: u64) -> Result<f64> {
    let (shop, folder) = shop(workspace, bytes)?;
    let file = folder.join("file");
    let taken = Sides { shop: &shop, file: &file }.vaultup(&["backup", "create"])?;
    Ok(taken.memory_bytes_max as f64 / MEBIBYTE as f64)
}

/// A shop in an empty folder with so much in its database; backups are not proven at once.
fn shop(workspace: &Workspace, bytes: u64) -> Result<(PostgresShop, PathBuf)> {
    tools::install()?;
    let folder = workspace.scratch("bench/databases");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let stack = folder.join("stack");
    fs::create_dir_all(&stack)?;
    let shop = PostgresShop::open(&stack, &Programs::below(&workspace.target)?, 1)?;
    fill(&shop, bytes / ROW_BYTES)?;
    shop.rewrite_stack("written-by = [\"api\"]", "written-by = [\"api\"]\nproof = 0")?;
    Ok((shop, folder))
}

/// How long a restore, or what is compared with it, took.
struct Took {
    /// Until what was restored has its place.
    until_in_place: Duration,
    /// With the removal of what is not needed any more.
    whole: Duration,
}

impl Took {
    /// Of what removes nothing after it.
    fn at_once(duration: Duration) -> Self {
        Self { until_in_place: duration, whole: duration }
    }

    fn until_in_place(all: &[Self]) -> Vec<Duration> {
        all.iter().map(|took| took.until_in_place).collect()
    }

    fn whole(all: &[Self]) -> Vec<Duration> {
        all.iter().map(|took| took.whole).collect()
    }
}

/// What is compared, on one shop.
struct Sides<'a> {
    shop: &'a PostgresShop,
    file: &'a Path,
}

impl Sides<'_> {
    fn vaultup(&self, words: &[&str]) -> Result<Measured> {
        process::quiet(&mut Command::new("sync"))?;
        process::measured(self.shop.command(words).stderr(Stdio::null()), Stdio::null())
    }

    /// How long the steps of a restore took that restore and remove.
    fn restored(&self, set: &str) -> Result<Took> {
        process::quiet(&mut Command::new("sync"))?;
        let words = ["restore", set, "--yes", "--format", "json"];
        let output = process::output(&mut self.shop.command(&words))?;
        let (mut until_in_place, mut removal) = (Duration::ZERO, Duration::ZERO);
        for line in output.lines() {
            let news: Value = serde_json::from_str(line)?;
            let part = |name: &str| news["elapsed"][name].as_u64().unwrap_or_default();
            let elapsed = Duration::new(part("secs"), u32::try_from(part("nanos"))?);
            match (news["news"].as_str(), news["phase"].as_str()) {
                (Some("ended"), Some("restore")) => until_in_place += elapsed,
                (Some("ended"), Some("discard")) => removal += elapsed,
                _ => {}
            }
        }
        ensure!(!until_in_place.is_zero() && !removal.is_zero(), "steps are missing: {output}");
        Ok(Took { until_in_place, whole: until_in_place + removal })
    }

    fn shell(&self, script: &str, first: &str) -> Result<Measured> {
        process::quiet(&mut Command::new("sync"))?;
        let mut command = self.shop.server.superuser("bash");
        command.args(["-c", script, "pipe", first]).arg(self.file);
        process::measured(&mut command, Stdio::null())
    }
}

fn fill(shop: &PostgresShop, rows: u64) -> Result<()> {
    let script = format!(
        "CREATE TABLE filler AS SELECT n AS id, repeat('order item ' || n % 500, 5) AS text,
           md5(n::text) || md5((n * 7)::text) AS noise FROM generate_series(1, {rows}) AS n;
         ALTER TABLE filler OWNER TO shop; CHECKPOINT;"
    );
    shop.server.psql("shop", &script)?;
    let count = shop.server.psql("shop", "SELECT count(*) FROM filler")?;
    ensure!(count == rows.to_string(), "{count} rows were made, {rows} were wanted");
    Ok(())
}

/// Touches memory and gives it back.
fn touch_memory() {
    let mut memory = vec![0_u8; FILLED_BYTES];
    memory.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
}

fn durations(measured: &[Measured]) -> Vec<Duration> {
    measured.iter().map(|one| one.duration).collect()
}
