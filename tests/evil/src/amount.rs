//! Exact amounts of what the host limits: at a limit it gives them, one past it does not.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use vaultup_sdk::files::Root;
use vaultup_sdk::{Error, artifact, clock, http, log, process};

use crate::Settings;

/// What amounts of the type `of` are answered with, by who answers them, and not taken here.
const ANSWERED: [&str; 2] = ["instances", "state"];

/// Takes the amount; tells `done` with what was seen, or the host's own error.
pub(crate) fn take(settings: &Settings) -> Result<(), Error> {
    let Some(of) = settings.of.as_deref().filter(|of| !ANSWERED.contains(of)) else {
        return Ok(());
    };
    let amount = settings.amount;
    let text = || "x".repeat(usize::try_from(amount).unwrap_or(0));
    let seen = match of {
        "begun" => begun(amount)?,
        "commands" => commands(amount)?,
        "entries" => Root::open("path")?.entries("")?.len().to_string(),
        "file" => wrote(&text())?,
        "head" => {
            let bytes_max = u32::try_from(amount).unwrap_or(u32::MAX);
            artifact::head("word", bytes_max)?.len().to_string()
        }
        "headers" => headers(settings, amount)?,
        "body" => {
            let url = settings.url.as_deref().unwrap_or_default();
            http::request("POST", url).body(text()).send()?.body.len().to_string()
        }
        "input" => {
            let fed = process::command("touch").argument("evil").input_text(text()).run()?;
            format!("{:?}", fed.exit)
        }
        "log" => {
            log::info(text());
            String::new()
        }
        "message" => return Err(Error::other("done", text())),
        "platform" => return Err(Error::other("done", "").with_platform(text())),
        "pause" => {
            clock::pause(Duration::from_millis(amount))?;
            String::new()
        }
        "said" => {
            // The trap's error shows the end of it.
            let said = std::io::stderr().write_all(text().as_bytes());
            if black_box(said.is_ok()) {
                std::process::abort();
            }
            String::new()
        }
        "variables" => variables(amount)?,
        other => return Err(Error::invalid_settings(format!("nothing is known of `{other}`"))),
    };
    Err(Error::other("done", of).with_platform(seen))
}

fn commands(amount: u64) -> Result<String, Error> {
    let start = |_| process::command("sleep").argument("60").start();
    let started = (0..amount).map(start).collect::<Result<Vec<_>, _>>()?;
    Ok(started.len().to_string())
}

fn begun(amount: u64) -> Result<String, Error> {
    let ask = |_| process::command("sleep").argument("60").ask(|_| Ok(()));
    let asked: Vec<_> = (0..amount).map(ask).collect();
    // What was refused has nothing to wait for; the others are dropped, and so stopped.
    asked.iter().try_for_each(|asked| asked.has_ended().map(drop))?;
    Ok(asked.len().to_string())
}

fn wrote(text: &str) -> Result<String, Error> {
    let root = Root::open("path")?;
    root.write("large", text.as_bytes())?;
    Ok(root.read("large")?.len().to_string())
}

fn headers(settings: &Settings, amount: u64) -> Result<String, Error> {
    let url = settings.url.as_deref().unwrap_or_default();
    let request = (0..amount)
        .fold(http::get(url), |request, number| request.header(format!("x-{number}"), "v"));
    Ok(request.send()?.status.to_string())
}

fn variables(amount: u64) -> Result<String, Error> {
    let command = (0..amount).fold(process::command("env"), |command, number| {
        command.environment(format!("EVIL_{number}"), "v")
    });
    let shown = command.read_text()?;
    Ok(shown.lines().filter(|line| line.starts_with("EVIL_")).count().to_string())
}
