//! What exactly is ordered: the region and size that were asked for, or the cheapest there are, with room for the workspace.

use std::time::Duration;

use ringfence_protocol::params::{AlternativeParams, CreateWorkspaceParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::Isolation;

use crate::config::Settings;
use crate::domain::container::Need;
use crate::domain::node::{Offer, Offers};
use crate::error::{Error, Result};
use crate::provider::{Catalog, Price, Size};

/// Longest name of a workspace: it is a host name.
const MAX_NAME_BYTES: usize = 63;

/// Alternatives that can be named, at most.
const MAX_ALTERNATIVES: usize = 10;
/// Alternatives that are tried when none are named, at most.
const USUAL_ALTERNATIVES: usize = 4;
/// How much dearer than the chosen machine one may be that nobody has named.
const DEARER: i64 = 2;

/// A machine that the provider offers, and what is ordered in its place where it is not free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Where.
    pub(super) region: String,
    /// Which.
    pub(super) size: String,
    /// Its processors.
    pub(super) cpus: u32,
    /// Its memory.
    pub(super) memory_bytes: u64,
    /// Its disk.
    pub(super) disk_bytes: u64,
    /// Its price.
    pub(super) price_micros_per_hour: i64,
    /// In this currency.
    pub(super) currency: String,
    /// What else, in order.
    pub(super) alternatives: Vec<Offer>,
}

impl Order {
    /// What the dearest of it costs.
    pub(super) fn dearest(&self) -> i64 {
        let prices = self.alternatives.iter().map(|offer| offer.price_micros_per_hour);
        prices.fold(self.price_micros_per_hour, i64::max)
    }

    /// The same without what is dearer than the chosen machine.
    pub(super) fn without_dearer(mut self) -> Self {
        let chosen = self.price_micros_per_hour;
        self.alternatives.retain(|offer| offer.price_micros_per_hour <= chosen);
        self
    }

    /// All of it, the chosen machine first.
    pub(super) fn offers(&self) -> Offers {
        let chosen = Offer {
            region: self.region.clone(),
            size: self.size.clone(),
            cpus: self.cpus,
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes,
            price_micros_per_hour: self.price_micros_per_hour,
        };
        Offers::new([chosen].into_iter().chain(self.alternatives.iter().cloned()).collect(), 0)
    }
}

/// What is looked for in a catalog.
struct Search<'a> {
    catalog: &'a Catalog,
    architecture: &'a str,
    need: Need,
}

impl Search<'_> {
    /// What fits, cheapest first; by price, then by name, so that the same question gets the same answer.
    fn offers(&self, region: Option<&str>, size: Option<&str>) -> Vec<Offer> {
        let asked = |wish: Option<&str>, offer: &str| wish.is_none_or(|wish| wish == offer);
        let fits = |size: &&Size| {
            size.cpus >= self.need.cpus
                && size.memory_bytes >= self.need.memory_bytes
                && size.disk_bytes >= self.need.disk_bytes
        };
        let mut offers: Vec<Offer> = self
            .ours()
            .filter(fits)
            .filter(|candidate| asked(size, &candidate.id))
            .flat_map(|size| size.prices.iter().map(move |price| offer(size, price)))
            .filter(|offer| asked(region, &offer.region))
            .collect();
        offers.sort_by(|a, b| {
            (a.price_micros_per_hour, &a.size, &a.region).cmp(&(b.price_micros_per_hour, &b.size, &b.region))
        });
        offers
    }

    fn ours(&self) -> impl Iterator<Item = &Size> {
        self.catalog.sizes.iter().filter(|size| size.architecture.as_str() == self.architecture)
    }

    fn is_offered(&self, region: Option<&str>, size: Option<&str>) -> bool {
        self.ours().any(|candidate| {
            size.is_none_or(|wish| wish == candidate.id)
                && candidate.prices.iter().any(|price| region.is_none_or(|wish| wish == price.region))
        })
    }

    /// The cheapest that fits, or why there is none.
    fn cheapest(&self, region: Option<&str>, size: Option<&str>) -> Result<Offer> {
        self.offers(region, size).into_iter().next().ok_or_else(|| {
            if self.is_offered(region, size) {
                too_small(self.need)
            } else {
                not_offered(region, size, self.architecture)
            }
        })
    }

    /// Whether two regions are in the same part of the world, as far as the provider says.
    fn is_near(&self, a: &str, b: &str) -> bool {
        let zone = |id: &str| self.catalog.regions.iter().find(|region| region.id == id)?.zone.as_deref();
        a == b || zone(a).is_some_and(|zone_of_a| zone(b) == Some(zone_of_a))
    }
}

fn offer(size: &Size, price: &Price) -> Offer {
    Offer {
        region: price.region.clone(),
        size: size.id.clone(),
        cpus: size.cpus,
        memory_bytes: size.memory_bytes,
        disk_bytes: size.disk_bytes,
        price_micros_per_hour: price.per_hour.0,
    }
}

