//! Proof by trying: the control plane's core in a simulated world, seed by seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

// What the native tests run on. Each of the two binaries uses a part of it.
#[allow(dead_code)]
#[path = "../it/support/mod.rs"]
mod support;

mod seeds;
mod sim;
