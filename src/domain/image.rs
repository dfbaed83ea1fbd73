//! Image references: the grammar of the OCI distribution specification, written out in full so that every engine reads the
//! same (`debian:13` becomes `docker.io/library/debian:13`), and registries that no image may come from.
//!
//! The engine pulls as root on the machine. Its packets to private ranges are dropped there; a reference that *names* such an
//! address, in whichever way of writing it, is refused here already.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest reference, in bytes: a name (255), a tag (128) and a digest fit.
pub const MAX_REFERENCE_BYTES: usize = 512;
/// Longest name with its registry, in bytes, by the specification.
const MAX_NAME_BYTES: usize = 255;
/// Longest tag, in bytes, by the specification.
const MAX_TAG_BYTES: usize = 128;
/// The registry of a name that says none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// What images are called that came with the machine.
const LOCAL_IMAGES: &str = "localhost";

/// What is wrong with a reference, in words.
pub type Complaint = &'static str;

/// The reference in full: registry, name, and a tag or a digest.
pub fn normalised(reference: &str) -> Result<String, Complaint> {
    if reference.is_empty() || reference.len() > MAX_REFERENCE_BYTES {
        return Err("1 to 512 characters, e.g. docker.io/library/debian:13");
    }
    if !reference.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("visible ASCII characters only, e.g. docker.io/library/debian:13");
    }
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err("the digest after @ is not sha256: and 64 hexadecimal digits");
    }
    // A colon after the last slash begins a tag; one before belongs to the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        Some(_) | None => (rest, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("the tag after : is 1 to 128 letters, digits, _, . and -, and begins with none of the last two");
    }
    let (registry, path) = split_registry(name);
    if let Some(registry) = registry {
        check_registry(registry)?;
    }
    if path.is_empty() || !path.split('/').all(is_component) {
        return Err(
            "a name is lower-case letters and digits, with single . _ or any - inside, and / between its parts",
        );
    }
    let name = match registry {
        Some(DEFAULT_REGISTRY | "index.docker.io") | None if !path.contains('/') => {
            format!("{DEFAULT_REGISTRY}/library/{path}")
        }
        Some("index.docker.io") | None => format!("{DEFAULT_REGISTRY}/{path}"),
        Some(registry) => format!("{}/{path}", registry.to_ascii_lowercase()),
    };
    if name.len() > MAX_NAME_BYTES {
        return Err("the name with its registry is longer than 255 characters");
    }
    Ok(match (tag, digest) {
        (Some(tag), Some(digest)) => format!("{name}:{tag}@{digest}"),
        (Some(tag), None) => format!("{name}:{tag}"),
        (None, Some(digest)) => format!("{name}@{digest}"),
        (None, None) => format!("{name}:latest"),
    })
}

/// The name of a reference that is written out in full: its registry and path, without tag and digest.
pub fn name_of(full: &str) -> &str {
    let name = full.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        Some(_) | None => name,
    }
}

/// The registry of a name: its first part, where that can be nothing but a host.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':', '['])
                || first == LOCAL_IMAGES
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (Some(first), path)
        }
        Some(_) | None => (None, name),
    }
}

fn check_registry(registry: &str) -> Result<(), Complaint> {
    // Not a registry: by engines' convention, images that are on the machine already. Nothing listens there to pull from.
    if registry == LOCAL_IMAGES {
        return Ok(());
    }
    let (host, port) = match registry.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').map_or((registry, ""), |(host, rest)| (host, rest)),
        None => {
            let host = registry.split(':').next().unwrap_or_default();
            (host, registry.strip_prefix(host).unwrap_or_default())
        }
    };
    let port_is_valid = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0),
        None => port.is_empty(),
    };
    if !port_is_valid {
        return Err("the registry's port is not a number from 1 to 65535");
    }
    match host_of(host) {
        Host::Name | Host::Address(Reach::Public) => Ok(()),
        Host::Address(Reach::NotPublic) => Err("a registry at a loopback, link-local, private or metadata address"),
        Host::Invalid => Err("the registry is not a host name"),
    }
}

/// What a text is as the host of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// A DNS name of at least one dot. What it resolves to is the firewall's business.
    Name,
    /// An address.
    Address(Reach),
    /// Neither, or a way of writing an address that programs read differently.
    Invalid,
}

/// Whether an address is one of the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is.
    Public,
    /// Loopback, link-local (metadata), private, shared, multicast or reserved.
    NotPublic,
}

/// What a host is, without brackets or port.
pub fn host_of(host: &str) -> Host {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Host::Address(match address {
            IpAddr::V4(address) => reach_of_v4(address),
            IpAddr::V6(address) => reach_of_v6(address),
        });
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    // `127.1`, `0x7f.1` and `2130706433` are addresses to some programs and names to others.
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.to_ascii_lowercase().starts_with("0x");
    let dotted = host.contains('.') && host.len() <= 253 && host.split('.').all(is_label);
    if dotted && !numeric && !last.eq_ignore_ascii_case("localhost") { Host::Name } else { Host::Invalid }
}

