//! What a client asks for when it orders or changes a server, checked against the catalog.

use crate::catalog::{self, Image, Location, ServerType};
use crate::error::{ApiError, ErrorCode};
use crate::firewalls::FirewallId;
use crate::labels::{Labels, check_labels};
use crate::user_data::USER_DATA_MAX_BYTES;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const HOST_LABEL_MAX_CHARS: usize = 63;
const HOST_MAX_CHARS: usize = 253;
const DEFAULT_LOCATION: &str = "fsn1";

/// The body of `POST /v1/servers`. Fields that are not named here are ignored, as Hetzner does.
#[derive(Deserialize)]
pub(crate) struct CreateServerBody {
    name: String,
    server_type: NameOrId,
    image: NameOrId,
    location: Option<NameOrId>,
    datacenter: Option<NameOrId>,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    user_data: Option<String>,
    #[serde(default)]
    start_after_create: Option<bool>,
    #[serde(default)]
    public_net: Option<PublicNet>,
    #[serde(default)]
    ssh_keys: Vec<Value>,
    #[serde(default)]
    volumes: Vec<Value>,
    #[serde(default)]
    networks: Vec<Value>,
    #[serde(default)]
    firewalls: Vec<FirewallReference>,
    #[serde(default)]
    placement_group: Option<Value>,
}

/// The body of `PUT /v1/servers/{id}`.
#[derive(Deserialize)]
pub(crate) struct UpdateServerBody {
    pub(crate) name: Option<String>,
    pub(crate) labels: Option<Labels>,
}

#[derive(Deserialize)]
struct PublicNet {
    #[serde(default)]
    ipv4: Option<u64>,
    #[serde(default)]
    ipv6: Option<u64>,
}

#[derive(Deserialize)]
struct FirewallReference {
    firewall: FirewallId,
}

/// Hetzner takes both.
#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrId {
    Name(String),
    Id(u64),
}

/// A server that can be made.
pub(crate) struct NewServer {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) server_type: &'static ServerType,
    pub(crate) image: &'static Image,
    pub(crate) location: &'static Location,
    pub(crate) user_data: String,
    pub(crate) start_after_create: bool,
    pub(crate) firewalls: Vec<FirewallId>,
}

/// Reads a JSON body. Broken JSON and JSON of the wrong shape are two different errors at Hetzner.
pub(crate) fn parse_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let json_error = |_| ApiError::new(ErrorCode::JsonError, "invalid JSON in request body");
    let value: Value = serde_json::from_slice(bytes).map_err(json_error)?;
    serde_json::from_value(value)
        .map_err(|error| ApiError::new(ErrorCode::InvalidInput, format!("invalid input: {error}")))
}

impl CreateServerBody {
    pub(crate) fn check(self) -> Result<NewServer, ApiError> {
        check_name(&self.name)?;
        let labels = self.labels.unwrap_or_default();
        check_labels(&labels)?;
        let user_data = self.user_data.unwrap_or_default();
        if user_data.len() > USER_DATA_MAX_BYTES {
            return Err(ApiError::invalid("user_data", format!("must be at most {USER_DATA_MAX_BYTES} bytes")));
        }
        // Nothing of the kind exists in this cloud, so every reference is to something unknown.
        for (field, referred) in [
            ("ssh_keys", !self.ssh_keys.is_empty()),
            ("volumes", !self.volumes.is_empty()),
            ("networks", !self.networks.is_empty()),
            ("placement_group", self.placement_group.is_some()),
            ("public_net", self.public_net.is_some_and(|net| net.ipv4.is_some() || net.ipv6.is_some())),
        ] {
            if referred {
                return Err(ApiError::invalid(field, "local-cloud has no such resources"));
            }
        }
        let server_type = catalog::server_type_by_name(&self.server_type.text())
            .ok_or_else(|| ApiError::invalid("server_type", "server type not found"))?;
        let image = catalog::image_for(&self.image.text(), server_type.architecture)
            .ok_or_else(|| ApiError::invalid("image", "image not found"))?;
        if image.architecture != server_type.architecture {
            return Err(ApiError::invalid("image", "image architecture does not fit the server type"));
        }
        let location = location(self.location, self.datacenter)?;
        if server_type.price_in(location).is_none() {
            return Err(ApiError::invalid("server_type", "unsupported location for server type"));
        }
        let start_after_create = self.start_after_create.unwrap_or(true);
        let firewalls = self.firewalls.into_iter().map(|reference| reference.firewall).collect();
        Ok(NewServer {
            name: self.name,
            labels,
            server_type,
            image,
            location,
            user_data,
            start_after_create,
            firewalls,
        })
    }
}

impl UpdateServerBody {
    pub(crate) fn check(self) -> Result<Self, ApiError> {
        self.name.as_deref().map_or(Ok(()), check_name)?;
        self.labels.as_ref().map_or(Ok(()), check_labels)?;
        Ok(self)
    }
}

impl NameOrId {
    fn text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Id(id) => id.to_string(),
        }
    }
}

fn location(location: Option<NameOrId>, datacenter: Option<NameOrId>) -> Result<&'static Location, ApiError> {
    match (location, datacenter) {
        (Some(_), Some(_)) => Err(ApiError::invalid("location", "location and datacenter exclude each other")),
        (None, Some(datacenter)) => catalog::location_of_datacenter(&datacenter.text())
            .ok_or_else(|| ApiError::invalid("datacenter", "datacenter not found")),
        (location, None) => {
            let name = location.map_or_else(|| DEFAULT_LOCATION.to_owned(), |location| location.text());
            catalog::location_by_name(&name).ok_or_else(|| ApiError::invalid("location", "location not found"))
        }
    }
}

/// A host name as RFC 1123 has it.
fn check_name(name: &str) -> Result<(), ApiError> {
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=HOST_LABEL_MAX_CHARS).contains(&bytes.len())
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= HOST_MAX_CHARS && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(ApiError::invalid("name", "must be a valid hostname as per RFC 1123"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names() {
        for good in ["a", "rf-node-1", "A.b.c", "0", &"x".repeat(63)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "a_b", "a..b", "a b", "ä", &"x".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
