//! The sample application: what vaultup's demonstration and end-to-end tests upgrade.
//!
//! A small but real HTTP service that keeps orders in SQLite and signs messages with a key file.
//! It ships in three releases, which are the *same* binary. Which release it is stands in a file
//! beside it:
//!
//! ```text
//! releases/
//!   1.0.0/
//!     VERSION                 «1.0.0»
//!     bin/vaultup-sample      this program
//!     faults.toml             optional: how this release misbehaves, see `faults`
//! run/
//!   invocations               optional: what was really done, see `invocations`
//! ```
//!
//! `<release>/bin/vaultup-sample` reads `<release>/VERSION`. The kernel resolves the path of the
//! running executable, so a start through `current/bin/vaultup-sample`, where `current` is a
//! symbolic link, finds the release that the link meant at that moment. The major version says
//! which migrations the release knows:
//!
//! | release | migration | kind |
//! |---|---|---|
//! | 1.x | 1 creates `orders` | – |
//! | 2.x | 2 adds a nullable column and an index | compatible: release 1's statements still work |
//! | 3.x | 3 moves item and quantity to `order_lines` | breaking, and not one transaction |
//!
//! As with sqlx, a release refuses to run on a store with a migration that it does not know
//! (`VersionMissing`), with a migration begun but not ended (`Dirty`), or with one whose text has
//! changed (`VersionMismatch`). With `--ignore-missing` the schema decides and not the record of
//! migrations: release 1 then runs on migration 2, and release 2 still does not on migration 3.
//!
//! With `--database URL` in place of `--data DIR` the orders are in PostgreSQL, see `server`.
//!
//! # Commands
//! ```text
//! install    --into RELEASES --release 1.0.0 [--fault NAME[=VALUE]]…
//! seed       --data DIR --orders N [--key FILE]       a new store with N orders, always the same
//! add        --data DIR --orders N                    N more
//! serve      --data DIR --key FILE --listen ADDRESS [--port-file FILE] [--migrate-at-start]
//!            [--ignore-missing] [--require-region]
//! start      … as serve … --pid-file FILE --log FILE [--ready-timeout-ms N]
//! stop       --pid-file FILE [--timeout-ms N]
//! status     --pid-file FILE [--listen ADDRESS]
//! migrate    --data DIR
//! schema     --data DIR
//! checkpoint --data DIR --into DIR [--key FILE]
//! digest     --data DIR
//! check      --data DIR
//! ```
//! Data goes to stdout, one JSON object a line (`migrate`: progress lines); the log goes to stderr.
//! Exit status: 0 done, 1 failed, 2 wrong arguments, 3 a migration failed or was refused.
//!
//! # Environment
//! * `SAMPLE_TOKEN`: if set, `POST /orders` needs `Authorization: Bearer <token>`. Never printed.
//! * `SAMPLE_REGION`: from release 3 on, required when `--require-region` (or the fault of that
//!   name) is given.
//!
//! # Invariants
//! * Commands that only read create no file, not even SQLite's `-shm` beside a store at rest.
//! * A daemon is known by its process id *and* its start time; a signal never reaches another.
//! * A started daemon has its own session and none of its starter's pipes: it survives its starter.

mod application;
mod arguments;
mod checkpoint;
mod connections;
mod control;
mod failure;
mod faults;
mod install;
mod invocations;
mod metrics;
mod migrate;
mod migrations;
mod orders;
mod output;
mod probe;
mod process;
mod release;
mod schema;
mod seed;
mod serve;
mod server;
mod store;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::failure::Failure;

fn main() -> ExitCode {
    let outcome = Arguments::parse(std::env::args_os().skip(1)).and_then(|arguments| {
        let code = carry_out(&arguments)?;
        invocations::note(arguments.command(), code)?;
        Ok(code)
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            output::log("error", &format!("{error:#}"));
            ExitCode::from(Failure::status_of(&error))
        }
    }
}

fn carry_out(arguments: &Arguments) -> Result<ExitCode> {
    match arguments.command() {
        "install" => install::run(arguments),
        "seed" => seed::seed(arguments),
        "add" => seed::add(arguments),
        "serve" => serve::run(arguments),
        "daemon" => control::daemon(arguments),
        "start" => control::start(arguments),
        "stop" => control::stop(arguments),
        "status" => control::status(arguments),
        "migrate" => migrate::run(arguments),
        "schema" => schema::run(arguments),
        "checkpoint" => checkpoint::run(arguments),
        "digest" => checkpoint::digest(arguments),
        "check" => checkpoint::check(arguments),
        other => Err(failure::usage(format!("`{other}` is not carried out by anything"))),
    }
}
