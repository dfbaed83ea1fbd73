//! Terminals: PTYs that outlive the sockets that look at them.
//!
//! [`core`] decides everything and does nothing; [`task`] owns one terminal ([`tty`]) and does what the core says.

pub mod core;
#[cfg(test)]
mod core_tests;
mod flight;
mod input;
mod pace;
mod ring;
mod task;
#[cfg(test)]
mod task_tests;
mod tty;
mod viewer;

pub use task::{Command, Ended, Handle, Name, start};
pub use tty::{Source, Tty};
