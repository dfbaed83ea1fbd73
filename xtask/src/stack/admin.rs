//! Users and sign-in links, written into D1 from the operator's own shell: there is no HTTP path to the first administrator.
//!
//! The control plane's own code for this is not used, so that this tool runs when that does not compile; a test holds the
//! two together.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use ringfence_protocol::ids::{Id, Kind, SignInLinkId, TenantId, UserId};
use ringfence_protocol::state::{Role, UserState};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Stack;
use crate::{clock, stamp};

/// How long a sign-in link works.
const LINK_LIFETIME: Duration = Duration::from_secs(10 * 60);
/// Bytes of the MAC at the end of a link's token.
const MAC_BYTES: usize = 16;

const INSERT_TENANT: &str = "INSERT INTO tenants (id, name, created_at_ms) VALUES (?1, ?2, ?3)";
const INSERT_USER: &str = "INSERT INTO users (id, tenant_id, name, role, state, created_at_ms, row_version)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1)";
const INSERT_LINK: &str = "INSERT INTO sign_in_links (id, user_id, secret_sha256, created_at_ms, expires_at_ms)
    VALUES (?1, ?2, ?3, ?4, ?5)";
const INSERT_AUDIT: &str = "INSERT INTO audit (at_ms, actor, action, subject, source_address, detail)
    VALUES (?1, 'operator', ?2, ?3, '', '')";
const FIRST_ADMIN: &str = "SELECT id FROM users WHERE role = 'admin' ORDER BY created_at_ms LIMIT 1";

impl Stack {
    /// A one-time sign-in link for the first administrator, who is made if there is none.
    pub async fn admin_sign_in_link(&self) -> Result<String> {
        let found = self.d1(FIRST_ADMIN, &[]).await?;
        let admin = match found.first().and_then(|row| row.get("id")?.as_str()) {
            Some(id) => id.parse()?,
            None => self.create_user("admin", Role::Admin).await?,
        };
        self.sign_in_link(admin).await
    }

    /// Makes a user in a tenant of their own.
    pub async fn create_user(&self, name: &str, role: Role) -> Result<UserId> {
        let (user, tenant): (UserId, TenantId) = (random_id(), random_id());
        let now = clock::now().get();
        self.d1_batch(&[
            (INSERT_TENANT, vec![json!(tenant), json!(name), json!(now)]),
            (
                INSERT_USER,
                vec![json!(user), json!(tenant), json!(name), json!(role), json!(UserState::Active), json!(now)],
            ),
            (INSERT_AUDIT, vec![json!(now), json!("user.create"), json!(user)]),
        ])
        .await?;
        Ok(user)
    }

    /// A one-time sign-in link for a user.
    pub async fn sign_in_link(&self, user: UserId) -> Result<String> {
        let link = Link::new(&self.secrets.keyring)?;
        let now = clock::now();
        let expires_at = now + LINK_LIFETIME;
        let row =
            vec![json!(link.id), json!(user), json!(link.secret_sha256), json!(now.get()), json!(expires_at.get())];
        let audit = vec![json!(now.get()), json!("sign_in_link.create"), json!(user)];
        self.d1_batch(&[(INSERT_LINK, row), (INSERT_AUDIT, audit)]).await?;
        // In the fragment, which no server sees.
        Ok(format!("{}/sign-in#token={}", self.origin(), link.token))
    }
}

/// A link's token, and what the database holds of it.
struct Link {
    id: SignInLinkId,
    token: String,
    secret_sha256: String,
}

impl Link {
    fn new(keyring: &Value) -> Result<Self> {
        let key = keyring.get("mac").and_then(Value::as_str).context("a keyring without a MAC key")?;
        let id: SignInLinkId = random_id();
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let signed = format!("rfl_{}_{secret}", id.body());
        let key = URL_SAFE_NO_PAD.decode(key).ok().context("the MAC key is not base64url")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
        mac.update(b"opaque\0");
        mac.update(signed.as_bytes());
        let tag = URL_SAFE_NO_PAD.encode(&mac.finalize().into_bytes()[..MAC_BYTES]);
        let secret_sha256 = stamp::hex(&Sha256::digest(&secret));
        Ok(Self { id, token: format!("{signed}.{tag}"), secret_sha256 })
    }
}

fn random_id<K: Kind>() -> Id<K> {
    Id::from_entropy(rand::random())
}

#[cfg(test)]
mod tests {
    use ringfence::domain::keyring::Keyring;
    use ringfence::domain::mac;
    use ringfence_protocol::ids::kind;

    use super::*;
    use crate::keys;

    #[test]
    fn the_control_plane_accepts_our_links() {
        let keyring = keys::new_keyring("k");
        let link = Link::new(&keyring).unwrap();
        let parsed = Keyring::parse(&keyring.to_string()).ok().unwrap();
        let opaque = mac::check::<kind::SignInLink>(&parsed, &link.token).unwrap();
        assert_eq!(opaque.id, link.id);
        assert_eq!(opaque.secret_sha256_hex(), link.secret_sha256);
    }

    #[test]
    fn another_installation_does_not() {
        let link = Link::new(&keys::new_keyring("k")).unwrap();
        let other = Keyring::parse(&keys::new_keyring("k").to_string()).ok().unwrap();
        assert!(mac::check::<kind::SignInLink>(&other, &link.token).is_none());
    }
}
