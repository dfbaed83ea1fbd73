//! A creating request that is sent again gets the first one's answer: its key is written in the same batch as what it makes.

use std::time::Duration;

use ringfence_protocol::ids::UserId;
use ringfence_protocol::problem::ErrorCode;
use ringfence_protocol::routes::Endpoint;
use ringfence_protocol::time::UnixMillis;

use super::caller::Caller;
use crate::error::{Error, Result};
use crate::ports::{Platform, Statement};
use crate::store::idempotency::{self, KeyRow};
use crate::store::one;

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// A creating request's identity: none when the client gave no key.
#[derive(Debug, Clone)]
pub struct Repeatable {
    /// Whose request.
    pub user: UserId,
    /// The client's key.
    pub key: Option<String>,
    /// What is asked for.
    pub operation: &'static str,
    /// SHA-256 of the body, in hex.
    pub body_sha256: String,
}

impl Repeatable {
    /// The identity of a caller's request to an endpoint.
    pub fn new(caller: &Caller, endpoint: &Endpoint, key: Option<String>, body_sha256: String) -> Self {
        Self { user: caller.user.id, key, operation: endpoint.operation, body_sha256 }
    }

    /// What an earlier request with this key made, as its id.
    pub async fn made_before(&self, p: &impl Platform) -> Result<Option<String>> {
        let Some(key) = &self.key else { return Ok(None) };
        let row: Option<KeyRow> = one(p, idempotency::find(self.user, key, p.now() - KEPT)).await?;
        match row {
            None => Ok(None),
            Some(row) if row.operation == self.operation && row.body_sha256 == self.body_sha256 => {
                Ok(Some(row.subject_id))
            }
            Some(_) => Err(Error::new(
                ErrorCode::IdempotencyMismatch,
                "This Idempotency-Key was used with another request in the last 24 hours. Nothing was changed; use a new key.",
            )),
        }
    }

    /// Refuses a repeat of what is answered with a secret: the first answer cannot be given again, since the secret is not kept.
    pub async fn refuse_repeat(&self, p: &impl Platform) -> Result<()> {
        match self.made_before(p).await? {
            None => Ok(()),
            Some(id) => Err(Error::new(
                ErrorCode::Conflict,
                format!(
                    "A request with this Idempotency-Key made {id} already, and its secret is shown once. Nothing more was made; use a new key."
                ),
            )),
        }
    }

    /// A statement for the batch that makes `subject`. Of two requests with one key, the second's batch fails as a whole.
    pub fn statement(&self, subject: &str, now: UnixMillis) -> Option<Statement> {
        let key = self.key.as_ref()?;
        Some(idempotency::insert(self.user, key, self.operation, &self.body_sha256, subject, now, now - KEPT))
    }
}
