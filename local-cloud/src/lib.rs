//! A cloud on your own machine: a faithful part of the Hetzner Cloud API, and a real local machine behind each server.
//!
//! The control plane talks to it with its ordinary Hetzner provider, at another base URL. Nothing here is a double of our own
//! code: servers take time, answers get lost on command, limits and unique names hold.
//!
//! ```text
//!  http (routes, gate, views) ──▶ cloud (verbs, one lock) ──▶ machine (driver, supervisor)
//!                                   │                        │
//!                                   └──▶ state (one JSON file)└──▶ network (one namespace, for machines that have one)
//! ```

mod catalog;
mod clock;
mod cloud;
mod command;
mod error;
mod faults;
mod firewalls;
mod http;
mod labels;
mod machine;
mod network;
mod order;
mod rate_limit;
mod request_log;
mod settings;
mod state;
mod user_data;

pub use cloud::Cloud;
pub use faults::{Fault, FaultOrder, FaultView, Operation};
pub use http::app;
pub use http::server::{listen, serve};
pub use settings::{DriverSettings, MachineSettings, Settings};
pub use state::ServerId;
