//! Hears what a plugin does during an effect: tells the screen, keeps commands and the end of its
//! log for the journal, and makes what a file held durable before the file is edited.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox::{CommandEnd, CommandStart, FileEdit, LogLevel, Observer};

use crate::news::{Listener, News};
use crate::record::Ran;
use crate::writer::Writer;

/// The most commands that are kept of one effect; the journal's record must stay small.
const COMMANDS_MAX: usize = 200;
/// The most bytes of log that are kept of one effect: its last lines.
const LOG_BYTES_MAX: usize = 32 * 1024;

/// What is kept of one effect.
#[derive(Debug, Default)]
pub struct Heard {
    /// Commands, oldest first; the first ones if there are too many.
    pub commands: Vec<Ran>,
    /// Lines of the log that are worth keeping, oldest first; the last ones if there are too many.
    pub log: VecDeque<String>,
    log_bytes: usize,
}

impl Heard {
    /// Keeps a command that begins, and says where; nothing when there are enough.
    fn command(&mut self, arguments: &[String]) -> Option<usize> {
        let index = self.commands.len();
        (index < COMMANDS_MAX).then(|| {
            let argv = arguments.to_vec();
            self.commands.push(Ran { argv, exit: String::new(), milliseconds: 0 });
            index
        })
    }

    /// Keeps a line, for which others may have to go.
    fn line(&mut self, line: &str) {
        self.log_bytes += line.len();
        self.log.push_back(line.to_owned());
        while self.log_bytes > LOG_BYTES_MAX
            && let Some(first) = self.log.pop_front()
        {
            self.log_bytes -= first.len();
        }
    }
}

/// Hears what a plugin does during an effect.
pub struct Ear {
    listener: Arc<dyn Listener>,
    writer: Arc<Writer>,
    run: String,
    heard: Arc<Mutex<Heard>>,
    running: Mutex<BTreeMap<u32, usize>>,
}

impl Ear {
    /// An ear for one call.
    #[must_use]
    pub fn new(
        listener: Arc<dyn Listener>,
        writer: Arc<Writer>,
        run: String,
        heard: Arc<Mutex<Heard>>,
    ) -> Self {
        Self { listener, writer, run, heard, running: Mutex::default() }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Ear {
    fn log(&self, level: LogLevel, line: &str) {
        if level != LogLevel::Debug {
            self.heard().line(line);
        }
        self.listener.hear(&News::Log { line: line.to_owned() });
    }

    fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        self.listener.hear(&News::Progress { done, total, unit: unit.to_owned() });
    }

    fn command_starting(&self, command: &CommandStart) -> Result<(), String> {
        let index = self.heard().command(&command.arguments);
        if let Some(index) = index {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.insert(command.number, index);
        }
        Ok(())
    }

    fn command_ended(&self, command: &CommandEnd) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let index = running.remove(&command.number);
        let mut heard = self.heard();
        if let Some(ran) = index.and_then(|index| heard.commands.get_mut(index)) {
            ran.exit.clone_from(&command.ended);
            ran.milliseconds = command.milliseconds;
        }
    }

    fn file_changing(&self, edit: &FileEdit) -> Result<(), String> {
        let kept = self.writer.append(&self.run, "file-edit", edit);
        kept.map(drop).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS_MAX, Heard, LOG_BYTES_MAX};

    #[test]
    fn as_many_commands_are_kept_as_are_allowed_and_not_one_more() {
        let mut heard = Heard::default();
        for number in 0..COMMANDS_MAX {
            assert_eq!(heard.command(&[number.to_string()]), Some(number));
        }
        assert_eq!(heard.command(&["one more".to_owned()]), None);
        assert_eq!(heard.commands.len(), COMMANDS_MAX);
    }

    #[test]
    fn of_a_long_log_the_end_is_kept() {
        let mut heard = Heard::default();
        let lines = ["a".repeat(LOG_BYTES_MAX - 1), "b".to_owned()];
        lines.iter().for_each(|line| heard.line(line));
        assert_eq!(heard.log, lines);
        heard.line("c");
        assert_eq!(heard.log, ["b", "c"]);
        heard.line(&"d".repeat(LOG_BYTES_MAX + 1));
        assert_eq!((heard.log.len(), heard.log_bytes), (0, 0));
    }
}
