//! Programs: argument lists, never a shell.
//!
//! A command must match a pattern of `plugin.toml` that the operator granted, or be the operator's
//! or the release's own, named by its place. `read` commands run any time; `change` commands are
//! refused by the host while it only checks or plans. A command ends with the call that started it.
//!
//! ```
//! use vaultup_sdk::{Error, process};
//!
//! fn back_up(directory: &str) -> Result<u64, Error> {
//!     let finished = process::command("tar")
//!         .arguments(["--create", "--file=-"])
//!         .argument(format!("--directory={directory}"))
//!         .argument(".")
//!         .into_artifact("tree.tar")
//!         .run()?;
//!     Ok(finished.bytes)
//! }
//!
//! fn start(instance: &str) -> Result<(), Error> {
//!     process::setting("start").variable("instance", instance).run().map(drop)
//! }
//! ```

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::imports::vaultup::plugin::process as raw;
#[doc(inline)]
pub use crate::bindings::imports::vaultup::plugin::process::{Exit, Finished, Line, Origin};
use crate::host::*;
use crate::{Error, clock};

mod under_way;

use under_way::failure;
pub use under_way::{Asked, Running};

/// The most lines of standard error that an error of a streamed command shows.
const ERROR_LINES_SHOWN: usize = 20;

/// A command of this plugin's own: a pattern of the manifest says what it may look like.
pub fn command(tool: impl Into<String>) -> Command<Arguments> {
    Command::new(Arguments { list: vec![raw::Argument::Text(tool.into())] })
}

/// The operator's own command that stands in the settings under this dotted key.
pub fn setting(key: impl Into<String>) -> Command<Reference> {
    let place = raw::Reference { key: key.into(), variables: Vec::new() };
    Command::new(Reference { is_of_release: false, place })
}

/// The release's own command that stands in its entry under this dotted key.
pub fn release(key: impl Into<String>) -> Command<Reference> {
    let place = raw::Reference { key: key.into(), variables: Vec::new() };
    Command::new(Reference { is_of_release: true, place })
}

/// What a command runs; sealed.
pub trait Program {
    /// As the contract says it.
    #[doc(hidden)]
    fn raw(&self) -> raw::Program;
    /// As errors name it.
    #[doc(hidden)]
    fn name(&self) -> String;
}

/// An argument list of the plugin's own.
#[derive(Clone, Debug)]
pub struct Arguments {
    list: Vec<raw::Argument>,
}

/// A command of the operator's or the release's, by its place.
#[derive(Clone, Debug)]
pub struct Reference {
    is_of_release: bool,
    place: raw::Reference,
}

impl Program for Arguments {
    fn raw(&self) -> raw::Program {
        raw::Program::Arguments(self.list.clone())
    }

    fn name(&self) -> String {
        let (Some(raw::Argument::Text(text)) | Some(raw::Argument::SecretFile((text, _)))) =
            self.list.first()
        else {
            return "a command without arguments".to_owned();
        };
        format!("`{text}`")
    }
}

impl Program for Reference {
    fn raw(&self) -> raw::Program {
        if self.is_of_release {
            raw::Program::Release(self.place.clone())
        } else {
            raw::Program::Setting(self.place.clone())
        }
    }

    fn name(&self) -> String {
        let whose = if self.is_of_release { "the release" } else { "the settings" };
        format!("the command `{}` of {whose}", self.place.key)
    }
}

/// A command that is being put together.
#[derive(Clone, Debug)]
#[must_use = "a command does nothing until it is run"]
pub struct Command<What> {
    program: What,
    environment: Vec<(String, raw::Variable)>,
    directory: Option<String>,
    inside: Option<String>,
    input: raw::Input,
    output: raw::Output,
    within: Option<Duration>,
}

impl Command<Arguments> {
    /// Adds an argument.
    pub fn argument(mut self, text: impl Into<String>) -> Self {
        self.program.list.push(raw::Argument::Text(text.into()));
        self
    }

