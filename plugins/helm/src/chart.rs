//! What a chart says of itself.

use serde_json::Value;
use vaultup_kubectl::manifest;
use vaultup_sdk::process::{Arguments, Asked, Command};
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
    /// Asks what the next release's chart says of itself: [`Case::InvalidSettings`] if there is no
    /// such chart.
    pub(crate) fn ask_chart(&self, source: &Source) -> Asked<'_, Chart> {
        let shown = source.shown();
        self.show("chart", source).ask(move |finished| {
            let text = self.told(finished, "`helm show chart`");
            Chart::read(&text.map_err(|error| not_there(&shown, error))?, &shown)
        })
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

    /// Asks for the custom resource definitions that a chart brings.
    pub(crate) fn ask_definitions(&self, source: &Source) -> Asked<'_, Vec<Value>> {
        self.show("crds", source)
            .ask(|finished| manifest::objects(&self.told(finished, "`helm show crds`")?))
    }

    fn show(&self, what: &str, source: &Source) -> Command<Arguments> {
        let words = ["show", what, &source.chart].map(str::to_owned);
        self.helm(words.into_iter().chain(self.fetch_words(source)))
    }
}

impl Chart {
    fn read(text: &str, shown: &str) -> Result<Self, Error> {
        let objects = manifest::objects(text)?;
        let said = objects.first().unwrap_or(&Value::Null);
        let field = |key: &str| match &said[key] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let version = field("version");
        if version.is_empty() {
            let message = format!("the chart `{shown}` says no version");
            return Err(Error::corrupt(message).with_platform(text));
        }
        Ok(Self { version, app_version: field("appVersion") })
    }
}

/// What it means that a chart cannot be shown.
fn not_there(shown: &str, error: Error) -> Error {
    match error.case() {
        Case::Unreachable | Case::TimedOut => {
            let message = format!("the chart `{shown}` cannot be fetched");
            Error::new(error.case().clone(), message).with_platform(error.message())
        }
        Case::Cancelled => error,
        _ => Error::invalid_settings(format!("there is no chart `{shown}`"))
            .with_platform(error.message()),
    }
}
