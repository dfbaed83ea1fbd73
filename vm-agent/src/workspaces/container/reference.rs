//! Image references: read as Docker reads them, and kept away from places that the machine must not ask.

use std::fmt;
use std::net::IpAddr;

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;
use ringfence_protocol::container::is_from;
use ringfence_protocol::state::WorkspaceFailure;

use super::addresses;
use crate::workspaces::EngineError;

const DEFAULT_REGISTRY: &str = "docker.io";
const MAX_BYTES: usize = 512;

/// An image, fully named: engines differ in what they make of a short name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host, with its port where one was given.
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl Reference {
    /// Reads a reference.
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let invalid = || {
            EngineError::new(
                WorkspaceFailure::ImageNotFound,
                format!("{text:?} is not an image reference. Write one like debian:13 or ghcr.io/owner/name:tag."),
            )
        };
        if text.len() > MAX_BYTES {
            return Err(invalid());
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.to_owned())),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((rest, tag)) if !tag.contains('/') => (rest, Some(tag.to_owned())),
            Some(_) | None => (rest, None),
        };
        let (registry, path) = match rest.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path.to_owned()),
            Some(_) => (DEFAULT_REGISTRY, rest.to_owned()),
            None => (DEFAULT_REGISTRY, format!("library/{rest}")),
        };
        let is_digest = |digest: &String| {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_valid = is_host(registry)
            && path.split('/').all(is_component)
            && tag.as_ref().is_none_or(|tag| is_tag(tag))
            && digest.as_ref().is_none_or(is_digest);
        if !is_valid {
            return Err(invalid());
        }
        let tag = if digest.is_none() { tag.or_else(|| Some("latest".into())) } else { tag };
        Ok(Self { registry: registry.to_owned(), repository: path, tag, digest })
    }

    /// The host of its registry, with the port where one was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The image without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What the engine is asked to pull of it: a digest, which says more, or a tag.
    pub fn version(&self) -> String {
        self.digest.clone().or_else(|| self.tag.clone()).unwrap_or_default()
    }

    /// Refuses an image that is from nowhere that the installation allows.
    pub fn check_registry(&self, allowed: &[String]) -> Result<(), EngineError> {
        if is_from(&self.name(), allowed) {
            return Ok(());
        }
        let from = allowed.join(", ");
        Err(EngineError::new(
            WorkspaceFailure::RegistryForbidden,
            format!(
                "The image {self} is not from where images may come from in this installation: {from}. Name another one."
            ),
        ))
    }

    /// Refuses a registry at an address where the machine, whose root would ask it, must not ask.
    pub fn check_address(&self) -> Result<(), EngineError> {
        let host = self.host();
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) if addresses::is_internal(address) => Err(self.forbidden()),
            // Some resolvers take `2852039166` and `0xa9.0xfea9fe` for addresses: no name of a registry ends in a number.
            Err(_) if ends_in_a_number(host) => Err(self.forbidden()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// As [`Self::check_address`], also for what the registry's name stands for now.
    pub async fn check_resolved(&self) -> Result<(), EngineError> {
        self.check_address()?;
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        // A resolver of the agent's own: a static binary cannot use the C library's.
        let unknown = |error: NetError| {
            let text = format!(
                "The name of the registry {} cannot be looked up: {error}. Check it, or try again later.",
                self.registry
            );
            EngineError::new(WorkspaceFailure::PullFailed, text)
        };
        let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(unknown)?;
        let found = resolver.lookup_ip(host).await.map_err(unknown)?;
        if found.iter().any(addresses::is_internal) { Err(self.forbidden()) } else { Ok(()) }
    }

    fn host(&self) -> &str {
        match self.registry.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !host.is_empty() => host,
            Some(_) | None => &self.registry,
        }
    }

    fn forbidden(&self) -> EngineError {
        EngineError::new(
            WorkspaceFailure::RegistryForbidden,
            format!(
                "The registry {} is at an address inside the machine's own network. Images come from the internet only.",
                self.registry
            ),
        )
    }
}

fn is_host(host: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(is_char) && !host.starts_with(['.', '-', ':']) && !host.ends_with([':', '.'])
}

fn ends_in_a_number(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let hex = last.strip_prefix("0x").filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.is_some() || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_component(part: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    part.bytes().all(is_char) && is_edge(part.bytes().next()) && is_edge(part.bytes().last())
}

fn is_tag(tag: &str) -> bool {
    let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&tag.len()) && tag.bytes().all(is_char) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_names_are_dockers() {
        for (text, full) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:13", "docker.io/library/debian:13"),
            ("owner/name", "docker.io/owner/name:latest"),
            ("ghcr.io/owner/name:v1", "ghcr.io/owner/name:v1"),
            ("localhost/ws", "localhost/ws:latest"),
            ("registry.test:5000/a/b/c", "registry.test:5000/a/b/c:latest"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), full);
        }
        let digest = format!("debian@sha256:{}", "a".repeat(64));
        assert_eq!(Reference::parse(&digest).unwrap().version(), format!("sha256:{}", "a".repeat(64)));
        for text in
            ["", "Debian", "debian:", "a b", "-x", "x/../y", "http://x/y", "debian@sha256:12", "x/y:z z", "a//b", "./x"]
        {
            assert!(Reference::parse(text).is_err(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn registries_inside_the_machines_network_are_refused() {
        for text in [
            "169.254.169.254/x",
            "169.254.169.254:80/x",
            "10.0.0.1:5000/x",
            "127.0.0.1/x",
            "[fd00:ec2::254]:80/x",
            "[::1]/x",
        ] {
            assert!(Reference::parse(text).unwrap().check_address().is_err(), "{text}");
        }
        // Written so that only a resolver takes it for an address.
        for text in ["2852039166:80/x", "2852039166.:80/x", "0x7f.1/x", "0x7f.0x1/x", "1.1.1/x"] {
            assert!(Reference::parse(text).unwrap().check_address().is_err(), "{text}");
        }
        for text in ["localhost/x", "localhost:5000/x"] {
            assert!(Reference::parse(text).unwrap().check_resolved().await.is_err(), "{text}");
        }
        assert!(Reference::parse("198.51.100.5:5000/x").unwrap().check_resolved().await.is_ok());
    }

    #[test]
    fn an_image_that_a_repository_names_is_held_to_the_installations_registries() {
        let allowed = ["docker.io/library".to_owned(), "ghcr.io".to_owned()];
        for text in ["debian:13", "ghcr.io/a/b", "docker.io/library/debian"] {
            assert_eq!(Reference::parse(text).unwrap().check_registry(&allowed).map_err(|error| error.detail), Ok(()));
            assert!(Reference::parse(text).unwrap().check_registry(&[]).is_ok());
        }
        for text in ["me/app", "ghcr.io:444/a", "ghcr.iox/a", "docker.io/libraryx/a", "localhost/x", "quay.io/a/b"] {
            let error = Reference::parse(text).unwrap().check_registry(&allowed).unwrap_err();
            assert_eq!(error.failure, WorkspaceFailure::RegistryForbidden, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_reads_the_same_when_written_in_full(text in "[a-z0-9./:@\\[\\]_-]{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
            }
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".*") {
            let _ = Reference::parse(&text);
        }
    }
}
