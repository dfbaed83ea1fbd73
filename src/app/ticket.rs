//! Deleting a machine with nothing but the ticket that its object keeps: for when the database is away. What follows for the
//! node's row is seen when it is back: the machine's own 404 ends it.

use ringfence_protocol::time::UnixMillis;

use super::outcome::Cloud;
use crate::domain::ticket::DestroyTicket;
use crate::provider::{self, Mark};

/// What came of a look at the ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its time has not come.
    NotDue,
    /// The account has no such machine, or does not list it any more.
    NothingFound,
    /// The provider was told to delete it.
    Deleted,
}

/// Deletes the machine of the ticket if its time has come. By what carries our marks, whatever id was recorded: a ticket may be
/// older than an adoption.
pub async fn destroy_by_ticket(
    cloud: &impl Cloud,
    installation: &str,
    ticket: &DestroyTicket,
    now: UnixMillis,
) -> provider::Result<Outcome> {
    if !ticket.is_due(now) {
        return Ok(Outcome::NotDue);
    }
    let installation = ticket.installation.as_deref().unwrap_or(installation).to_owned();
    let mark = Mark { installation, node: ticket.node_id };
    let found = cloud.find(ticket.node_id).await?;
    for instance in &found {
        cloud.delete(&mark, &instance.id).await?;
    }
    Ok(if found.is_empty() { Outcome::NothingFound } else { Outcome::Deleted })
}
