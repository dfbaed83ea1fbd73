//! An agent's credentials: the one-use bootstrap token in its user-data, the callback token it trades that for, renewal.
//!
//! The order is: verify the token's signature, then the proof of possession, then ask the database. A repeat with the same
//! key gets the same answer, since an answer can be lost; another key with a valid token means that user-data has leaked,
//! and the node is quarantined.

use ringfence_protocol::claims::{BootstrapClaims, CallbackClaims, Confirmation};
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::CallbackGrant;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::NodeState;
use ringfence_protocol::time::UnixMillis;

use super::caller::Source;
use crate::config::Config;
use crate::domain::proof::{self, ProofContext, ProvenKey, Unproven};
use crate::domain::token::{self, Verified};
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::provider::is_own_address;
use crate::store::audit::{self, Act};
use crate::store::bootstrap::{self, NodeAgentRow, RedemptionRow};
use crate::store::{first, one};

/// What an agent sends with every request.
pub struct Presented<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The token of the `Authorization` header, without its scheme.
    pub token: &'a str,
    /// The `DPoP` header.
    pub proof: &'a str,
    /// Where it came from.
    pub source: &'a Source,
}

/// An authenticated agent.
#[derive(Debug, Clone)]
pub struct AgentCaller {
    /// Its node.
    pub node: NodeId,
    /// The epoch its token and its node agree on.
    pub agent_epoch: i64,
    /// The key it has proven to hold.
    pub jkt: String,
    /// The proof's own name.
    pub proof_jti: String,
}

/// What came of presenting a bootstrap token.
pub enum Redeemed {
    /// The callback token.
    Granted(CallbackGrant),
    /// Another key had traded it: the node must be quarantined, and the agent is refused.
    KeyConflict(NodeId),
}

/// Trades a bootstrap token for a callback token.
pub async fn redeem(p: &impl Platform, config: &Config, presented: &Presented<'_>) -> Result<Redeemed> {
    let now = p.now();
    let verified: Verified<BootstrapClaims> =
        token::verify_at_any_time(&config.keyring, config.origin(), presented.token).map_err(|_| invalid_token())?;
    let BootstrapClaims { jti, node } = verified.claims;
    if now >= verified.expires_at {
        // Old user-data must not kill nodes: refused and noted once, nothing else.
        let act = agent_act(presented, "bootstrap.expired", "").on(node);
        p.batch(vec![bootstrap::present_late(jti, now), audit::record_if_changed(&act, now)]).await?;
        return Err(Error::new(
            ErrorCode::BootstrapExpired,
            "The bootstrap token is older than 15 minutes. Destroy the node and create another.",
        ));
    }
    let key = prove(config, presented, now)?;
    let row: NodeAgentRow = one(p, bootstrap::node_agent(node)).await?.ok_or_else(invalid_token)?;
    require_live(&row)?;
    require_own_address(&row, presented.source)?;

    let redeemed = agent_act(presented, "bootstrap.redeem", key.thumbprint.as_str()).on(node);
    let outcomes = p
        .batch(vec![
            bootstrap::consume(jti, node, &key.thumbprint, &key.jwk.x, now),
            audit::record_if_changed(&redeemed, now),
            bootstrap::redemption(jti, node),
        ])
        .await?;
    let winner: RedemptionRow = first(outcomes.into_iter().nth(2))?.ok_or_else(invalid_token)?;
    if winner.public_key_jkt != key.thumbprint {
        let act = agent_act(presented, "bootstrap.key_conflict", key.thumbprint.as_str()).on(node);
        p.batch(vec![audit::record(&act, now)]).await?;
        return Ok(Redeemed::KeyConflict(node));
    }
    // Signed as of the redemption, and Ed25519 is deterministic: a repeat gets the same token, not a longer one.
    let traded_at = UnixMillis::new(winner.consumed_at_ms);
    grant(config, node, row.agent_epoch, key.thumbprint, traded_at, now).map(Redeemed::Granted)
}

