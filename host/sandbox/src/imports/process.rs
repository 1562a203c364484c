//! `process`: commands of a granted shape, and how they are watched.
//!
//! Threats: a flag that the manifest does not name; a text that turns a reading command into a
//! change; another program of the tool's name; a variable that decides which code runs; a secret
//! in an argument list; a command that outlives its call. [`crate::command`] decides what may run
//! and how; this file starts it and takes its output, or takes what another call of the same look
//! was answered ([`crate::look`]).

use std::sync::Arc;
use std::time::Instant;

use system::process::{Exit, Finished, Origin, Output, Running};
use tokio::task::JoinHandle;
use wasmtime::component::Resource;

use crate::artifacts::ArtifactSink;
use crate::bindings::host::vaultup::plugin::process as wit;
use crate::bindings::host::vaultup::plugin::types::Error as PluginError;
use crate::command::{Prepared, prepare};
use crate::limits::COMMANDS_AT_ONCE_MAX;
use crate::session::CommandEnd;
use crate::state::{Denial, Facts, Granting, State, denied, told};

/// A command under way. Dropping it kills its process group.
#[expect(unreachable_pub, reason = "the generated bindings name it publicly")]
pub struct RunningCommand {
    running: Option<Running>,
    watch: Watch,
}

/// A command whose whole output is wanted. Dropping it kills its process group, or leaves it to
/// the others of the look that wait for it.
#[expect(unreachable_pub, reason = "the generated bindings name it publicly")]
pub struct BegunCommand(Begun);

enum Begun {
    Own(RunningCommand),
    OfLook(Shared),
    Over,
}

/// The wait for an answer that a look gives to several.
struct Shared(JoinHandle<Granting<wit::Finished>>);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is needed to end a command well.
struct Watch {
    facts: Arc<Facts>,
    number: u32,
    began: Instant,
    tool: String,
    sink: Option<ArtifactSink>,
    reads_artifact: bool,
    /// Files with secrets, removed when the command has ended.
    _secret_files: Vec<system::secrets::SecretFile>,
    is_reported: bool,
}

impl wit::Host for State {
    async fn start(&mut self, command: wit::Command) -> Granting<Resource<RunningCommand>> {
        let prepared = self.prepared(command, Output::Lines).await?;
        let command = RunningCommand::start(Arc::clone(&self.facts), self.commands, prepared)?;
        Ok(self.table.push(command)?)
    }

    async fn begin(&mut self, command: wit::Command) -> Granting<Resource<BegunCommand>> {
        let command = self.begun(command).await?;
        Ok(self.table.push(command)?)
    }

    async fn run(&mut self, command: wit::Command) -> Granting<wit::Finished> {
        self.begun(command).await?.finished().await
    }
}

impl wit::HostBegun for State {
    async fn ended(&mut self, command: Resource<BegunCommand>) -> Granting<bool> {
        Ok(self.table.get_mut(&command)?.has_ended())
    }

    async fn finish(&mut self, command: Resource<BegunCommand>) -> Granting<wit::Finished> {
        self.table.get_mut(&command)?.finished().await
    }

    async fn drop(&mut self, command: Resource<BegunCommand>) -> wasmtime::Result<()> {
        self.table.delete(command)?;
        Ok(())
    }
}

impl wit::HostRunning for State {
    async fn next_line(
        &mut self,
        command: Resource<RunningCommand>,
    ) -> Granting<Option<wit::Line>> {
        let command = self.table.get_mut(&command)?;
        let Some(running) = &mut command.running else { return Ok(None) };
        let canceller = running.canceller();
        let facts = Arc::clone(&command.watch.facts);
        let line = tokio::select! {
            biased;
            () = facts.cancelled() => {
                canceller.cancel();
                // What it still says while it ends is the guest's to hear.
                running.next_line().await
            }
            line = running.next_line() => line,
        };
        Ok(line.map(|line| wit::Line {
            origin: match line.origin {
                Origin::StandardOutput => wit::Origin::StandardOutput,
                Origin::StandardError => wit::Origin::StandardError,
            },
            text: facts.session.redactor.fragment(&line.text).into_owned(),
        }))
    }

    async fn ended(&mut self, command: Resource<RunningCommand>) -> Granting<bool> {
        let command = self.table.get_mut(&command)?;
        Ok(command.has_ended())
    }

    async fn finish(&mut self, command: Resource<RunningCommand>) -> Granting<wit::Exit> {
        let command = self.table.get_mut(&command)?;
        Ok(exit(command.finished().await?.exit))
    }

    async fn drop(&mut self, command: Resource<RunningCommand>) -> wasmtime::Result<()> {
        self.table.delete(command)?;
        Ok(())
    }
}

impl State {
    async fn prepared(&mut self, command: wit::Command, lines: Output) -> Granting<Prepared> {
        let entries = self.table.iter_mut();
        let at_once = entries
            .filter(|entry| entry.is::<RunningCommand>() || entry.is::<BegunCommand>())
            .count();
        if at_once >= COMMANDS_AT_ONCE_MAX {
            return Err(denied(format!(
                "{COMMANDS_AT_ONCE_MAX} commands run already, and no more may at once"
            )));
        }
        if self.facts.is_cancelled() {
            return Err(Denial::Told(PluginError::Cancelled));
        }
        self.commands += 1;
        prepare(&self.facts, command, lines).await
    }

