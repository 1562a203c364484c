//! Which hosts, and which addresses of theirs, may be talked to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::parse;
use crate::error::Error;

/// Who named a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedBy {
    /// The operator, in the settings: it may be on this machine or in a private network.
    Operator,
    /// A plugin's manifest only: it must be public.
    Manifest,
}

/// A host and port. Names are compared as URLs write them: in lower case, IDNA as ASCII.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: String,
    port: u16,
}

impl HostPort {
    /// Reads `host:port`, such as `api.example:443` or `[::1]:8080`.
    ///
    /// # Errors
    /// [`Error::HttpMalformed`] for anything else, a path or a missing port included.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let malformed = || {
            let text = crate::redact::visible(text);
            Error::HttpMalformed { reason: format!("`{text}` is not a host and port") }
        };
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port: u16 = port.ok_or_else(malformed)?;
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| malformed())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(malformed)?;
        if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
            return Err(malformed());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host and port that a URL leads to.
    ///
    /// # Errors
    /// [`Error::HttpMalformed`] when it is no http or https URL.
    pub fn of_url(url: &str) -> Result<Self, Error> {
        Self::of(&parse(url)?)
    }

    fn of(url: &Url) -> Result<Self, Error> {
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) => Ok(Self { host: host.to_owned(), port }),
            _ => Err(Error::HttpMalformed { reason: "its URL has no host".to_owned() }),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// What may be talked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Hosts, each with who named it. One that both named is the operator's.
    pub allowed: Vec<(HostPort, NamedBy)>,
}

impl Policy {
    /// Who named the host of a URL. An address that stands in it literally is checked here; a
    /// name's addresses are checked when it is resolved.
    pub(super) fn check(&self, url: &Url) -> Result<NamedBy, Error> {
        let wanted = HostPort::of(url)?;
        let by = self.allowed.iter().filter(|(host, _)| *host == wanted).map(|(_, by)| *by).min();
        let by = by.ok_or_else(|| Error::HttpNotGranted { host: wanted.to_string() })?;
        if let Some(address) = literal(url) {
            permit(address, by).map_err(|reason| Error::HttpAddressRefused {
                host: wanted.to_string(),
                address,
                reason,
            })?;
        }
        Ok(by)
    }
}

fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse().ok()
}

/// Whether an address may be connected to; the reason if not.
pub(super) fn permit(address: IpAddr, named_by: NamedBy) -> Result<(), &'static str> {
    // An address of version 4 has several forms in version 6; all of them lead to it.
    let address = match address {
        IpAddr::V6(address) => embedded(address).map_or(IpAddr::V6(address), IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let (metadata, public) = match address {
        IpAddr::V4(address) => (is_metadata_v4(address), is_public_v4(address)),
        IpAddr::V6(address) => (is_metadata_v6(address), is_public_v6(address)),
    };
    match (metadata, public, named_by) {
        (true, _, _) => Err("which is link-local or a cloud's metadata service"),
        (false, false, NamedBy::Manifest) => {
            Err("which is not public; only a host in the settings may be")
        }
        _ => Ok(()),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 (RFC 6052), 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => Some(last(high, low)),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    }
}

/// Link-local addresses, among them the metadata service of most clouds, and those that other
/// clouds use: Alibaba, Oracle, Azure.
fn is_metadata_v4(address: Ipv4Addr) -> bool {
    const OTHERS: &[[u8; 4]] = &[[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
    address.is_link_local() || OTHERS.contains(&address.octets())
}

/// Link-local addresses, and the metadata service of AWS.
fn is_metadata_v6(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
}

/// Whether the special-purpose registry of IANA says nothing of it.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

/// Only what IANA has given out as global unicast, less documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::{HostPort, NamedBy, Policy, permit};
    use crate::error::Error;
    use reqwest::Url;

    fn policy(host: &str, by: NamedBy) -> Policy {
        Policy { allowed: vec![(HostPort::parse(host).unwrap(), by)] }
    }

    #[test]
    fn metadata_services_are_refused_whoever_named_them_and_however_they_are_written() {
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
        ] {
            for by in [NamedBy::Operator, NamedBy::Manifest] {
                permit(address.parse().unwrap(), by).unwrap_err();
            }
        }
    }

    #[test]
    fn what_is_not_public_is_for_hosts_of_the_operators_only() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "2001::1",
        ] {
            permit(address.parse().unwrap(), NamedBy::Operator).unwrap();
            permit(address.parse().unwrap(), NamedBy::Manifest).unwrap_err();
        }
        for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "172.32.0.1"] {
            permit(address.parse().unwrap(), NamedBy::Manifest).unwrap();
        }
    }

    #[test]
    fn a_host_is_granted_with_its_port_only() {
        let policy = policy("Api.Example:443", NamedBy::Manifest);
        let check = |url: &str| policy.check(&Url::parse(url).unwrap());
        assert_eq!(check("https://api.example/x").unwrap(), NamedBy::Manifest);
        for url in [
            "http://api.example/",
            "https://api.example:8443/",
            "https://api.example.evil/",
            "https://evil.api.example/",
            "https://api.example./",
        ] {
            assert!(matches!(check(url), Err(Error::HttpNotGranted { .. })), "{url}");
        }
    }

    #[test]
    fn numbers_that_hide_an_address_are_seen_through() {
        let policy = policy("127.0.0.1:80", NamedBy::Manifest);
        for url in ["http://2130706433/", "http://0x7f.1/", "http://127.1/"] {
            let result = policy.check(&Url::parse(url).unwrap());
            assert!(matches!(result, Err(Error::HttpAddressRefused { .. })), "{url}");
        }
    }

    #[test]
    fn only_a_host_and_a_port_are_a_host_and_port() {
        for text in ["", "api.example", ":443", "a:b", "a/b:443", "u@a:443", "a:443/x", "a:443?x"] {
            HostPort::parse(text).unwrap_err();
        }
        assert_eq!(HostPort::parse("[::1]:80").unwrap().to_string(), "[::1]:80");
        let of_url = HostPort::of_url("http://127.0.0.1:8080/health").unwrap();
        assert_eq!(of_url, HostPort::parse("127.0.0.1:8080").unwrap());
    }
}
