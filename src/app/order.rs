//! What exactly is ordered: the region and size that were asked for, or the cheapest there are, with room for the workspace.

use std::time::Duration;

use ringfence_protocol::money::Micros;
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::Isolation;

use crate::config::Settings;
use crate::domain::container::Need;
use crate::error::{Error, Result};
use crate::provider::{Catalog, Size};

/// Longest name of a workspace: it is a host name.
const MAX_NAME_BYTES: usize = 63;

/// A machine that the provider offers.
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
}

/// The cheapest machine that fits what was asked.
pub(super) fn choose_order(
    params: &CreateWorkspaceParams,
    catalog: &Catalog,
    architecture: &str,
    need: Need,
) -> Result<Order> {
    let asked = |wish: &Option<String>, offer: &str| wish.as_deref().is_none_or(|wish| wish == offer);
    let fits = |size: &&Size| {
        size.cpus >= need.cpus && size.memory_bytes >= need.memory_bytes && size.disk_bytes >= need.disk_bytes
    };
    let ours = catalog.sizes.iter().filter(|size| size.architecture.as_str() == architecture);
    let offers = ours.clone().filter(fits).flat_map(|size| {
        size.prices
            .iter()
            .filter(|price| asked(&params.size, &size.id) && asked(&params.region, &price.region))
            .map(move |price| (price.per_hour, &size.id, &price.region, size))
    });
    // By price, then by name, so that the same question gets the same answer.
    let cheapest = offers.min_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    let (Micros(price), _, region, size) = cheapest.ok_or_else(|| {
        let offered = ours.clone().any(|size| {
            asked(&params.size, &size.id) && size.prices.iter().any(|price| asked(&params.region, &price.region))
        });
        if offered { too_small(need) } else { not_offered(params, architecture) }
    })?;
    Ok(Order {
        region: region.clone(),
        size: size.id.clone(),
        cpus: size.cpus,
        memory_bytes: size.memory_bytes,
        disk_bytes: size.disk_bytes,
        price_micros_per_hour: price,
        currency: catalog.currency.clone(),
    })
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

fn not_offered(params: &CreateWorkspaceParams, architecture: &str) -> Error {
    let detail = match (&params.size, &params.region) {
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
