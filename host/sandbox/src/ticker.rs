//! The clock by which guests that compute are looked at.
//!
//! Invariants:
//! - While a call runs, the engine's epoch grows every [`TICK_MS`], whatever the executor does: the
//!   thread is the host's own, so that a guest which never yields cannot stop it.
//! - Without a call there is nothing to do, and the thread sleeps. It is not started before the
//!   first call, because most commands make none.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

use crate::limits::TICK_MS;

/// Starts and stops the ticks.
#[derive(Clone)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    engine: EngineWeak,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    calls: usize,
    is_started: bool,
}

/// Ticks go on while this lives.
pub(crate) struct Ticking {
    shared: Arc<Shared>,
}

impl Ticker {
    pub(crate) fn new(engine: &Engine) -> Self {
        let state = Mutex::new(State::default());
        let shared = Shared { engine: engine.weak(), state, wake: Condvar::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Makes the epoch grow until the answer is dropped.
    ///
    /// # Errors
    /// If the thread cannot be started: then no guest may run, because nothing could stop it.
    pub(crate) fn start(&self) -> std::io::Result<Ticking> {
        let mut state = self.shared.state();
        if !state.is_started {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .name("vaultup-ticks".to_owned())
                .spawn(move || shared.tick_for_ever())?;
            state.is_started = true;
        }
        state.calls += 1;
        self.shared.wake.notify_one();
        drop(state);
        Ok(Ticking { shared: Arc::clone(&self.shared) })
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.shared.state().calls -= 1;
    }
}

impl Shared {
    /// The state is a number and a flag: a panic elsewhere leaves nothing half-done in it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the engine is gone.
    fn tick_for_ever(&self) {
        loop {
            let state = self.state();
            let idle = self.wake.wait_while(state, |state| state.calls == 0);
            drop(idle.unwrap_or_else(PoisonError::into_inner));
            thread::sleep(Duration::from_millis(TICK_MS));
            match self.engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
            }
        }
    }
}
