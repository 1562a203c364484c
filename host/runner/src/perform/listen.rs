//! Hears what a plugin does during an effect: tells the screen, keeps commands for the journal,
//! and makes what a file held durable before the file is edited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandbox::{CommandEnd, CommandStart, FileEdit, LogLevel, Observer};

use crate::news::{Listener, News};
use crate::record::Ran;
use crate::writer::Writer;

/// The most commands that are kept of one effect; the journal's record must stay small.
pub(super) const COMMANDS_MAX: usize = 200;

/// Hears what a plugin does during an effect.
pub struct Ear {
    listener: Arc<dyn Listener>,
    writer: Arc<Writer>,
    run: String,
    commands: Arc<Mutex<Vec<Ran>>>,
    running: Mutex<BTreeMap<u32, usize>>,
}

impl Ear {
    /// An ear for one call.
    #[must_use]
    pub fn new(
        listener: Arc<dyn Listener>,
        writer: Arc<Writer>,
        run: String,
        commands: Arc<Mutex<Vec<Ran>>>,
    ) -> Self {
        Self { listener, writer, run, commands, running: Mutex::default() }
    }
}

impl Observer for Ear {
    fn log(&self, _level: LogLevel, line: &str) {
        self.listener.hear(&News::Log { line: line.to_owned() });
    }

    fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        self.listener.hear(&News::Progress { done, total, unit: unit.to_owned() });
    }

    fn command_starting(&self, command: &CommandStart) -> Result<(), String> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if commands.len() < COMMANDS_MAX {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.insert(command.number, commands.len());
            let argv = command.arguments.clone();
            commands.push(Ran { argv, exit: String::new(), milliseconds: 0 });
        }
        Ok(())
    }

    fn command_ended(&self, command: &CommandEnd) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let index = running.remove(&command.number);
        if let Some(ran) = index.and_then(|index| commands.get_mut(index)) {
            ran.exit.clone_from(&command.ended);
            ran.milliseconds = command.milliseconds;
        }
    }

    fn file_changing(&self, edit: &FileEdit) -> Result<(), String> {
        let kept = self.writer.append(&self.run, "file-edit", edit);
        kept.map(drop).map_err(|error| error.to_string())
    }
}
