//! A user's keys for clouds: stored sealed after the provider has accepted them, never shown again, deleted with their text.

use std::time::Duration;

use ringfence_protocol::ids::{CredentialId, UserId};
use ringfence_protocol::params::{CreateCredentialParams, CreateWorkspaceParams, ReplaceCredentialParams, SecretText};
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;
use ringfence_protocol::views::{CatalogView, CredentialView, Page, ProviderView};

use super::caller::Caller;
use super::idempotency::Repeatable;
use super::text::display_name;
use crate::config::Config;
use crate::domain::seal::{self, SealedRow};
use crate::error::{Error, Result};
use crate::ports::{DbError, Platform};
use crate::provider::{Catalog, Description, ErrorClass, Provider, ProviderError, ProviderKey};
use crate::store::credentials::{self, CatalogRow, CredentialRow, MachineRow, OfferRow};
use crate::store::{audit, changed, many, one, warm};

/// Longest key we take: Hetzner's have 64 characters, cloud key files a few thousand.
const MAX_SECRET_BYTES: usize = 8 * 1024;
/// Credentials listed at most.
const MAX_LISTED: u32 = 100;
/// How old a stored catalog may be before the provider is asked again. Prices change a few times a year.
const CATALOG_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// The clouds Ringfence can use.
pub fn providers() -> Page<ProviderView> {
    let items = ProviderKind::ALL.iter().map(|kind| Description::of(*kind).view()).collect();
    Page { items, next_cursor: None }
}

/// Stores a key after trying it.
pub async fn create(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    params: CreateCredentialParams,
    repeatable: &Repeatable,
) -> Result<CredentialView> {
    if let Some(id) = repeatable.made_before(p).await? {
        return get(p, caller, id.parse().map_err(|_| Error::internal("an idempotency row holds no credential"))?)
            .await;
    }
    let default_name = Description::of(params.provider).name;
    let name = display_name("name", params.name.as_deref().unwrap_or(default_name))?;
    let catalog = try_key(config, params.provider, &params.secret).await?;
    let now = p.now();
    let id: CredentialId = p.id();
    let sealed = seal::seal(&config.keyring, caller.user.id, SealedRow::Credential(id), &params.secret, p.bytes())
        .ok_or_else(|| Error::internal("cannot seal a credential"))?;
    let act = caller.act("credential.create", id, format!("{} {name}", params.provider));
    let mut batch = vec![
        credentials::insert(id, caller.user.id, params.provider, &name, &sealed, now),
        credentials::put_catalog(id, &catalog_json(&catalog)?, now),
        audit::record(&act, now),
    ];
    batch.extend(repeatable.statement(&id.to_string(), now));
    match p.batch(batch).await {
        Ok(_) => get(p, caller, id).await,
        // Another request with the same key was faster: its answer is this one's.
        Err(DbError::Constraint(log)) => match repeatable.made_before(p).await? {
            Some(id) => get(p, caller, id.parse().map_err(|_| Error::internal("not a credential id"))?).await,
            None => Err(Error::internal(log)),
        },
        Err(error) => Err(error.into()),
    }
}

/// The caller's credentials.
pub async fn list(p: &impl Platform, caller: &Caller) -> Result<Page<CredentialView>> {
    let rows: Vec<CredentialRow> = many(p, credentials::list(caller.user.id, MAX_LISTED)).await?;
    Ok(Page { items: rows.iter().map(view).collect(), next_cursor: None })
}

/// One of the caller's credentials.
pub async fn get(p: &impl Platform, caller: &Caller, id: CredentialId) -> Result<CredentialView> {
    Ok(view(&load(p, caller.user.id, id).await?))
}

/// Tries a stored key at the provider.
pub async fn validate(p: &impl Platform, config: &Config, caller: &Caller, id: CredentialId) -> Result<CredentialView> {
    let row = load(p, caller.user.id, id).await?;
    let catalog = try_key(config, row.provider, &open(config, &row)?).await?;
    let now = p.now();
    let act = caller.act("credential.validate", id, "");
    p.batch(vec![
        credentials::mark_validated(&row, now),
        audit::record(&act, now),
        credentials::put_catalog(id, &catalog_json(&catalog)?, now),
    ])
    .await?;
    get(p, caller, id).await
}

