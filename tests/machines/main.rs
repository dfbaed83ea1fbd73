//! Ringfence on machines that boot for real: systemd, cloud-init, the firewall, containers. `cargo xtask test --only nspawn` runs them
//! in Linux namespaces, `--only qemu` on a kernel of their own. Needs root; without it, or without a driver chosen, each says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod attempts;
mod boot_failures;
#[path = "../e2e/cloud.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod cloud;
mod disk;
mod ends;
mod engine_errors;
mod escapes;
mod firewall;
mod inside;
mod judges;
mod limits;
mod machine;
mod main_job;
mod networks;
mod repositories;
mod scans;
mod shell;
mod traces;
#[path = "../e2e/world.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
mod world;
