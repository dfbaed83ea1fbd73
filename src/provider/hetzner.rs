//! Hetzner Cloud. A key is an API token of a project: it sees that project and nothing else.
//!
//! Names are unique in a project, which makes a repeated create call harmless. A server that is switched off costs as much
//! as one that runs.

mod classify;
mod firewall;
mod wire;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::ProviderKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::classify::{Effect, Refusal, lost, unreadable};
use self::wire::{
    AttachedFirewall, CreateServer, CreatedServer, Envelope, Locations, NoChange, Paged, PricingEnvelope,
    ServerEnvelope, ServerTypes, Servers,
};
use super::catalog::Catalog;
use super::error::{ErrorClass, ProviderError, Result, not_ours};
use super::instance::{CreateInstance, INSTALLATION_LABEL, Instance, Inventory, Mark, NODE_LABEL, machine_name};
use super::key::ProviderKey;
use super::{Description, Idempotency, ProviderFirewall};
use crate::domain::node::{Deletion, InstanceId};

pub(super) const DESCRIPTION: Description = Description {
    kind: ProviderKind::Hetzner,
    name: "Hetzner Cloud",
    secret_hint: "An API token with Read & Write permission, from Security → API tokens of a project of its own",
    secret_url: "https://console.hetzner.com/projects",
    idempotency: Idempotency::UniqueName,
    poweroff_ends_billing: false,
    billing_period: Some(Duration::from_secs(3600)),
    firewall: ProviderFirewall::NothingComesIn,
};

/// What a server boots unless told otherwise.
const DEFAULT_IMAGE: &str = "docker-ce";
/// The largest page Hetzner gives.
const PER_PAGE: u32 = 50;
/// Pages of one list that are read at most: 500 entries. An alarm has 50 subrequests for everything it does.
const PAGES_MAX: u32 = 10;
/// How long one call may take. An alarm that waits for ever is an alarm lost; a call that is cut counts as a lost answer.
const TIME_LIMIT: Duration = Duration::from_secs(20);
/// No server has this id.
const NO_SERVER: &str = "0";

/// One project at Hetzner Cloud.
pub struct Hetzner {
    client: Client,
    /// Origin and version, without a slash at the end.
    api: String,
    key: ProviderKey,
}

impl Hetzner {
    /// The project that `key` opens, at `base_url`: an origin such as `https://api.hetzner.cloud`.
    pub fn new(base_url: &str, key: ProviderKey) -> Self {
        let api = format!("{}/v1", base_url.trim_end_matches('/'));
        Self { client: Client::new(), api, key }
    }

    /// Asks for a server, behind the installation's firewall from its first moment.
    pub async fn create(&self, order: &CreateInstance<'_>) -> Result<Instance> {
        let firewall = self.firewall(&order.mark.installation).await?;
        let body = CreateServer {
            name: machine_name(order.mark.node),
            labels: order.mark.labels(),
            server_type: order.size,
            location: order.region,
            image: order.image.unwrap_or(DEFAULT_IMAGE),
            user_data: order.user_data,
            start_after_create: true,
            firewalls: [AttachedFirewall { firewall }],
        };
        let created: CreatedServer = self.write(Method::POST, "/servers", &body).await?;
        Ok(created.server.into())
    }