/// Stores another key of the same account in place of the old one, after trying it.
pub async fn replace(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    id: CredentialId,
    params: ReplaceCredentialParams,
) -> Result<CredentialView> {
    let row = load(p, caller.user.id, id).await?;
    try_key(config, row.provider, &params.secret).await?;
    require_same_account(p, config, &row, &params.secret).await?;
    let now = p.now();
    let sealed = seal::seal(&config.keyring, caller.user.id, SealedRow::Credential(id), &params.secret, p.bytes())
        .ok_or_else(|| Error::internal("cannot seal a credential"))?;
    let act = caller.act("credential.replace", id, "");
    let outcomes = p.batch(vec![credentials::replace(&row, &sealed, now), audit::record_if_changed(&act, now)]).await?;
    if !changed(&outcomes, 0) {
        return Err(Error::new(
            ErrorCode::Conflict,
            "The credential was changed by another request. Look at it and try again.",
        ));
    }
    get(p, caller, id).await
}

/// A key of another account would make every machine of this one look as if somebody had deleted it: it has to list one of those
/// that are there.
async fn require_same_account(
    p: &impl Platform,
    config: &Config,
    row: &CredentialRow,
    secret: &SecretText,
) -> Result<()> {
    let machines: Vec<MachineRow> = many(p, credentials::machines(row.id)).await?;
    if machines.is_empty() {
        return Ok(());
    }
    let listed = account(config, row.provider, secret).list(&config.installation_id).await.map_err(refused)?;
    let there = |machine: &MachineRow| listed.instances.iter().any(|listed| listed.id.0 == machine.instance_id);
    if !listed.complete || machines.iter().any(there) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::Conflict,
        "This key opens an account that has none of the machines of this credential: it is another project's. Give a key of the same project, or add this one as a credential of its own. If the machines were deleted at the provider, delete their nodes first. Nothing was stored.",
    ))
}

/// Forgets a key that no node needs any more. A repeat succeeds.
pub async fn delete(p: &impl Platform, caller: &Caller, id: CredentialId) -> Result<()> {
    let now = p.now();
    let act = caller.act("credential.delete", id, "");
    let batch = vec![
        credentials::delete(id, caller.user.id, now),
        audit::record_if_changed(&act, now),
        // No more machines are made with it.
        warm::delete_with_credential(id, caller.user.id),
    ];
    let outcomes = p.batch(batch).await?;
    if changed(&outcomes, 0) {
        return Ok(());
    }
    load(p, caller.user.id, id).await?;
    Err(Error::new(
        ErrorCode::CredentialInUse,
        "Nodes still need this credential to be destroyed. Delete them first, then the credential; machines that you keep warm are made again until you ask for none. Nothing was changed.",
    ))
}

/// What the cloud of a credential offers.
pub async fn catalog_view(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    id: CredentialId,
) -> Result<CatalogView> {
    let row = load(p, caller.user.id, id).await?;
    let stored = one(p, credentials::catalog(row.id)).await?;
    let (mut catalog, fetched_at) = current_catalog(p, config, &row, stored).await?;
    // What the agent does not run on is not offered.
    catalog.sizes.retain(|size| size.architecture.as_str() == config.settings.architecture);
    Ok(catalog.view(row.provider, fetched_at))
}

/// What the cloud of a credential offers: as stored, or asked anew when that is too old.
async fn current_catalog(
    p: &impl Platform,
    config: &Config,
    row: &CredentialRow,
    stored: Option<CatalogRow>,
) -> Result<(Catalog, UnixMillis)> {
    let now = p.now();
    if let Some(stored) = stored {
        let fetched_at = UnixMillis::new(stored.fetched_at_ms);
        if now.since(fetched_at) < CATALOG_LIFETIME
            && let Ok(catalog) = serde_json::from_str(&stored.catalog_json)
        {
            return Ok((catalog, fetched_at));
        }
    }
    let catalog = account(config, row.provider, &open(config, row)?).catalog().await.map_err(refused)?;
    p.batch(vec![credentials::put_catalog(row.id, &catalog_json(&catalog)?, now)]).await?;
    Ok((catalog, now))
}

