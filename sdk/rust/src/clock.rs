//! Time: when a call must be over, and waiting until the platform has done something.
//!
//! Nothing waits without a deadline, and everything that waits ends within a second when the host
//! asks to stop.

use std::cell::Cell;
use std::time::Duration;

use crate::host::*;
use crate::{Case, Error, cancel};

/// The longest single pause that the host allows.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The first pause of [`wait_until`]; each next one is twice as long, up to the interval.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
/// How long a command may run that is started outside of any call, as tests do.
const TIME_OUTSIDE_CALLS: Duration = Duration::from_secs(600);

thread_local! {
    static CALL: Cell<Option<Deadline>> = const { Cell::new(None) };
}

/// A moment at which waiting ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    milliseconds: u64,
}

/// What one look at the platform shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait<Found> {
    /// What was waited for is there.
    Over(Found),
    /// Not yet, for this reason, which the operator reads if the deadline passes.
    NotYet(String),
}

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn after(duration: Duration) -> Self {
        Self { milliseconds: now_ms().saturating_add(whole_milliseconds(duration)) }
    }

    /// The time that is left; zero when it has passed.
    #[must_use]
    pub fn time_left(self) -> Duration {
        Duration::from_millis(self.milliseconds.saturating_sub(now_ms()))
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
#[must_use]
pub fn now_ms() -> u64 {
    host().now()
}

/// The time that is left of the call that is carried out now.
#[must_use]
pub fn time_left() -> Duration {
    CALL.get().map_or(TIME_OUTSIDE_CALLS, Deadline::time_left)
}

/// Waits, at most [`PAUSE_MAX`].
///
/// # Errors
/// [`Case::Cancelled`] or [`Case::TimedOut`] when the call is to end.
pub fn pause(duration: Duration) -> Result<(), Error> {
    host().pause(whole_milliseconds(duration.min(PAUSE_MAX)))
}

/// Looks again and again until `look` finds what is waited for. The pauses grow from 10 ms to
/// `interval`.
///
/// # Errors
/// What `look` answers; [`Case::TimedOut`] with the last reason for which it was not over yet;
/// [`Case::Cancelled`] when the host asks to stop.
pub fn wait_until<Found>(
    deadline: Deadline,
    interval: Duration,
    mut look: impl FnMut() -> Result<Wait<Found>, Error>,
) -> Result<Found, Error> {
    let begun = now_ms();
    let mut wait = PAUSE_FIRST.min(interval);
    loop {
        if cancel::requested() {
            return Err(Error::cancelled());
        }
        let reason = match look()? {
            Wait::Over(found) => return Ok(found),
            Wait::NotYet(reason) => reason,
        };
        let waited_ms = now_ms().saturating_sub(begun);
        let over = || Error::timed_out(format!("after {}: {reason}", shown(waited_ms)));
        let left = deadline.time_left();
        if left.is_zero() {
            return Err(over());
        }
        match pause(wait.min(left)) {
            Err(error) if error.case() == &Case::TimedOut => return Err(over()),
            paused => paused?,
        }
        wait = (wait * 2).min(interval);
    }
}

/// Notes when the call that begins now must be over.
pub(crate) fn begin_call(deadline_ms: u64) -> Deadline {
    let deadline = Deadline { milliseconds: now_ms().saturating_add(deadline_ms) };
    CALL.set(Some(deadline));
    deadline
}

/// A duration in whole milliseconds.
pub(crate) fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn shown(milliseconds: u64) -> String {
    match milliseconds {
        0..10_000 => format!("{milliseconds} ms"),
        _ => format!("{} s", milliseconds / 1000),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::testing::Machine;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_there_at_once_is_not_waited_for() {
        let machine = Machine::new().install();
        let begun = now_ms();
        let found = wait_until(Deadline::after(SECOND), SECOND, || Ok(Wait::Over(7)));
        assert_eq!((found, now_ms()), (Ok(7), begun));
        drop(machine);
    }

    #[test]
    fn a_wait_that_runs_out_says_what_was_missing_last() {
        let _machine = Machine::new().install();
        let mut looks = 0;
        let waited = wait_until::<()>(Deadline::after(SECOND), SECOND, || {
            looks += 1;
            Ok(Wait::NotYet(format!("look {looks}")))
        });
        let error = waited.unwrap_err();
        assert_eq!(error.case(), &Case::TimedOut);
        assert_eq!(error.message(), format!("after 1000 ms: look {looks}"));
        assert!(looks < 12, "{looks} looks in a second are too many");
    }

    #[test]
    fn a_wait_ends_when_the_host_asks_to_stop() {
        let machine = Machine::new().install();
        let waited = wait_until::<()>(Deadline::after(SECOND), SECOND, || {
            machine.cancel();
            Ok(Wait::NotYet("never".to_owned()))
        });
        assert_eq!(waited, Err(Error::cancelled()));
    }
}
