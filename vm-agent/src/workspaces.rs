//! Workspaces: what was asked ([`table`]) and what makes it so ([`engine`]).

pub mod engine;
pub mod table;
mod unconfined;

pub use engine::{Engine, EngineError};
