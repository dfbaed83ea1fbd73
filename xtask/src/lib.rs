//! What it takes to build, run, test and measure Ringfence on one machine.
//!
//! The binary (`cargo xtask …`) is a thin command line over this library; the end-to-end tests use the same [`stack`]
//! that `cargo xtask dev` serves, so that what is tested is what a developer sees.

pub mod bench;
pub mod build;
pub mod check;
pub mod client;
pub mod clock;
pub mod demo;
pub mod dev;
pub mod image;
pub mod keys;
pub mod model;
pub mod mutate;
pub mod progress;
pub mod project;
pub mod run;
pub mod sim;
pub mod skip;
pub mod stack;
pub mod stamp;
pub mod suites;
pub mod tidy;
pub mod toolchain;
