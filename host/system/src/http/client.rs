//! The connections themselves: names into checked addresses, TLS with ring, errors into words.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::{fmt, io};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::oneshot;

use super::address::{NamedBy, permit};
use super::shown;
use crate::error::Error;

/// What decides which client carries a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    pub(super) named_by: NamedBy,
    pub(super) secure: bool,
}

/// Makes the client of a route.
pub(super) fn connect(route: Route, authorities: &[Vec<u8>]) -> Result<reqwest::Client, Error> {
    // Without TLS nobody is trusted, and the machine's authorities need not be read.
    let roots = if route.secure { roots(authorities)? } else { RootCertStore::empty() };
    let unusable = |reason: String| Error::HttpAuthorities { reason };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Checked(route.named_by))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(0)
        .referer(false)
        .user_agent(concat!("vaultup/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unusable(sentence(&error)))
}

fn roots(authorities: &[Vec<u8>]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some of them are always too old or too odd; the rest is what counts.
    roots.add_parsable_certificates(found.certs);
    for authority in authorities {
        roots.add(CertificateDer::from(authority.clone())).map_err(|error| {
            Error::HttpAuthorities { reason: format!("a certificate that was given: {error}") }
        })?;
    }
    if roots.is_empty() {
        let reason = match found.errors.first() {
            Some(error) => error.to_string(),
            None => "this machine has none".to_owned(),
        };
        return Err(Error::HttpAuthorities { reason });
    }
    Ok(roots)
}

/// Resolves a name and refuses it unless *all* of its addresses are permitted: a name with one
/// good and one bad address is an attempt, not an accident.
struct Checked(NamedBy);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let named_by = self.0;
        Box::pin(async move {
            let addresses = look_up(name.as_str().to_owned()).await?;
            for address in &addresses {
                let address = address.ip();
                if let Err(reason) = permit(address, named_by) {
                    let host = name.as_str().to_owned();
                    return Err(Refused { host, address, reason }.into());
                }
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// The system's resolver blocks and cannot be stopped, so it has a thread that is left behind when
/// the deadline passes; a thread of the runtime's pool would hold up the end of the program.
async fn look_up(host: String) -> io::Result<Vec<SocketAddr>> {
    let (sender, receiver) = oneshot::channel();
    let thread = move || {
        let found = (host.as_str(), 0).to_socket_addrs().map(Iterator::collect);
        let _ = sender.send(found);
    };
    std::thread::Builder::new().name("vaultup-resolver".to_owned()).spawn(thread)?;
    receiver.await.map_err(|_| io::Error::other("the resolver was lost"))?
}

/// A refusal of the resolver's on its way through the client.
#[derive(Debug)]
struct Refused {
    host: String,
    address: IpAddr,
    reason: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} resolves to {}, {}", self.host, self.address, self.reason)
    }
}

impl std::error::Error for Refused {}

/// What a failure of the client means.
pub(super) fn explain(error: reqwest::Error, url: &Url) -> Error {
    // The client's own text repeats the URL with its query.
    let error = error.without_url();
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(Refused { host, address, reason }) = found.downcast_ref() {
            return Error::HttpAddressRefused { host: host.clone(), address: *address, reason };
        }
        cause = found.source();
    }
    if error.is_builder() {
        return Error::HttpMalformed { reason: sentence(&error) };
    }
    Error::HttpUnreachable { url: shown(url), reason: sentence(&error) }
}

/// An error with its causes, without repetition.
fn sentence(error: &reqwest::Error) -> String {
    let mut parts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(found) = cause {
        let text = found.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = found.source();
    }
    parts.join(": ")
}
