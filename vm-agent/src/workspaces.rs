//! Workspaces: what was asked ([`table`]) and what makes it so ([`engine`]).

pub mod agent_socket;
pub mod assistant_lock;
pub mod container;
pub mod engine;
mod error;
pub mod exit;
pub mod save;
pub mod span;
pub mod table;
pub mod task;
mod unconfined;
pub mod voice;

pub use engine::{Engine, Opening, Order};
pub use error::{EngineError, NoEngine};
pub use save::Saved;
pub use span::Span;
pub use voice::{Said, Voice};
