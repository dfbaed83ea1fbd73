//! The daemon on each VM. It dials its control plane, never listens, runs workspaces and their terminals.
//!
//! One task, the *link task* ([`agent`]), owns the state of the node; every terminal is a task of its own
//! ([`terminal`]) around a pure core. Everything that must survive a restart is a file in the state directory, written
//! before it takes effect.
//!
//! ```text
//! config ─▶ identity ─▶ bootstrap ─▶ grant ─▶ renewal
//!                                      │
//!                        control_plane ┴▶ link ─▶ node ─▶ workspaces (engine)
//!                                          ▲        └───▶ terminal (one task each)
//!                                         host: firewall, posture
//! ```

pub mod activity;
pub mod agent;
pub mod backoff;
pub mod boot;
pub mod bootstrap;
pub mod clock;
pub mod config;
pub mod control_plane;
pub mod dead_man;
pub mod disk;
pub mod facts;
pub mod grant;
pub mod host;
pub mod identity;
pub mod link;
pub mod node;
pub mod occupant;
pub mod options;
pub mod origin;
pub mod processes;
pub mod proof;
pub mod renewal;
pub mod secret;
pub mod start;
pub mod terminal;
pub mod workspace_token;
pub mod workspaces;
