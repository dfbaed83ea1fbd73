//! One running stack with its administrator.

use std::time::Duration;

use anyhow::Result;
use ringfence_protocol::ids::{NodeId, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::build::{Artifacts, Profile};
use xtask::client::until;
use xtask::stack::{Stack, StackOptions};

use super::mint::Mint;
use super::people::Person;

/// Longest wait for what a busy machine does in the background.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A stack, its administrator and its keys.
pub struct Stage {
    pub stack: Stack,
    pub mint: Mint,
    pub admin: Person,
    _dir: TempDir,
}

impl Stage {
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let stack = Stack::start(StackOptions::new(Artifacts::built(Profile::Dev)?, dir.path())).await?;
        let mint = Mint::new(&stack);
        let link = stack.admin_sign_in_link().await?;
        let admin = Person::sign_in(&stack.origin(), &link).await?;
        Ok(Self { stack, mint, admin, _dir: dir })
    }

    pub fn origin(&self) -> String {
        self.stack.origin()
    }

    /// A new member, signed in.
    pub async fn member(&self, name: &str) -> Result<Person> {
        let user = self.admin.client.create_user(name).await?.id;
        self.again(user).await
    }

    /// Another browser of a user.
    pub async fn again(&self, user: UserId) -> Result<Person> {
        Person::sign_in(&self.origin(), &self.stack.sign_in_link(user).await?).await
    }

    /// The key of one of the local cloud's accounts.
    pub fn cloud_key(&self) -> &str {
        &self.stack.secrets().cloud_tokens[0]
    }

    /// How many rows a query with one number in its first column counts.
    pub async fn count(&self, sql: &str, params: &[Value]) -> Result<i64> {
        let rows = self.stack.d1(sql, params).await?;
        Ok(rows[0].values().next().and_then(Value::as_i64).unwrap())
    }

    /// One text of a row.
    pub async fn text(&self, sql: &str, params: &[Value]) -> Result<String> {
        let rows = self.stack.d1(sql, params).await?;
        Ok(rows[0].values().next().and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The epoch of a node's agent.
    pub async fn agent_epoch(&self, node: NodeId) -> Result<i64> {
        self.count("SELECT agent_epoch FROM nodes WHERE id = ?1", &[json!(node)]).await
    }

    /// How many audit rows there are of an action.
    pub async fn audited(&self, action: &str) -> Result<i64> {
        self.count("SELECT count(*) FROM audit WHERE action = ?1", &[json!(action)]).await
    }

    /// How many of them are about this.
    pub async fn audited_on(&self, action: &str, subject: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM audit WHERE action = ?1 AND subject = ?2";
        self.count(sql, &[json!(action), json!(subject)]).await
    }

    /// Waits until a node's agent is linked or not.
    pub async fn link_is(&self, node: NodeId, connected: bool) -> Result<()> {
        let sql = "SELECT count(*) FROM nodes WHERE id = ?1 AND connected_at_ms IS NOT NULL";
        let look = async || Ok(self.count(sql, &[json!(node)]).await? == i64::from(connected));
        until(&format!("the link of {node} to be up: {connected}"), LIMIT, look).await
    }

    pub async fn stop(self) -> Result<()> {
        self.stack.stop().await
    }
}