    /// Looks at one server.
    pub async fn get(&self, id: &InstanceId) -> Result<Option<Instance>> {
        match self.read::<ServerEnvelope>(&format!("/servers/{}", number(id)?), &[]).await {
            Ok(answer) => Ok(Some(answer.server.into())),
            Err(refusal) if refusal.not_found() => Ok(None),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// By label and by name, because a list by label may lag behind a server that was just made, and a label can be removed.
    pub async fn find(&self, node: NodeId) -> Result<Vec<Instance>> {
        let name = machine_name(node);
        let mut found = self.servers(&[("name", &name)]).await?.instances;
        let selector = format!("{NODE_LABEL}=={node}");
        for instance in self.servers(&[("label_selector", &selector)]).await?.instances {
            if !found.iter().any(|known| known.id == instance.id) {
                found.push(instance);
            }
        }
        Ok(found)
    }

    /// The installation's servers.
    pub async fn list(&self, installation: &str) -> Result<Inventory> {
        self.servers(&[("label_selector", &format!("{INSTALLATION_LABEL}=={installation}"))]).await
    }

    /// Asks for a server's deletion, once it has proven to be ours.
    pub async fn delete(&self, mark: &Mark, id: &InstanceId) -> Result<Deletion> {
        match self.get(id).await? {
            None => return Ok(Deletion::NotFound),
            Some(instance) if !mark.owns(&instance) => return Err(not_ours()),
            Some(_) => {}
        }
        let request = self.request(Method::DELETE, &format!("/servers/{}", number(id)?))?;
        // What the answer says of the action is not needed: the server is gone when it cannot be found.
        match self.send::<serde::de::IgnoredAny>(request, Effect::Write).await {
            Ok(_) => Ok(Deletion::Accepted),
            Err(refusal) if refusal.not_found() => Ok(Deletion::NotFound),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// What can be ordered. Deprecated types and those that are sold out for good are left out.
    pub async fn catalog(&self) -> Result<Catalog> {
        let (locations, _) = self.pages::<Locations>("/locations", &[]).await?;
        let (types, _) = self.pages::<ServerTypes>("/server_types", &[]).await?;
        let pricing: PricingEnvelope = self.read("/pricing", &[]).await?;
        Ok(Catalog::new(
            locations.into_iter().map(Into::into).collect(),
            types.iter().filter_map(wire::ServerType::size).collect(),
            pricing.pricing.currency,
        ))
    }

    /// A read, then a write that can change nothing: an update without any change of a server that cannot exist. A token
    /// that may write is told that there is no such server; one that may only read is refused before anybody looks
    /// (`token_readonly`: Hetzner allows it GET alone). Nothing is made, so nothing is billed or left behind.
    pub async fn validate(&self) -> Result<()> {
        self.read::<Servers>("/servers", &[("per_page", "1")]).await?;
        let request = json(self.request(Method::PUT, &format!("/servers/{NO_SERVER}"))?, &NoChange {})?;
        match self.send::<serde::de::IgnoredAny>(request, Effect::Write).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.not_found() => Ok(()),
            // It was read and judged, so the token passed.
            Err(refusal) if refusal.error.class == ErrorClass::Invalid => Ok(()),
            Err(refusal) => Err(refusal.error),
        }
    }

    async fn servers(&self, query: &[(&str, &str)]) -> Result<Inventory> {
        let (servers, complete) = self.pages::<Servers>("/servers", query).await?;
        Ok(Inventory { instances: servers.into_iter().map(Into::into).collect(), complete })
    }

    /// Reads a list page by page, at most [`PAGES_MAX`] of them. The second value tells whether that was all.
    async fn pages<P: Paged>(&self, path: &str, query: &[(&str, &str)]) -> Result<(Vec<P::Item>, bool)> {
        let mut items = Vec::new();
        for page in 1..=PAGES_MAX {
            let (page_text, per_page) = (page.to_string(), PER_PAGE.to_string());
            let mut query = query.to_vec();
            query.extend([("page", page_text.as_str()), ("per_page", per_page.as_str())]);
            let (more, next) = self.read::<P>(path, &query).await?.into_items();
            items.extend(more);
            // A next page that is not the one after this would lead round in circles.
            if next != Some(page + 1) {
                return Ok((items, next.is_none()));
            }
        }
        Ok((items, false))
    }

    async fn read<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> std::result::Result<T, Refusal> {
        let request = self.request(Method::GET, path)?.query(query);
        self.send(request, Effect::Read).await
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> std::result::Result<T, Refusal> {
        let request = json(self.request(method, path)?, body)?;
        self.send(request, Effect::Write).await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        // Characters that cannot be in a header cannot be in a token.
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", self.key.expose())).map_err(|_| {
            ProviderError::new(ErrorClass::Auth, "malformed_key", "This is not a Hetzner Cloud API token.")
        })?;
        authorization.set_sensitive(true);
        Ok(self
            .client
            .request(method, format!("{}{path}", self.api))
            .timeout(TIME_LIMIT)
            .header(AUTHORIZATION, authorization)
            .header(USER_AGENT, "ringfence"))
    }

    async fn send<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        effect: Effect,
    ) -> std::result::Result<T, Refusal> {
        let answer = request.send().await.map_err(|error| lost(effect, &error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(|error| lost(effect, &error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| unreadable(effect, &error));
        }
        Err(self.refusal(effect, status, &headers, &body))
    }

    fn refusal(&self, effect: Effect, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let said = serde_json::from_slice::<Envelope>(body).ok().map(|envelope| envelope.error);
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut refusal = classify::refusal(effect, status, said, seconds);
        // A provider has no reason to repeat a key; if it ever did, the message would end up in logs.
        if refusal.error.message.contains(self.key.expose()) {
            refusal.error.message = "The provider's message is withheld.".into();
        }
        refusal
    }
}

fn json(request: RequestBuilder, body: &impl Serialize) -> Result<RequestBuilder> {
    let body = serde_json::to_vec(body)
        .map_err(|error| ProviderError::new(ErrorClass::Invalid, "unserialisable_body", error.to_string()))?;
    Ok(request.header(CONTENT_TYPE, "application/json").body(body))
}

/// Hetzner's ids are numbers; anything else could change the path.
fn number(id: &InstanceId) -> Result<u64> {
    id.0.parse().map_err(|_| ProviderError::new(ErrorClass::Invalid, "malformed_instance_id", "Not a server's id."))
}
