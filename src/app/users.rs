//! What admins do with users: create, list, suspend, resume, make sign-in links, read the audit log.

use ringfence_protocol::ids::{TenantId, UserId};
use ringfence_protocol::params::{CreateUserParams, ListParams};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::{Role, UserState};
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{AuditView, Page, SignInLinkView, UserView};

use super::caller::Caller;
use super::idempotency::Repeatable;
use super::sessions::user_view;
use super::text::display_name;
use super::turn::is_precondition;
use super::{revoke, sign_in};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ports::{DbError, Platform};
use crate::store::audit::{self, AuditRow};
use crate::store::identity::{self, UserRow};
use crate::store::{changed, many, one, tenants};

/// Items of a page when none are asked for, and at most.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;
/// The largest number the database takes on the wire: 2^53.
const LARGEST_ID: i64 = i64::MAX >> 10;

/// How many items a page holds.
pub fn page_limit(limit: Option<u32>) -> Result<u32> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::new(ErrorCode::InvalidParameter, "limit: from 1 to 200.")),
    }
}

/// Creates a user, in a tenant that is there or one of their own. They sign in with a link made afterwards.
pub async fn create(
    p: &impl Platform,
    caller: &Caller,
    params: CreateUserParams,
    repeatable: &Repeatable,
) -> Result<UserView> {
    caller.require_admin()?;
    if let Some(id) = repeatable.made_before(p).await? {
        return get(p, caller, id.parse().map_err(|_| Error::internal("an idempotency row holds no user"))?).await;
    }
    let name = display_name("name", &params.name)?;
    let role = params.role.unwrap_or(Role::Member);
    let now = p.now();
    let (id, own): (UserId, TenantId) = (p.id(), p.id());
    let tenant = params.tenant_id.unwrap_or(own);
    let mut batch = match params.tenant_id {
        Some(tenant) => vec![tenants::require_present(tenant), tenants::insert_user(id, tenant, &name, role, now)],
        None => identity::insert_user(id, tenant, &name, role, now).to_vec(),
    };
    let act = caller.act("user.create", id, format!("{name} ({role})"));
    batch.push(audit::record(&act, now));
    batch.extend(repeatable.statement(&id.to_string(), now));
    match p.batch(batch).await {
        Ok(_) => {}
        Err(DbError::Constraint(reason)) if is_precondition(&reason) => return Err(Error::not_found("tenant")),
        Err(DbError::Constraint(_)) => {
            // Another request with the same key was faster: its answer is this one's.
            if let Some(id) = repeatable.made_before(p).await? {
                let id = id.parse().map_err(|_| Error::internal("an idempotency row holds no user"))?;
                return get(p, caller, id).await;
            }
            return Err(Error::new(
                ErrorCode::Conflict,
                "There is a user of this name already. Nothing was created; choose another name.",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    let user = UserRow { id, tenant_id: tenant, name, role, state: UserState::Active, created_at_ms: now.get() };
    Ok(user_view(&user))
}

/// Every user.
pub async fn list(p: &impl Platform, caller: &Caller, params: ListParams) -> Result<Page<UserView>> {
    caller.require_admin()?;
    let limit = page_limit(params.limit)?;
    let after = params.cursor.unwrap_or_default();
    let rows: Vec<UserRow> = many(p, identity::list_users(&after, limit)).await?;
    let next_cursor = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Page { items: rows.iter().map(user_view).collect(), next_cursor })
}

/// One user.
pub async fn get(p: &impl Platform, caller: &Caller, id: UserId) -> Result<UserView> {
    caller.require_admin()?;
    let row: UserRow = one(p, identity::user_by_id(id)).await?.ok_or_else(|| Error::not_found("user"))?;
    Ok(user_view(&row))
}

/// Ends the user's sessions, closes what they have open and lets them open nothing more. Their nodes and workspaces stay.
pub async fn suspend(p: &impl Platform, caller: &Caller, id: UserId) -> Result<UserView> {
    caller.require_admin()?;
    if id == caller.user.id {
        return Err(Error::new(
            ErrorCode::Conflict,
            "You cannot suspend yourself: nobody might be left to resume you.",
        ));
    }
    let now = p.now();
    let act = caller.act("user.suspend", id, "");
    p.batch(vec![
        identity::set_user_state(id, UserState::Active, UserState::Suspended),
        audit::record_if_changed(&act, now),
        identity::revoke_all_sessions(id, now),
        identity::insert_revocations_of_user(id, now),
    ])
    .await?;
    let view = get(p, caller, id).await?;
    revoke::fan_out(p, id).await?;
    Ok(view)
}

/// Lets a suspended user sign in again. Their API tokens work again; their sessions stay ended.
pub async fn resume(p: &impl Platform, caller: &Caller, id: UserId) -> Result<UserView> {
    caller.require_admin()?;
    let act = caller.act("user.resume", id, "");
    p.batch(vec![
        identity::set_user_state(id, UserState::Suspended, UserState::Active),
        audit::record_if_changed(&act, p.now()),
    ])
    .await?;
    get(p, caller, id).await
}

/// Makes a one-time sign-in link to `origin` for an active user. Not with an API token: a link is a session in the making, which would
/// outlive the token.
pub async fn sign_in_link(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    id: UserId,
    origin: &str,
    repeatable: &Repeatable,
) -> Result<SignInLinkView> {
    caller.require_admin()?;
    caller.session()?;
    repeatable.refuse_repeat(p).await?;
    let user = get(p, caller, id).await?;
    if user.state != UserState::Active {
        return Err(Error::new(ErrorCode::Conflict, "The user is suspended. Resume them first."));
    }
    let now = p.now();
    let link = sign_in::new_link(&config.keyring, origin, p.id(), p.bytes(), id, now);
    let act = caller.act("sign_in_link.create", link.id, id.to_string());
    let mut batch = vec![link.statement, audit::record(&act, now)];
    batch.extend(repeatable.statement(&link.id.to_string(), now));
    let outcome = p.batch(batch).await;
    if let Err(DbError::Constraint(_)) = &outcome {
        // Another request with the same key was faster.
        repeatable.refuse_repeat(p).await?;
    }
    if !changed(&outcome?, 0) {
        return Err(Error::internal("the sign-in link was not written"));
    }
    Ok(SignInLinkView { url: link.url, expires_at: link.expires_at })
}

/// The audit log, newest first.
pub async fn audit_log(p: &impl Platform, caller: &Caller, params: ListParams) -> Result<Page<AuditView>> {
    caller.require_admin()?;
    let limit = page_limit(params.limit)?;
    let before = match params.cursor {
        None => LARGEST_ID,
        Some(text) => text
            .parse()
            .ok()
            .filter(|id| (0..=LARGEST_ID).contains(id))
            .ok_or_else(|| Error::new(ErrorCode::InvalidParameter, "cursor: not one of ours."))?,
    };
    let rows: Vec<AuditRow> = many(p, audit::list(before, limit)).await?;
    let next_cursor = (rows.len() == limit as usize).then(|| rows.last().map(|row| row.id.to_string())).flatten();
    let view = |row: AuditRow| AuditView {
        id: row.id,
        at: UnixMillis::new(row.at_ms),
        actor: row.actor,
        action: row.action,
        subject: row.subject,
        source_address: row.source_address,
        detail: row.detail,
    };
    Ok(Page { items: rows.into_iter().map(view).collect(), next_cursor })
}
