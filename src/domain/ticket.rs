//! The destroy ticket: what a node's object keeps in its own storage so that it can delete its machine when the database
//! cannot be reached. It holds no secret: the credential in it is sealed.

use std::time::Duration;

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
    /// Whether the machine is to be deleted although the database is away.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.destroy_now || now >= self.hard_deadline
    }

    /// When to look again while the database is away: after the pause, or when the machine's time comes before.
    pub fn next_look(&self, now: UnixMillis, pause: Duration) -> UnixMillis {
        let after = now + pause;
        if self.is_due(now) { after } else { after.min(self.hard_deadline) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(destroy_now: bool) -> DestroyTicket {
        DestroyTicket {
            node_id: NodeId::from_entropy([1; 13]),
            installation: Some("test".into()),
            user_id: UserId::from_entropy([2; 13]),
            provider: ProviderKind::Hetzner,
            credential_id: CredentialId::from_entropy([3; 13]),
            seal_version: 1,
            sealed_secret: "sealed".into(),
            machine_name: "ringfence-x".into(),
            instance_id: None,
            destroy_now,
            hard_deadline: UnixMillis::from_secs(1000),
        }
    }

    #[test]
    fn a_machine_is_due_when_it_was_to_go_or_its_time_is_over() {
        let at = UnixMillis::from_secs;
        assert!(!ticket(false).is_due(at(999)));
        assert!(ticket(false).is_due(at(1000)));
        assert!(ticket(true).is_due(at(0)));
    }

    #[test]
    fn the_hard_deadline_is_not_slept_through() {
        let (at, pause) = (UnixMillis::from_secs, Duration::from_secs(300));
        assert_eq!(ticket(false).next_look(at(900), pause), at(1000));
        assert_eq!(ticket(false).next_look(at(100), pause), at(400));
        assert_eq!(
            ticket(false).next_look(at(1000), pause),
            at(1300),
            "it is due: nothing is waited for but the pause"
        );
    }

    #[test]
    fn a_ticket_from_before_installations_were_kept_is_read() {
        let mut json = serde_json::to_value(ticket(true)).unwrap();
        json.as_object_mut().unwrap().remove("installation");
        assert_eq!(serde_json::from_value::<DestroyTicket>(json).unwrap().installation, None);
    }
}
