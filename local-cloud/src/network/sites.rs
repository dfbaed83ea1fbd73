//! What the cloud itself answers on port 80: the metadata service, a private neighbour, and the internet.
//!
//! They really answer, so that a workspace that gets no answer was stopped by a firewall and not by an absence.

use super::addresses::{INTERNET, METADATA_V4, METADATA_V6, NEIGHBOUR, Slot};
use super::http::{Reply, redirect, text};
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// A machine as its metadata service describes it.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) instance_id: u64,
    pub(crate) hostname: String,
    pub(crate) region: String,
    pub(crate) user_data: String,
}

/// Who has which slot. Shared with the driver, which fills it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Residents(Arc<Mutex<HashMap<Slot, Metadata>>>);

impl Residents {
    pub(crate) fn insert(&self, slot: Slot, metadata: Metadata) {
        self.map().insert(slot, metadata);
    }

    pub(crate) fn remove(&self, slot: Slot) {
        self.map().remove(&slot);
    }

    fn of(&self, address: IpAddr) -> Option<(Slot, Metadata)> {
        let slot = Slot::of(address)?;
        Some((slot, self.map().get(&slot)?.clone()))
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<Slot, Metadata>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A site on port 80.
#[derive(Clone, Copy, Debug)]
pub(super) enum Site {
    Metadata,
    Neighbour,
    Internet,
}

impl Site {
    /// Every site with its address.
    pub(super) const ALL: [(Self, IpAddr); 4] = [
        (Self::Metadata, IpAddr::V4(METADATA_V4)),
        (Self::Metadata, IpAddr::V6(METADATA_V6)),
        (Self::Neighbour, IpAddr::V4(NEIGHBOUR)),
        (Self::Internet, IpAddr::V4(INTERNET)),
    ];

    pub(super) fn answer(self, request: &Request<Incoming>, from: SocketAddr, residents: &Residents) -> Reply {
        let path = request.uri().path();
        match self {
            Self::Metadata => match residents.of(from.ip()) {
                Some((slot, machine)) => match metadata(path, slot, &machine) {
                    Some(body) => text(StatusCode::OK, body),
                    None => text(StatusCode::NOT_FOUND, "not found\n".into()),
                },
                None => text(StatusCode::NOT_FOUND, "no machine has this address\n".into()),
            },
            Self::Neighbour => text(StatusCode::OK, "a private neighbour\n".into()),
            Self::Internet if path == "/redirect" => redirect(&format!("http://{METADATA_V4}/")),
            Self::Internet => text(StatusCode::OK, "the internet\n".into()),
        }
    }
}

/// Hetzner's paths, and those that most clouds share.
fn metadata(path: &str, slot: Slot, machine: &Metadata) -> Option<String> {
    let (id, host, v4, region) = (machine.instance_id, &machine.hostname, slot.v4(), &machine.region);
    let whole = || {
        format!(
            "availability-zone: {region}-dc1\nhostname: {host}\ninstance-id: {id}\nlocal-ipv4: ''\npublic-ipv4: {v4}\n\
             public-keys: []\nregion: {region}\n"
        )
    };
    let found = match path.trim_end_matches('/') {
        "" => "hetzner\nlatest\n".into(),
        "/hetzner/v1/metadata" => whole(),
        "/hetzner/v1/userdata" | "/latest/user-data" => machine.user_data.clone(),
        "/latest" => "meta-data\nuser-data\n".into(),
        "/latest/meta-data" => "hostname\ninstance-id\npublic-ipv4\n".into(),
        "/hetzner/v1/metadata/hostname" | "/latest/meta-data/hostname" => host.clone(),
        "/hetzner/v1/metadata/instance-id" | "/latest/meta-data/instance-id" => id.to_string(),
        "/hetzner/v1/metadata/public-ipv4" | "/latest/meta-data/public-ipv4" => v4.to_string(),
        "/hetzner/v1/metadata/region" => region.clone(),
        _ => return None,
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_about_itself_in_both_dialects() {
        let slot = Slot::of("192.0.2.10".parse().unwrap()).unwrap();
        let machine =
            Metadata { instance_id: 7, hostname: "m".into(), region: "fsn1".into(), user_data: "#cloud-config".into() };
        let asked = |path| metadata(path, slot, &machine);
        assert!(asked("/hetzner/v1/metadata").unwrap().contains("instance-id: 7\n"));
        assert_eq!(asked("/hetzner/v1/userdata"), asked("/latest/user-data"));
        assert_eq!(asked("/latest/meta-data/public-ipv4").as_deref(), Some("192.0.2.10"));
        assert!(asked("/latest/meta-data/").is_some() && asked("/secret").is_none());
    }

    #[test]
    fn residents_are_found_by_either_address_while_they_are_there() {
        let residents = Residents::default();
        let slot = Slot::of("192.0.2.10".parse().unwrap()).unwrap();
        let machine =
            Metadata { instance_id: 7, hostname: "m".into(), region: "fsn1".into(), user_data: String::new() };
        residents.insert(slot, machine);
        assert!(residents.of(slot.v6().into()).is_some() && residents.of("192.0.2.11".parse().unwrap()).is_none());
        residents.remove(slot);
        assert!(residents.of(slot.v4().into()).is_none());
    }
}
