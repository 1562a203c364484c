//! Measures how a component or datastore is.

use crate::Error;
use crate::bindings::checks_health::exports::vaultup::plugin::health_check::Guest;
#[doc(inline)]
pub use crate::bindings::checks_health::exports::vaultup::plugin::health_check::{
    Measurement, Value, Verdict,
};
use crate::bindings::imports::vaultup::plugin::types;
use crate::operation::{Operation, Plugin, understood};

/// Measures how a component or datastore is.
pub trait HealthCheck: Plugin {
    /// Measures now, without waiting for better. Changes nothing; the host repeats it until its
    /// deadline, and the operator's expectations have the last word.
    ///
    /// # Errors
    /// If nothing can be measured; what is unhealthy is no error.
    fn probe(operation: &Operation<Self::Settings>) -> Result<Vec<Measurement>, Error>;
}

impl Measurement {
    /// A number in a unit, by its symbol (`ms`, `bytes`, `1`).
    pub fn number(name: impl Into<String>, value: f64, unit: &str, verdict: Verdict) -> Self {
        Self::of(name, Value::Number(value), unit, verdict)
    }

    /// A text such as a version.
    pub fn text(name: impl Into<String>, value: impl Into<String>, verdict: Verdict) -> Self {
        Self::of(name, Value::Text(value.into()), "", verdict)
    }

    /// A yes or no.
    pub fn truth(name: impl Into<String>, value: bool, verdict: Verdict) -> Self {
        Self::of(name, Value::Truth(value), "", verdict)
    }

    /// Adds what an operator needs to know of it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn of(name: impl Into<String>, value: Value, unit: &str, verdict: Verdict) -> Self {
        let (name, unit) = (name.into(), unit.to_owned());
        Self { name, value, unit, verdict, detail: String::new() }
    }
}

impl<P: HealthCheck> Guest for P {
    fn probe(raw: types::Operation) -> Result<Vec<Measurement>, types::Error> {
        Ok(<P as HealthCheck>::probe(&understood(raw)?)?)
    }
}
