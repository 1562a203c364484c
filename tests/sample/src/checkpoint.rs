//! `checkpoint`, `digest` and `check`: a consistent copy of the store, and what is in it.
//!
//! The key file is never part of a checkpoint: it is a datastore of its own, with a backup of its
//! own. `--key` is accepted so that one list of arguments serves every command.

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rusqlite::Connection;
use serde_json::json;

use crate::arguments::Arguments;
use crate::migrations;
use crate::orders::{self, Shape};
use crate::output;
use crate::server::Server;
use crate::store::{self, STORE_FILE};

/// Name of a copy that is not complete; what a killed `checkpoint` left is written anew.
const PARTIAL_FILE: &str = "orders.db.partial";

/// Copies the store as it is at one moment, while the service may be writing.
///
/// SQLite's `VACUUM INTO` reads in one transaction, so no order is half in the copy. The copy gets
/// its name only when its bytes are on the disk.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let data = arguments.path("data")?;
    let into = arguments.path("into")?;
    let target = into.join(STORE_FILE);
    if target.exists() {
        bail!("{} exists; a checkpoint is written into a new directory", target.display());
    }
    std::fs::create_dir_all(&into)
        .with_context(|| format!("cannot make the directory {}", into.display()))?;
    let partial = into.join(PARTIAL_FILE);
    let copied = store::read(&data, |connection| copy(connection, &partial))?;
    if copied.is_none() {
        bail!("there is no store in {}", data.display());
    }
    let bytes = File::open(&partial).and_then(|file| {
        file.sync_all()?;
        Ok(file.metadata()?.len())
    })?;
    std::fs::rename(&partial, &target)?;
    store::sync_directory(&into)?;
    output::say_json(&json!({ "bytes": bytes }))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints how many orders there are and a digest of them that no migration changes.
pub(crate) fn digest(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(database) = arguments.optional_text("database")? {
        Server::at(database).say_digest()?;
        return Ok(ExitCode::SUCCESS);
    }
    let data = arguments.path("data")?;
    let read = store::read(&data, |connection| {
        let moment = migrations::moment(connection)?;
        orders::digest(&moment)
    })?;
    let Some((orders, digest)) = read else { bail!("there is no store in {}", data.display()) };
    output::say_json(&json!({ "orders": orders, "digest": digest }))?;
    Ok(ExitCode::SUCCESS)
}

/// Lets SQLite check every page and counts the orders; 1 when something is wrong.
pub(crate) fn check(arguments: &Arguments) -> Result<ExitCode> {
    let data = arguments.path("data")?;
    let (orders, problems) = match store::read(&data, examine) {
        Ok(Some((orders, problems))) => (Some(orders), problems),
        Ok(None) => (None, vec![format!("there is no store in {}", data.display())]),
        Err(error) => (None, vec![format!("{error:#}")]),
    };
    let ok = problems.is_empty();
    output::say_json(&json!({ "ok": ok, "orders": orders, "problems": problems }))?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn copy(connection: &Connection, partial: &Path) -> Result<()> {
    match std::fs::remove_file(partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let Some(text) = partial.to_str() else { bail!("{} is not valid UTF-8", partial.display()) };
    connection
        .execute("VACUUM INTO ?1", [text])
        .with_context(|| format!("cannot copy the store into {text}"))?;
    Ok(())
}

fn examine(connection: &Connection) -> Result<(u64, Vec<String>)> {
    let moment = migrations::moment(connection)?;
    let mut statement = moment.prepare("PRAGMA integrity_check")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut problems: Vec<String> = rows.collect::<rusqlite::Result<_>>()?;
    problems.retain(|problem| problem != "ok");
    let shape = Shape::of(&moment)?;
    if shape == Shape::Nothing {
        problems.push("the store has no table `orders`".to_owned());
    }
    let orders = orders::count(&moment, shape)?;
    // Every order has a line, whatever the shape: what a faulty migration would lose.
    if shape == Shape::WithLines {
        let lost: i64 = moment.query_row(
            "SELECT count(*) FROM orders WHERE id NOT IN (SELECT order_id FROM order_lines)",
            [],
            |row| row.get(0),
        )?;
        if lost > 0 {
            problems.push(format!("{lost} orders have no line"));
        }
    }
    Ok((orders, problems))
}
