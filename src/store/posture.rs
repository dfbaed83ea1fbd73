//! What agents have measured, as rows of nodes and workspaces hold it.

use ringfence_protocol::posture::Posture;
use serde::Deserialize;

/// A posture and what was made of it when it came.
#[derive(Debug, Clone, Deserialize)]
pub struct PostureRow {
    posture_json: String,
    posture_holds: Option<i64>,
}

impl PostureRow {
    /// Whether all that must hold was seen to hold. Recorded when it came, before it was cut to what is kept.
    pub const fn holds(&self) -> bool {
        matches!(self.posture_holds, Some(holds) if holds != 0)
    }

    /// What was measured.
    pub fn posture(&self) -> Option<Posture> {
        serde_json::from_str(&self.posture_json).ok()
    }
}
