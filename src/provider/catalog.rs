//! What a provider offers: places, machine types and prices. Kept as JSON beside the credential that was asked with.

use ringfence_protocol::money::{Micros, Money};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{CatalogView, PriceView, RegionView, SizeView};
use serde::{Deserialize, Serialize};

/// What can be ordered now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Where machines can stand.
    pub regions: Vec<Region>,
    /// What machines there are, each with at least one price, cheapest first.
    pub sizes: Vec<Size>,
    /// ISO 4217 code of every price.
    pub currency: String,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The provider's name for it, e.g. `fsn1`.
    pub id: String,
    /// For people, e.g. `Falkenstein, DE`.
    pub name: String,
    /// The part of the world that the provider counts it to, where it says so.
    #[serde(default)]
    pub zone: Option<String>,
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// The provider's name for it, e.g. `cx23`.
    pub id: String,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Disk.
    pub disk_bytes: u64,
    /// Instruction set.
    pub architecture: Architecture,
    /// Where it can be had, and for how much, cheapest first.
    pub prices: Vec<Price>,
}

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
}

impl Architecture {
    /// The usual name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// A price at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Where.
    pub region: String,
    /// With VAT, as the provider states it for the account.
    pub per_hour: Micros,
}

impl Catalog {
    /// Puts sizes and their prices in order, cheapest first, and leaves out sizes that can be had nowhere.
    pub(super) fn new(regions: Vec<Region>, mut sizes: Vec<Size>, currency: String) -> Self {
        for size in &mut sizes {
            size.prices.retain(|price| regions.iter().any(|region| region.id == price.region));
            size.prices.sort_by(|a, b| (a.per_hour, &a.region).cmp(&(b.per_hour, &b.region)));
        }
        sizes.retain(|size| !size.prices.is_empty());
        sizes.sort_by(|a, b| (a.cheapest(), &a.id).cmp(&(b.cheapest(), &b.id)));
        Self { regions, sizes, currency }
    }

    /// The price of a size in a region; `None` where it cannot be had.
    pub fn price(&self, size: &str, region: &str) -> Option<Micros> {
        let size = self.sizes.iter().find(|candidate| candidate.id == size)?;
        size.prices.iter().find(|price| price.region == region).map(|price| price.per_hour)
    }

    /// As the HTTP API shows it.
    pub fn view(&self, provider: ProviderKind, fetched_at: UnixMillis) -> CatalogView {
        let price = |price: &Price| PriceView {
            region: price.region.clone(),
            per_hour: Money::from_micros(price.per_hour.0, self.currency.clone()),
        };
        CatalogView {
            provider,
            regions: self.regions.iter().map(|r| RegionView { id: r.id.clone(), name: r.name.clone() }).collect(),
            sizes: self
                .sizes
                .iter()
                .map(|size| SizeView {
                    id: size.id.clone(),
                    cpus: size.cpus,
                    memory_bytes: size.memory_bytes,
                    disk_bytes: size.disk_bytes,
                    architecture: size.architecture.as_str().into(),
                    prices: size.prices.iter().map(price).collect(),
                })
                .collect(),
            fetched_at,
        }
    }
}

impl Size {
    fn cheapest(&self) -> Option<Micros> {
        self.prices.iter().map(|price| price.per_hour).min()
    }
}
