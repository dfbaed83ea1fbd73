//! Workspaces and the places they hold on nodes.

use std::time::Duration;

use ringfence_protocol::ids::{NodeId, UserId, WorkspaceId};
use ringfence_protocol::state::{ActivityCause, EngineChoice, WorkspaceState};
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::domain::container::Container;
use crate::domain::lifecycle::FailureCode;
use crate::domain::patience::Patience;
use crate::domain::posture::Verdict;
use crate::domain::seal::Sealed;
use crate::domain::workspace::{State, Use, Workspace};
use crate::ports::{Statement, Value};

/// The columns of a [`WorkspaceRow`], of a workspace `w`.
macro_rules! columns {
    () => {
        "w.id, w.user_id, w.node_id, w.row_version, w.created_at_ms, w.name, w.placement_explanation, w.running,
         w.spec_generation, w.state, w.state_since_ms, w.deadline_at_ms, w.failure, w.failure_detail, w.container_json,
         w.idle_timeout_secs, w.stop_keep_secs, w.keep_alive_until_ms, w.active_until_ms, w.active_cause, w.warnings, w.warned_of,
         w.stop_asked_at_ms, w.sealed_secrets IS NOT NULL AS has_secrets,
         EXISTS (SELECT 1 FROM node_slots s WHERE s.workspace_id = w.id) AS holds_place"
    };
}

/// A workspace, as its row holds it.
#[derive(Debug, Clone, Deserialize)]
pub struct WorkspaceRow {
    /// Names it.
    pub id: WorkspaceId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it has, or had, its place.
    pub node_id: NodeId,
    /// Counter of changes.
    pub row_version: i64,
    /// When it was asked for.
    pub created_at_ms: i64,
    /// For people.
    pub name: String,
    /// Why it is on that node.
    pub placement_explanation: String,
    running: i64,
    spec_generation: i64,
    state: WorkspaceState,
    /// Since when it is in its state.
    pub state_since_ms: i64,
    deadline_at_ms: Option<i64>,
    failure: Option<String>,
    failure_detail: Option<String>,
    container_json: Option<String>,
    idle_timeout_secs: u64,
    stop_keep_secs: u64,
    keep_alive_until_ms: Option<i64>,
    active_until_ms: Option<i64>,
    active_cause: Option<String>,
    warnings: u32,
    warned_of: Option<String>,
    stop_asked_at_ms: Option<i64>,
    has_secrets: i64,
    holds_place: i64,
}

impl WorkspaceRow {
    /// The row that [`insert`] makes.
    pub fn inserted(new: &NewWorkspace, node_id: NodeId, workspace: &Workspace, now: UnixMillis) -> Self {
        Self {
            id: new.id,
            user_id: new.user_id,
            node_id,
            row_version: 1,
            created_at_ms: now.get(),
            name: new.name.clone(),
            placement_explanation: new.placement_explanation.clone(),
            running: i64::from(workspace.running),
            spec_generation: workspace.spec_generation,
            state: workspace.word(),
            state_since_ms: workspace.state_since.get(),
            deadline_at_ms: workspace.deadline.map(UnixMillis::get),
            failure: None,
            failure_detail: None,
            container_json: new.container_json(),
            idle_timeout_secs: workspace.patience.idle_timeout.as_secs(),
            stop_keep_secs: workspace.patience.stop_keep.as_secs(),
            keep_alive_until_ms: workspace.keep_alive_until.map(UnixMillis::get),
            active_until_ms: None,
            active_cause: None,
            warnings: 0,
            warned_of: None,
            stop_asked_at_ms: None,
            has_secrets: i64::from(new.sealed.is_some()),
            holds_place: 1,
        }
    }

