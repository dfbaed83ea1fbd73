//! Posture: what an agent has measured of its machine or of a workspace's container, each with the rule it stands for.

use serde::{Deserialize, Serialize};

use crate::state::PostureOutcome;
use crate::time::UnixMillis;

/// Most checks of one posture that are kept.
pub const MAX_CHECKS: usize = 64;

/// What was measured at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Posture {
    /// When.
    pub measured_at: UnixMillis,
    /// Each thing that was looked at.
    pub checks: Vec<PostureCheck>,
}

impl Posture {
    /// Whether all that must hold was seen to hold. What could not be measured does not hold.
    pub fn holds(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The checks that must pass and did not.
    pub fn broken(&self) -> impl Iterator<Item = &PostureCheck> {
        self.checks.iter().filter(|check| check.must_pass && check.outcome != PostureOutcome::Pass)
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PostureCheck {
    /// Names the check: a stable word, e.g. `capabilities`.
    pub id: String,
    /// The check in a sentence a person understands, e.g. `The container has no capabilities.`
    pub title: String,
    /// The rule it stands for, e.g. `all capabilities dropped`.
    pub rule: String,
    /// What was measured, e.g. `CapEff 0000000000000000`.
    pub measured: String,
    /// What came of it.
    pub outcome: PostureOutcome,
    /// Whether nothing may run while it does not pass.
    pub must_pass: bool,
}
