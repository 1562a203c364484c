//! HTTP requests to granted hosts.
//!
//! Threats: a granted name that resolves to the machine's own services or to the cloud's metadata
//! service; a redirect to either; an answer without end; a drip of one byte a second; a secret in
//! a header that follows a redirect to somebody else.
//!
//! Invariants:
//! - The addresses that a name resolves to are checked by the resolver whose answer is connected
//!   to: there is no second look-up that could answer otherwise.
//! - Link-local addresses and metadata services are refused whoever named them. A host that the
//!   operator named may be anything else; one that only a manifest named must be public.
//! - Redirects are followed here, at most [`REDIRECTS_MAX`], each checked like a first request.
//! - No proxy: the environment's is not taken, since a proxy would resolve names by itself.
//! - Every request has a connection of its own. A kept one would go on talking to an instance
//!   that is being drained, and say that all is well.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use tokio::time::Instant;

mod address;
mod client;

pub use address::{HostPort, NamedBy, Policy};

use crate::error::Error;
use client::{Route, connect};

/// Largest body that is sent.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Largest body of an answer, as it comes; compressed answers are not asked for.
pub const RESPONSE_BYTES_MAX: usize = 8 << 20;

/// Longest chain of redirects. Browsers follow 20; a health check or registry needs two.
pub const REDIRECTS_MAX: usize = 5;

/// The methods of the contract.
const METHODS: &[Method] =
    &[Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Headers that say who asks, and are never sent to another host than the one first asked.
const CREDENTIAL_HEADERS: &[&str] = &["authorization", "cookie", "proxy-authorization"];

/// Headers that belong to the connection, which is not the caller's.
const CONNECTION_HEADERS: &[&str] =
    &["connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"];

/// A header.
#[derive(Clone)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the value is secret: it is shown nowhere and never follows a redirect to another
    /// host.
    pub secret: bool,
}

impl fmt::Debug for Header {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.secret { "(secret)" } else { &self.value };
        write!(formatter, "{}: {value}", self.name)
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// Absolute, `http` or `https`, without a user or password.
    pub url: String,
    /// Headers; those of the connection itself are refused.
    pub headers: Vec<Header>,
    /// At most [`REQUEST_BYTES_MAX`].
    pub body: Option<Vec<u8>>,
    /// Time for everything: name, connection, redirects and the last byte of the answer.
    pub deadline: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers in the order of arrival; bytes that are not ASCII are replaced.
    pub headers: Vec<(String, String)>,
    /// Its body, at most [`RESPONSE_BYTES_MAX`].
    pub body: Vec<u8>,
    /// Time from the request to the last byte, redirects included.
    pub elapsed: Duration,
}

/// Sends requests. Nothing is set up before it is needed: reading the machine's certificate
/// authorities alone takes longer than a whole `vaultup status`.
#[derive(Debug, Default)]
pub struct Http {
    authorities: Vec<Vec<u8>>,
    clients: Mutex<BTreeMap<Route, reqwest::Client>>,
}

impl Http {
    /// A sender that trusts the machine's certificate authorities.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A sender that trusts these authorities as well, each a certificate in DER form.
    #[must_use]
    pub fn trusting(authorities: Vec<Vec<u8>>) -> Self {
        Self { authorities, clients: Mutex::default() }
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`Error::HttpMalformed`], [`Error::HttpNotGranted`], [`Error::HttpAddressRefused`] and
    /// [`Error::HttpAuthorities`] before anything was sent; the other `Http…` errors after
    /// something may have been.
    pub async fn send(&self, request: &Request, policy: &Policy) -> Result<Response, Error> {
        let began = Instant::now();
        let url = parse(&request.url)?;
        let asked = shown(&url);
        let work = self.follow(request, url, policy);
        match tokio::time::timeout(request.deadline, work).await {
            Ok(result) => {
                let mut response = result?;
                response.elapsed = began.elapsed();
                Ok(response)
            }
            Err(_) => Err(Error::HttpDeadline { url: asked, deadline: request.deadline }),
        }
    }

    async fn follow(
        &self,
        request: &Request,
        mut url: Url,
        policy: &Policy,
    ) -> Result<Response, Error> {
        let mut hop = Hop::first(request)?;
        let mut redirects = 0;
        loop {
            let answer = self.ask(&url, &hop, policy).await?;
            let Some(location) = redirect(&answer, &hop.method) else {
                return read(answer, &url).await;
            };
            let refuse =
                |reason: &str| Error::HttpRedirect { url: shown(&url), reason: reason.to_owned() };
            redirects += 1;
            if redirects > REDIRECTS_MAX {
                return Err(refuse("there were too many before it"));
            }
            let location = location.to_str().map_err(|_| refuse("its target is no text"))?;
            let next = url.join(location).map_err(|_| refuse("its target is no URL"))?;
            if url.scheme() == "https" && next.scheme() != "https" {
                return Err(refuse("it leads from https to http"));
            }
            if origin(&url) != origin(&next) {
                hop.forget_credentials();
            }
            hop.turn(answer.status());
            url = next;
        }
    }

