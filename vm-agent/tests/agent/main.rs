//! The whole agent against a control plane that speaks the real protocol over real sockets.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for one message and lets the others pass")]

mod agent_socket;
mod bootstrap;
mod dead_man;
mod link;
mod lost;
mod restart;
mod support;
mod terminals;
mod usage;
mod workspaces;
