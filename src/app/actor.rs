//! Who asks: made by authentication alone, and passed to every use case of a user.

use ringfence_protocol::ids::{GrantId, TenantId, UserId};
use ringfence_protocol::state::Role;

/// A signed-in user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub user_id: UserId,
    /// Their tenant.
    pub tenant_id: TenantId,
    /// What they may do beyond their own things.
    pub role: Role,
    /// The session or API token they ask with.
    pub grant: GrantId,
    /// Where the request came from.
    pub source_address: String,
}
