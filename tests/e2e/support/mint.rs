//! Tokens of every kind, signed with the installation's own keys: what a test needs to show that a genuine token of the
//! wrong kind, or one whose time is over, opens nothing.

use std::time::Duration;

use anyhow::Result;
use ringfence::domain::keyring::Keyring;
use ringfence::domain::token::{self, Lifetime};
use ringfence_protocol::claims::{BootstrapClaims, CallbackClaims, Confirmation};
use ringfence_protocol::ids::{Id, JwtId, Kind, NodeId};
use ringfence_protocol::time::UnixMillis;
use serde_json::json;
use xtask::clock;
use xtask::stack::Stack;

/// Signs as the control plane does.
pub struct Mint {
    keyring: Keyring,
    issuer: String,
}

impl Mint {
    pub fn new(stack: &Stack) -> Self {
        Self { keyring: parse(&stack.secrets().keyring.to_string()), issuer: stack.origin() }
    }

    /// A mint with other keys of the same names: what a forger has.
    pub fn forger(stack: &Stack) -> Self {
        let mut keyring = xtask::keys::new_keyring("local");
        keyring["keys"][0]["kid"] = stack.secrets().keyring["keys"][0]["kid"].clone();
        Self { keyring: parse(&keyring.to_string()), issuer: stack.origin() }
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// A token as of now.
    pub fn sign<T: Lifetime>(&self, claims: T) -> String {
        self.sign_at(claims, clock::now())
    }

    /// A token whose time was over a minute ago.
    pub fn sign_expired<T: Lifetime>(&self, claims: T) -> String {
        self.sign_at(claims, clock::now() - T::LIFETIME - Duration::from_secs(60))
    }

    fn sign_at<T: Lifetime>(&self, claims: T, at: UnixMillis) -> String {
        token::sign(&self.keyring, &self.issuer, claims, at).unwrap().0
    }
}

/// A callback token's claims.
pub fn callback(node: NodeId, agent_epoch: i64, jkt: &str) -> CallbackClaims {
    CallbackClaims { node, agent_epoch, cnf: Confirmation { jkt: jkt.to_owned() } }
}

/// A bootstrap token for a node with its row, as the control plane makes one before it creates a machine.
pub async fn bootstrap(stack: &Stack, node: NodeId) -> Result<BootstrapClaims> {
    let jti: JwtId = random_id();
    let expires_at = clock::now() + BootstrapClaims::LIFETIME;
    let sql = "INSERT INTO bootstrap_tokens (jti, node_id, expires_at_ms) VALUES (?1, ?2, ?3)";
    stack.d1(sql, &[json!(jti), json!(node), json!(expires_at.get())]).await?;
    Ok(BootstrapClaims { jti, node })
}

pub fn random_id<K: Kind>() -> Id<K> {
    Id::from_entropy(rand::random())
}

fn parse(json: &str) -> Keyring {
    Keyring::parse(json).map_err(|error| error.0).unwrap()
}
