//! Nodes: the rows of the machine in `domain/node.rs`, and what their agents last said.

use ringfence_protocol::ids::{CredentialId, GatewayTokenId, NodeId, TenantId, UserId, WorkspaceId};
use ringfence_protocol::link::{Facts, Hello};
use ringfence_protocol::state::Isolation;
use ringfence_protocol::time::UnixMillis;

use crate::domain::lifecycle::FailureCode;
use crate::domain::node::{Destroy, Node, Provision, State};
use crate::domain::posture::Verdict;
use crate::ports::{Statement, Value};

mod row;

pub use row::{NodeRow, NodeSpec};

/// The columns of a [`NodeRow`], of a node `n` and its credential `c`. `kept_warm` is its user's minimum for a node that is among
/// the first so many, by id, of the empty ones that can take a workspace (those of the user's own pool, of its credential, as it
/// says): of two that are looked at at once neither both go nor both stay because of one another.
macro_rules! columns {
    () => {
        "n.id, n.user_id, n.tenant_id, n.row_version, n.created_at_ms, n.installation, n.provider, n.credential_id,
         n.isolation, n.region, n.size, n.cpus, n.memory_bytes, n.image, n.price_micros_per_hour, n.currency, n.slots,
         n.hard_deadline_at_ms, n.policy, n.state, n.step, n.state_since_ms, n.deadline_at_ms, n.failure, n.overdue,
         n.warm_since_ms, n.provider_instance_id, n.ipv4, n.ipv6, n.create_attempts, n.first_create_attempt_at_ms,
         n.last_create_attempt_at_ms, n.next_attempt_at_ms, n.attempt_failures, n.agent_epoch, n.agent_ready, n.engine,
         n.agent_version, n.connected_at_ms, n.last_hello_at_ms, n.cpu_percent, n.memory_percent, n.facts_json,
         n.engine_choice, n.disk_bytes, n.failure_detail, n.posture_epoch, n.posture_holds, n.budget_spent_at_ms, n.disconnected_at_ms,
         n.offers_json, n.offer_index, n.key_refused, n.paid_period_secs, n.former_instance_id,
         (SELECT COUNT(*) FROM node_slots s WHERE s.node_id = n.id) AS places_taken, c.sealed_secret, c.seal_version,
         CASE WHEN n.state = 'ready' THEN (
           SELECT w.minimum FROM warm_pools w JOIN users u ON u.id = w.user_id AND u.state = 'active'
           WHERE w.user_id = n.user_id AND (
             SELECT MAX(k.id) = n.id AND COUNT(*) <= w.minimum FROM nodes k
             WHERE k.user_id = w.user_id AND k.credential_id = w.credential_id AND k.state = 'ready' AND k.id <= n.id
               AND k.isolation = 'user' AND k.policy = 'schedulable' AND k.region = w.region AND k.cpus >= w.cpus
               AND k.memory_bytes >= w.memory_bytes AND COALESCE(k.disk_bytes, w.disk_bytes) >= w.disk_bytes
               AND COALESCE(k.engine_choice, 'unconfined') = w.engine_choice AND k.connected_at_ms IS NOT NULL
               AND (w.engine_choice = 'unconfined' OR (k.posture_holds = 1 AND k.posture_epoch = k.agent_epoch))
               AND NOT EXISTS (SELECT 1 FROM node_slots s WHERE s.node_id = k.id))) END AS kept_warm"
    };
}

