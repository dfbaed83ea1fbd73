//! Credentials for providers, and what those providers offer as last read.

use ringfence_protocol::ids::{CredentialId, UserId};
use ringfence_protocol::state::ProviderKind;
use ringfence_protocol::time::UnixMillis;
use serde::Deserialize;

use crate::domain::seal::Sealed;
use crate::ports::Statement;

/// A credential's row. The secret in it is sealed.
#[derive(Debug, Clone, Deserialize)]
pub struct CredentialRow {
    /// Names the credential.
    pub id: CredentialId,
    /// Whose it is.
    pub user_id: UserId,
    /// Which cloud.
    pub provider: ProviderKind,
    /// The user's name for it.
    pub name: String,
    /// Nonce and ciphertext.
    pub sealed_secret: String,
    /// Which seal key.
    pub seal_version: i64,
    /// When it was stored.
    pub created_at_ms: i64,
    /// When the provider last accepted it.
    pub validated_at_ms: Option<i64>,
    /// Counter of changes.
    pub row_version: i64,
}

impl CredentialRow {
    /// The sealed secret, to be opened.
    pub fn sealed(&self) -> Sealed {
        Sealed { version: self.seal_version, text: self.sealed_secret.clone() }
    }
}

/// A credential with its catalog, if one was stored.
#[derive(Debug, Clone, Deserialize)]
pub struct OfferRow {
    /// The credential.
    #[serde(flatten)]
    pub credential: CredentialRow,
    /// When the provider was asked.
    pub fetched_at_ms: Option<i64>,
    /// The catalog.
    pub catalog_json: Option<String>,
}

/// A catalog as it was stored.
#[derive(Debug, Clone, Deserialize)]
pub struct CatalogRow {
    /// When the provider was asked.
    pub fetched_at_ms: i64,
    /// The catalog.
    pub catalog_json: String,
}

/// A new credential that the provider has just accepted.
pub fn insert(
    id: CredentialId,
    user: UserId,
    provider: ProviderKind,
    name: &str,
    sealed: &Sealed,
    now: UnixMillis,
) -> Statement {
    Statement::new(
        "INSERT INTO provider_credentials
           (id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, validated_at_ms, row_version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 1)",
        [
            id.into(),
            user.into(),
            provider.as_str().into(),
            name.into(),
            sealed.text.as_str().into(),
            sealed.version.into(),
            now.into(),
        ],
    )
}

/// One credential of the user.
pub fn by_id(id: CredentialId, user: UserId) -> Statement {
    Statement::new(
        "SELECT id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, validated_at_ms, row_version
         FROM provider_credentials WHERE id = ?1 AND user_id = ?2 AND deleted_at_ms IS NULL",
        [id.into(), user.into()],
    )
}

/// The user's credentials, newest first.
pub fn list(user: UserId, limit: u32) -> Statement {
    Statement::new(
        "SELECT id, user_id, provider, name, sealed_secret, seal_version, created_at_ms, validated_at_ms, row_version
         FROM provider_credentials WHERE user_id = ?1 AND deleted_at_ms IS NULL
         ORDER BY created_at_ms DESC, id DESC LIMIT ?2",
        [user.into(), i64::from(limit).into()],
    )
}

/// A machine of a credential's account.
#[derive(Debug, Clone, Deserialize)]
pub struct MachineRow {
    /// The provider's name for it.
    pub instance_id: String,
}

/// The machines that a credential's nodes have and are to have, as far as they are known.
pub fn machines(id: CredentialId) -> Statement {
    Statement::new(
        "SELECT provider_instance_id AS instance_id FROM nodes
         WHERE credential_id = ?1 AND state IN ('booting', 'ready') AND provider_instance_id IS NOT NULL LIMIT 200",
        [id.into()],
    )
}

/// Puts another secret in place of the one that was read.
pub fn replace(row: &CredentialRow, sealed: &Sealed, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE provider_credentials
         SET sealed_secret = ?4, seal_version = ?5, validated_at_ms = ?6, row_version = row_version + 1
         WHERE id = ?1 AND user_id = ?2 AND row_version = ?3 AND deleted_at_ms IS NULL",
        [
            row.id.into(),
            row.user_id.into(),
            row.row_version.into(),
            sealed.text.as_str().into(),
            sealed.version.into(),
            now.into(),
        ],
    )
}

/// The provider has accepted the secret that was read.
pub fn mark_validated(row: &CredentialRow, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE provider_credentials SET validated_at_ms = ?4, row_version = row_version + 1
         WHERE id = ?1 AND user_id = ?2 AND row_version = ?3 AND deleted_at_ms IS NULL",
        [row.id.into(), row.user_id.into(), row.row_version.into(), now.into()],
    )
}

/// Forgets a credential that no node needs, its secret included. A node that is being inserted at the same time is found
/// by the same statement, or finds the credential gone by its own.
pub fn delete(id: CredentialId, user: UserId, now: UnixMillis) -> Statement {
    Statement::new(
        "UPDATE provider_credentials SET deleted_at_ms = ?3, sealed_secret = '', row_version = row_version + 1
         WHERE id = ?1 AND user_id = ?2 AND deleted_at_ms IS NULL
           AND NOT EXISTS (SELECT 1 FROM nodes WHERE credential_id = ?1 AND state <> 'gone')",
        [id.into(), user.into(), now.into()],
    )
}

/// The user's newest credential, or the newest of a provider, or the one that is named, with what it offers as last read.
pub fn newest_with_catalog(user: UserId, id: Option<CredentialId>, provider: Option<ProviderKind>) -> Statement {
    Statement::new(
        "SELECT c.id, c.user_id, c.provider, c.name, c.sealed_secret, c.seal_version, c.created_at_ms, c.validated_at_ms,
           c.row_version, o.fetched_at_ms, o.catalog_json
         FROM provider_credentials c LEFT JOIN provider_catalogs o ON o.credential_id = c.id
         WHERE c.user_id = ?1 AND c.deleted_at_ms IS NULL AND (?2 IS NULL OR c.id = ?2) AND (?3 IS NULL OR c.provider = ?3)
         ORDER BY c.created_at_ms DESC, c.id DESC LIMIT 1",
        [user.into(), id.into(), provider.map(ProviderKind::as_str).into()],
    )
}

/// What the provider offers, as last read.
pub fn catalog(credential: CredentialId) -> Statement {
    Statement::new(
        "SELECT fetched_at_ms, catalog_json FROM provider_catalogs WHERE credential_id = ?1",
        [credential.into()],
    )
}

/// Keeps what the provider offers now.
pub fn put_catalog(credential: CredentialId, json: &str, now: UnixMillis) -> Statement {
    Statement::new(
        "INSERT INTO provider_catalogs (credential_id, fetched_at_ms, catalog_json) VALUES (?1, ?2, ?3)
         ON CONFLICT (credential_id) DO UPDATE SET fetched_at_ms = excluded.fetched_at_ms, catalog_json = excluded.catalog_json",
        [credential.into(), now.into(), json.into()],
    )
}
