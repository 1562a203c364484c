//! Commands of a [`Machine`]: answered by the test, or really run.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use super::Machine;
use crate::Error;
use crate::bindings::imports::vaultup::plugin::process as raw;
use crate::host::UnderWay;
use crate::process::{Exit, Finished, Line, Origin, filled_in};

/// A command that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The tool, or the key of a command of the settings or the release.
    pub name: String,
    /// The arguments after the tool; none if the test answers for a key.
    pub arguments: Vec<String>,
    /// The variables of a command of the settings or the release.
    pub variables: BTreeMap<String, String>,
    /// Environment variables that were set; secrets by `{secret:NAME}`.
    pub environment: BTreeMap<String, String>,
    /// Directory that it was to run in.
    pub directory: Option<String>,
    /// Component that it was to run inside of.
    pub inside: Option<String>,
    /// The text that it was given as standard input; empty if it was given none.
    pub input: String,
    /// Milliseconds that it had.
    pub deadline_ms: u64,
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        self.arguments.iter().try_for_each(|argument| write!(formatter, " {argument}"))?;
        self.variables.iter().try_for_each(|(name, value)| write!(formatter, " {name}={value}"))
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    exit: Exit,
    output: Vec<u8>,
    errors: String,
}

impl Reply {
    /// It wrote this and exited with 0.
    pub fn output(output: impl Into<Vec<u8>>) -> Self {
        Self::exit(0).with_output(output)
    }

    /// It exited with this status.
    #[must_use]
    pub fn exit(status: i32) -> Self {
        Self { exit: Exit::Status(status), output: Vec::new(), errors: String::new() }
    }

    /// It ended in this way.
    #[must_use]
    pub fn ended(exit: Exit) -> Self {
        Self { exit, ..Self::exit(0) }
    }

    /// It wrote this to standard output.
    #[must_use]
    pub fn with_output(mut self, output: impl Into<Vec<u8>>) -> Self {
        self.output = output.into();
        self
    }

    /// It wrote this to standard error.
    #[must_use]
    pub fn with_errors(mut self, errors: impl Into<String>) -> Self {
        self.errors = errors.into();
        self
    }

    pub(super) fn finished(self, command: &raw::Command) -> Finished {
        let is_read = command.output == raw::Output::Lines;
        let text = String::from_utf8_lossy(&self.output).into_owned();
        Finished {
            exit: self.exit,
            output: if is_read { text } else { String::new() },
            errors: self.errors,
            bytes: if is_read { 0 } else { self.output.len() as u64 },
        }
    }

    pub(super) fn under_way(self) -> Ended {
        let output = String::from_utf8_lossy(&self.output).into_owned();
        let line = |origin, text: &str| Line { origin, text: text.to_owned() };
        let lines = output.lines().map(|text| line(Origin::StandardOutput, text));
        let errors = self.errors.lines().map(|text| line(Origin::StandardError, text));
        Ended { lines: RefCell::new(lines.chain(errors).collect()), exit: self.exit }
    }
}

/// A command that has ended, and of which lines may be left.
pub(super) struct Ended {
    lines: RefCell<VecDeque<Line>>,
    exit: Exit,
}

impl UnderWay for Ended {
    fn next_line(&self) -> Result<Option<Line>, Error> {
        Ok(self.lines.borrow_mut().pop_front())
    }

    fn ended(&self) -> Result<bool, Error> {
        Ok(true)
    }

    fn finish(&self) -> Result<Exit, Error> {
        Ok(self.exit)
    }
}

impl Machine {
    /// Runs a command, or lets the test answer for it; leads its streams to artifacts.
    pub(super) fn carry_out(&self, command: &raw::Command) -> Result<Reply, Error> {
        self.inner.grants.as_ref().map_or(Ok(()), |grants| grants.require(command))?;
        let call = called(command);
        self.inner.calls.borrow_mut().push(call.clone());
        let answer = self.inner.answers.borrow().get(&call.name).cloned();
        let reply = match answer {
            Some(answer) => answer(&call),
            None => self.really_run(&self.arguments(&call, command)?, &call, &command.input)?,
        };
        if let raw::Output::Artifact(name) = &command.output {
            self.put_artifact(name, reply.output.clone());
        }
        Ok(reply)
    }

