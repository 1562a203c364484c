//! What a chart says of itself.

use serde_json::Value;
use vaultup_kubectl::manifest;
use vaultup_sdk::{Case, Error};

use crate::history::version_of;
use crate::release::{Release, Source};

/// Versions of a chart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chart {
    pub(crate) version: String,
    pub(crate) app_version: String,
}

impl Release<'_> {
    /// What the next release's chart says of itself.
    ///
    /// # Errors
    /// [`Case::InvalidSettings`] if there is no such chart.
    pub(crate) fn chart(&self, source: &Source) -> Result<Chart, Error> {
        let text = self.show("chart", source).map_err(|error| match error.case() {
            Case::Unreachable | Case::TimedOut => {
                let message = format!("the chart `{}` cannot be fetched", source.shown());
                Error::new(error.case().clone(), message).with_platform(error.message())
            }
            Case::Cancelled => error,
            _ => Error::invalid_settings(format!("there is no chart `{}`", source.shown()))
                .with_platform(error.message()),
        })?;
        let objects = manifest::objects(&text)?;
        let said = objects.first().unwrap_or(&Value::Null);
        let field = |key: &str| match &said[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let version = field("version");
        if version.is_empty() {
            let message = format!("the chart `{}` says no version", source.shown());
            return Err(Error::corrupt(message).with_platform(text));
        }
        Ok(Chart { version, app_version: field("appVersion") })
    }

    /// Checks that a chart is the next release's, if versions are read from charts at all.
    ///
    /// # Errors
    /// [`Case::InvalidSettings`] naming both versions.
    pub(crate) fn check_chart(&self, source: &Source, chart: &Chart) -> Result<(), Error> {
        let settings = &self.operation.settings;
        let next = &self.operation.next()?.version;
        if settings.version_value.is_some() {
            return Ok(());
        }
        let is = version_of(&chart.version, &chart.app_version, settings.version_in);
        if is.as_ref() == Some(next) {
            return Ok(());
        }
        Err(Error::invalid_settings(format!(
            "the chart `{}` is version {} with app version {}, and neither is release {next}",
            source.shown(),
            chart.version,
            if chart.app_version.is_empty() { "none" } else { &chart.app_version },
        )))
    }

    /// The custom resource definitions that a chart brings.
    pub(crate) fn definitions(&self, source: &Source) -> Result<Vec<Value>, Error> {
        manifest::objects(&self.show("crds", source)?)
    }

    fn show(&self, what: &str, source: &Source) -> Result<String, Error> {
        let words = ["show", what, &source.chart].map(str::to_owned);
        self.told(
            self.helm(words.into_iter().chain(self.fetch_words(source))).attempt()?,
            &format!("`helm show {what}`"),
        )
    }
}
