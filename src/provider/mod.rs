//! The clouds that machines come from. The same code runs natively and in the Worker: `reqwest`, no clock, no retries, a
//! limit to how long one call may take.
//!
//! A provider makes one attempt and says what is known of it. What to do next is the caller's (`domain::node`): after
//! [`ErrorClass::Unknown`] the request may have had its effect, so the machine is looked for before it is asked for again.

mod catalog;
mod error;
mod hetzner;
mod instance;
mod key;

use std::time::Duration;

use ringfence_protocol::ids::NodeId;
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::views::ProviderView;

use crate::domain::node::{Deletion, InstanceId};

pub use catalog::{Architecture, Catalog, Price, Region, Size};
pub use error::{ErrorClass, NOT_OURS, ProviderError, Result, not_ours};
pub use hetzner::Hetzner;
pub use instance::{
    CreateInstance, INSTALLATION_LABEL, Instance, InstanceStatus, Inventory, Ipv6Network, Mark, NODE_LABEL,
    is_own_address, machine_name,
};
pub use key::ProviderKey;

/// How a provider keeps a repeated create call from making a second machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Names are unique in an account: the second call is refused with [`ErrorClass::NameTaken`], and the machine is adopted.
    UniqueName,
}

/// What a provider's own firewall does for a machine of ours, before and beside the machine's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderFirewall {
    /// One without inbound rules is attached by the call that makes the machine.
    NothingComesIn,
    /// It has none: the machine's own stands alone.
    None,
}

/// What is known of a provider without asking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Description {
    /// Which provider.
    pub kind: ProviderKind,
    /// For people.
    pub name: &'static str,
    /// What to paste and where to get it.
    pub secret_hint: &'static str,
    /// The page where a key is made.
    pub secret_url: &'static str,
    /// How a repeated create call is kept harmless.
    pub idempotency: Idempotency,
    /// Whether a machine that is switched off costs nothing.
    pub poweroff_ends_billing: bool,
    /// What it bills at once: a machine that lives a minute longer than one of these pays for two. None where each second counts.
    pub billing_period: Option<Duration>,
    /// What its own firewall does.
    pub firewall: ProviderFirewall,
}

impl Description {
    /// What is known of this provider.
    pub const fn of(kind: ProviderKind) -> &'static Self {
        match kind {
            ProviderKind::Hetzner => &hetzner::DESCRIPTION,
        }
    }

    /// As the HTTP API shows it.
    pub fn view(&self) -> ProviderView {
        ProviderView {
            kind: self.kind,
            name: self.name.into(),
            secret_hint: self.secret_hint.into(),
            secret_url: self.secret_url.into(),
            poweroff_ends_billing: self.poweroff_ends_billing,
            billing_period_secs: self.billing_period.map(|period| period.as_secs()),
        }
    }
}

/// One user's account at a provider.
pub enum Provider {
    /// Hetzner Cloud.
    Hetzner(Hetzner),
}

impl Provider {
    /// The account that `key` opens. `base_url` is the origin of the provider's API.
    pub fn new(kind: ProviderKind, base_url: &str, key: ProviderKey) -> Self {
        match kind {
            ProviderKind::Hetzner => Self::Hetzner(Hetzner::new(base_url, key)),
        }
    }

    /// What is known of the provider without asking it.
    pub const fn description(&self) -> &'static Description {
        match self {
            Self::Hetzner(_) => &hetzner::DESCRIPTION,
        }
    }

    /// Asks for a machine.
    pub async fn create(&self, order: &CreateInstance<'_>) -> Result<Instance> {
        match self {
            Self::Hetzner(hetzner) => hetzner.create(order).await,
        }
    }

    /// Looks at one machine; `None` when the provider says that there is none.
    pub async fn get(&self, id: &InstanceId) -> Result<Option<Instance>> {
        match self {
            Self::Hetzner(hetzner) => hetzner.get(id).await,
        }
    }

    /// The machines that carry the node's name or label, the one with the name first.
    pub async fn find(&self, node: NodeId) -> Result<Vec<Instance>> {
        match self {
            Self::Hetzner(hetzner) => hetzner.find(node).await,
        }
    }

    /// The installation's machines in this account.
    pub async fn list(&self, installation: &str) -> Result<Inventory> {
        match self {
            Self::Hetzner(hetzner) => hetzner.list(installation).await,
        }
    }

    /// Asks for a machine's deletion, after it has proven to be the one that the mark names. One that does not is left alone:
    /// [`NOT_OURS`].
    pub async fn delete(&self, mark: &Mark, id: &InstanceId) -> Result<Deletion> {
        match self {
            Self::Hetzner(hetzner) => hetzner.delete(mark, id).await,
        }
    }

    /// What can be ordered, where, and for how much.
    pub async fn catalog(&self) -> Result<Catalog> {
        match self {
            Self::Hetzner(hetzner) => hetzner.catalog().await,
        }
    }

    /// Proves that the key may do all that is needed, without making or changing anything.
    pub async fn validate(&self) -> Result<()> {
        match self {
            Self::Hetzner(hetzner) => hetzner.validate().await,
        }
    }
}