/// A new node. The credential must be the user's and not deleted: otherwise no row is made.
pub fn insert(spec: &NodeSpec, node: &Node, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO nodes (id, user_id, tenant_id, row_version, created_at_ms, installation, provider, credential_id,
           isolation, region, size, cpus, memory_bytes, image, price_micros_per_hour, currency, slots,
           hard_deadline_at_ms, policy, state, state_since_ms, deadline_at_ms, next_attempt_at_ms, agent_epoch,
           engine_choice, disk_bytes, dedicated_of, offers_json, offer_index, dearest_micros_per_hour, paid_period_secs)
         SELECT ?1, ?2, ?3, 1, ?4, ?5, ?6, c.id, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
           ?24, ?25, CASE WHEN ?8 = 'dedicated' THEN ?2 END, ?26, ?27, ?28, ?29
         FROM provider_credentials c
         WHERE c.id = ?7 AND c.user_id = ?2 AND c.provider = ?6 AND c.deleted_at_ms IS NULL",
        [
            spec.id.into(),
            spec.user_id.into(),
            spec.tenant_id.into(),
            now.into(),
            spec.installation.as_str().into(),
            spec.provider.as_str().into(),
            spec.credential_id.into(),
            node.isolation.as_str().into(),
            spec.region.as_str().into(),
            spec.size.as_str().into(),
            i64::from(spec.cpus).into(),
            i64::try_from(spec.memory_bytes).unwrap_or(i64::MAX).into(),
            spec.image.as_str().into(),
            spec.price_micros_per_hour.into(),
            spec.currency.as_str().into(),
            i64::from(spec.slots).into(),
            node.hard_deadline.into(),
            node.policy.as_str().into(),
            node.word().as_str().into(),
            node.state_since.into(),
            node.deadline.into(),
            node.next_attempt_at.into(),
            node.agent_epoch.into(),
            spec.engine_choice.as_str().into(),
            i64::try_from(spec.disk_bytes).unwrap_or(i64::MAX).into(),
            offers_json(node).into(),
            i64::try_from(node.offers.index()).unwrap_or(0).into(),
            node.may_cost().into(),
            node.paid_period.and_then(|period| i64::try_from(period.as_secs()).ok()).into(),
        ],
    )
}

/// One node with its credential.
pub fn load(id: NodeId) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.id = ?1"
        ),
        [id.into()],
    )
}

/// Stores what the machine has become: changes the row only if nobody else has since it was read (I9).
pub fn update(id: NodeId, row_version: i64, node: &Node) -> Statement {
    let (step, overdue, warm_since) = stored_state(node.state);
    let (instance, offer) = (node.instance.as_ref(), node.offers.current());
    let params: Vec<Value> = vec![
        id.into(),
        row_version.into(),
        node.word().as_str().into(),
        step.into(),
        node.state_since.into(),
        node.deadline.into(),
        node.code().map(FailureCode::as_str).into(),
        i64::from(overdue).into(),
        warm_since.into(),
        instance.map(|instance| instance.id.0.as_str()).into(),
        instance.and_then(|instance| instance.ipv4.as_deref()).into(),
        instance.and_then(|instance| instance.ipv6.as_deref()).into(),
        i64::from(node.create_attempts).into(),
        node.first_create_at.into(),
        node.last_create_at.into(),
        node.next_attempt_at.into(),
        i64::from(node.failures).into(),
        node.agent_epoch.into(),
        node.agent_ready.into(),
        node.policy.as_str().into(),
        node.failure_detail.as_deref().into(),
        node.hard_deadline.into(),
        i64::try_from(node.offers.index()).unwrap_or(0).into(),
        offer.map(|offer| offer.region.as_str()).into(),
        offer.map(|offer| offer.size.as_str()).into(),
        offer.map(|offer| i64::from(offer.cpus)).into(),
        offer.map(|offer| i64::try_from(offer.memory_bytes).unwrap_or(i64::MAX)).into(),
        offer.map(|offer| i64::try_from(offer.disk_bytes).unwrap_or(i64::MAX)).into(),
        offer.map(|offer| offer.price_micros_per_hour).into(),
        node.key_refused.into(),
        node.may_cost().into(),
        node.former.as_ref().map(|former| former.0.as_str()).into(),
    ];
    Statement::new(
        "UPDATE nodes SET row_version = row_version + 1, state = ?3, step = ?4, state_since_ms = ?5, deadline_at_ms = ?6,
           failure = ?7, overdue = ?8, warm_since_ms = ?9, provider_instance_id = ?10, ipv4 = ?11, ipv6 = ?12,
           create_attempts = ?13, first_create_attempt_at_ms = ?14, last_create_attempt_at_ms = ?15,
           next_attempt_at_ms = ?16, attempt_failures = ?17, agent_epoch = ?18, agent_ready = ?19, policy = ?20,
           failure_detail = ?21, hard_deadline_at_ms = MIN(hard_deadline_at_ms, ?22), offer_index = ?23,
           region = COALESCE(?24, region), size = COALESCE(?25, size), cpus = COALESCE(?26, cpus),
           memory_bytes = COALESCE(?27, memory_bytes), disk_bytes = COALESCE(?28, disk_bytes),
           price_micros_per_hour = COALESCE(?29, price_micros_per_hour), key_refused = ?30,
           dearest_micros_per_hour = ?31, former_instance_id = ?32
         WHERE id = ?1 AND row_version = ?2",
        params,
    )
}

