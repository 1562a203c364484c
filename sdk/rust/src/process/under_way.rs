//! Commands that were started, and how they ended.

use super::{Exit, Finished, Line};
use crate::Error;
use crate::host::*;

/// A command under way. Dropping it stops the command.
pub struct Running {
    inner: crate::host::Running,
}

impl Running {
    pub(super) fn new(inner: crate::host::Running) -> Self {
        Self { inner }
    }

    /// Waits for the next line of either stream; `None` when both have ended.
    ///
    /// # Errors
    /// If the host gave up on the command.
    pub fn next_line(&self) -> Result<Option<Line>, Error> {
        self.inner.next_line()
    }

    /// Whether it has ended, without waiting, so that a plugin can look at the platform meanwhile.
    ///
    /// # Errors
    /// If the host gave up on the command.
    pub fn has_ended(&self) -> Result<bool, Error> {
        self.inner.ended()
    }

    /// Waits for the end. Lines that were not read are dropped.
    ///
    /// # Errors
    /// If the host gave up on the command.
    pub fn finish(&self) -> Result<Exit, Error> {
        self.inner.finish()
    }
}

/// Something that a command was asked, and that is known when it has ended. Dropping it stops the
/// command.
#[must_use = "nobody knows what was asked until `answer` is called"]
pub struct Asked<'a, Answer> {
    begun: Result<Begun, Error>,
    read: Box<dyn FnOnce(Finished) -> Result<Answer, Error> + 'a>,
}

impl<'a, Answer: 'a> Asked<'a, Answer> {
    pub(super) fn new(
        begun: Result<Begun, Error>,
        read: impl FnOnce(Finished) -> Result<Answer, Error> + 'a,
    ) -> Self {
        Self { begun, read: Box::new(read) }
    }

    /// What becomes of its answer.
    pub fn and_then<Next: 'a>(
        self,
        next: impl FnOnce(Answer) -> Result<Next, Error> + 'a,
    ) -> Asked<'a, Next> {
        let Self { begun, read } = self;
        Asked::new(begun, |finished| next(read(finished)?))
    }

    /// Whether it has ended, without waiting: then `answer` answers at once.
    ///
    /// # Errors
    /// If the host refused the command or gave up on it.
    pub fn has_ended(&self) -> Result<bool, Error> {
        self.begun.as_ref().map_err(Error::clone)?.ended()
    }

    /// Waits for the end, and reads what was answered.
    ///
    /// # Errors
    /// If the host refused the command or it could not be started, and what reading says.
    pub fn answer(self) -> Result<Answer, Error> {
        (self.read)(self.begun?.finish()?)
    }
}

impl Finished {
    /// Whether it exited with 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.exit == Exit::Status(0)
    }

    /// What it said, for an error: the end of standard error or, if that is empty, of its output.
    #[must_use]
    pub fn words(&self) -> &str {
        if self.errors.trim().is_empty() { &self.output } else { &self.errors }
    }
}

/// What an end means for who wanted success; nothing if it is one.
pub(super) fn failure(name: &str, exit: Exit) -> Option<Error> {
    match exit {
        Exit::Status(0) => None,
        Exit::Status(status) => Some(Error::failed(format!("{name} exited with status {status}"))),
        Exit::Signal(signal) => {
            Some(Error::failed(format!("{name} was killed by signal {signal}")))
        }
        Exit::Deadline => Some(Error::timed_out(format!("{name} did not end in time"))),
        Exit::OutputLimit => Some(Error::failed(format!("{name} wrote more than is read"))),
        Exit::Cancelled => Some(Error::cancelled()),
    }
}