    /// The machine of this row.
    pub fn workspace(&self) -> Workspace {
        let code = self.failure.as_deref().and_then(FailureCode::parse).unwrap_or(FailureCode::Invalid);
        Workspace {
            state: match self.state {
                WorkspaceState::Requested => State::Requested,
                WorkspaceState::Placing => State::Placing,
                WorkspaceState::Creating => State::Creating,
                WorkspaceState::Running => State::Running,
                WorkspaceState::Stopped => State::Stopped,
                WorkspaceState::Deleting => State::Deleting,
                WorkspaceState::Gone => State::Gone,
                WorkspaceState::Failed => State::Failed { code },
            },
            state_since: UnixMillis::new(self.state_since_ms),
            deadline: self.deadline_at_ms.map(UnixMillis::new),
            running: self.running != 0,
            spec_generation: self.spec_generation,
            holds_place: self.holds_place != 0,
            failure_detail: self.failure_detail.clone(),
            patience: Patience {
                idle_timeout: Duration::from_secs(self.idle_timeout_secs),
                stop_keep: Duration::from_secs(self.stop_keep_secs),
            },
            last_use: self.active_until_ms.map(|until| Use {
                until: UnixMillis::new(until),
                // A word of a later version: that it is used counts, not how.
                cause: self
                    .active_cause
                    .as_deref()
                    .and_then(|word| word.parse().ok())
                    .unwrap_or(ActivityCause::Process),
            }),
            keep_alive_until: self.keep_alive_until_ms.map(UnixMillis::new),
            warned: self.warned_of.as_deref().and_then(|word| word.parse().ok()).map(|of| (of, self.warnings)),
            stop_asked_at: self.stop_asked_at_ms.map(UnixMillis::new),
        }
    }

    /// What was asked of its container; none for a plain process.
    pub fn container(&self) -> Option<Container> {
        serde_json::from_str(self.container_json.as_deref()?).ok()
    }

    /// Whether it has secrets, which are sealed in its row.
    pub const fn has_secrets(&self) -> bool {
        self.has_secrets != 0
    }
}

/// What a new workspace is.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    /// Names it.
    pub id: WorkspaceId,
    /// Whose it is.
    pub user_id: UserId,
    /// For people.
    pub name: String,
    /// Why it is on that node.
    pub placement_explanation: String,
    /// Its container; none for a plain process.
    pub container: Option<Container>,
    /// Its secrets, if it has any.
    pub sealed: Option<Sealed>,
}

impl NewWorkspace {
    /// What its node is to run workspaces with.
    pub const fn engine(&self) -> EngineChoice {
        match self.container {
            Some(_) => EngineChoice::Containers,
            None => EngineChoice::Unconfined,
        }
    }

    fn container_json(&self) -> Option<String> {
        // Texts and numbers always serialise.
        self.container.as_ref().and_then(|container| serde_json::to_string(container).ok())
    }
}

/// Takes the lowest free place of the user's ready node, or of their dedicated one on its way, for a workspace: one statement, so that of any number of claims of
/// one place one wins (I3). The node must be the user's (I1), run workspaces as this one is to be run, and, where it runs
/// containers, have been measured to be as it must be; and it must live until `lives_until` at least.
pub fn claim(node: NodeId, new: &NewWorkspace, lives_until: UnixMillis, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO node_slots (node_id, slot, user_id, workspace_id, claimed_at_ms)
         WITH RECURSIVE places (slot) AS (
           SELECT 0 UNION ALL SELECT slot + 1 FROM places WHERE slot + 1 < (SELECT slots FROM nodes WHERE id = ?1)
         )
         SELECT n.id, p.slot, n.user_id, ?3, ?4
         FROM nodes n JOIN places p
         WHERE n.id = ?1 AND n.user_id = ?2 AND n.policy = 'schedulable'
           AND (n.state = 'ready' OR (n.isolation = 'dedicated' AND n.state IN ('requested', 'provisioning', 'booting')))
           AND n.isolation <> 'ephemeral' AND n.hard_deadline_at_ms >= ?6 AND n.budget_spent_at_ms IS NULL
           AND COALESCE(n.engine_choice, 'unconfined') = ?5
           AND (?5 = 'unconfined' OR n.state <> 'ready' OR (n.posture_holds = 1 AND n.posture_epoch = n.agent_epoch))
           AND NOT EXISTS (SELECT 1 FROM node_slots t WHERE t.node_id = n.id AND t.slot = p.slot)
         ORDER BY p.slot LIMIT 1",
        [
            node.into(),
            new.user_id.into(),
            new.id.into(),
            now.into(),
            new.engine().as_str().into(),
            lives_until.into(),
        ],
    )
}

/// Takes the first place of a node that the same batch makes.
pub fn claim_new(node: NodeId, user: UserId, workspace: WorkspaceId, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO node_slots (node_id, slot, user_id, workspace_id, claimed_at_ms)
         SELECT n.id, 0, n.user_id, ?3, ?4 FROM nodes n WHERE n.id = ?1 AND n.user_id = ?2",
        [node.into(), user.into(), workspace.into(), now.into()],
    )
}

