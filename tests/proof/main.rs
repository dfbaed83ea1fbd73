//! Proof by trying: one node's life explored in every order, and the whole core in simulated worlds, seed by seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// What the native tests run on. Each of the two binaries uses a part of it.
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;

mod model;
mod seeds;
mod sim;
