//! A new workspace: choose a node or ask for one, and store all of it in one batch or nothing.

use ringfence_protocol::ids::{CredentialId, NodeId, WorkspaceId};
use ringfence_protocol::params::CreateWorkspaceParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{EngineChoice, Isolation, NodeState, ProviderKind};
use ringfence_protocol::views::{EventKind, WorkspaceView};

use super::actor::Actor;
use super::admission::{self, Subject};
use super::intent::{armed, founded};
use super::order::{self, Order, choose_order, workspace_name};
use super::provisioning;
use super::turn::is_precondition;
use super::views::{founding_view, workspace_view};
use crate::config::Settings;
use crate::domain::container::{Container, Need};
use crate::domain::lifecycle::Moment;
use crate::domain::node::{self, Evidence, Node};
use crate::domain::patience::Patience;
use crate::domain::placement::{self, Candidate, Thresholds, Wish};
use crate::domain::quota::Claim;
use crate::domain::seal::Sealed;
use crate::domain::workspace::Workspace;
use crate::error::{Error, Result};
use crate::ports::{DbError, Platform, Statement};
use crate::provider::{Catalog, Description};
use crate::store::credentials::CredentialRow;
use crate::store::nodes::{NodeRow, NodeSpec};
use crate::store::workspaces::{NewWorkspace, WorkspaceRow};
use crate::store::{credentials, events, many, nodes, one, workspaces};

/// Warm or shared nodes that are tried before a new one is asked for.
const MAX_CLAIMS: usize = 3;
/// Looks at the user's nodes: a dedicated one may be made by another request between the look and the write.
const MAX_ATTEMPTS: usize = 2;

/// What is asked for, and the cloud account it is asked of.
pub struct CreateWorkspace<'a> {
    /// The new workspace.
    pub id: WorkspaceId,
    /// What its owner asked for.
    pub params: &'a CreateWorkspaceParams,
    /// Its container; none where workspaces are plain processes.
    pub container: Option<Container>,
    /// Its secrets, if it has any.
    pub sealed: Option<Sealed>,
    /// How long it waits for use.
    pub patience: Patience,
    /// The owner's credential.
    pub credential_id: CredentialId,
    /// Whose it is for.
    pub provider: ProviderKind,
    /// What that account can have.
    pub catalog: &'a Catalog,
    /// This installation.
    pub installation: &'a str,
}

/// Creates a workspace, on a node of its owner that has room or on a new one. `extra` is stored with it, or not at all; when
/// a statement of `extra` breaks a constraint, nothing is stored and the error is the database's.
pub async fn create_workspace(
    p: &impl Platform,
    settings: &Settings,
    actor: &Actor,
    asked: CreateWorkspace<'_>,
    extra: Vec<Statement>,
) -> Result<WorkspaceView> {
    let name = workspace_name(asked.params.name.as_deref(), p.bytes())?;
    let isolation = asked.params.isolation.unwrap_or(Isolation::User);
    // What is not valid is refused before anything is looked for.
    order::lifetime(asked.params, settings)?;
    let need = asked.container.as_ref().map(Container::need).unwrap_or_default();
    let ordered = choose_order(asked.params, asked.catalog, &settings.architecture, need)?;
    // A size that was named is the least that will do; otherwise whatever has room for the container.
    let least = match (&asked.container, &asked.params.size) {
        (Some(_), None) => need,
        (_, Some(_)) | (None, None) => {
            Need { cpus: ordered.cpus, memory_bytes: ordered.memory_bytes, disk_bytes: ordered.disk_bytes }
        }
    };
    let wish = Wish {
        user_id: actor.user_id,
        tenant_id: actor.tenant_id,
        provider: asked.provider,
        credential_id: asked.credential_id,
        isolation,
        region: ordered.region.clone(),
        cpus: least.cpus,
        memory_bytes: least.memory_bytes,
        disk_bytes: least.disk_bytes,
        engine: engine_of(asked.container.as_ref()),
        lives_until: placement::lives_until(&settings.timing, isolation, p.now()),
    };
    let thresholds = Thresholds { cpu_percent: settings.max_cpu_percent, memory_percent: settings.max_memory_percent };
    let mut why = String::new();
    for _ in 0..MAX_ATTEMPTS {
        let rows = candidate_rows(p, &wish).await?;
        let mut candidates: Vec<Candidate> = rows.iter().map(NodeRow::candidate).collect();
        for _ in 0..MAX_CLAIMS {
            let placement = placement::choose(&wish, &candidates, thresholds);
            let Some(node) = placement.node else { break };
            let new = new_workspace(actor, &asked, &name, placement.explanation);
            // Whatever comes of the claim, this candidate leaves (I13).
            let Some(row) = rows.iter().find(|row| row.id == node) else { break };
            if let Some(view) = claim(p, settings, row, &new, asked.patience, &extra).await? {
                return Ok(view);
            }
            candidates.retain(|candidate| candidate.id != node);
        }
        why = match placement::choose(&wish, &candidates, thresholds) {
            placement if placement.node.is_none() => placement.explanation,
            _ => "A new node: others took the places on yours first.".into(),
        };
        let new = new_workspace(actor, &asked, &name, why.clone());
        if let Some(view) = provision(p, settings, &asked, &wish, ordered.clone(), &new, extra.clone()).await? {
            return Ok(view);
        }
        // The user has a dedicated node by now: the next attempt finds it.
    }
    let why = why.strip_prefix("A new node: ").unwrap_or(&why);
    Err(Error::new(
        ErrorCode::Conflict,
        format!(
            "You have one dedicated node, and it does not take this: {why} Nothing was created. Delete a workspace on it, or the node, or choose another isolation."
        ),
    ))
}

