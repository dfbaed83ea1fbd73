//! The callback token and what came with it, in memory and on disk.

use std::path::Path;
use std::time::{Duration, Instant};

use ringfence_protocol::claims::Jwks;
use ringfence_protocol::link::CallbackGrant;
use ringfence_protocol::time::UnixMillis;
use serde::{Deserialize, Serialize};

use crate::clock::{self, ControlClock};
use crate::disk::{self, DiskError};
use crate::secret::Secret;

/// A callback token in use.
#[derive(Clone)]
pub struct Grant {
    /// The token.
    pub token: Secret,
    /// The control plane's public keys, as they were then.
    pub keys: Jwks,
    /// When it came.
    pub received_at: Instant,
    /// When the token ends, by the control plane's clock.
    pub expires_at: UnixMillis,
    /// The control plane's clock.
    pub clock: ControlClock,
    /// When to renew, by the monotonic clock.
    pub renew_at: Instant,
}

/// The file: the answer as it came, and what the machine's clock showed then.
#[derive(Serialize, Deserialize)]
struct StoredGrant {
    #[serde(flatten)]
    grant: CallbackGrant,
    machine_clock_at_receipt: UnixMillis,
}

impl Grant {
    /// Takes an answer that has just arrived.
    pub fn received(grant: CallbackGrant, at: Instant) -> Self {
        let clock = ControlClock::new(grant.now, at);
        let life = grant.expires_at.since(grant.now);
        Self {
            token: Secret::new(grant.token),
            keys: grant.keys,
            received_at: at,
            expires_at: grant.expires_at,
            clock,
            renew_at: at + life / 2,
        }
    }

    /// Whether the token is known to have ended.
    pub fn has_ended(&self, at: Instant) -> bool {
        self.clock.until(self.expires_at, at) == Duration::ZERO
    }
}

/// Stores an answer, before it is used.
pub fn store(path: &Path, grant: &CallbackGrant) -> Result<(), DiskError> {
    let stored = StoredGrant { grant: grant.clone(), machine_clock_at_receipt: clock::machine_now() };
    let text = zeroize::Zeroizing::new(serde_json::to_vec(&stored).unwrap_or_default());
    disk::write_private(path, &text)
}

/// Reads the stored answer; `None` when there is none that can be read.
///
/// How much time has passed since is known from the machine's clock only. When that went backwards, the token is renewed at once.
pub fn load(path: &Path, at: Instant) -> Result<Option<Grant>, DiskError> {
    let Some(text) = disk::read_if_there(path)?.map(zeroize::Zeroizing::new) else {
        return Ok(None);
    };
    let Ok(stored) = serde_json::from_slice::<StoredGrant>(&text) else {
        tracing::warn!("the stored callback token cannot be read");
        return Ok(None);
    };
    let machine_now = clock::machine_now();
    let passed = machine_now.since(stored.machine_clock_at_receipt);
    let clock_is_sane = machine_now >= stored.machine_clock_at_receipt;
    let half_life = stored.grant.expires_at.since(stored.grant.now) / 2;
    let now = stored.grant.now + passed;
    let mut grant = Grant::received(stored.grant, at);
    grant.clock = ControlClock::new(now, at);
    grant.renew_at = if clock_is_sane { at + half_life.saturating_sub(passed) } else { at };
    Ok(Some(grant))
}
