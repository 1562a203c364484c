//! HTTP requests to granted hosts.
//!
//! ```
//! use vaultup_sdk::{Error, http};
//!
//! fn connections(url: &str) -> Result<u64, Error> {
//!     let answer: serde_json::Value =
//!         http::get(url).secret_header("authorization", "Bearer ", "token").send()?.json()?;
//!     answer["connections"].as_u64().ok_or_else(|| Error::corrupt("`connections` is missing"))
//! }
//! ```

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::imports::vaultup::plugin::http as raw;
#[doc(inline)]
pub use crate::bindings::imports::vaultup::plugin::http::Response;
use crate::host::*;
use crate::{Error, clock};

/// A request that is being put together.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, raw::HeaderValue)>,
    body: Option<Vec<u8>>,
    within: Option<Duration>,
}

/// A `GET` of an absolute URL.
pub fn get(url: impl Into<String>) -> Request {
    request("GET", url)
}

/// A request of this method: `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`. All but the first
/// two are refused by the host while it only checks or plans.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> Request {
    let (method, url) = (method.into(), url.into());
    Request { method, url, headers: Vec::new(), body: None, within: None }
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), raw::HeaderValue::Text(value.into())));
        self
    }

    /// Adds a header whose value is `prefix` followed by the value of a secret.
    pub fn secret_header(
        mut self,
        name: impl Into<String>,
        prefix: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        let value = raw::HeaderValue::Secret((prefix.into(), secret.into()));
        self.headers.push((name.into(), value));
        self
    }

    /// Sends a body, at most 1 MiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Gives up after this time, if the deadline of the call is not earlier.
    pub fn within(mut self, duration: Duration) -> Self {
        self.within = Some(duration);
        self
    }

    /// Sends it and waits for the answer, whatever its status.
    ///
    /// # Errors
    /// [`crate::Case::Denied`] if the host is not granted, [`crate::Case::Unreachable`] if there
    /// was no answer.
    pub fn send(self) -> Result<Response, Error> {
        let left = clock::time_left();
        let within = self.within.map_or(left, |within| within.min(left));
        host().send(&raw::Request {
            method: self.method,
            url: self.url,
            headers: self.headers,
            body: self.body,
            deadline_ms: clock::whole_milliseconds(within),
        })
    }
}

impl Response {
    /// The body as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body read as JSON.
    ///
    /// # Errors
    /// [`crate::Case::Corrupt`] if it is no such JSON.
    pub fn json<Answer: DeserializeOwned>(&self) -> Result<Answer, Error> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let status = self.status;
            Error::corrupt(format!("the answer with status {status} is not as expected: {error}"))
                .with_platform(self.text())
        })
    }
}
