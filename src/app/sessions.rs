//! A user's own sessions: who am I, list, revoke, sign out.

use ringfence_protocol::ids::{GrantId, SessionId};
use ringfence_protocol::state::EngineChoice;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{MeView, Page, SessionView, UserView};

use super::caller::Caller;
use super::revoke;
use super::views::{limits_view, patience_view};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::ports::Platform;
use crate::store::identity::{self, SessionRow, UserRow};
use crate::store::{audit, changed, many};

/// Sessions and tokens shown at most; nobody has as many browsers.
const MAX_LISTED: u32 = 200;

/// A user as the API shows them.
pub fn user_view(user: &UserRow) -> UserView {
    UserView {
        id: user.id,
        name: user.name.clone(),
        tenant_id: user.tenant_id,
        role: user.role,
        state: user.state,
        created_at: UnixMillis::new(user.created_at_ms),
    }
}

/// Who is signed in.
pub fn me(config: &Config, caller: &Caller) -> MeView {
    let session_id = match caller.grant {
        GrantId::Session(id) => Some(id),
        GrantId::ApiToken(_) => None,
    };
    MeView {
        user: user_view(&caller.user),
        session_id,
        expires_at: caller.expires_at,
        engine: config.engine,
        container_limits: match config.engine {
            EngineChoice::Containers => Some(limits_view(&config.settings.containers)),
            EngineChoice::Unconfined => None,
        },
        patience_limits: patience_view(&config.settings),
    }
}

/// The caller's signed-in browsers.
pub async fn list(p: &impl Platform, caller: &Caller) -> Result<Page<SessionView>> {
    let current = caller.session()?;
    let rows: Vec<SessionRow> = many(p, identity::list_sessions(caller.user.id, p.now(), MAX_LISTED)).await?;
    let view = |row: SessionRow| SessionView {
        id: row.id,
        current: row.id == current,
        created_at: UnixMillis::new(row.created_at_ms),
        expires_at: UnixMillis::new(row.expires_at_ms),
        user_agent: row.user_agent,
        source_address: row.source_address,
    };
    Ok(Page { items: rows.into_iter().map(view).collect(), next_cursor: None })
}

/// Ends one of the caller's sessions and closes what it has open. A repeat finds nothing to end.
pub async fn revoke(p: &impl Platform, caller: &Caller, session: SessionId) -> Result<()> {
    caller.session()?;
    let now = p.now();
    let act = caller.act("session.revoke", session, "");
    let outcomes = p
        .batch(vec![
            identity::revoke_session(session, caller.user.id, now),
            audit::record_if_changed(&act, now),
            identity::insert_revocation(GrantId::Session(session), caller.user.id, now),
        ])
        .await?;
    if !changed(&outcomes, 0) {
        return Err(Error::not_found("session"));
    }
    revoke::fan_out(p, caller.user.id).await?;
    Ok(())
}
