//! How a release misbehaves, read from `faults.toml` in its release directory.
//!
//! * `migrate-fails-before`: `migrate` exits with 3 before it does anything.
//! * `migrate-fails-half-way`: migration 3 fails after half of its batches and stays half applied.
//!   Migrations 1 and 2 are transactions and are rolled back.
//! * `migrate-slow-ms = N`: N milliseconds before each batch of migration 3 (ten batches, more from
//!   100,000 orders on), and once inside migration 2 when the release is 2.
//! * `migrate-pauses`: half-way through migration 3 it makes a file `half-way` in the release
//!   directory, and goes on when somebody removes it, at the latest after ten minutes.
//! * `never-ready`: `/health/ready` answers 503 for ever.
//! * `wrong-version`: ready, but `/health` names version 0.0.0.
//! * `error-rate = 0.3`: this share of the requests to `/orders` and `/signed` answers 500, evenly
//!   spread.
//! * `slow-ms = N`: each request but `/health/ready` and `/metrics` takes N milliseconds more.
//! * `crash-after-s = N`: `serve` dies with status 101 after N seconds (fractions allowed), without
//!   draining.
//! * `exit-at-start`: `serve` exits with 1 before it does anything.
//! * `require-region`: as the option of `serve`.
//!
//! The file is TOML; of TOML, only `name = value` with a number or `true`, and comments, are read.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::failure::usage;

/// Version of the file's format.
const FORMAT: &str = "1";
/// Longest delay that a fault can cause, so that a mistyped number does not hang a test for ever.
const DELAY_MS_MAX: u64 = 600_000;
/// Latest moment at which `crash-after-s` strikes.
const CRASH_AFTER_S_MAX: f64 = 86_400.0;

/// Every fault; the default is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    pub(crate) migrate_fails_before: bool,
    pub(crate) migrate_fails_half_way: bool,
    pub(crate) migrate_slow: Duration,
    pub(crate) migrate_pauses: bool,
    pub(crate) never_ready: bool,
    pub(crate) wrong_version: bool,
    /// From 0 to 1.
    pub(crate) error_rate: f64,
    pub(crate) slow: Duration,
    pub(crate) crash_after: Option<Duration>,
    pub(crate) exit_at_start: bool,
    pub(crate) require_region: bool,
}

impl Faults {
    /// Reads the file; a file that is not there means no faults, one that is wrong is an error.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text).with_context(|| format!("in {}", file.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Checks faults as given on the command line, `name` or `name=value`, and gives the file's
    /// text.
    pub(crate) fn file_text(given: &[String]) -> Result<String> {
        let mut faults = Self::default();
        let mut text = format!("format = {FORMAT}\n");
        for fault in given {
            let (name, value) = fault.split_once('=').unwrap_or((fault, "true"));
            faults.set(name, value).map_err(|error| usage(error.to_string()))?;
            text.push_str(&format!("{name} = {value}\n"));
        }
        Ok(text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut faults = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let place = || format!("line {}", index + 1);
            let Some((name, value)) = line.split_once('=') else {
                bail!("line {}: `{line}` is not `name = value`", index + 1);
            };
            faults.set(name.trim(), value.trim()).with_context(place)?;
        }
        Ok(faults)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "format" if value == FORMAT => {}
            "format" => bail!("format {value} is not known, only {FORMAT}"),
            "migrate-fails-before" => self.migrate_fails_before = truth(name, value)?,
            "migrate-fails-half-way" => self.migrate_fails_half_way = truth(name, value)?,
            "migrate-slow-ms" => self.migrate_slow = delay(name, value)?,
            "migrate-pauses" => self.migrate_pauses = truth(name, value)?,
            "never-ready" => self.never_ready = truth(name, value)?,
            "wrong-version" => self.wrong_version = truth(name, value)?,
            "error-rate" => self.error_rate = number(name, value, 1.0)?,
            "slow-ms" => self.slow = delay(name, value)?,
            "crash-after-s" => {
                let seconds = number(name, value, CRASH_AFTER_S_MAX)?;
                self.crash_after = Some(Duration::from_secs_f64(seconds));
            }
            "exit-at-start" => self.exit_at_start = truth(name, value)?,
            "require-region" => self.require_region = truth(name, value)?,
            _ => bail!("there is no fault `{name}`"),
        }
        Ok(())
    }
}

fn truth(name: &str, value: &str) -> Result<bool> {
    value.parse().ok().with_context(|| format!("`{name}` is true or false, not `{value}`"))
}

fn delay(name: &str, value: &str) -> Result<Duration> {
    match value.parse() {
        Ok(milliseconds) if milliseconds <= DELAY_MS_MAX => Ok(Duration::from_millis(milliseconds)),
        _ => bail!("`{name}` is a number of milliseconds up to {DELAY_MS_MAX}, not `{value}`"),
    }
}

fn number(name: &str, value: &str, most: f64) -> Result<f64> {
    match value.parse() {
        Ok(number) if (0.0..=most).contains(&number) => Ok(number),
        _ => bail!("`{name}` is a number from 0 to {most}, not `{value}`"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;

    #[test]
    fn what_install_writes_is_what_serve_reads() {
        let given = ["never-ready", "error-rate=0.3", "slow-ms=20"].map(str::to_owned);
        let faults = Faults::parse(&Faults::file_text(&given).unwrap()).unwrap();
        assert!(faults.never_ready);
        assert_eq!(faults.error_rate, 0.3);
        assert_eq!(faults.slow, Duration::from_millis(20));
    }

    #[test]
    fn an_unknown_fault_or_format_is_refused() {
        assert!(Faults::file_text(&["never-redy".to_owned()]).is_err());
        assert!(Faults::parse("format = 2").is_err());
        assert!(Faults::parse("[faults]").is_err());
    }

    #[test]
    fn limits_hold_and_one_past_them_is_refused() {
        for good in ["error-rate = 1", "slow-ms = 600000", "crash-after-s = 86400 # a day"] {
            assert!(Faults::parse(good).is_ok(), "{good}");
        }
        for wrong in ["error-rate = 1.01", "error-rate = NaN", "slow-ms = 600001"] {
            assert!(Faults::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Faults::parse("crash-after-s = 86401").is_err());
        assert!(Faults::parse("slow-ms = -1").is_err());
    }
}
