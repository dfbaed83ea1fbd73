//! The container engine against a real Podman that the tests start themselves. Needs root; says in one line when it skips.

mod agent_socket;
mod images;
mod internet;
mod lifecycle;
mod restricted;
mod secrets;
mod support;
mod walls;
