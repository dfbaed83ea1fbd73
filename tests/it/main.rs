//! The control plane's parts against real neighbours, natively.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod agent_away;
mod agent_credentials;
mod agent_reports;
mod boot_failures;
mod boot_files;
mod budgets;
mod container_ceilings;
mod container_spec;
mod containers;
mod fallback;
mod guards;
mod headroom;
mod identity;
mod idleness;
mod inventory;
mod isolation;
mod lifecycle;
mod limits;
mod node_faults;
mod node_lifecycle;
mod node_machine;
mod node_races;
mod placed;
mod placement;
mod placement_rows;
mod proof_of_absence;
mod provider_fixtures;
mod provider_hetzner;
mod provider_local_cloud;
mod repeats;
mod scripted;
mod store_sql;
mod stuck_and_paused;
mod support;
mod sweeps;
mod tenants;
mod tokens;
mod user_data;
mod warm_pool;
mod warm_sweep;
mod workspace_failures;
mod workspace_machine;
