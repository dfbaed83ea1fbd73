//! The whole agent against a control plane that speaks the real protocol over real sockets.

mod bootstrap;
mod link;
mod restart;
mod support;
mod terminals;
mod workspaces;
