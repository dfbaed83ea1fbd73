//! Clouds, and users' keys for them.

use serde::{Deserialize, Serialize};

use crate::ids::CredentialId;
use crate::money::Money;
use crate::state::ProviderKind;
use crate::time::UnixMillis;

/// A cloud that Ringfence can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProviderView {
    /// Names the provider.
    pub kind: ProviderKind,
    /// For people.
    pub name: String,
    /// What to paste and where to get it.
    pub secret_hint: String,
    /// The page where a key is made.
    pub secret_url: String,
    /// Whether a machine that is switched off costs nothing.
    pub poweroff_ends_billing: bool,
    /// What it bills at once, e.g. an hour; absent where each second counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_period_secs: Option<u64>,
}

/// A user's key for a cloud, without the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CredentialView {
    /// Names the credential.
    pub id: CredentialId,
    /// Which cloud.
    pub provider: ProviderKind,
    /// The user's name for it.
    pub name: String,
    /// When it was stored.
    pub created_at: UnixMillis,
    /// When the provider last accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<UnixMillis>,
    /// Counter of changes.
    pub row_version: i64,
}

/// What a cloud offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CatalogView {
    /// Which cloud.
    pub provider: ProviderKind,
    /// Where machines can stand.
    pub regions: Vec<RegionView>,
    /// What machines there are, cheapest first.
    pub sizes: Vec<SizeView>,
    /// When the provider was asked.
    pub fetched_at: UnixMillis,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RegionView {
    /// The provider's name for it, e.g. `fsn1`.
    pub id: String,
    /// For people, e.g. `Falkenstein, DE`.
    pub name: String,
}

/// A machine type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SizeView {
    /// The provider's name for it, e.g. `cx23`.
    pub id: String,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Disk.
    pub disk_bytes: u64,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// Where it can be had, and for how much.
    pub prices: Vec<PriceView>,
}

/// A price at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PriceView {
    /// Where.
    pub region: String,
    /// With VAT as the provider states it for the account.
    pub per_hour: Money,
}
