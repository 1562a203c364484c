//! Hears what a plugin does during an effect: tells the screen, keeps commands for the journal,
//! and makes what a file held durable before the file is edited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sandbox::{CommandEnd, CommandStart, FileEdit, LogLevel, Observer};

use crate::news::{Listener, News};
use crate::record::Ran;
use crate::writer::Writer;

/// The most commands that are kept of one effect; the journal's record must stay small.
const COMMANDS_MAX: usize = 200;

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
        if let Some(index) = keep(&mut commands, &command.arguments) {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.insert(command.number, index);
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

/// Keeps a command that begins, and says where; nothing when there are enough.
fn keep(commands: &mut Vec<Ran>, arguments: &[String]) -> Option<usize> {
    let index = commands.len();
    (index < COMMANDS_MAX).then(|| {
        let argv = arguments.to_vec();
        commands.push(Ran { argv, exit: String::new(), milliseconds: 0 });
        index
    })
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS_MAX, keep};

    #[test]
    fn as_many_commands_are_kept_as_are_allowed_and_not_one_more() {
        let mut commands = Vec::new();
        for number in 0..COMMANDS_MAX {
            assert_eq!(keep(&mut commands, &[number.to_string()]), Some(number));
        }
        assert_eq!(keep(&mut commands, &["one more".to_owned()]), None);
        assert_eq!(commands.len(), COMMANDS_MAX);
    }
}
