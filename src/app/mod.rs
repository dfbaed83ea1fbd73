//! Use cases, one file per verb: load → decide (domain) → commit (compare-and-set) → effects.

pub mod actor;
pub mod api_tokens;
pub mod bootstrap;
pub mod caller;
pub mod credentials;
pub mod idempotency;
pub mod ready;
pub mod revoke;
pub mod sessions;
pub mod settings;
pub mod sign_in;
pub mod text;
pub mod users;
pub mod workspace_token;

pub use settings::Settings;
