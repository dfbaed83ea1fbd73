//! Workspaces: what was asked ([`table`]) and what makes it so ([`engine`]).

pub mod container;
pub mod engine;
mod error;
pub mod table;
mod unconfined;
pub mod voice;

pub use engine::{Engine, Opening, Order};
pub use error::{EngineError, NoEngine};
pub use voice::{Said, Voice};