/// Whether a text is a label of a DNS name.
fn is_label(label: &str) -> bool {
    let inside = !label.starts_with('-') && !label.ends_with('-');
    (1..=63).contains(&label.len()) && inside && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn reach_of_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    let reserved = a == 0 || a >= 240 || (a == 100 && (64..128).contains(&b)) || (a == 198 && (18..20).contains(&b));
    let protocol = (a, b, c) == (192, 0, 0);
    if address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || reserved
        || protocol
    {
        Reach::NotPublic
    } else {
        Reach::Public
    }
}

/// Only 2000::/3 is of the internet, and of that neither of the two ranges that carry an IPv4 address in them.
fn reach_of_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        [0x2002, ..] | [0x2001, 0, ..] => Reach::NotPublic,
        [0x2000..=0x3fff, ..] => Reach::Public,
        [..] => Reach::NotPublic,
    }
}

fn is_component(component: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = component.as_bytes();
    let valid = bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b));
    // Separators are one dot, one or two underscores, or any number of dashes, never mixed.
    let separated = component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'));
    valid && separated && edge(bytes.first().copied()) && edge(bytes.last().copied())
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=MAX_TAG_BYTES).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(digest: &str) -> bool {
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    digest.strip_prefix("sha256:").is_some_and(|text| hex(text, 64))
        || digest.strip_prefix("sha512:").is_some_and(|text| hex(text, 128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_written_out_in_full() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (given, full) in [
            ("debian", "docker.io/library/debian:latest".to_owned()),
            ("debian:13", "docker.io/library/debian:13".into()),
            ("docker.io/debian:13", "docker.io/library/debian:13".into()),
            ("index.docker.io/me/app", "docker.io/me/app:latest".into()),
            ("me/app:v1.2_3", "docker.io/me/app:v1.2_3".into()),
            ("ghcr.io/a/b/c-d__e.f:1", "ghcr.io/a/b/c-d__e.f:1".into()),
            ("Registry.example:5000/x:y", "registry.example:5000/x:y".into()),
            ("198.51.100.5:5000/x", "198.51.100.5:5000/x:latest".into()),
            ("[2001:db8::1]:443/x", "[2001:db8::1]:443/x:latest".into()),
            ("localhost/x", "localhost/x:latest".into()),
            (&format!("debian@{digest}"), format!("docker.io/library/debian@{digest}")),
            (&format!("debian:13@{digest}"), format!("docker.io/library/debian:13@{digest}")),
        ] {
            assert_eq!(normalised(given), Ok(full.clone()), "{given}");
            let name = name_of(&full);
            assert!(full.starts_with(name) && is_component(name.rsplit('/').next().unwrap()), "{given}: {name}");
        }
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        let long = format!("ghcr.io/{}", "a".repeat(250));
        for bad in [
            "",
            " debian",
            "deb ian",
            "Debian",
            "debian:",
            "debian:-x",
            "debian:.x",
            "debian@sha256:00",
            "debian@",
            "/x",
            "x/",
            "a//b",
            "a..b",
            "a___b",
            "a._b",
            "-a",
            "a-",
            "ghcr.io",
            "ghcr.io/",
            "ghcr.io:0/x",
            "ghcr.io:99999/x",
            "ghcr.io:+1/x",
            "gh_cr.io/x",
            "https://ghcr.io/x",
            "x\n",
            "x\u{e9}",
            "[::1/x",
            "[2001:db8::1]5/x",
            &long,
        ] {
            // A name alone that looks like a host is a name by the grammar, and Docker Hub's.
            if bad != "ghcr.io" {
                assert!(normalised(bad).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn no_registry_is_at_an_address_that_only_the_machine_can_reach() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:5000",
            "169.254.169.254",
            "10.77.0.1:5000",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.192",
            "127.1:80",
            "0x7f.1",
            "0x7f.0.0.0x1",
            "2130706433.",
            "1.2.3",
            "010.0.0.1",
            "[::1]",
            "[::1]:5000",
            "[::]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[::ffff:127.0.0.1]",
            "[::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:7f00:1::]",
            "[2001::1]",
            "[ff02::1]",
            "localhost:5000",
            "localhost:443",
            "a.localhost",
            "LOCALHOST",
        ] {
            assert!(normalised(&format!("{host}/x:1")).is_err(), "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn writing_a_reference_out_is_total_and_done_once(text in "[a-zA-Z0-9._:/@\\[\\]-]{0,60}|\\PC{0,40}") {
            if let Ok(full) = normalised(&text) {
                proptest::prop_assert_eq!(normalised(&full), Ok(full.clone()));
                proptest::prop_assert!(full.len() <= MAX_REFERENCE_BYTES);
                proptest::prop_assert!(full.bytes().all(|b| b.is_ascii_graphic()));
            }
        }
    }
}
