//! The destroy ticket: what a node's object keeps in its own storage so that it can delete its machine when the database
//! cannot be reached. It holds no secret: the credential in it is sealed.

use ringfence_protocol::ids::{CredentialId, NodeId, UserId};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Enough to find and delete one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestroyTicket {
    /// The node: its machine's name and label.
    pub node_id: NodeId,
    /// The installation whose machine it is. None in a ticket from before it was kept: this one's.
    #[serde(default)]
    pub installation: Option<String>,
    /// Whose it is: part of what opens the sealed credential.
    pub user_id: UserId,
    /// Which cloud.
    pub provider: ProviderKind,
    /// Which credential: as above.
    pub credential_id: CredentialId,
    /// Version of the seal key.
    pub seal_version: i64,
    /// The sealed credential.
    pub sealed_secret: String,
    /// The machine's name at the provider.
    pub machine_name: String,
    /// Its id there, once known.
    pub instance_id: Option<String>,
    /// Whether it is to be deleted now; otherwise only past the hard deadline.
    pub destroy_now: bool,
    /// When it is deleted whatever happens.
    pub hard_deadline: UnixMillis,
}

impl DestroyTicket {
    /// Whether its machine is to be deleted by it now.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.destroy_now || now >= self.hard_deadline
    }
}