    /// Adds arguments.
    pub fn arguments<Text: Into<String>>(mut self, texts: impl IntoIterator<Item = Text>) -> Self {
        let texts = texts.into_iter().map(|text| raw::Argument::Text(text.into()));
        self.program.list.extend(texts);
        self
    }

    /// Adds an argument that is `prefix` followed by the path of a short-lived file, readable by
    /// this user only, that holds the secret of this name.
    pub fn secret_file(mut self, prefix: impl Into<String>, secret: impl Into<String>) -> Self {
        self.program.list.push(raw::Argument::SecretFile((prefix.into(), secret.into())));
        self
    }

    /// The arguments as a plan shows them.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let shown = |argument: &raw::Argument| match argument {
            raw::Argument::Text(text) => text.clone(),
            raw::Argument::SecretFile((prefix, name)) => format!("{prefix}{{secret:{name}}}"),
        };
        self.program.list.iter().map(shown).collect()
    }
}

impl Command<Reference> {
    /// Gives `${name}` in the command a value: a name as the manifest's `{name}` accepts it, or a
    /// granted path. The manifest declares the names of a command's variables.
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.program.place.variables.push((name.into(), value.into()));
        self
    }

    /// The command as a plan shows it, from what is `written` in the settings or the release:
    /// variables filled in as the host will fill them in.
    #[must_use]
    pub fn shown(&self, written: &[String]) -> Vec<String> {
        let variables = &self.program.place.variables;
        written.iter().map(|text| filled_in(text, variables)).collect()
    }
}

impl<What: Program> Command<What> {
    fn new(program: What) -> Self {
        Self {
            program,
            environment: Vec::new(),
            directory: None,
            inside: None,
            input: raw::Input::Empty,
            output: raw::Output::Lines,
            within: None,
        }
    }

