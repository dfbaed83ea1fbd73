//! The control plane's origin: https, or plain http to this very machine or to the gateway of a local cloud.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ringfence_protocol::agent_config::LOCAL_CLOUD_GATEWAY;
use ringfence_protocol::routes::Endpoint;

/// Scheme, host and port of the control plane, without a trailing slash. Made by parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(String);

/// Why a text is not an origin the agent would dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrigin {
    /// Not of the form `scheme://host[:port]`.
    #[error("origin must look like https://host or https://host:port, without a path")]
    Malformed,
    /// Plain http to another machine would show tokens to the network.
    #[error(
        "origin must be https; plain http is accepted only to loopback addresses (127.0.0.0/8, ::1, localhost) and to {LOCAL_CLOUD_GATEWAY}, the gateway of a local cloud"
    )]
    PlainHttp,
}

impl Origin {
    /// Checks and normalises an origin.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let url = reqwest::Url::parse(text).map_err(|_| InvalidOrigin::Malformed)?;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str().ok_or(InvalidOrigin::Malformed)?;
        if !bare {
            return Err(InvalidOrigin::Malformed);
        }
        match url.scheme() {
            "https" => {}
            "http" if is_near(host) => {}
            "http" => return Err(InvalidOrigin::PlainHttp),
            _ => return Err(InvalidOrigin::Malformed),
        }
        Ok(Self(url.origin().ascii_serialization()))
    }

    /// The origin as text: the issuer of tokens.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there is encrypted on the way.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// The URL of a route without placeholders.
    pub fn url(&self, endpoint: &Endpoint) -> String {
        format!("{}{}", self.0, endpoint.path)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a URL's host can only be this machine, or the gateway of a local cloud: an address that nobody has on the internet.
fn is_near(host: &str) -> bool {
    if host == "localhost" {
        return true;
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback() || address == LOCAL_CLOUD_GATEWAY;
    }
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<Ipv6Addr>()
        .is_ok_and(|address| address == Ipv6Addr::LOCALHOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_is_taken_and_normalised() {
        let origin = Origin::parse("https://Ringfence.Example.workers.dev/").unwrap();
        assert_eq!(origin.as_str(), "https://ringfence.example.workers.dev");
        assert_eq!(Origin::parse("https://a.example:443").unwrap().as_str(), "https://a.example");
    }

    #[test]
    fn plain_http_is_taken_only_to_this_machine_and_the_gateway_of_a_local_cloud() {
        for ours in [
            "http://192.0.2.1:8787",
            "http://127.0.0.1:8787",
            "http://127.9.9.9:1",
            "http://[::1]:8787",
            "http://localhost:8787",
        ] {
            assert!(Origin::parse(ours).is_ok(), "{ours}");
        }
        for theirs in [
            "http://10.0.0.1:8787",
            "http://example.com",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://[fe80::1]",
            "http://192.0.2.2:8787",
            "http://192.0.2.1.example.com",
            "http://[::ffff:192.0.2.1]",
        ] {
            assert_eq!(Origin::parse(theirs), Err(InvalidOrigin::PlainHttp), "{theirs}");
        }
    }

    #[test]
    fn anything_more_than_an_origin_is_refused() {
        for text in [
            "",
            "https://",
            "ftp://a.example",
            "https://a.example/path",
            "https://a.example?x",
            "https://user@a.example",
        ] {
            assert_eq!(Origin::parse(text), Err(InvalidOrigin::Malformed), "{text}");
        }
    }
}
