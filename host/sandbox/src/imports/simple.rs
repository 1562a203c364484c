//! `secret`, `log`, `progress`, `cancel` and `clock`.

use std::time::Duration;

use system::redact::visible;

use crate::bindings::host::vaultup::plugin as contract;
use crate::bindings::host::vaultup::plugin::types as wit;
use crate::limits::{PAUSE_MS_MAX, PROGRESS_REPORTS_MAX, UNIT_BYTES_MAX};
use crate::session::LogLevel;
use crate::state::{Denial, Granting, State, told};
use crate::text::cut_end;

/// Between the refusals of a guest that goes on waiting when there is nothing to wait for.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(1);

impl contract::secret::Host for State {
    async fn available(&mut self, name: String) -> Granting<bool> {
        if !self.facts.has_secret(&name) {
            return Ok(false);
        }
        Ok(self.facts.session.secrets.lookup(&name).await.is_ok())
    }
}

impl contract::log::Host for State {
    fn write(&mut self, level: contract::log::Level, text: String) -> wasmtime::Result<()> {
        let level = match level {
            contract::log::Level::Debug => LogLevel::Debug,
            contract::log::Level::Information => LogLevel::Information,
            contract::log::Level::Warning => LogLevel::Warning,
        };
        self.log.write(level, &text);
        Ok(())
    }
}

impl contract::progress::Host for State {
    fn report(&mut self, done: u64, total: Option<u64>, unit: String) -> wasmtime::Result<()> {
        self.progress_reports += 1;
        if self.progress_reports <= PROGRESS_REPORTS_MAX {
            let unit = self.facts.session.redactor.redact(&unit).into_owned();
            let unit = visible(cut_end(&unit, UNIT_BYTES_MAX)).into_owned();
            self.facts.session.observer.progress(done, total, &unit);
        }
        Ok(())
    }
}

impl contract::cancel::Host for State {
    fn requested(&mut self) -> wasmtime::Result<bool> {
        Ok(self.facts.is_cancelled())
    }
}

impl contract::clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let now = self.facts.session.surroundings.clock.now().as_millisecond();
        // A clock before 1970 is one that was never set.
        Ok(u64::try_from(now).unwrap_or(0))
    }

    async fn pause(&mut self, milliseconds: u64) -> Granting<()> {
        let wanted = pause_of(milliseconds);
        let remaining = self.facts.remaining();
        if self.pauses_refused > 0 {
            // It was told, and does not stop: it is not to spin until it is thrown away.
            tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
        }
        if self.facts.is_cancelled() || remaining.is_zero() {
            self.pauses_refused += 1;
        }
        let pause = self.facts.session.surroundings.clock.sleep(wanted.min(remaining));
        tokio::select! {
            biased;
            () = self.facts.cancelled() => Err(Denial::Told(wit::Error::Cancelled)),
            () = pause => match wanted > remaining {
                true => Err(told(wit::Error::TimedOut, "the operation's deadline passed")),
                false => Ok(()),
            },
        }
    }
}

/// How long a pause is that a plugin asks for: what is longer is cut.
fn pause_of(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds.min(PAUSE_MS_MAX))
}

#[cfg(test)]
mod tests {
    use super::{PAUSE_MS_MAX, pause_of};

    #[test]
    fn a_pause_past_the_longest_is_cut_to_it() {
        for milliseconds in [PAUSE_MS_MAX, PAUSE_MS_MAX + 1, u64::MAX] {
            assert_eq!(pause_of(milliseconds).as_millis(), PAUSE_MS_MAX.into());
        }
        assert_eq!(pause_of(PAUSE_MS_MAX - 1).as_millis(), (PAUSE_MS_MAX - 1).into());
    }
}
