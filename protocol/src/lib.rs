//! Everything that crosses a process boundary of Ringfence: identifiers, routes, token claims, link messages,
//! terminal frames and the JSON of the HTTP API. Types only: no I/O, no clock, no cryptography.
//!
//! Wire types are additive. Each is pinned by a golden test; decoding never panics, whatever the bytes.

pub mod agent_config;
pub mod claims;
pub mod container;
pub mod gateway;
pub mod ids;
pub mod lifecycle;
pub mod limits;
pub mod link;
pub mod money;
#[cfg(feature = "schema")]
pub mod openapi;
pub mod params;
pub mod plan;
pub mod posture;
pub mod problem;
pub mod receipt;
pub mod routes;
pub mod state;
pub mod sweeps;
pub mod terminal;
pub mod time;
pub mod views;
pub mod warm;
mod words;

/// Version of the link and the terminal protocol. The control plane supports this one and the one before.
pub const PROTOCOL_VERSION: u32 = 1;

/// Whether the control plane speaks with an agent of that version: this one and the one before.
pub const fn is_supported(version: u32) -> bool {
    version <= PROTOCOL_VERSION && version + 1 >= PROTOCOL_VERSION
}

/// The WebSocket subprotocol every socket of Ringfence speaks and the only one the server echoes.
pub const SUBPROTOCOL: &str = "ringfence.v1";

/// Largest WebSocket message on any socket, in bytes, header included.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_version_and_the_one_before_are_spoken_and_no_other() {
        assert!(is_supported(PROTOCOL_VERSION));
        assert!(is_supported(PROTOCOL_VERSION - 1));
        assert!(!is_supported(PROTOCOL_VERSION + 1));
        assert!(!is_supported(u32::MAX));
    }
}
