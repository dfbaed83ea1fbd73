//! Machines that a user has asked to be kept warm: so many empty ones are always there for their next workspace.

use serde::{Deserialize, Serialize};

use crate::ids::CredentialId;
use crate::money::Money;
use crate::time::UnixMillis;

/// Machines that one user can have kept warm, at most.
pub const MAX_WARM_MINIMUM: u32 = 5;

/// `PUT /api/warm-pool`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SetWarmPoolParams {
    /// How many empty machines are to be there, 0 to 5. With 0 none is kept any more, and the rest is forgotten.
    pub minimum: u32,
    /// In which of your clouds; the one stored last when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<CredentialId>,
    /// A region of the catalog; the cheapest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A size of the catalog; the cheapest with room for a workspace of the usual size when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
}

/// `GET /api/warm-pool`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WarmPoolView {
    /// How many empty machines are to be there; 0 when nothing was asked for.
    pub minimum: u32,
    /// What each is; absent when nothing was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<WarmMachineView>,
    /// How many are there and can take a workspace at once.
    pub warm: u32,
    /// How many are being made.
    pub being_made: u32,
    /// Why there are fewer than asked for, where more than a minute's patience is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When another one is tried, where it is not tried at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<UnixMillis>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<UnixMillis>,
}

/// What a machine is that is kept warm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WarmMachineView {
    /// In which of your clouds.
    pub credential_id: CredentialId,
    /// Where.
    pub region: String,
    /// Which; a larger one in the same region counts too.
    pub size: String,
    /// What one costs, also while nobody works on it.
    pub price_per_hour: Money,
}
