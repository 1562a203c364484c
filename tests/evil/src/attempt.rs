//! Attempts and what came of them.

use vaultup_sdk::Error;

/// The most characters of one outcome that are told.
const OUTCOME_CHARACTERS_MAX: usize = 300;

/// Attempts and what came of them.
#[derive(Default)]
pub(crate) struct Attempts {
    outcomes: Vec<String>,
    has_escaped: bool,
}

impl Attempts {
    /// Tries something that must be refused.
    pub(crate) fn expect_refusal(
        &mut self,
        what: impl Into<String>,
        outcome: Result<impl Into<String>, Error>,
    ) {
        let what = what.into();
        match outcome {
            Ok(found) => {
                self.has_escaped = true;
                self.note(&what, "ESCAPED", &found.into());
            }
            Err(error) => self.note(&what, "refused", &error.to_string()),
        }
    }

    /// Tries something that may succeed; what was seen is told.
    pub(crate) fn look(
        &mut self,
        what: impl Into<String>,
        outcome: Result<impl Into<String>, Error>,
    ) {
        let what = what.into();
        match outcome {
            Ok(found) => self.note(&what, "saw", &found.into()),
            Err(error) => self.note(&what, "refused", &error.to_string()),
        }
    }

    /// `contained` if every attempt was refused, else `escaped`.
    pub(crate) fn verdict(self) -> Result<(), Error> {
        let case = if self.has_escaped { "escaped" } else { "contained" };
        self.told(case)
    }

    /// `seen`, whatever came of them.
    pub(crate) fn told_as_seen(self) -> Result<(), Error> {
        self.told("seen")
    }

    fn told(self, case: &str) -> Result<(), Error> {
        let message = format!("{} attempts", self.outcomes.len());
        Err(Error::other(case, message).with_platform(self.outcomes.join("\n")))
    }

    fn note(&mut self, what: &str, verdict: &str, outcome: &str) {
        let outcome: String = outcome.chars().take(OUTCOME_CHARACTERS_MAX).collect();
        self.outcomes.push(format!("{what:?}: {verdict}: {outcome}"));
    }
}