/// The refusal that goes with [`Redeemed::KeyConflict`].
pub fn key_conflict() -> Error {
    Error::new(
        ErrorCode::BootstrapKeyConflict,
        "This bootstrap token was traded by another key before. The node has been quarantined.",
    )
}

/// Authenticates an agent by its callback token and proof.
pub async fn authenticate(p: &impl Platform, config: &Config, presented: &Presented<'_>) -> Result<AgentCaller> {
    let now = p.now();
    let verified: Verified<CallbackClaims> =
        token::verify(&config.keyring, config.origin(), presented.token, now).map_err(|_| invalid_token())?;
    let key = prove(config, presented, now)?;
    let claims = verified.claims;
    if claims.cnf.jkt != key.thumbprint {
        return Err(invalid_token());
    }
    let row: NodeAgentRow = one(p, bootstrap::node_agent(claims.node)).await?.ok_or_else(invalid_token)?;
    require_live(&row)?;
    if row.agent_epoch != claims.agent_epoch {
        return Err(invalid_token());
    }
    Ok(AgentCaller { node: claims.node, agent_epoch: claims.agent_epoch, jkt: key.thumbprint, proof_jti: key.jti })
}

/// A fresh callback token for an authenticated agent.
pub fn renew(config: &Config, agent: &AgentCaller, now: UnixMillis) -> Result<CallbackGrant> {
    grant(config, agent.node, agent.agent_epoch, agent.jkt.clone(), now, now)
}

fn grant(
    config: &Config,
    node: NodeId,
    agent_epoch: i64,
    jkt: String,
    issued_at: UnixMillis,
    now: UnixMillis,
) -> Result<CallbackGrant> {
    let claims = CallbackClaims { node, agent_epoch, cnf: Confirmation { jkt } };
    let (token, expires_at) = token::sign(&config.keyring, config.origin(), claims, issued_at)
        .ok_or_else(|| Error::internal("cannot sign a callback token"))?;
    Ok(CallbackGrant { token, expires_at, now, keys: config.keyring.jwks() })
}

fn prove(config: &Config, presented: &Presented<'_>, now: UnixMillis) -> Result<ProvenKey> {
    let context = ProofContext {
        method: presented.method,
        origins: &config.origins,
        path: presented.path,
        token: presented.token,
    };
    proof::verify(&config.keyring, presented.proof, &context, now).map_err(|unproven| match unproven {
        Unproven::Invalid => invalid_token(),
        Unproven::NonceNeeded => {
            Error::new(ErrorCode::UseDpopNonce, "Repeat the request with the nonce of the DPoP-Nonce header.")
        }
    })
}

/// A node that is on its way out takes no agent back.
fn require_live(row: &NodeAgentRow) -> Result<()> {
    match row.state {
        NodeState::Provisioning | NodeState::Booting | NodeState::Ready => Ok(()),
        NodeState::Requested | NodeState::Destroying | NodeState::Gone | NodeState::Failed | NodeState::Quarantined => {
            Err(invalid_token())
        }
    }
}

/// Where the provider has reported addresses, a bootstrap comes from one of them.
pub(super) fn require_own_address(row: &NodeAgentRow, source: &Source) -> Result<()> {
    // Without an address there is no network between us and the caller: only local development has that.
    let Ok(address) = source.address.parse() else { return Ok(()) };
    if is_own_address(row.ipv4.as_deref(), row.ipv6.as_deref(), address) { Ok(()) } else { Err(invalid_token()) }
}

pub(super) fn invalid_token() -> Error {
    Error::new(ErrorCode::TokenInvalid, "The token or its proof is not valid for this request.")
}

fn agent_act(presented: &Presented<'_>, action: &'static str, detail: impl Into<String>) -> Act {
    Act {
        actor: "agent".into(),
        action,
        subject: String::new(),
        source_address: presented.source.address.clone(),
        detail: detail.into(),
    }
}
