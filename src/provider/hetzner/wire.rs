//! The parts of Hetzner's JSON that we use. Whatever we can do without may be absent.

use std::collections::BTreeMap;

use ringfence_protocol::money::Micros;
use ringfence_protocol::time::UnixMillis;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use super::firewall::FirewallId;
use crate::domain::node::InstanceId;
use crate::provider::catalog::{Architecture, Price, Region, Size};
use crate::provider::instance::{Instance, InstanceStatus, Ipv6Network};

#[derive(Serialize)]
pub(super) struct CreateServer<'a> {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) server_type: &'a str,
    pub(super) location: &'a str,
    pub(super) image: &'a str,
    pub(super) user_data: &'a str,
    pub(super) start_after_create: bool,
    pub(super) firewalls: [AttachedFirewall; 1],
}

#[derive(Serialize)]
pub(super) struct AttachedFirewall {
    pub(super) firewall: FirewallId,
}

/// An update that updates nothing.
#[derive(Serialize)]
pub(super) struct NoChange {}

/// The body of a refusal.
#[derive(Deserialize)]
pub(super) struct Envelope {
    pub(super) error: Said,
}

#[derive(Deserialize)]
pub(super) struct Said {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
}

#[derive(Deserialize)]
pub(super) struct ServerEnvelope {
    pub(super) server: Server,
}

/// Without the root password that comes with it: nobody signs in with one.
#[derive(Deserialize)]
pub(super) struct CreatedServer {
    pub(super) server: Server,
}

#[derive(Deserialize)]
pub(super) struct Server {
    id: u64,
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    created: String,
    #[serde(default)]
    public_net: Option<PublicNet>,
    #[serde(default)]
    server_type: Option<Named>,
    #[serde(default)]
    location: Option<Named>,
    /// Where older answers have the location.
    #[serde(default)]
    datacenter: Option<Datacenter>,
}

#[derive(Deserialize)]
struct Datacenter {
    #[serde(default)]
    location: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct PublicNet {
    #[serde(default)]
    ipv4: Option<Address>,
    #[serde(default)]
    ipv6: Option<Address>,
}

#[derive(Deserialize)]
struct Address {
    ip: String,
}

impl From<Server> for Instance {
    fn from(server: Server) -> Self {
        let status = match server.status.as_str() {
            "initializing" | "starting" => InstanceStatus::Starting,
            "running" => InstanceStatus::Running,
            "off" | "stopping" => InstanceStatus::Off,
            "deleting" => InstanceStatus::Deleting,
            _ => InstanceStatus::Other,
        };
        let (ipv4, ipv6) = server.public_net.map_or((None, None), |net| (net.ipv4, net.ipv6));
        Self {
            id: InstanceId(server.id.to_string()),
            name: server.name,
            labels: server.labels,
            status,
            ipv4: ipv4.and_then(|address| address.ip.parse().ok()),
            ipv6: ipv6.and_then(|address| Ipv6Network::parse(&address.ip)),
            created_at: instant(&server.created),
            region: server.location.or(server.datacenter.and_then(|place| place.location)).map(|place| place.name),
            size: server.server_type.map(|kind| kind.name),
        }
    }
}

/// A time we cannot read is none: nothing depends on it.
fn instant(text: &str) -> Option<UnixMillis> {
    serde_json::from_value(text.into()).ok()
}

/// One page of a list.
pub(super) trait Paged: DeserializeOwned {
    type Item;
    /// The entries, and the number of the next page if there is one.
    fn into_items(self) -> (Vec<Self::Item>, Option<u32>);
}

#[derive(Deserialize, Default)]
struct Meta {
    #[serde(default)]
    pagination: Pagination,
}

#[derive(Deserialize, Default)]
struct Pagination {
    #[serde(default)]
    next_page: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Servers {
    servers: Vec<Server>,
    #[serde(default)]
    meta: Meta,
}

impl Paged for Servers {
    type Item = Server;
    fn into_items(self) -> (Vec<Server>, Option<u32>) {
        (self.servers, self.meta.pagination.next_page)
    }
}

#[derive(Deserialize)]
pub(super) struct Locations {
    locations: Vec<Location>,
    #[serde(default)]
    meta: Meta,
}

impl Paged for Locations {
    type Item = Location;
    fn into_items(self) -> (Vec<Location>, Option<u32>) {
        (self.locations, self.meta.pagination.next_page)
    }
}

#[derive(Deserialize)]
pub(super) struct Location {
    name: String,
    #[serde(default)]
    city: String,
    #[serde(default)]
    country: String,
    #[serde(default)]
    network_zone: Option<String>,
}

impl From<Location> for Region {
    fn from(location: Location) -> Self {
        let parts: Vec<&str> =
            [location.city.as_str(), location.country.as_str()].into_iter().filter(|p| !p.is_empty()).collect();
        let name = if parts.is_empty() { location.name.clone() } else { parts.join(", ") };
        Self { id: location.name, name, zone: location.network_zone }
    }
}

#[derive(Deserialize)]
pub(super) struct ServerTypes {
    server_types: Vec<ServerType>,
    #[serde(default)]
    meta: Meta,
}

impl Paged for ServerTypes {
    type Item = ServerType;
    fn into_items(self) -> (Vec<ServerType>, Option<u32>) {
        (self.server_types, self.meta.pagination.next_page)
    }
}

#[derive(Deserialize)]
pub(super) struct ServerType {
    name: String,
    cores: u32,
    /// In GiB.
    memory: f64,
    /// In GB.
    disk: f64,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    prices: Vec<LocationPrice>,
    /// For the type as a whole, from before there was one for each location.
    #[serde(default)]
    deprecation: Option<IgnoredAny>,
    #[serde(default)]
    locations: Option<Vec<TypeLocation>>,
}

#[derive(Deserialize)]
struct LocationPrice {
    location: String,
    price_hourly: Amount,
}

#[derive(Deserialize)]
struct Amount {
    gross: String,
}

#[derive(Deserialize)]
struct TypeLocation {
    name: String,
    #[serde(default)]
    deprecation: Option<IgnoredAny>,
    #[serde(default)]
    available: Option<bool>,
}

impl ServerType {
    /// As a size; `None` for an architecture we have no agent for.
    pub(super) fn size(&self) -> Option<Size> {
        const GIB: f64 = 1_073_741_824.0;
        const GB: f64 = 1_000_000_000.0;
        let architecture = match self.architecture.as_str() {
            "x86" => Architecture::X86_64,
            "arm" => Architecture::Aarch64,
            _ => return None,
        };
        let prices = self.prices.iter().filter(|price| self.offered_in(&price.location)).filter_map(|price| {
            Some(Price { region: price.location.clone(), per_hour: Micros::parse(&price.price_hourly.gross)? })
        });
        Some(Size {
            id: self.name.clone(),
            cpus: self.cores,
            // `as` cuts what is out of range to the nearest bound.
            memory_bytes: (self.memory * GIB) as u64,
            disk_bytes: (self.disk * GB) as u64,
            architecture,
            prices: prices.collect(),
        })
    }

    /// A price is listed for places where the type cannot be ordered any more, too.
    fn offered_in(&self, location: &str) -> bool {
        match &self.locations {
            Some(locations) => locations.iter().any(|candidate| {
                candidate.name == location && candidate.deprecation.is_none() && candidate.available != Some(false)
            }),
            None => self.deprecation.is_none(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct PricingEnvelope {
    pub(super) pricing: Pricing,
}

#[derive(Deserialize)]
pub(super) struct Pricing {
    pub(super) currency: String,
}