    async fn begun(&mut self, command: wit::Command) -> Granting<BegunCommand> {
        let prepared = self.prepared(command, Output::Text).await?;
        let (facts, number) = (Arc::clone(&self.facts), self.commands);
        let look = facts.session.look.clone();
        let Some((look, question)) = look.zip(prepared.question()) else {
            let running = RunningCommand::start(facts, number, prepared)?;
            return Ok(BegunCommand(Begun::Own(running)));
        };
        let asked = tokio::spawn(async move {
            let ask = async { RunningCommand::start(facts, number, prepared)?.gathered().await };
            look.answer(question, ask).await
        });
        Ok(BegunCommand(Begun::OfLook(Shared(asked))))
    }
}

impl BegunCommand {
    fn has_ended(&self) -> bool {
        match &self.0 {
            Begun::Own(command) => command.has_ended(),
            Begun::OfLook(shared) => shared.0.is_finished(),
            Begun::Over => true,
        }
    }

    async fn finished(&mut self) -> Granting<wit::Finished> {
        match std::mem::replace(&mut self.0, Begun::Over) {
            Begun::Own(running) => running.gathered().await,
            Begun::OfLook(mut shared) => match (&mut shared.0).await {
                Ok(finished) => finished,
                Err(panic) => Err(Denial::Ends(wasmtime::Error::new(panic))),
            },
            Begun::Over => Err(waited_for_already()),
        }
    }
}

impl RunningCommand {
    /// The last look at whether it may run is here, right before it does.
    fn start(facts: Arc<Facts>, number: u32, prepared: Prepared) -> Granting<Self> {
        let Prepared { command, mut start, sink, secret_files, reads_artifact, .. } = prepared;
        start.number = number;
        facts.permit(start.class)?;
        facts.session.observer.command_starting(&start).map_err(denied)?;
        let began = Instant::now();
        let tool = start.arguments.first().cloned().unwrap_or_default();
        let mut watch = Watch {
            facts,
            number,
            began,
            tool,
            sink,
            reads_artifact,
            _secret_files: secret_files,
            is_reported: false,
        };
        match system::process::spawn(command) {
            Ok(running) => Ok(Self { running: Some(running), watch }),
            Err(error) => {
                watch.report(format!("did not start: {error}"));
                Err(error.into())
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.running.as_ref().is_none_or(Running::has_ended)
    }

    /// Waits for the end, and gives what it wrote as the guest may see it.
    async fn gathered(mut self) -> Granting<wit::Finished> {
        let finished = self.finished().await?;
        let redactor = &self.watch.facts.session.redactor;
        Ok(wit::Finished {
            exit: exit(finished.exit),
            output: redactor.redact(&finished.output).into_owned(),
            errors: redactor.fragment(&finished.errors_tail).into_owned(),
            bytes: match self.watch.reads_artifact {
                true => finished.bytes_in,
                false => finished.bytes_out,
            },
        })
    }

    /// Waits for the end, and makes the artifact that it wrote.
    async fn finished(&mut self) -> Granting<Finished> {
        let running = self.running.take().ok_or_else(waited_for_already)?;
        let canceller = running.canceller();
        let facts = Arc::clone(&self.watch.facts);
        let mut finish = std::pin::pin!(running.finish());
        let finished = tokio::select! {
            biased;
            () = facts.cancelled() => {
                canceller.cancel();
                finish.await
            }
            finished = &mut finish => finished,
        };
        match finished {
            Ok(finished) => {
                self.watch.report(finished.exit.to_string());
                self.watch.complete(&finished).await?;
                Ok(finished)
            }
            Err(error) => {
                self.watch.report(error.to_string());
                Err(error.into())
            }
        }
    }
}

impl Watch {
    async fn complete(&mut self, finished: &Finished) -> Granting<()> {
        let sink = self.sink.take();
        if !finished.succeeded() {
            // An artifact of a command that failed is dropped with its sink.
            return Ok(());
        }
        if self.reads_artifact && !finished.input_complete {
            let tool = &self.tool;
            let message = format!("`{tool}` ended with status 0 before it had read everything");
            return Err(told(PluginError::Failed, message));
        }
        match sink {
            None => Ok(()),
            Some(sink) => self.facts.beside(|_| sink.finish().map_err(super::vault_denial)).await,
        }
    }

    fn report(&mut self, ended: String) {
        self.is_reported = true;
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let end = CommandEnd { number: self.number, ended, milliseconds };
        self.facts.session.observer.command_ended(&end);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_reported {
            self.report("was stopped because nobody waited for it".to_owned());
        }
    }
}

fn waited_for_already() -> Denial {
    told(PluginError::NotFound, "this command was waited for already")
}

fn exit(exit: Exit) -> wit::Exit {
    match exit {
        Exit::Status(status) => wit::Exit::Status(status),
        Exit::Signal(signal) => wit::Exit::Signal(signal),
        Exit::Deadline => wit::Exit::Deadline,
        Exit::OutputLimit => wit::Exit::OutputLimit,
        Exit::Cancelled => wit::Exit::Cancelled,
    }
}