/// The cheapest machine that fits what was asked, and what is ordered where it is not free.
pub(super) fn choose_order(
    params: &CreateWorkspaceParams,
    catalog: &Catalog,
    architecture: &str,
    need: Need,
) -> Result<Order> {
    let search = Search { catalog, architecture, need };
    let (region, size) = (params.region.as_deref(), params.size.as_deref());
    let chosen = search.cheapest(region, size)?;
    let alternatives = match &params.alternatives {
        Some(named) => named_alternatives(&search, &chosen, (region, size), named)?,
        None => usual_alternatives(&search, &chosen, (region, size)),
    };
    Ok(Order {
        region: chosen.region,
        size: chosen.size,
        cpus: chosen.cpus,
        memory_bytes: chosen.memory_bytes,
        disk_bytes: chosen.disk_bytes,
        price_micros_per_hour: chosen.price_micros_per_hour,
        currency: catalog.currency.clone(),
        alternatives,
    })
}

fn named_alternatives(
    search: &Search<'_>,
    chosen: &Offer,
    (region, size): (Option<&str>, Option<&str>),
    named: &[AlternativeParams],
) -> Result<Vec<Offer>> {
    if named.len() > MAX_ALTERNATIVES {
        let detail = format!("alternatives: {MAX_ALTERNATIVES} at most. Nothing was created.");
        return Err(Error::new(ErrorCode::InvalidBody, detail));
    }
    let mut offers = vec![chosen.clone()];
    for wish in named {
        let offer = search.cheapest(wish.region.as_deref().or(region), wish.size.as_deref().or(size))?;
        if !offers.contains(&offer) {
            offers.push(offer);
        }
    }
    offers.remove(0);
    Ok(offers)
}

/// What was asked for stays as it was asked for, nobody's data goes to another part of the world, and nothing gets much dearer.
fn usual_alternatives(search: &Search<'_>, chosen: &Offer, (region, size): (Option<&str>, Option<&str>)) -> Vec<Offer> {
    let dearest = chosen.price_micros_per_hour.saturating_mul(DEARER);
    let others = search.offers(region, size).into_iter().filter(|offer| {
        offer != chosen && offer.price_micros_per_hour <= dearest && search.is_near(&chosen.region, &offer.region)
    });
    others.take(USUAL_ALTERNATIVES).collect()
}

fn too_small(need: Need) -> Error {
    let gib = |bytes: u64| bytes.div_ceil(1 << 30);
    Error::new(
        ErrorCode::NotOffered,
        format!(
            "The workspace needs a machine with {} processors, {} GiB of memory and {} GiB of disk, its system included; what was asked for there is smaller. Nothing was created; ask for less, or choose a larger size.",
            need.cpus,
            gib(need.memory_bytes),
            gib(need.disk_bytes),
        ),
    )
}

fn not_offered(region: Option<&str>, size: Option<&str>, architecture: &str) -> Error {
    let detail = match (size, region) {
        (None, None) => format!("The provider offers no {architecture} machine at the moment."),
        (Some(_), Some(_)) => format!("The provider has no {architecture} machine of this size in this region."),
        (Some(_), None) => format!("The provider has no {architecture} machine of this size."),
        (None, Some(_)) => format!("The provider has no {architecture} machine in this region."),
    };
    Error::new(ErrorCode::NotOffered, format!("{detail} Nothing was created; look at the catalog."))
}

/// The shortest life that is worth a machine.
const MIN_LIFETIME: Duration = Duration::from_secs(60);

/// The longest life of the node that is made for it.
pub(super) fn lifetime(params: &CreateWorkspaceParams, settings: &Settings) -> Result<Duration> {
    let isolation = params.isolation.unwrap_or(Isolation::User);
    let Some(secs) = params.max_duration_secs else { return Ok(settings.timing.lifetime(isolation)) };
    if isolation != Isolation::Ephemeral {
        return Err(Error::new(
            ErrorCode::InvalidBody,
            "max_duration_secs: goes with isolation `ephemeral` only. Nothing was created.",
        ));
    }
    let (asked, most) = (Duration::from_secs(secs), settings.ephemeral_lifetime_max);
    if asked > most {
        let detail =
            format!("max_duration_secs: at most {} in this installation. Nothing was created.", most.as_secs());
        return Err(Error::new(ErrorCode::CeilingExceeded, detail));
    }
    if asked < MIN_LIFETIME {
        return Err(Error::new(ErrorCode::InvalidBody, "max_duration_secs: at least 60. Nothing was created."));
    }
    Ok(asked)
}

/// The name that was asked for, or one made up from random bytes.
pub(super) fn workspace_name(asked: Option<&str>, random: [u8; 3]) -> Result<String> {
    let Some(name) = asked else { return Ok(made_up(random)) };
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let inside = !name.starts_with('-') && !name.ends_with('-');
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(valid) && inside {
        Ok(name.to_owned())
    } else {
        Err(Error::new(
            ErrorCode::InvalidBody,
            "name: 1 to 63 lower-case letters, digits and dashes, no dash at either end. Nothing was created.",
        ))
    }
}

const COLOURS: [&str; 16] = [
    "amber", "azure", "bronze", "coral", "crimson", "ebony", "emerald", "golden", "indigo", "ivory", "jade", "olive",
    "russet", "scarlet", "silver", "violet",
];
const TREES: [&str; 16] = [
    "alder", "ash", "aspen", "beech", "birch", "cedar", "elm", "fir", "hazel", "larch", "linden", "maple", "oak",
    "pine", "rowan", "willow",
];

fn made_up([colour, tree, number]: [u8; 3]) -> String {
    let pick =
        |words: &'static [&'static str; 16], byte: u8| words.get(usize::from(byte % 16)).copied().unwrap_or("tree");
    format!("{}-{}-{}", pick(&COLOURS, colour), pick(&TREES, tree), number % 100)
}