    async fn ask(&self, url: &Url, hop: &Hop, policy: &Policy) -> Result<reqwest::Response, Error> {
        let named_by = policy.check(url)?;
        let route = Route { named_by, secure: url.scheme() == "https" };
        let client = self.client(route)?;
        let mut builder = client.request(hop.method.clone(), url.clone());
        builder = builder.headers(hop.headers.clone());
        if let Some(body) = &hop.body {
            builder = builder.body(body.clone());
        }
        builder.send().await.map_err(|error| client::explain(error, url))
    }

    fn client(&self, route: Route) -> Result<reqwest::Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&route) {
            return Ok(client.clone());
        }
        let client = connect(route, &self.authorities)?;
        clients.insert(route, client.clone());
        Ok(client)
    }
}

/// What is sent to one host of a chain of redirects.
struct Hop {
    method: Method,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
}

impl Hop {
    fn first(request: &Request) -> Result<Self, Error> {
        let malformed = |reason: String| Error::HttpMalformed { reason };
        let method = METHODS.iter().find(|method| method.as_str() == request.method);
        let method = method.cloned().ok_or_else(|| {
            let method = crate::redact::visible(&request.method);
            malformed(format!("`{method}` is not GET, HEAD, POST, PUT, PATCH or DELETE"))
        })?;
        if request.body.as_ref().is_some_and(|body| body.len() > REQUEST_BYTES_MAX) {
            return Err(malformed(format!("its body is larger than {REQUEST_BYTES_MAX} bytes")));
        }
        let mut headers = HeaderMap::new();
        for header in &request.headers {
            let shown = crate::redact::visible(&header.name);
            let name = HeaderName::try_from(header.name.as_str())
                .map_err(|_| malformed(format!("`{shown}` is not a header's name")))?;
            if CONNECTION_HEADERS.contains(&name.as_str()) {
                return Err(malformed(format!("the header `{shown}` belongs to the connection")));
            }
            // The value itself is never shown: it may be a secret.
            let mut value = HeaderValue::try_from(header.value.as_str())
                .map_err(|_| malformed(format!("the value of `{shown}` cannot be sent")))?;
            value.set_sensitive(header.secret || CREDENTIAL_HEADERS.contains(&name.as_str()));
            headers.append(name, value);
        }
        Ok(Self { method, headers, body: request.body.clone() })
    }

    /// Leaves out what was meant for one host only.
    fn forget_credentials(&mut self) {
        let mut kept = HeaderMap::new();
        for (name, value) in &self.headers {
            if !value.is_sensitive() {
                kept.append(name, value.clone());
            }
        }
        self.headers = kept;
    }

    /// As RFC 9110 (15.4) says and browsers do: 307 and 308 repeat the request, the others ask for
    /// the target.
    fn turn(&mut self, status: StatusCode) {
        let repeats =
            matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !repeats && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = None;
            self.headers.remove(reqwest::header::CONTENT_TYPE);
        }
    }
}

/// Where an answer redirects to. PUT, PATCH and DELETE are followed only where the answer says
/// that the request is to be repeated: turned into a GET they would look as if they had succeeded.
fn redirect<'a>(answer: &'a reqwest::Response, method: &Method) -> Option<&'a HeaderValue> {
    let turns = [Method::GET, Method::HEAD, Method::POST].contains(method);
    match answer.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {}
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER if turns => {}
        _ => return None,
    }
    answer.headers().get(LOCATION)
}

async fn read(mut answer: reqwest::Response, url: &Url) -> Result<Response, Error> {
    let status = answer.status().as_u16();
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers = answer.headers().iter().map(header).collect();
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| client::explain(error, url))? {
        if body.len() + part.len() > RESPONSE_BYTES_MAX {
            return Err(Error::HttpTooLarge { url: shown(url), bytes_max: RESPONSE_BYTES_MAX });
        }
        body.extend_from_slice(&part);
    }
    Ok(Response { status, headers, body, elapsed: Duration::ZERO })
}

fn parse(text: &str) -> Result<Url, Error> {
    let malformed = |reason: &str| Error::HttpMalformed { reason: reason.to_owned() };
    let url = Url::parse(text).map_err(|_| malformed("its URL cannot be read"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(malformed("its URL is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(malformed("its URL holds a user or password; use a header"));
    }
    Ok(url)
}

/// A URL as it may be shown: a query often holds a token.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

fn origin(url: &Url) -> (&str, Option<&str>, Option<u16>) {
    (url.scheme(), url.host_str(), url.port_or_known_default())
}