async fn candidate_rows(p: &impl Platform, wish: &Wish) -> Result<Vec<NodeRow>> {
    if wish.isolation == Isolation::Ephemeral {
        return Ok(Vec::new());
    }
    many(p, nodes::candidates(wish.user_id, wish.credential_id, wish.isolation)).await
}

fn new_workspace(
    actor: &Actor,
    asked: &CreateWorkspace<'_>,
    name: &str,
    placement_explanation: String,
) -> NewWorkspace {
    NewWorkspace {
        id: asked.id,
        user_id: actor.user_id,
        name: name.to_owned(),
        placement_explanation,
        container: asked.container.clone(),
        sealed: asked.sealed.clone(),
    }
}

const fn engine_of(container: Option<&Container>) -> EngineChoice {
    match container {
        Some(_) => EngineChoice::Containers,
        None => EngineChoice::Unconfined,
    }
}

/// Takes a place on a node. `None` when there is none left, or the node takes no more.
async fn claim(
    p: &impl Platform,
    settings: &Settings,
    on: &NodeRow,
    new: &NewWorkspace,
    patience: Patience,
    extra: &[Statement],
) -> Result<Option<WorkspaceView>> {
    let node = on.id;
    let subject = Subject { user: new.user_id, tenant: on.tenant_id };
    armed(p, node, async {
        let now = p.now();
        let workspace = Workspace::requested(patience, &Moment { now, jitter: 0, timing: &settings.timing });
        let asked = workspace.as_event();
        let mut records = vec![(Some(new.id), &asked)];
        let taken = EventKind::NodeState { state: NodeState::Ready, detail: "A workspace was placed on it.".into() };
        if matches!(on.node().state, node::State::Ready { warm_since: Some(_) }) {
            records.push((None, &taken));
        }
        let mut batch = vec![
            workspaces::claim(node, new, placement::lives_until(&settings.timing, on.isolation, now), now),
            admission::require(settings, subject, new.id, Claim::Place, now),
            workspaces::end_warmth(new.id),
            workspaces::insert(new, &workspace, now),
            events::record_all(node, &records, now),
        ];
        batch.extend_from_slice(extra);
        match p.batch(batch).await {
            Ok(_) => {
                let row = WorkspaceRow::inserted(new, node, &workspace, now);
                Ok(Some(workspace_view(&row, &workspace, on, &on.node())))
            }
            Err(DbError::Constraint(reason)) if is_precondition(&reason) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// Asks for a new node with its first place taken. `None` when it was to be the user's dedicated one, and they have one.
async fn provision(
    p: &impl Platform,
    settings: &Settings,
    asked: &CreateWorkspace<'_>,
    wish: &Wish,
    order: Order,
    new: &NewWorkspace,
    extra: Vec<Statement>,
) -> Result<Option<WorkspaceView>> {
    if settings.provisioning_paused {
        return Err(provisioning::paused());
    }
    let chosen = (order.dearest() > order.price_micros_per_hour).then(|| order.clone().without_dearer());
    match (found(p, settings, asked, wish, order, new, extra.clone()).await, chosen) {
        // What may be made in its place counts as if it were: where that is too dear, only the chosen machine may be.
        (Err(refused), Some(chosen)) if refused.code == ErrorCode::BudgetReached => {
            found(p, settings, asked, wish, chosen, new, extra).await
        }
        (result, _) => result,
    }
}

/// The same, of this order and no other.
async fn found(
    p: &impl Platform,
    settings: &Settings,
    asked: &CreateWorkspace<'_>,
    wish: &Wish,
    order: Order,
    new: &NewWorkspace,
    extra: Vec<Statement>,
) -> Result<Option<WorkspaceView>> {
    let id: NodeId = p.id();
    let place = (wish.provider, wish.region.as_str());
    let lifetime = order::lifetime(asked.params, settings)?;
    let subject = Subject { user: wish.user_id, tenant: wish.tenant_id };
    let need = Claim::Node { isolation: wish.isolation, price_micros_per_hour: order.dearest() };
    founded(p, id, place, async {
        let now = p.now();
        let moment = Moment { now, jitter: 0, timing: &settings.timing };
        let mut node = Node::requested(wish.isolation, Evidence::to_begin_with(wish.engine), &moment)
            .living_at_most(lifetime, &moment);
        node.offers = order.offers();
        node.paid_period = Description::of(wish.provider).billing_period.filter(|_| settings.keep_paid_hours);
        let workspace = Workspace::requested(asked.patience, &moment);
        let spec = NodeSpec {
            id,
            user_id: wish.user_id,
            tenant_id: wish.tenant_id,
            installation: asked.installation.to_owned(),
            provider: wish.provider,
            credential_id: wish.credential_id,
            region: order.region,
            size: order.size,
            cpus: order.cpus,
            memory_bytes: order.memory_bytes,
            disk_bytes: order.disk_bytes,
            image: settings.image.clone(),
            engine_choice: wish.engine,
            price_micros_per_hour: order.price_micros_per_hour,
            currency: order.currency,
            slots: settings.slots(wish.isolation),
        };
        let mut batch = vec![
            nodes::insert(&spec, &node, now),
            workspaces::claim_new(id, new.user_id, new.id, now),
            admission::require(settings, subject, new.id, need, now),
            workspaces::insert(new, &workspace, now),
            events::record_all(id, &[(None, &node.as_event()), (Some(new.id), &workspace.as_event())], now),
        ];
        batch.extend(extra);
        match p.batch(batch).await {
            Ok(_) => {
                let row = WorkspaceRow::inserted(new, id, &workspace, now);
                Ok(Some(founding_view(&row, &workspace, &spec, &node)))
            }
            Err(DbError::Constraint(reason))
                if is_precondition(&reason) && provisioning::is_paused(p, settings).await? =>
            {
                Err(provisioning::paused())
            }
            Err(DbError::Constraint(reason)) if is_precondition(&reason) => {
                Err(not_admitted(p, settings, asked.credential_id, subject, need).await?)
            }
            Err(DbError::Constraint(reason)) if reason.contains("nodes.dedicated_of") => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}

/// Why a batch was not admitted: by what can be read now.
async fn not_admitted(
    p: &impl Platform,
    settings: &Settings,
    credential: CredentialId,
    subject: Subject,
    need: Claim,
) -> Result<Error> {
    if let Some(reached) = admission::refusal(p, settings, subject, need).await? {
        return Ok(reached);
    }
    Ok(match one::<CredentialRow>(p, credentials::by_id(credential, subject.user)).await? {
        None => Error::new(
            ErrorCode::NoCredential,
            "The credential was deleted meanwhile. Nothing was created; choose another one.",
        ),
        Some(_) => Error::new(
            ErrorCode::Conflict,
            "A limit was reached at that moment, or your tenant changed. Nothing was created; try again.",
        ),
    })
}
