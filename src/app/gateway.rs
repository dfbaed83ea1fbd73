//! The gateway token of a user's dedicated node: opens one view of that node and nothing else (decision 0042).

use ringfence_protocol::gateway::{GatewayNodeView, GatewayTokenView};
use ringfence_protocol::ids::{GatewayTokenId, NodeId, kind};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Isolation, NodeState};

use super::caller::Caller;
use super::idempotency::Repeatable;
use super::read;
use crate::config::Config;
use crate::domain::mac;
use crate::error::{Error, Result};
use crate::ports::{DbError, Platform};
use crate::store::gateway::{self, HolderRow};
use crate::store::nodes::NodeRow;
use crate::store::{all, audit, first, nodes};

/// Makes a token for the caller's dedicated node, in place of the one before. Not with an API token: it would outlive that.
pub async fn create(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    node: NodeId,
    repeatable: &Repeatable,
) -> Result<GatewayTokenView> {
    caller.session()?;
    let view = read::node(p, &caller.actor(), node).await?;
    repeatable.refuse_repeat(p).await?;
    let lives = match view.state {
        NodeState::Requested | NodeState::Provisioning | NodeState::Booting | NodeState::Ready => true,
        NodeState::Failed | NodeState::Quarantined | NodeState::Destroying | NodeState::Gone => false,
    };
    if view.isolation != Isolation::Dedicated || !lives {
        return Err(Error::new(
            ErrorCode::Conflict,
            "Only a dedicated node that has not ended has a gateway token. Nothing was made.",
        ));
    }
    let (id, now): (GatewayTokenId, _) = (p.id(), p.now());
    let (secret, opaque) = mac::issue::<kind::GatewayToken>(&config.keyring, id, p.bytes());
    let mut batch = vec![
        gateway::put(caller.user.id, id, &opaque.secret_sha256_hex(), now),
        audit::record(&caller.act("gateway_token.create", id, node.to_string()), now),
    ];
    batch.extend(repeatable.statement(&id.to_string(), now));
    let outcome = p.batch(batch).await;
    if let Err(DbError::Constraint(_)) = &outcome {
        // Another request with the same key was faster.
        repeatable.refuse_repeat(p).await?;
    }
    outcome?;
    Ok(GatewayTokenView { id, secret, created_at: now })
}

/// The node that a token names. The token's MAC is checked before the database is asked.
pub async fn node(p: &impl Platform, config: &Config, token: &str) -> Result<GatewayNodeView> {
    let refused =
        || Error::new(ErrorCode::TokenInvalid, "The gateway token is not valid here. Its owner can make a new one.");
    let opaque = mac::check::<kind::GatewayToken>(&config.keyring, token).ok_or_else(refused)?;
    let hash = opaque.secret_sha256_hex();
    let mut outcomes =
        p.batch(vec![gateway::holder(opaque.id, &hash), nodes::of_gateway_token(opaque.id)]).await?.into_iter();
    first::<HolderRow>(outcomes.next())?.ok_or_else(refused)?;
    let row = all::<NodeRow>(outcomes.next()).into_iter().next();
    let row = row.ok_or_else(|| Error::new(ErrorCode::NotFound, "There is no dedicated node at the moment."))?;
    let node = row.node();
    Ok(GatewayNodeView {
        id: row.id,
        state: node.word(),
        state_since_at: node.state_since,
        health: row.health(),
        reason: node.reason(),
        workspaces: node.places_taken,
        slots: row.slots,
        hard_deadline_at: node.hard_deadline,
    })
}
