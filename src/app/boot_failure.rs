//! A machine whose agent does not run says so, with the one token it has: its boot has failed, and why.
//!
//! The token proves only that its holder has read the machine's user-data, so this can do one thing: end that node, early and
//! with a reason. It works for as long as the token could still be traded; from the moment an agent has traded it, only that
//! agent's key speaks for the node.

use ringfence_protocol::claims::BootstrapClaims;
use ringfence_protocol::ids::NodeId;
use ringfence_protocol::link::BootFailedReport;
use ringfence_protocol::problem::ErrorCode;

use super::agent_report::cut;
use super::bootstrap::{invalid_token, require_own_address};
use super::caller::Source;
use super::drive_node::too_many_conflicts;
use super::turn::{Commit, MAX_CONFLICTS, Turn};
use crate::config::Config;
use crate::domain::lifecycle::FailureCode;
use crate::domain::node::State;
use crate::domain::token::{self, Verified};
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::audit::{self, Act};
use crate::store::bootstrap::{self, NodeAgentRow, UntradedRow};
use crate::store::first;

/// Who says it.
pub struct Teller<'a> {
    /// The bootstrap token.
    pub token: &'a str,
    /// Where it came from.
    pub source: &'a Source,
}

/// Fails the node that the token is for. Gives the node, to be woken. A repeat changes nothing.
pub async fn report_boot_failure(
    p: &impl Platform,
    config: &Config,
    teller: &Teller<'_>,
    report: &BootFailedReport,
) -> Result<NodeId> {
    let now = p.now();
    let verified: Verified<BootstrapClaims> =
        token::verify_at_any_time(&config.keyring, config.origin(), teller.token).map_err(|_| invalid_token())?;
    let BootstrapClaims { jti, node } = verified.claims;
    if now >= verified.expires_at {
        return Err(Error::new(
            ErrorCode::BootstrapExpired,
            "The bootstrap token is older than 15 minutes. The node is left alone; its own deadline ends it.",
        ));
    }
    let code = FailureCode::from(report.failure);
    let detail = cut(&report.detail);
    for _ in 0..MAX_CONFLICTS {
        // The token is looked at anew each time: an agent that trades it meanwhile has the last word.
        let mut outcomes =
            p.batch(vec![bootstrap::untraded(jti, node), bootstrap::node_agent(node)]).await?.into_iter();
        first::<UntradedRow>(outcomes.next())?.ok_or_else(invalid_token)?;
        let row: NodeAgentRow = first(outcomes.next())?.ok_or_else(invalid_token)?;
        require_own_address(&row, teller.source)?;
        let Some(mut turn) = Turn::load(p, &config.settings.timing, node).await? else { return Err(invalid_token()) };
        match turn.node.state {
            State::Provisioning { .. } | State::Booting => {}
            // Said before, or it ends for another reason.
            State::Failed { .. } | State::Destroying { .. } | State::Gone { .. } => return Ok(node),
            State::Requested | State::Ready { .. } | State::Quarantined { .. } => return Err(invalid_token()),
        }
        // Never denied in these states.
        turn.boot_failed(code, &detail).map_err(|_| invalid_token())?;
        turn.settle_workspaces();
        let act = Act {
            actor: "machine".into(),
            action: "node.boot_failed",
            subject: String::new(),
            source_address: teller.source.address.clone(),
            detail: code.as_str().into(),
        };
        let extra = vec![bootstrap::require_untraded(jti, node), audit::record(&act.on(node), now)];
        if let Commit::Stored(_) = turn.commit(p, extra).await? {
            return Ok(node);
        }
    }
    Err(too_many_conflicts())
}