    fn arguments(&self, call: &Call, command: &raw::Command) -> Result<Vec<String>, Error> {
        let denied = || Error::denied(format!("`{}` is not granted", call.name));
        if matches!(command.program, raw::Program::Arguments(_)) {
            let granted = self.inner.tools.borrow().contains(&call.name);
            let all = std::iter::once(&call.name).chain(&call.arguments).cloned();
            return if granted { Ok(all.collect()) } else { Err(denied()) };
        }
        let settings = self.inner.settings.borrow();
        let written = settings.get(&call.name).ok_or_else(denied)?;
        let variables: Vec<(String, String)> = call.variables.clone().into_iter().collect();
        Ok(written.iter().map(|text| filled_in(text, &variables)).collect())
    }

    fn really_run(
        &self,
        arguments: &[String],
        call: &Call,
        input: &raw::Input,
    ) -> Result<Reply, Error> {
        let broken = |error: std::io::Error| {
            Error::not_found(format!("cannot run `{}`", arguments.join(" ")))
                .with_platform(error.to_string())
        };
        let [program, rest @ ..] = arguments else {
            return Err(Error::invalid_settings(format!("`{}` is empty", call.name)));
        };
        std::fs::create_dir_all(self.path("")).map_err(broken)?;
        let mut command = std::process::Command::new(program);
        command.args(rest).env_clear().envs(&call.environment);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LANG", "C.UTF-8");
        command.current_dir(call.directory.as_deref().map_or_else(|| self.path(""), Into::into));
        command.stdin(self.standard_input(input)?);
        let output = command.output().map_err(broken)?;
        let exit = match (output.status.code(), output.status.signal()) {
            (Some(status), _) => Exit::Status(status),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        };
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Reply { exit, output: output.stdout, errors })
    }

    fn standard_input(&self, input: &raw::Input) -> Result<Stdio, Error> {
        let bytes = match input {
            raw::Input::Empty => return Ok(Stdio::null()),
            raw::Input::Text(text) => text.clone().into_bytes(),
            raw::Input::Artifact(name) => self
                .artifact(name)
                .ok_or_else(|| Error::not_found(format!("no artifact `{name}`")))?,
            raw::Input::Secret(name) => {
                return Err(Error::denied(format!("the secret `{name}` is not granted")));
            }
        };
        let path = self.path("standard-input");
        let opened = std::fs::write(&path, bytes).and_then(|()| File::open(&path));
        opened.map(Stdio::from).map_err(|error| Error::failed(error.to_string()))
    }
}

fn called(command: &raw::Command) -> Call {
    let (name, arguments, variables) = match &command.program {
        raw::Program::Arguments(arguments) => {
            let mut texts = arguments.iter().map(|argument| match argument {
                raw::Argument::Text(text) => text.clone(),
                raw::Argument::SecretFile((prefix, name)) => format!("{prefix}{{secret:{name}}}"),
            });
            (texts.next().unwrap_or_default(), texts.collect(), BTreeMap::new())
        }
        raw::Program::Setting(place) | raw::Program::Release(place) => {
            (place.key.clone(), Vec::new(), place.variables.iter().cloned().collect())
        }
    };
    let environment = command.environment.iter().map(|(name, value)| match value {
        raw::Variable::Text(text) => (name.clone(), text.clone()),
        raw::Variable::Secret(secret) => (name.clone(), format!("{{secret:{secret}}}")),
    });
    Call {
        name,
        arguments,
        variables,
        environment: environment.collect(),
        directory: command.directory.clone(),
        inside: command.inside.clone(),
        input: match &command.input {
            raw::Input::Text(text) => text.clone(),
            _ => String::new(),
        },
        deadline_ms: command.deadline_ms,
    }
}