fn stored_state(state: State) -> (Option<&'static str>, u32, Option<UnixMillis>) {
    match state {
        State::Provisioning { next: Provision::Create } => (Some("create"), 0, None),
        State::Provisioning { next: Provision::Find } => (Some("find"), 0, None),
        State::Ready { warm_since } => (None, 0, warm_since),
        State::Destroying { next: Destroy::Save, overdue, .. } => (Some("save"), overdue, None),
        State::Destroying { next: Destroy::Find, overdue, .. } => (Some("find"), overdue, None),
        State::Destroying { next: Destroy::Delete, overdue, .. } => (Some("delete"), overdue, None),
        State::Destroying { next: Destroy::Confirm, overdue, .. } => (Some("confirm"), overdue, None),
        State::Requested | State::Booting | State::Failed { .. } | State::Quarantined { .. } | State::Gone { .. } => {
            (None, 0, None)
        }
    }
}

/// What may be ordered for the node; none where there is nothing but what its row says.
fn offers_json(node: &Node) -> Option<String> {
    let list = node.offers.list();
    // Texts and numbers always serialise.
    (!list.is_empty()).then(|| serde_json::to_string(list).unwrap_or_default())
}

/// The user's nodes that might take a workspace: reads only rows of this user (I1).
pub fn candidates(user: UserId, credential: CredentialId, isolation: Isolation) -> Statement {
    match isolation {
        Isolation::User | Isolation::Ephemeral => {}
        Isolation::Dedicated => return dedicated(user),
    }
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.user_id = ?1 AND n.credential_id = ?2 AND n.state = 'ready' AND n.isolation = ?3 LIMIT 200"
        ),
        [user.into(), credential.into(), isolation.as_str().into()],
    )
}

/// The user's dedicated node, on its way too, and whatever cloud it is of: there is one at most.
fn dedicated(user: UserId) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.dedicated_of = ?1 AND n.dedicated_of IS NOT NULL
               AND n.state IN ('requested', 'provisioning', 'booting', 'ready')"
        ),
        [user.into()],
    )
}

/// The dedicated node that a gateway token names.
pub fn of_gateway_token(token: GatewayTokenId) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM gateway_tokens g JOIN nodes n ON n.dedicated_of = g.user_id AND n.dedicated_of IS NOT NULL
               AND n.state IN ('requested', 'provisioning', 'booting', 'ready')
             LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE g.id = ?1"
        ),
        [token.into()],
    )
}

/// A page of the user's nodes that are not gone, newest first.
pub fn page(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.user_id = ?1 AND n.state <> 'gone' AND (n.created_at_ms, n.id) < (?2, ?3)
             ORDER BY n.created_at_ms DESC, n.id DESC LIMIT ?4"
        ),
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// A page of the user's nodes that are gone, what ended last first.
pub fn page_of_ended(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.user_id = ?1 AND n.state = 'gone' AND (n.state_since_ms, n.id) < (?2, ?3)
             ORDER BY n.state_since_ms DESC, n.id DESC LIMIT ?4"
        ),
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// A page of a tenant's nodes that are not gone, newest first, but for ephemeral ones, which are their creator's alone.
pub fn page_of_tenant(tenant: TenantId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.tenant_id = ?1 AND n.state <> 'gone' AND n.isolation <> 'ephemeral' AND (n.created_at_ms, n.id) < (?2, ?3)
             ORDER BY n.created_at_ms DESC, n.id DESC LIMIT ?4"
        ),
        [tenant.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// A page of the nodes of suspended users that are to go and do not, newest first: few users are suspended, so they come first.
pub fn page_of_stuck(before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM users u CROSS JOIN nodes n ON n.user_id = u.id
             LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE u.state = 'suspended' AND n.state <> 'gone' AND n.state = 'destroying' AND (n.overdue > 0 OR n.key_refused)
               AND (n.created_at_ms, n.id) < (?1, ?2)
             ORDER BY n.created_at_ms DESC, n.id DESC LIMIT ?3"
        ),
        [before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// A page of the nodes of suspended users that are not gone, newest first.
pub fn page_of_suspended(before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM users u CROSS JOIN nodes n ON n.user_id = u.id
             LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE u.state = 'suspended' AND n.state <> 'gone' AND (n.created_at_ms, n.id) < (?1, ?2)
             ORDER BY n.created_at_ms DESC, n.id DESC LIMIT ?3"
        ),
        [before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// The nodes of a page of the user's workspaces.
pub fn of_workspace_page(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.id IN (SELECT node_id FROM workspaces w WHERE w.user_id = ?1 AND w.state <> 'gone'
               AND (w.created_at_ms, w.id) < (?2, ?3) ORDER BY w.created_at_ms DESC, w.id DESC LIMIT ?4)"
        ),
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// The nodes of a page of the user's workspaces that are gone.
pub fn of_ended_workspace_page(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.id IN (SELECT node_id FROM workspaces w WHERE w.user_id = ?1 AND w.state = 'gone'
               AND (w.state_since_ms, w.id) < (?2, ?3) ORDER BY w.state_since_ms DESC, w.id DESC LIMIT ?4)"
        ),
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// The node of a workspace.
pub fn of_workspace(workspace: WorkspaceId) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM nodes n LEFT JOIN provider_credentials c ON c.id = n.credential_id AND c.deleted_at_ms IS NULL
             WHERE n.id = (SELECT node_id FROM workspaces WHERE id = ?1)"
        ),
        [workspace.into()],
    )
}

