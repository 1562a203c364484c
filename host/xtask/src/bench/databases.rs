//! A backup of a PostgreSQL database over what a runbook would type, and a proof by restoring it
//! over the raw pipe back.
//!
//! All of them read the same database of the same server, on this machine, in turns. The pipe is
//! `pg_dump -Fc -Z0 | zstd -3 -T0 | age`; the runbook's own command is `pg_dump -Fc -Z9`. vaultup's
//! side is the real binary with the real plugin: it also counts every table at the same moment,
//! dumps the roles, hashes, and reads back what it wrote. The proof restores into a scratch
//! database, counts and removes it; the raw pipe only restores. Half of a row compresses well, half
//! is random.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
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
/// Measurements of each.
const ROUNDS: usize = 3;
/// The pipe; the recipient and the file are its arguments.
const PIPE: &str = "set -euo pipefail
pg_dump -Fc -Z0 --dbname=shop | zstd --quiet -3 -T0 | age --encrypt --recipient \"$1\" > \"$2\"
sync";
const RUNBOOK: &str = "pg_dump -Fc -Z9 --dbname=shop > \"$2\"; sync";
/// The pipe back; the identity and the file are its arguments.
const BACK: &str = "set -euo pipefail
dropdb --if-exists raw; createdb raw
age --decrypt --identity \"$1\" \"$2\" | zstd --quiet -d |
  pg_restore --exit-on-error --single-transaction --dbname=raw";

pub(super) fn of_256_mebibytes(workspace: &Workspace) -> Result<Figures> {
    let [pipe, runbook, proof, memory] = measure(workspace, 256 * MEBIBYTE)?;
    Ok(Figures::from([
        ("postgres-backup-ratio-256m", pipe),
        ("postgres-backup-runbook-ratio-256m", runbook),
        ("postgres-proof-restore-ratio-256m", proof),
        ("postgres-memory-mib-256m", memory),
    ]))
}

pub(super) fn of_1_gibibyte(workspace: &Workspace) -> Result<Figures> {
    let [pipe, runbook, proof, memory] = measure(workspace, 1024 * MEBIBYTE)?;
    Ok(Figures::from([
        ("postgres-backup-ratio-1g", pipe),
        ("postgres-backup-runbook-ratio-1g", runbook),
        ("postgres-proof-restore-ratio-1g", proof),
        ("postgres-memory-mib-1g", memory),
    ]))
}

/// Ratios to pipe, runbook and raw restore, each above 1 where vaultup is faster; MiB of memory.
fn measure(workspace: &Workspace, bytes: u64) -> Result<[f64; 4]> {
    tools::install()?;
    let folder = workspace.scratch("bench/databases");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let stack = folder.join("stack");
    fs::create_dir_all(&stack)?;
    let shop = PostgresShop::open(&stack, &Programs::below(&workspace.target)?, 1)?;
    fill(&shop, bytes / ROW_BYTES)?;
    shop.rewrite_stack("written-by = [\"api\"]", "written-by = [\"api\"]\nproof = 0")?;
    let key = tools::make_key(&folder)?;
    let file = folder.join("file");
    let sides = Sides { shop: &shop, file: &file };
    let ours = || sides.vaultup(&["backup", "create"]);
    let pipe = || sides.shell(PIPE, &key.recipient);
    let runbook = || sides.shell(RUNBOOK, &key.recipient);
    let [ours, pipe, runbook] = in_turns(ROUNDS, [&ours, &pipe, &runbook])?;
    let memory = ours.iter().map(|one| one.memory_bytes_max).max().unwrap_or_default();
    sides.shell(PIPE, &key.recipient)?;
    let set = shop.back_up()?;
    let identity = key.identity.display().to_string();
    let proof = || sides.vaultup(&["backup", "prove", &set, "--level", "3"]);
    let back = || sides.shell(BACK, &identity);
    let [proof, back] = in_turns(ROUNDS, [&proof, &back])?;
    let [ours, pipe, runbook, proof, back] =
        [&ours, &pipe, &runbook, &proof, &back].map(|all| durations(all));
    let shown = [("vaultup", &ours), ("pipe", &pipe), ("the runbook's", &runbook)];
    for (name, measured) in shown.into_iter().chain([("proof", &proof), ("raw restore", &back)]) {
        screen::say(format_args!("{name}: {}", described(measured)));
    }
    Ok([
        median_ratio(&pipe, &ours),
        median_ratio(&runbook, &ours),
        median_ratio(&back, &proof),
        memory as f64 / MEBIBYTE as f64,
    ])
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

fn durations(measured: &[Measured]) -> Vec<Duration> {
    measured.iter().map(|one| one.duration).collect()
}
