//! What a workspace reaches over the network, and what is cloned into it.

use ringfence_protocol::container::Repository;
use ringfence_protocol::state::NetworkMode;

use super::{Refused, invalid};
use crate::domain::image::{Host, Reach, host_of};

/// Domains of a restricted network at most.
const MAX_DOMAINS: usize = 64;
/// Longest address of a repository, in bytes.
const MAX_URL_BYTES: usize = 1024;
/// Longest branch or tag, in bytes.
const MAX_BRANCH_BYTES: usize = 255;

/// The allow-list of a restricted network, without repetitions, as it was written.
pub(super) fn allowed_domains(asked: Option<&[String]>, network: NetworkMode) -> Result<Vec<String>, Refused> {
    let asked = asked.unwrap_or_default();
    match network {
        NetworkMode::None | NetworkMode::Internet if asked.is_empty() => Ok(Vec::new()),
        NetworkMode::None | NetworkMode::Internet => {
            Err(invalid("allowed_domains", "only with network `restricted`; leave it out with any other"))
        }
        NetworkMode::Restricted if asked.is_empty() => {
            Err(invalid("allowed_domains", "with network `restricted`, name at least one domain, e.g. example.com"))
        }
        NetworkMode::Restricted if asked.len() > MAX_DOMAINS => Err(invalid("allowed_domains", "at most 64 domains")),
        NetworkMode::Restricted => {
            let mut domains: Vec<String> = Vec::with_capacity(asked.len());
            for domain in asked {
                check_domain(domain)?;
                if !domains.contains(domain) {
                    domains.push(domain.clone());
                }
            }
            Ok(domains)
        }
    }
}

fn check_domain(domain: &str) -> Result<(), Refused> {
    let complaint = if domain.contains('*') {
        "without a wildcard: a domain stands for its subdomains too"
    } else if domain.contains("://") || domain.contains(['/', ':']) {
        "names of domains alone, without scheme, port or path, e.g. example.com"
    } else if domain.bytes().any(|b| b.is_ascii_uppercase()) {
        "lower-case letters only"
    } else {
        match host_of(domain) {
            Host::Name => return Ok(()),
            Host::Address(Reach::Public | Reach::NotPublic) => "names only, no addresses",
            Host::Invalid => "names of domains with at least one dot, e.g. example.com",
        }
    };
    Err(invalid("allowed_domains", complaint))
}

/// The repository to clone, which the workspace's network must be able to reach.
pub(super) fn repository(
    asked: Option<&Repository>,
    network: NetworkMode,
    allowed: &[String],
) -> Result<Option<Repository>, Refused> {
    let Some(repository) = asked else { return Ok(None) };
    let host = check_url(&repository.url)?;
    if repository.branch.as_deref().is_some_and(|branch| !is_branch(branch)) {
        return Err(invalid("repository.branch", "not the name of a branch or tag"));
    }
    match network {
        NetworkMode::None => {
            Err(invalid("repository", "cannot be cloned with network `none`: it is cloned inside the workspace"))
        }
        NetworkMode::Restricted if !is_within(&host, allowed) => {
            let complaint = format!("its host {host} is not among allowed_domains, so it could not be cloned");
            Err(invalid("repository", &complaint))
        }
        NetworkMode::Restricted | NetworkMode::Internet => Ok(Some(repository.clone())),
    }
}

fn is_within(host: &str, allowed: &[String]) -> bool {
    allowed.iter().any(|domain| {
        host.strip_suffix(domain.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

/// The host of a repository's address, in lower case.
fn check_url(url: &str) -> Result<String, Refused> {
    let complain = |complaint| Err(invalid("repository.url", complaint));
    if url.len() > MAX_URL_BYTES {
        return complain("at most 1024 characters");
    }
    let Some(rest) = url.strip_prefix("https://") else {
        return complain("an https address, e.g. https://github.com/owner/name");
    };
    // What git, a shell or a log might read as something else has no place in an address.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:@%+=&,!()[]".contains(&b);
    if !rest.bytes().all(plain) {
        return complain("letters, digits and -._~/:%+=&,!() only; no query, no fragment, no spaces");
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        return complain("no user name or password in it; a private repository needs a secret GIT_TOKEN");
    }
    if path.trim_matches('/').is_empty() {
        return complain("with the path of a repository, e.g. https://github.com/owner/name");
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').unwrap_or(("", "")),
        None => {
            let host = authority.split(':').next().unwrap_or_default();
            (host, authority.strip_prefix(host).unwrap_or_default())
        }
    };
    let digits = port.strip_prefix(':');
    let port_is_valid = port.is_empty()
        || digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok());
    match host_of(host) {
        Host::Name | Host::Address(Reach::Public) if port_is_valid => Ok(host.to_ascii_lowercase()),
        Host::Address(Reach::NotPublic) => complain("an address that workspaces do not reach"),
        Host::Name | Host::Address(Reach::Public) | Host::Invalid => complain("its host is not a name on the internet"),
    }
}

/// By the rules of `git check-ref-format`, and a little narrower.
fn is_branch(branch: &str) -> bool {
    let plain = |b: u8| b.is_ascii_graphic() && !b"~^:?*[\\\"'`$;&|<>(){}!".contains(&b);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    (1..=MAX_BRANCH_BYTES).contains(&branch.len())
        && branch.bytes().all(plain)
        && !branch.starts_with('-')
        && !branch.ends_with('.')
        && !branch.contains("..")
        && branch != "@"
        && branch.split('/').all(part)
}
