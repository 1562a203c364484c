//! `http`: requests to granted hosts.
//!
//! Threat: a request elsewhere, or one that changes something while only reading is allowed; a
//! secret in an answer. [`system::http`] checks addresses and redirects.

use system::http::{Header, HostPort, NamedBy, Policy, Request};

use crate::bindings::host::vaultup::plugin::http as wit;
use crate::bindings::host::vaultup::plugin::types::Error as PluginError;
use crate::limits::HEADERS_MAX;
use crate::state::{Denial, Facts, Granting, State, denied};
use model::manifest::{Class, HttpNeed};
use model::settings::at;

/// Methods that change nothing, by their definition.
const READING_METHODS: [&str; 2] = ["GET", "HEAD"];

impl wit::Host for State {
    async fn send(&mut self, request: wit::Request) -> Granting<wit::Response> {
        let facts = &self.facts;
        let policy = policy(facts)?;
        let class = match READING_METHODS.contains(&request.method.as_str()) {
            true => Class::Read,
            false => Class::Change,
        };
        if request.headers.len() > HEADERS_MAX {
            return Err(denied(format!("{HEADERS_MAX} headers are the most for one request")));
        }
        let mut headers = Vec::with_capacity(request.headers.len());
        for (name, value) in request.headers {
            headers.push(match value {
                wit::HeaderValue::Text(value) => Header { name, value, secret: false },
                wit::HeaderValue::Secret((prefix, secret)) => {
                    let secret = facts.secret(&secret).await?;
                    let value = std::str::from_utf8(secret.expose()).map_err(|_| {
                        denied(format!("the secret `{}` is no text", secret.name()))
                    })?;
                    Header { name, value: format!("{prefix}{value}"), secret: true }
                }
            });
        }
        let request = Request {
            method: request.method,
            url: request.url,
            headers,
            body: request.body,
            deadline: facts.within(request.deadline_ms),
        };
        // The last look, right before it is sent.
        facts.permit(class)?;
        let response = tokio::select! {
            biased;
            () = facts.cancelled() => return Err(Denial::Told(PluginError::Cancelled)),
            response = facts.session.surroundings.http.send(&request, &policy) => response?,
        };
        let redactor = &facts.session.redactor;
        Ok(wit::Response {
            status: response.status,
            headers: response
                .headers
                .into_iter()
                .map(|(name, value)| (name, redactor.redact(&value).into_owned()))
                .collect(),
            body: super::without_secrets(redactor, response.body),
            milliseconds: u64::try_from(response.elapsed.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

fn policy(facts: &Facts) -> Granting<Policy> {
    let mut allowed = Vec::new();
    for need in &facts.manifest.http {
        match need {
            HttpNeed::Host(host) => allowed.push((HostPort::parse(host)?, NamedBy::Manifest)),
            HttpNeed::Setting(key) => {
                let Some(place) = at(&facts.settings, key) else { continue };
                let urls = match place {
                    serde_json::Value::Array(urls) => urls.iter().collect(),
                    url => vec![url],
                };
                for url in urls.into_iter().filter_map(serde_json::Value::as_str) {
                    allowed.push((HostPort::of_url(url)?, NamedBy::Operator));
                }
            }
        }
    }
    Ok(Policy { allowed })
}