/// How many nodes of a credential are not gone.
pub fn count_of_credential(credential: CredentialId) -> Statement {
    Statement::new(
        "SELECT COUNT(*) AS count FROM nodes WHERE credential_id = ?1 AND state <> 'gone'",
        [credential.into()],
    )
}

/// The agent has said hello, on a link that is new: the end of an earlier one, of which the row may not tell yet, is not its own.
pub fn observe_hello(id: NodeId, agent_epoch: i64, hello: &Hello, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE nodes SET connected_at_ms = ?3, last_hello_at_ms = ?3, engine = ?4, agent_version = ?5
         WHERE id = ?1 AND agent_epoch = ?2",
        [
            id.into(),
            agent_epoch.into(),
            now.into(),
            hello.engine.as_str().into(),
            hello.agent_version.chars().take(64).collect::<String>().into(),
        ],
    )
}

/// Lets the batch fail if the agent is there by now: what is taken to be over because it was away is not.
pub fn require_away(id: NodeId) -> Statement {
    Statement::new(
        "INSERT INTO preconditions (broken) SELECT 1 FROM nodes WHERE id = ?1 AND connected_at_ms IS NOT NULL",
        [id.into()],
    )
}

/// The link is down.
pub fn observe_disconnect(id: NodeId, seen_at: UnixMillis) -> Statement {
    // A newer link than the one whose end was seen stays.
    Statement::new(
        "UPDATE nodes SET connected_at_ms = NULL, disconnected_at_ms = ?2 WHERE id = ?1 AND connected_at_ms < ?2",
        [id.into(), seen_at.into()],
    )
}

/// The agent has measured what must hold on its machine. More often than twice a minute changes nothing, but when the verdict is
/// another or it is another agent's.
pub fn observe_posture(id: NodeId, agent_epoch: i64, verdict: Verdict, json: String, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE nodes SET posture_json = ?3, posture_at_ms = ?4, posture_holds = ?5, posture_epoch = ?2
         WHERE id = ?1 AND agent_epoch = ?2 AND (posture_at_ms IS NULL OR posture_at_ms <= ?4 - 30000
           OR posture_holds <> ?5 OR posture_epoch <> ?2)",
        [id.into(), agent_epoch.into(), json.into(), now.into(), verdict.holds().into()],
    )
}

/// What was last measured of a user's node.
pub fn posture(id: NodeId, user: UserId) -> Statement {
    Statement::new(
        "SELECT posture_json, posture_holds FROM nodes WHERE id = ?1 AND user_id = ?2 AND posture_json IS NOT NULL",
        [id.into(), user.into()],
    )
}

/// The agent has measured its machine. More often than twice a minute changes nothing: no agent may spend everybody's writes.
pub fn observe_facts(id: NodeId, agent_epoch: i64, facts: &Facts, json: String, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE nodes SET cpu_percent = ?3, memory_percent = ?4, facts_json = ?5, facts_at_ms = ?6
         WHERE id = ?1 AND agent_epoch = ?2 AND (facts_at_ms IS NULL OR facts_at_ms <= ?6 - 30000)",
        [
            id.into(),
            agent_epoch.into(),
            f64::from(facts.cpu_percent).into(),
            f64::from(facts.memory_percent).into(),
            json.into(),
            now.into(),
        ],
    )
}
