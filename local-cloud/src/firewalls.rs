//! Firewalls as Hetzner has them, up to the point where they would filter: this cloud keeps and shows them, and lets every packet
//! through. Whoever scans its machines therefore judges the machines' own rules.

use crate::error::{ApiError, ErrorCode};
use crate::labels::{Labels, check_labels};
use crate::state::ProjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const NAME_MAX_CHARS: usize = 128;
const RULES_MAX: usize = 50;
const NETWORKS_MAX: usize = 100;
const DESCRIPTION_MAX_CHARS: usize = 255;

/// A firewall's id; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct FirewallId(pub(crate) u64);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Firewall {
    pub(crate) id: FirewallId,
    pub(crate) project: ProjectId,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) rules: Vec<Rule>,
    pub(crate) created_at_ms: i64,
}

/// What is let through.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    direction: Direction,
    protocol: Protocol,
    #[serde(default)]
    port: Option<String>,
    #[serde(default)]
    source_ips: Vec<String>,
    #[serde(default)]
    destination_ips: Vec<String>,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    In,
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Esp,
    Gre,
}

/// The body of `POST /v1/firewalls`.
#[derive(Deserialize)]
pub(crate) struct CreateFirewallBody {
    name: String,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    apply_to: Vec<Value>,
}

/// A firewall that can be made.
pub(crate) struct NewFirewall {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) rules: Vec<Rule>,
}

impl CreateFirewallBody {
    pub(crate) fn check(self) -> Result<NewFirewall, ApiError> {
        if !(1..=NAME_MAX_CHARS).contains(&self.name.chars().count()) {
            return Err(ApiError::invalid("name", format!("must have 1 to {NAME_MAX_CHARS} characters")));
        }
        let labels = self.labels.unwrap_or_default();
        check_labels(&labels)?;
        if self.rules.len() > RULES_MAX {
            return Err(ApiError::invalid("rules", format!("must be at most {RULES_MAX}")));
        }
        if !self.apply_to.is_empty() {
            return Err(ApiError::invalid("apply_to", "local-cloud applies firewalls at a server's creation only"));
        }
        self.rules.iter().try_for_each(Rule::check)?;
        Ok(NewFirewall { name: self.name, labels, rules: self.rules })
    }
}

impl Rule {
    fn check(&self) -> Result<(), ApiError> {
        let refuse = |reason: &str| Err(ApiError::invalid("rules", reason));
        let (named, other) = match self.direction {
            Direction::In => (&self.source_ips, &self.destination_ips),
            Direction::Out => (&self.destination_ips, &self.source_ips),
        };
        if named.is_empty() || !other.is_empty() || named.len() > NETWORKS_MAX {
            return refuse("in takes source_ips, out takes destination_ips, of 1 to 100 networks");
        }
        if !named.iter().all(|network| is_network(network)) {
            return refuse("networks are written as address/length");
        }
        let has_ports = matches!(self.protocol, Protocol::Tcp | Protocol::Udp);
        if self.port.is_some() != has_ports || !self.port.as_deref().is_none_or(is_port_range) {
            return refuse("tcp and udp take a port or a range of ports, others none");
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_MAX_CHARS) {
            return refuse("description is too long");
        }
        Ok(())
    }
}

impl ApiError {
    /// At Hetzner this refusal is a 422.
    pub(crate) fn firewall_in_use() -> Self {
        Self::new(ErrorCode::ResourceInUse, "firewall still applied to a resource")
    }
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<std::net::IpAddr>() else { return false };
    length.parse::<u8>().is_ok_and(|length| length <= if address.is_ipv4() { 32 } else { 128 })
}

fn is_port_range(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        Some((first, last)) => port(first).is_some_and(|first| port(last).is_some_and(|last| first <= last)),
        None => port(text).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(value: Value) -> Result<(), ApiError> {
        serde_json::from_value::<Rule>(value).unwrap().check()
    }

    #[test]
    fn rules_that_mean_something_are_taken() {
        let good = json!({"direction": "in", "protocol": "tcp", "port": "80-90", "source_ips": ["0.0.0.0/0", "::/0"]});
        assert_eq!(rule(good), Ok(()));
        assert_eq!(rule(json!({"direction": "in", "protocol": "icmp", "source_ips": ["192.0.2.1/32"]})), Ok(()));
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for bad in [
            json!({"direction": "in", "protocol": "tcp", "source_ips": ["0.0.0.0/0"]}),
            json!({"direction": "in", "protocol": "icmp", "port": "1", "source_ips": ["0.0.0.0/0"]}),
            json!({"direction": "in", "protocol": "tcp", "port": "90-80", "source_ips": ["0.0.0.0/0"]}),
            json!({"direction": "in", "protocol": "tcp", "port": "80", "source_ips": ["192.0.2.1"]}),
            json!({"direction": "in", "protocol": "tcp", "port": "80", "source_ips": []}),
            json!({"direction": "out", "protocol": "tcp", "port": "80", "source_ips": ["0.0.0.0/0"]}),
        ] {
            assert!(rule(bad.clone()).is_err(), "{bad}");
        }
    }
}