/// A node with a workspace is not warm: whoever was about to destroy it for being so finds another row version.
pub fn end_warmth(workspace: WorkspaceId) -> Statement {
    Statement::new(
        "UPDATE nodes SET row_version = row_version + 1, warm_since_ms = NULL,
           deadline_at_ms = CASE WHEN state = 'ready' THEN hard_deadline_at_ms ELSE deadline_at_ms END
         WHERE id = (SELECT node_id FROM node_slots WHERE workspace_id = ?1)",
        [workspace.into()],
    )
}

/// The row of a workspace that has got its place.
pub fn insert(new: &NewWorkspace, workspace: &Workspace, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO workspaces (id, user_id, node_id, row_version, created_at_ms, name, placement_explanation, running,
           spec_generation, state, state_since_ms, deadline_at_ms, container_json, sealed_secrets, seal_version,
           idle_timeout_secs, stop_keep_secs)
         SELECT s.workspace_id, s.user_id, s.node_id, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15
         FROM node_slots s WHERE s.workspace_id = ?1 AND s.user_id = ?2",
        [
            new.id.into(),
            new.user_id.into(),
            now.into(),
            new.name.as_str().into(),
            new.placement_explanation.as_str().into(),
            workspace.running.into(),
            workspace.spec_generation.into(),
            workspace.word().as_str().into(),
            workspace.state_since.into(),
            workspace.deadline.into(),
            new.container_json().into(),
            new.sealed.as_ref().map(|sealed| sealed.text.as_str()).into(),
            new.sealed.as_ref().map(|sealed| sealed.version).into(),
            secs(workspace.patience.idle_timeout),
            secs(workspace.patience.stop_keep),
        ],
    )
}

/// Stores what the machine has become: changes the row only if nobody else has since it was read (I9). The secrets of a
/// workspace that is over are erased.
pub fn update(id: WorkspaceId, row_version: i64, workspace: &Workspace) -> Statement {
    Statement::new(
        "UPDATE workspaces SET row_version = row_version + 1, running = ?3, spec_generation = ?4, state = ?5,
           state_since_ms = ?6, deadline_at_ms = ?7, failure = ?8, failure_detail = ?9,
           sealed_secrets = CASE WHEN ?10 THEN NULL ELSE sealed_secrets END,
           seal_version = CASE WHEN ?10 THEN NULL ELSE seal_version END, keep_alive_until_ms = ?11,
           active_until_ms = ?12, active_cause = ?13, warnings = ?14, stop_asked_at_ms = ?15, warned_of = ?16
         WHERE id = ?1 AND row_version = ?2",
        [
            id.into(),
            row_version.into(),
            workspace.running.into(),
            workspace.spec_generation.into(),
            workspace.word().as_str().into(),
            workspace.state_since.into(),
            workspace.deadline.into(),
            workspace.code().map(FailureCode::as_str).into(),
            workspace.failure_detail.as_deref().into(),
            workspace.is_over().into(),
            workspace.keep_alive_until.into(),
            workspace.last_use.map(|used| used.until).into(),
            workspace.last_use.map(|used| used.cause.as_str()).into(),
            i64::from(workspace.warned.map_or(0, |(_, count)| count)).into(),
            workspace.stop_asked_at.into(),
            workspace.warned.map(|(of, _)| of.as_str()).into(),
        ],
    )
}

fn secs(duration: Duration) -> Value {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX).into()
}

/// The sealed secrets of a workspace that is not over.
pub fn sealed_secrets(id: WorkspaceId) -> Statement {
    Statement::new(
        "SELECT user_id, sealed_secrets, seal_version FROM workspaces WHERE id = ?1 AND sealed_secrets IS NOT NULL",
        [id.into()],
    )
}

/// Sealed secrets, as a row holds them.
#[derive(Debug, Clone, Deserialize)]
pub struct SecretsRow {
    /// Whose they are: part of what opens them.
    pub user_id: UserId,
    sealed_secrets: String,
    seal_version: i64,
}

