//! What the wire looks like, pinned, and what decoding must survive.
//!
//! A change of a snapshot is a change of the protocol: fields may be added, never renamed or removed. After a wanted
//! change, `INSTA_UPDATE=always cargo test -p ringfence-protocol --all-features` writes the snapshots anew.

mod documents;
mod examples;
mod golden_claims;
mod golden_limits;
mod golden_link;
mod golden_params;
mod golden_problem;
mod golden_receipt;
mod golden_routes;
mod golden_terminal;
mod golden_views;
mod golden_words;
#[cfg(feature = "schema")]
mod openapi;
mod properties;
mod unknown_fields;
