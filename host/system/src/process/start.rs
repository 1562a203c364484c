//! Starts a program and sets the watch over it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::group::{Group, Hold};
use super::pump::{Delivery, Supply, deliver_to, supply_from};
use super::running::{Running, Watch};
use super::{Command, Input, KEY_VARIABLE, LABEL_BYTES_MAX, Output};
use crate::error::Error;

/// Lines that wait to be taken. More hold the program back; with the contract's line length this
/// is 4 MiB at the most.
const LINES_WAITING_MAX: usize = 64;

/// What is asked for as the size of a pipe through which an artifact goes: the most that an
/// ordinary user may have. Refusal costs speed only.
const PIPE_BYTES: usize = 1 << 20;

/// How often a start is tried again when the program's file is still open for writing somewhere,
/// as happens when another thread forks while a release is being unpacked.
const BUSY_TRIES_MAX: u32 = 5;

/// Standard output, and what becomes of it.
pub(super) enum Sink {
    Nothing,
    Lines(ChildStdout),
    Text(ChildStdout),
    Writer(ChildStdout, Delivery),
    /// The file, and how long it was.
    File(File, u64),
}

/// Starts a program. To be called within a tokio runtime that has I/O and time enabled.
///
/// # Errors
/// [`Error::NotStarted`] when nothing of it ran, [`Error::MemoryLimit`] when it was stopped before
/// it got any input.
pub fn spawn(command: Command) -> Result<Running, Error> {
    let not_started = {
        let (program, directory) = (command.program.clone(), command.directory.clone());
        move |source| Error::NotStarted { program, directory, source }
    };
    check(&command).map_err(not_started.clone())?;
    let started = Instant::now();
    let log = match &command.output {
        Output::File(path) => Some(open_log(path).map_err(not_started.clone())?),
        _ => None,
    };
    let mut child =
        start(&command, log.as_ref().map(|(file, _)| file)).map_err(not_started.clone())?;
    let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(leader) = leader else {
        return Err(Error::ProcessLost { program: command.program });
    };
    let group = Arc::new(Group::led_by(leader));
    // From here on every early return ends the group.
    let hold = Hold(Arc::clone(&group));
    if let Some(bytes_max) = command.memory_bytes_max {
        limit_memory(leader, bytes_max)
            .map_err(|source| Error::MemoryLimit { program: command.program.clone(), source })?;
    }

    let mut stages = Vec::new();
    let input = supply(child.stdin.take(), command.input, &mut stages);
    let input = input.map_err(not_started.clone())?;
    let sink = sink(child.stdout.take(), command.output, log, &mut stages);
    let sink = sink.map_err(not_started)?;
    let stderr: Option<ChildStderr> = child.stderr.take();
    let (cancel, cancelled) = watch::channel(false);
    let (lines, lines_receiver) = mpsc::channel(LINES_WAITING_MAX);
    let watch = Watch {
        child,
        hold,
        program: command.program,
        started,
        deadline: started + command.deadline,
        limits: command.limits,
        cancelled,
        input,
        sink,
        stderr,
        lines,
        stages,
    };
    Ok(Running::new(group, watch, lines_receiver, cancel))
}

fn check(command: &Command) -> io::Result<()> {
    let invalid = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text.to_owned()));
    if command.label.is_empty() || command.label.len() > LABEL_BYTES_MAX {
        return invalid("the label must have 1 to 200 bytes");
    }
    if !command.program.is_absolute() {
        return invalid("the program's path must be absolute");
    }
    // The kernel's answer would be the same as for a program that is missing.
    if !command.directory.is_dir() {
        let text = "the directory to run it in does not exist";
        return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
    }
    if tokio::runtime::Handle::try_current().is_err() {
        return invalid("there is no runtime to watch over it");
    }
    Ok(())
}

fn start(command: &Command, log: Option<&File>) -> io::Result<Child> {
    let mut builder = tokio::process::Command::new(&command.program);
    builder
        .args(&command.arguments)
        .env_clear()
        .envs(&command.environment)
        .env(KEY_VARIABLE, &command.label)
        .current_dir(&command.directory)
        .process_group(0);
    let mut tries = 0;
    loop {
        let input = match command.input {
            Input::Empty => Stdio::null(),
            Input::Bytes(_) | Input::Reader(_) => Stdio::piped(),
        };
        let (output, errors) = match (&command.output, log) {
            (_, Some(log)) => (Stdio::from(log.try_clone()?), Stdio::from(log.try_clone()?)),
            (Output::Discard, None) => (Stdio::null(), Stdio::piped()),
            (_, None) => (Stdio::piped(), Stdio::piped()),
        };
        match builder.stdin(input).stdout(output).stderr(errors).spawn() {
            Err(error)
                if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES_MAX =>
            {
                tries += 1;
                // The other thread's child closes the file when it starts its own program.
                std::thread::sleep(std::time::Duration::from_millis(u64::from(tries)));
            }
            result => return result,
        }
    }
}

/// Sets the limit of a running program; that it has ended already is no failure.
fn limit_memory(leader: Pid, bytes_max: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(bytes_max), maximum: Some(bytes_max) };
    match prlimit(Some(leader), Resource::As, limit) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        result => result.map(|_| ()).map_err(io::Error::from),
    }
}

/// A file that has lost its name before anything is written: what a tool says of a secret lies
/// nowhere once the last process that writes to it has ended, however vaultup ends.
fn open_log(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().append(true).read(true).create(true).mode(0o600).open(path)?;
    std::fs::remove_file(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn supply(
    pipe: Option<ChildStdin>,
    input: Input,
    stages: &mut Vec<oneshot::Receiver<()>>,
) -> io::Result<Option<(ChildStdin, Supply)>> {
    let Some(pipe) = pipe else { return Ok(None) };
    let supply = match input {
        Input::Empty => return Ok(None),
        Input::Bytes(bytes) => Supply::Memory(Zeroizing::new(bytes)),
        Input::Reader(reader) => {
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
            let (supply, gone) = supply_from(reader)?;
            stages.push(gone);
            supply
        }
    };
    Ok(Some((pipe, supply)))
}

fn sink(
    pipe: Option<ChildStdout>,
    output: Output,
    log: Option<(File, u64)>,
    stages: &mut Vec<oneshot::Receiver<()>>,
) -> io::Result<Sink> {
    if let Some((file, length)) = log {
        return Ok(Sink::File(file, length));
    }
    let Some(pipe) = pipe else { return Ok(Sink::Nothing) };
    Ok(match output {
        Output::Lines => Sink::Lines(pipe),
        Output::Text => Sink::Text(pipe),
        Output::Writer(writer) => {
            let _ = rustix::pipe::fcntl_setpipe_size(&pipe, PIPE_BYTES);
            let (delivery, gone) = deliver_to(writer)?;
            stages.push(gone);
            Sink::Writer(pipe, delivery)
        }
        Output::File(_) | Output::Discard => Sink::Nothing,
    })
}
