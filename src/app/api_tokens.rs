//! A user's API tokens: made (shown once), listed without their secrets, revoked.

use std::time::Duration;

use ringfence_protocol::ids::{ApiTokenId, GrantId, kind};
use ringfence_protocol::params::CreateApiTokenParams;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{ApiTokenView, CreatedApiTokenView, Page};

use super::caller::Caller;
use super::idempotency::Repeatable;
use super::revoke;
use super::text::display_name;
use crate::config::Config;
use crate::domain::mac;
use crate::error::{Error, Result};
use crate::ports::{DbError, Platform};
use crate::store::identity::{self, ApiTokenRow};
use crate::store::{audit, changed, many};

const DEFAULT_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
const SHORTEST_SECS: u64 = 3600;
const LONGEST_SECS: u64 = 365 * 24 * 3600;
const MAX_LISTED: u32 = 200;

/// Makes an API token.
pub async fn create(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    params: CreateApiTokenParams,
    repeatable: &Repeatable,
) -> Result<CreatedApiTokenView> {
    caller.session()?;
    repeatable.refuse_repeat(p).await?;
    let name = display_name("name", &params.name)?;
    let lifetime = match params.expires_in_secs {
        None => DEFAULT_LIFETIME,
        Some(secs) if (SHORTEST_SECS..=LONGEST_SECS).contains(&secs) => Duration::from_secs(secs),
        Some(_) => {
            return Err(Error::new(
                ErrorCode::InvalidBody,
                "expires_in_secs: from 3600 (an hour) to 31536000 (a year).",
            ));
        }
    };
    let now = p.now();
    let id: ApiTokenId = p.id();
    let (secret, opaque) = mac::issue::<kind::ApiToken>(&config.keyring, id, p.bytes());
    let expires_at = now + lifetime;
    let act = caller.act("api_token.create", id, name.as_str());
    let mut batch = vec![
        identity::insert_api_token(id, caller.user.id, &name, &opaque.secret_sha256_hex(), now, expires_at),
        audit::record(&act, now),
    ];
    batch.extend(repeatable.statement(&id.to_string(), now));
    let outcome = p.batch(batch).await;
    if let Err(DbError::Constraint(_)) = &outcome {
        // Another request with the same key was faster.
        repeatable.refuse_repeat(p).await?;
    }
    outcome?;
    Ok(CreatedApiTokenView { token: ApiTokenView { id, name, created_at: now, expires_at }, secret })
}

/// The caller's tokens, without their secrets.
pub async fn list(p: &impl Platform, caller: &Caller) -> Result<Page<ApiTokenView>> {
    caller.session()?;
    let rows: Vec<ApiTokenRow> = many(p, identity::list_api_tokens(caller.user.id, p.now(), MAX_LISTED)).await?;
    let view = |row: ApiTokenRow| ApiTokenView {
        id: row.id,
        name: row.name,
        created_at: UnixMillis::new(row.created_at_ms),
        expires_at: UnixMillis::new(row.expires_at_ms),
    };
    Ok(Page { items: rows.into_iter().map(view).collect(), next_cursor: None })
}

/// Revokes one of the caller's tokens and closes what it has open.
pub async fn revoke(p: &impl Platform, caller: &Caller, id: ApiTokenId) -> Result<()> {
    caller.session()?;
    let now = p.now();
    let act = caller.act("api_token.revoke", id, "");
    let outcomes = p
        .batch(vec![
            identity::revoke_api_token(id, caller.user.id, now),
            audit::record_if_changed(&act, now),
            identity::insert_revocation(GrantId::ApiToken(id), caller.user.id, now),
        ])
        .await?;
    if !changed(&outcomes, 0) {
        return Err(Error::not_found("API token"));
    }
    revoke::fan_out(p, caller.user.id).await?;
    Ok(())
}
