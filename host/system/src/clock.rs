//! Time as a thing that is passed around.
//!
//! Threat: a library that reads the clock itself can neither be tested at three in the morning of
//! a DST change nor replayed. Everything that needs time takes a [`Clock`].

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

/// A wait that ends when the clock has advanced far enough.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// The time of day, which an administrator may set back.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment, which never goes back; for measuring.
    fn monotonic(&self) -> Duration;

    /// Waits so long.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// The clock, whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until it is advanced, for tests. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    advanced: Notify,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    elapsed: Duration,
}

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        let state = Mutex::new(State { now, elapsed: Duration::ZERO });
        Self { shared: Arc::new(Shared { state, advanced: Notify::new() }) }
    }

    /// Lets so much time pass; every wait that is over then ends.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.shared.state();
        state.elapsed = state.elapsed.saturating_add(duration);
        // At the end of representable time the clock stands still rather than wraps.
        state.now = state.now.saturating_add(duration).unwrap_or(Timestamp::MAX);
        drop(state);
        self.shared.advanced.notify_waiters();
    }

    /// Sets the time of day, as an administrator can; monotonic time is not touched.
    pub fn set(&self, now: Timestamp) {
        self.shared.state().now = now;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held, and two numbers cannot be half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.shared.state().now
    }

    fn monotonic(&self) -> Duration {
        self.shared.state().elapsed
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        let shared = Arc::clone(&self.shared);
        let until = shared.state().elapsed.saturating_add(duration);
        Box::pin(async move {
            loop {
                // Registered before looking, so that an advance in between is not missed.
                let advanced = shared.advanced.notified();
                if shared.state().elapsed >= until {
                    return;
                }
                advanced.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{Clock, ManualClock, SystemClock};
    use jiff::Timestamp;
    use std::time::Duration;

    #[tokio::test]
    async fn a_wait_on_a_manual_clock_ends_when_it_is_advanced_far_enough() {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        let waiting = tokio::spawn(clock.sleep(Duration::from_secs(10)));
        clock.advance(Duration::from_secs(9));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        clock.advance(Duration::from_secs(1));
        waiting.await.unwrap();
        assert_eq!(clock.now(), Timestamp::from_second(10).unwrap());
    }

    #[test]
    fn setting_the_time_of_day_back_does_not_touch_monotonic_time() {
        let clock = ManualClock::at(Timestamp::from_second(100).unwrap());
        clock.advance(Duration::from_secs(5));
        clock.set(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn the_machines_clock_goes_forward() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        clock.sleep(Duration::from_millis(2)).await;
        assert!(clock.monotonic() >= before + Duration::from_millis(2));
        assert!(clock.now() > Timestamp::from_second(1_700_000_000).unwrap());
    }
}
