//! The whole of Ringfence on this machine: workerd, the local cloud, real agents, real terminals, through its API.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, unreachable_pub)]

mod audit;
mod authorisation;
mod bootstrap;
mod chaos;
mod cloud;
mod crashes;
mod faults;
mod forgetting;
mod headroom;
mod http_contract;
mod idleness;
mod isolation;
mod limits;
mod races;
mod recovery;
mod revocation;
mod standing;
mod support;
mod sweeps;
mod terminal;
mod tokens_on_the_wire;
mod viewing;
mod world;
