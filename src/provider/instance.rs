//! A machine at a provider, and how we know ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::time::UnixMillis;

use crate::domain::node::{self, InstanceId};

/// Label with the installation a machine belongs to.
pub const INSTALLATION_LABEL: &str = "ringfence-installation";
/// Label with the node a machine is.
pub const NODE_LABEL: &str = "ringfence-node";

/// The name of a node's machine: valid as a host name, and nobody else's, because 100 bits of it are random.
pub fn machine_name(node: NodeId) -> String {
    format!("ringfence-{}", node.body())
}

/// What marks a machine as one of our nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The installation.
    pub installation: String,
    /// The node.
    pub node: NodeId,
}

impl Mark {
    /// The machine's labels.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            (INSTALLATION_LABEL.into(), self.installation.clone()),
            (NODE_LABEL.into(), self.node.to_string()),
        ])
    }

    /// Whether a machine proves to be this one: by both labels, or, where somebody has taken the labels off, by its name,
    /// which nobody else can have.
    pub fn owns(&self, instance: &Instance) -> bool {
        match (instance.installation(), instance.labels.get(NODE_LABEL)) {
            (Some(installation), Some(node)) => installation == self.installation && *node == self.node.to_string(),
            (Some(_), None) | (None, Some(_)) => false,
            (None, None) => instance.name == machine_name(self.node),
        }
    }
}

/// A machine to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateInstance<'a> {
    /// Whose it is: its name and labels.
    pub mark: &'a Mark,
    /// A region of the catalog.
    pub region: &'a str,
    /// A size of the catalog.
    pub size: &'a str,
    /// What it boots; the provider's default when absent.
    pub image: Option<&'a str>,
    /// What cloud-init reads.
    pub user_data: &'a str,
}

/// A machine, as the provider describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The provider's name for it.
    pub id: InstanceId,
    /// The name we gave it.
    pub name: String,
    /// The labels it carries.
    pub labels: BTreeMap<String, String>,
    /// What it does.
    pub status: InstanceStatus,
    /// Its public address.
    pub ipv4: Option<Ipv4Addr>,
    /// The public network it has for itself.
    pub ipv6: Option<Ipv6Network>,
    /// When it was made, by the provider's clock.
    pub created_at: Option<UnixMillis>,
    /// Where it stands, as the catalog names it.
    pub region: Option<String>,
    /// Which it is, as the catalog names it.
    pub size: Option<String>,
}

impl Instance {
    /// As much of it as a node's row keeps.
    pub fn known(&self) -> node::Instance {
        node::Instance {
            id: self.id.clone(),
            ipv4: self.ipv4.map(|address| address.to_string()),
            ipv6: self.ipv6.map(|network| network.to_string()),
        }
    }

    /// The node it says it is.
    pub fn node(&self) -> Option<NodeId> {
        self.labels.get(NODE_LABEL)?.parse().ok()
    }

    /// The installation it says it belongs to.
    pub fn installation(&self) -> Option<&str> {
        self.labels.get(INSTALLATION_LABEL).map(String::as_str)
    }
}

/// What a machine does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceStatus {
    /// It is being made or is booting.
    Starting,
    /// It runs.
    Running,
    /// It is switched off, or about to be.
    Off,
    /// It is being deleted.
    Deleting,
    /// Something else.
    Other,
}

/// A list of machines, of bounded length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The machines.
    pub instances: Vec<Instance>,
    /// Whether these are all. What is not in an incomplete list may exist all the same.
    pub complete: bool,
}

/// Whether a request from `address` can come from the machine that has these addresses, as a node's row keeps them. A
/// machine of which none is known could be anywhere.
pub fn is_own_address(ipv4: Option<&str>, ipv6: Option<&str>, address: IpAddr) -> bool {
    match address.to_canonical() {
        _ if ipv4.is_none() && ipv6.is_none() => true,
        IpAddr::V4(address) => ipv4.and_then(|known| known.parse().ok()) == Some(address),
        IpAddr::V6(address) => ipv6.and_then(Ipv6Network::parse).is_some_and(|network| network.contains(address)),
    }
}

/// An IPv6 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Network {
    address: Ipv6Addr,
    prefix_bits: u8,
}

impl Ipv6Network {
    /// Reads `2001:db8::/64`, or a single address.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').unwrap_or((text, "128"));
        let network = Self { address: address.parse().ok()?, prefix_bits: bits.parse().ok()? };
        (network.prefix_bits <= 128).then_some(network)
    }

    /// Whether the address is in the network.
    pub fn contains(&self, address: Ipv6Addr) -> bool {
        let shift = 128 - u32::from(self.prefix_bits);
        let network = |address: Ipv6Addr| u128::from(address).checked_shr(shift).unwrap_or(0);
        network(self.address) == network(address)
    }
}

impl std::fmt::Display for Ipv6Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_the_network_that_holds_it() {
        let network = Ipv6Network::parse("2001:db8:1:2::/64").unwrap();
        assert!(network.contains("2001:db8:1:2::1".parse().unwrap()));
        assert!(!network.contains("2001:db8:1:3::1".parse().unwrap()));
        assert!(Ipv6Network::parse("::/0").unwrap().contains("2001:db8::1".parse().unwrap()));
        assert!(Ipv6Network::parse("2001:db8::1").unwrap().contains("2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn a_machine_is_known_by_its_address_and_by_its_network() {
        let own =
            |address: &str| is_own_address(Some("192.0.2.7"), Some("2001:db8:1:2::/64"), address.parse().unwrap());
        assert!(own("192.0.2.7"));
        assert!(own("::ffff:192.0.2.7"));
        assert!(own("2001:db8:1:2:3::1"));
        assert!(!own("192.0.2.70"));
        assert!(!own("2001:db8:1:20::1"));
        assert!(is_own_address(None, None, "192.0.2.8".parse().unwrap()));
        assert!(!is_own_address(Some("192.0.2.7"), None, "2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn what_is_not_a_network_is_none() {
        for text in ["", "/64", "2001:db8::/129", "2001:db8::/x", "192.0.2.1"] {
            assert_eq!(Ipv6Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_what_proves_to_be_the_nodes_machine_is_owned() {
        let mark = Mark { installation: "ours".into(), node: NodeId::from_entropy([7; 13]) };
        let other = NodeId::from_entropy([8; 13]);
        let machine = |name: &str, labels: BTreeMap<String, String>| Instance {
            id: InstanceId("1".into()),
            name: name.into(),
            labels,
            status: InstanceStatus::Running,
            ipv4: None,
            ipv6: None,
            created_at: None,
            region: None,
            size: None,
        };
        let name = machine_name(mark.node);
        assert!(mark.owns(&machine("renamed", mark.labels())));
        assert!(mark.owns(&machine(&name, BTreeMap::new())), "its labels were taken off");
        assert!(!mark.owns(&machine("web-1", BTreeMap::new())));
        assert!(!mark.owns(&machine(&machine_name(other), BTreeMap::new())));
        for labels in [
            Mark { installation: "theirs".into(), ..mark.clone() }.labels(),
            Mark { node: other, ..mark.clone() }.labels(),
            BTreeMap::from([(INSTALLATION_LABEL.to_owned(), "ours".to_owned())]),
            BTreeMap::from([(NODE_LABEL.to_owned(), mark.node.to_string())]),
        ] {
            assert!(!mark.owns(&machine(&name, labels.clone())), "{labels:?}");
        }
    }

    #[test]
    fn a_machines_name_is_a_host_name() {
        let name = machine_name(NodeId::from_entropy([7; 13]));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        assert!(name.len() <= 63);
    }
}
