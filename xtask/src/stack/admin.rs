//! Users and sign-in links, written into D1 from the operator's own shell: there is no HTTP path to the first administrator.

use std::time::Duration;

use anyhow::{Result, anyhow};
use ringfence::domain::keyring::Keyring;
use ringfence::domain::mac;
use ringfence::store::audit::{self, Act};
use ringfence::store::identity;
use ringfence_protocol::ids::{Id, Kind, UserId};
use ringfence_protocol::state::Role;

use super::Stack;
use crate::clock;

/// How long a sign-in link works.
const LINK_LIFETIME: Duration = Duration::from_secs(10 * 60);

impl Stack {
    /// A one-time sign-in link for the first administrator, who is made if there is none.
    pub async fn admin_sign_in_link(&self) -> Result<String> {
        let found = self.d1("SELECT id FROM users WHERE role = 'admin' ORDER BY created_at_ms LIMIT 1", &[]).await?;
        let admin = match found.first().and_then(|row| row.get("id")?.as_str()) {
            Some(id) => id.parse()?,
            None => self.create_user("admin", Role::Admin).await?,
        };
        self.sign_in_link(admin).await
    }

    /// Makes a user.
    pub async fn create_user(&self, name: &str, role: Role) -> Result<UserId> {
        let user = random_id();
        let now = clock::now();
        let mut statements = identity::insert_user(user, random_id(), name, role, now).to_vec();
        statements.push(audit::record(&act("user.create", user), now));
        self.d1_batch(&statements).await?;
        Ok(user)
    }

    /// A one-time sign-in link for a user.
    pub async fn sign_in_link(&self, user: UserId) -> Result<String> {
        // Why a keyring is not accepted says where, never what.
        let keyring =
            Keyring::parse(&self.secrets.keyring.to_string()).map_err(|invalid| anyhow!("keyring: {}", invalid.0))?;
        let (token, link) = mac::issue(&keyring, random_id(), rand::random());
        let now = clock::now();
        self.d1_batch(&[
            identity::insert_link(link.id, user, &link.secret_sha256_hex(), now, now + LINK_LIFETIME),
            audit::record(&act("sign_in_link.create", user), now),
        ])
        .await?;
        // In the fragment, which no server sees.
        Ok(format!("{}/sign-in#token={}", self.origin(), token.expose()))
    }
}

fn act(action: &'static str, subject: UserId) -> Act {
    Act {
        actor: "operator".into(),
        action,
        subject: subject.to_string(),
        source_address: String::new(),
        detail: String::new(),
    }
}

fn random_id<K: Kind>() -> Id<K> {
    Id::from_entropy(rand::random())
}