    /// Sets an environment variable that the manifest declares.
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), raw::Variable::Text(value.into())));
        self
    }

    /// Sets an environment variable that the manifest declares to the value of a secret.
    pub fn secret_environment(
        mut self,
        name: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        self.environment.push((name.into(), raw::Variable::Secret(secret.into())));
        self
    }

    /// Runs it in this directory, a granted path, and not in that of the stack file.
    pub fn directory(mut self, path: impl Into<String>) -> Self {
        self.directory = Some(path.into());
        self
    }

    /// Runs it inside this component of the stack: the host asks that component's plugin how, with
    /// [`crate::Deploy::inside`], and puts the prefix before the command.
    pub fn inside(mut self, component: impl Into<String>) -> Self {
        self.inside = Some(component.into());
        self
    }

    /// Gives it this text, at most 1 MiB, as standard input. For a `read` command it must be a
    /// literal of the manifest or stand in the operator's settings.
    pub fn input_text(mut self, text: impl Into<String>) -> Self {
        self.input = raw::Input::Text(text.into());
        self
    }

    /// Gives it the value of a secret as standard input.
    pub fn input_secret(mut self, secret: impl Into<String>) -> Self {
        self.input = raw::Input::Secret(secret.into());
        self
    }

    /// Gives it the content of an artifact of the current backup set, decrypted and checked, as
    /// standard input.
    pub fn from_artifact(mut self, name: impl Into<String>) -> Self {
        self.input = raw::Input::Artifact(name.into());
        self
    }

    /// Makes its standard output a new artifact of the current backup set. Only in
    /// [`crate::Backup::take`].
    pub fn into_artifact(mut self, name: impl Into<String>) -> Self {
        self.output = raw::Output::Artifact(name.into());
        self
    }

    /// Throws its standard output away.
    pub fn discard_output(mut self) -> Self {
        self.output = raw::Output::Discard;
        self
    }

    /// Stops it after this time, if the deadline of the call is not earlier.
    pub fn within(mut self, duration: Duration) -> Self {
        self.within = Some(duration);
        self
    }

    /// Runs it to its end, however it ends.
    ///
    /// # Errors
    /// If the host refuses it or it cannot be started. How it ended is no error.
    pub fn attempt(self) -> Result<Finished, Error> {
        host().run(&self.raw())
    }

    /// Runs it to its end; it must exit with 0.
    ///
    /// # Errors
    /// As [`Command::attempt`], and if it ends in any other way, with the end of what it said.
    pub fn run(self) -> Result<Finished, Error> {
        let name = self.program.name();
        let finished = self.attempt()?;
        match failure(&name, finished.exit) {
            None => Ok(finished),
            Some(error) => Err(error.with_platform(finished.words())),
        }
    }

    /// Runs it and gives what it wrote, at most 8 MiB.
    ///
    /// # Errors
    /// As [`Command::run`].
    pub fn read_text(self) -> Result<String, Error> {
        Ok(self.run()?.output)
    }

    /// Runs it and gives the lines that it wrote, at most 8 MiB in all.
    ///
    /// # Errors
    /// As [`Command::run`].
    pub fn read_lines(self) -> Result<Vec<String>, Error> {
        Ok(self.run()?.output.lines().map(str::to_owned).collect())
    }

    /// Runs it and reads what it wrote as JSON.
    ///
    /// # Errors
    /// As [`Command::run`], and [`crate::Case::Corrupt`] if it is no such JSON.
    pub fn read_json<Answer: DeserializeOwned>(self) -> Result<Answer, Error> {
        let name = self.program.name();
        let output = self.run()?.output;
        serde_json::from_str(&output).map_err(|error| {
            Error::corrupt(format!("{name} answered something else than was expected: {error}"))
                .with_platform(output)
        })
    }

    /// Runs it and hands each line of standard output to `each` as it comes; it must exit with 0.
    ///
    /// # Errors
    /// As [`Command::run`], and what `each` answers; the command is stopped then.
    pub fn for_each_line(
        self,
        mut each: impl FnMut(String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let name = self.program.name();
        let running = self.start()?;
        let mut errors = Vec::new();
        while let Some(line) = running.next_line()? {
            match line.origin {
                Origin::StandardOutput => each(line.text)?,
                Origin::StandardError => {
                    if errors.len() == ERROR_LINES_SHOWN {
                        errors.remove(0);
                    }
                    errors.push(line.text);
                }
            }
        }
        match failure(&name, running.finish()?) {
            None => Ok(()),
            Some(error) => Err(error.with_platform(errors.join("\n"))),
        }
    }

    /// Begins it, for `read` to make something of its end. Until that is waited for, other commands
    /// can be begun: at most 16 are under way at once. How it ends is for `read` to judge, as with
    /// [`Command::attempt`].
    ///
    /// ```
    /// use vaultup_sdk::{Error, process};
    ///
    /// fn versions() -> Result<(String, String), Error> {
    ///     let version = |tool| process::command(tool).argument("--version");
    ///     let server = version("postgres").ask(|finished| Ok(finished.output));
    ///     let client = version("psql").ask(|finished| Ok(finished.output));
    ///     Ok((server.answer()?, client.answer()?))
    /// }
    /// ```
    pub fn ask<'a, Answer: 'a>(
        self,
        read: impl FnOnce(Finished) -> Result<Answer, Error> + 'a,
    ) -> Asked<'a, Answer> {
        Asked::new(host().begin(&self.raw()), read)
    }

    /// Starts it. What is dropped before its end is stopped by the host.
    ///
    /// # Errors
    /// If the host refuses it or it cannot be started.
    pub fn start(self) -> Result<Running, Error> {
        Ok(Running::new(host().start(&self.raw())?))
    }

    fn raw(&self) -> raw::Command {
        let left = clock::time_left();
        let within = self.within.map_or(left, |within| within.min(left));
        raw::Command {
            program: self.program.raw(),
            environment: self.environment.clone(),
            directory: self.directory.clone(),
            inside: self.inside.clone(),
            input: self.input.clone(),
            output: self.output.clone(),
            deadline_ms: clock::whole_milliseconds(within),
        }
    }
}