impl SecretsRow {
    /// The sealed text, to be opened.
    pub fn sealed(&self) -> Sealed {
        Sealed { version: self.seal_version, text: self.sealed_secrets.clone() }
    }
}

/// The agent of the node with that epoch has measured inside a workspace. More often than twice a minute changes nothing, but
/// when the verdict is another.
pub fn observe_posture(
    id: WorkspaceId,
    node: NodeId,
    agent_epoch: i64,
    verdict: Verdict,
    json: String,
    now: UnixMillis,
) -> Statement {
    Statement::new(
        "UPDATE workspaces SET posture_json = ?4, posture_at_ms = ?5, posture_holds = ?6
         WHERE id = ?1 AND node_id = ?2 AND state NOT IN ('gone', 'failed')
           AND EXISTS (SELECT 1 FROM nodes n WHERE n.id = ?2 AND n.agent_epoch = ?3)
           AND (posture_at_ms IS NULL OR posture_at_ms <= ?5 - 30000 OR posture_holds <> ?6)",
        [id.into(), node.into(), agent_epoch.into(), json.into(), now.into(), verdict.holds().into()],
    )
}

/// What was last measured inside a user's workspace.
pub fn posture(id: WorkspaceId, user: UserId) -> Statement {
    Statement::new(
        "SELECT posture_json, posture_holds FROM workspaces
         WHERE id = ?1 AND user_id = ?2 AND state <> 'gone' AND posture_json IS NOT NULL",
        [id.into(), user.into()],
    )
}

/// Gives a place back.
pub fn release(workspace: WorkspaceId) -> Statement {
    Statement::new("DELETE FROM node_slots WHERE workspace_id = ?1", [workspace.into()])
}

/// One workspace.
pub fn load(id: WorkspaceId) -> Statement {
    Statement::new(concat!("SELECT ", columns!(), " FROM workspaces w WHERE w.id = ?1"), [id.into()])
}

/// The workspaces of a node that are not gone.
pub fn of_node(node: NodeId) -> Statement {
    Statement::new(
        concat!("SELECT ", columns!(), " FROM workspaces w WHERE w.node_id = ?1 AND w.state <> 'gone' ORDER BY w.id"),
        [node.into()],
    )
}

/// The workspaces that share a node with this one, it included, that are not gone.
pub fn beside(workspace: WorkspaceId) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM workspaces w WHERE w.node_id = (SELECT node_id FROM workspaces WHERE id = ?1)
             AND w.state <> 'gone' ORDER BY w.id"
        ),
        [workspace.into()],
    )
}

/// A page of the user's workspaces that are not gone, newest first.
pub fn page(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM workspaces w WHERE w.user_id = ?1 AND w.state <> 'gone' AND (w.created_at_ms, w.id) < (?2, ?3)
             ORDER BY w.created_at_ms DESC, w.id DESC LIMIT ?4"
        ),
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// A page of the user's workspaces that are gone, what ended last first.
pub fn page_of_ended(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        concat!(
            "SELECT ",
            columns!(),
            " FROM workspaces w WHERE w.user_id = ?1 AND w.state = 'gone' AND (w.state_since_ms, w.id) < (?2, ?3)
             ORDER BY w.state_since_ms DESC, w.id DESC LIMIT ?4"
        ),
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}

/// A place that is taken.
#[derive(Debug, Clone, Deserialize)]
pub struct PlaceRow {
    /// On which node.
    pub node_id: NodeId,
    /// By which workspace.
    pub workspace_id: WorkspaceId,
}

/// The places of a node that are taken.
pub fn places(node: NodeId) -> Statement {
    Statement::new("SELECT node_id, workspace_id FROM node_slots WHERE node_id = ?1 ORDER BY slot", [node.into()])
}

/// The places that are taken on a page of the user's nodes.
pub fn places_of_page(user: UserId, before: UnixMillis, before_id: &str, limit: u32) -> Statement {
    Statement::new(
        "SELECT node_id, workspace_id FROM node_slots WHERE node_id IN (
           SELECT n.id FROM nodes n WHERE n.user_id = ?1 AND n.state <> 'gone' AND (n.created_at_ms, n.id) < (?2, ?3)
           ORDER BY n.created_at_ms DESC, n.id DESC LIMIT ?4)
         ORDER BY node_id, slot",
        [user.into(), before.into(), before_id.into(), i64::from(limit).into()],
    )
}
