//! Secrets: usable by name, never readable.
//!
//! In the settings a secret stands as `{"secret": "NAME"}`. A plugin hands the name on, to an
//! environment variable, standard input, a short-lived file or a header; the value is the host's.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::host::*;
use crate::process::{Command, Program};

/// A secret as it stands in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// Its name.
    #[serde(rename = "secret")]
    pub name: String,
}

/// A setting that is either a text or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TextOrSecret {
    /// Text as it is.
    Text(String),
    /// The value of a secret.
    Secret(Secret),
}

/// Whether the secret of this name is granted and can be had now.
///
/// # Errors
/// If its source cannot be asked.
pub fn available(name: &str) -> Result<bool, Error> {
    host().secret_available(name)
}

impl<What: Program> Command<What> {
    /// Sets an environment variable to a setting that may be a secret.
    pub fn environment_from(self, name: impl Into<String>, value: &TextOrSecret) -> Self {
        match value {
            TextOrSecret::Text(text) => self.environment(name, text),
            TextOrSecret::Secret(secret) => self.secret_environment(name, &secret.name),
        }
    }
}