/// A text with `${name}` replaced by the values given; `$${` becomes `${`, and names that are not
/// given stay as they are.
#[must_use]
pub fn filled_in(text: &str, variables: &[(String, String)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("${") {
        let (before, from) = rest.split_at(position);
        let after = &from[2..];
        if let Some(plain) = before.strip_suffix('$') {
            filled.push_str(plain);
            filled.push_str("${");
            rest = after;
            continue;
        }
        filled.push_str(before);
        let named = after.split_once('}').and_then(|(name, rest)| {
            let (_, value) = variables.iter().find(|(known, _)| known == name)?;
            Some((value, rest))
        });
        match named {
            Some((value, remaining)) => {
                filled.push_str(value);
                rest = remaining;
            }
            None => {
                filled.push_str("${");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::Case;
    use crate::testing::{Machine, Reply};

    #[test]
    fn a_command_that_fails_says_how_and_what_it_said() {
        let machine = Machine::new().install();
        machine.answer("tool", |_| Reply::exit(3).with_errors("no such thing\n"));
        let error = command("tool").argument("x").run().unwrap_err();
        assert_eq!(error.to_string(), "`tool` exited with status 3: no such thing");
        assert_eq!(command("tool").attempt().unwrap().exit, Exit::Status(3));
    }

    #[test]
    fn a_command_that_has_ended_still_gives_its_lines() {
        let machine = Machine::new().install();
        machine.answer("tool", |_| Reply::output("a"));
        let running = command("tool").start().unwrap();
        assert!(running.has_ended().unwrap());
        assert_eq!(running.next_line().unwrap().unwrap().text, "a");
        assert_eq!(running.finish().unwrap(), Exit::Status(0));
    }

    #[test]
    fn every_other_end_is_an_error_of_its_own() {
        assert!(failure("x", Exit::Status(0)).is_none());
        let case = |exit| failure("x", exit).unwrap().case().clone();
        assert_eq!(case(Exit::Signal(9)), Case::Failed);
        assert_eq!(case(Exit::Deadline), Case::TimedOut);
        assert_eq!(case(Exit::OutputLimit), Case::Failed);
        assert_eq!(case(Exit::Cancelled), Case::Cancelled);
    }

    #[test]
    fn what_is_not_the_json_that_was_expected_is_corrupt() {
        let machine = Machine::new().install();
        machine.answer("tool", |_| Reply::output("[1, 2"));
        let error = command("tool").read_json::<Vec<u8>>().unwrap_err();
        assert_eq!((error.case(), error.platform()), (&Case::Corrupt, "[1, 2"));
    }

    #[test]
    fn a_command_without_a_limit_of_its_own_has_that_of_the_call() {
        let machine = Machine::new().install();
        machine.answer("tool", |call| Reply::output(call.deadline_ms.to_string()));
        crate::clock::begin_call(5000);
        assert_eq!(command("tool").read_text().unwrap(), "5000");
        let short = command("tool").within(Duration::from_secs(1));
        assert_eq!(short.read_text().unwrap(), "1000");
        let long = command("tool").within(Duration::from_secs(9));
        assert_eq!(long.read_text().unwrap(), "5000");
    }

    #[test]
    fn lines_are_handed_over_one_by_one_and_errors_kept_apart() {
        let machine = Machine::new().install();
        machine.answer("tool", |_| Reply::exit(1).with_output("a\nb\n").with_errors("bad\n"));
        let mut lines = Vec::new();
        let error = command("tool")
            .for_each_line(|line| {
                lines.push(line);
                Ok(())
            })
            .unwrap_err();
        assert_eq!(lines, ["a", "b"]);
        assert_eq!(error.platform(), "bad");
    }

    #[test]
    fn a_plan_shows_secrets_by_name_and_variables_filled_in() {
        let shown = command("db").secret_file("--config=", "admin").argument("dump").shown();
        assert_eq!(shown, ["db", "--config={secret:admin}", "dump"]);
        let written = ["${current}/bin/app".to_owned(), "$${x} ${other}".to_owned()];
        let shown = setting("start").variable("current", "/srv/current").shown(&written);
        assert_eq!(shown, ["/srv/current/bin/app", "${x} ${other}"]);
    }
}