/// The credential a new workspace should use, with what it offers: the one that is named, or the newest of the provider that
/// is named, or the newest.
pub async fn choose(
    p: &impl Platform,
    config: &Config,
    caller: &Caller,
    params: &CreateWorkspaceParams,
) -> Result<(CredentialRow, Catalog)> {
    let statement = credentials::newest_with_catalog(caller.user.id, params.credential_id, params.provider);
    let offer: OfferRow = one(p, statement).await?.ok_or_else(|| match params.credential_id {
        Some(_) => Error::not_found("credential of this provider"),
        None => Error::new(
            ErrorCode::NoCredential,
            "Store a key for a cloud first (POST /api/credentials). Nothing was created.",
        ),
    })?;
    let stored = match (offer.fetched_at_ms, offer.catalog_json) {
        (Some(fetched_at_ms), Some(catalog_json)) => Some(CatalogRow { fetched_at_ms, catalog_json }),
        (Some(_) | None, _) => None,
    };
    let (catalog, _) = current_catalog(p, config, &offer.credential, stored).await?;
    Ok((offer.credential, catalog))
}

/// One credential of a user, with its sealed secret.
pub async fn load(p: &impl Platform, user: UserId, id: CredentialId) -> Result<CredentialRow> {
    one(p, credentials::by_id(id, user)).await?.ok_or_else(|| Error::not_found("credential"))
}

/// The secret of a credential, opened.
pub fn open(config: &Config, row: &CredentialRow) -> Result<SecretText> {
    seal::open(&config.keyring, row.user_id, SealedRow::Credential(row.id), &row.sealed())
        .map_err(|_| Error::internal(format!("credential {} does not open: was its seal key removed?", row.id)))
}

/// The account a key opens.
pub fn account(config: &Config, provider: ProviderKind, secret: &SecretText) -> Provider {
    let base_url = match provider {
        ProviderKind::Hetzner => &config.hetzner_url,
    };
    Provider::new(provider, base_url, ProviderKey::new(secret))
}

/// Proves that a key may do what is needed, and reads what it can buy.
async fn try_key(config: &Config, provider: ProviderKind, secret: &SecretText) -> Result<Catalog> {
    let plausible = secret.expose().trim();
    let ascii = plausible.bytes().all(|b| b.is_ascii_graphic());
    if plausible.is_empty() || plausible.len() > MAX_SECRET_BYTES || !ascii {
        return Err(Error::new(
            ErrorCode::InvalidBody,
            "secret: paste the key as the provider shows it. Nothing was stored.",
        ));
    }
    let account = account(config, provider, secret);
    account.validate().await.map_err(refused)?;
    account.catalog().await.map_err(refused)
}

/// What a provider's refusal means for the caller.
fn refused(error: ProviderError) -> Error {
    let log = error.to_string();
    match error.class {
        ErrorClass::Auth => Error::new(
            ErrorCode::CredentialRejected,
            "The provider refused the key, or it may only read. Make one with read and write permission. Nothing was stored.",
        ),
        ErrorClass::Invalid | ErrorClass::NameTaken | ErrorClass::Capacity | ErrorClass::Quota => {
            Error::new(ErrorCode::ProviderUnavailable, "The provider gave an answer we do not understand. Nothing was changed.")
        }
        ErrorClass::RateLimited | ErrorClass::Transient | ErrorClass::Unknown => {
            Error::new(ErrorCode::ProviderUnavailable, "The provider cannot be reached for the moment. Nothing was changed; try again.")
        }
    }
    .with_log(log)
}

fn catalog_json(catalog: &Catalog) -> Result<String> {
    serde_json::to_string(catalog).map_err(|error| Error::internal(format!("catalog: {error}")))
}

fn view(row: &CredentialRow) -> CredentialView {
    CredentialView {
        id: row.id,
        provider: row.provider,
        name: row.name.clone(),
        created_at: UnixMillis::new(row.created_at_ms),
        validated_at: row.validated_at_ms.map(UnixMillis::new),
        row_version: row.row_version,
    }
}
