//! local-cloud through its socket, as a provider's client sees it.

mod actions;
mod actor;
mod faults;
mod firewalls;
mod machines;
mod restart;
mod servers;
mod spec;
