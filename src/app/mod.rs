//! Use cases, one file per verb: load → decide (domain) → commit (compare-and-set) → effects.

pub mod actor;
pub mod agent_report;
pub mod api_tokens;
pub mod bootstrap;
pub mod caller;
mod change_node;
mod change_workspace;
pub mod create_workspace;
pub mod credentials;
pub mod delete_node;
pub mod delete_workspace;
pub mod drive_node;
pub mod idempotency;
mod intent;
pub mod node_policy;
mod order;
pub mod outcome;
pub mod provisioner;
pub mod read;
pub mod ready;
pub mod request_workspace;
pub mod revoke;
pub mod sessions;
pub mod set_running;
pub mod settings;
pub mod sign_in;
pub mod text;
mod turn;
pub mod users;
pub mod views;
pub mod watch;
pub mod workspace_token;

pub use settings::Settings;
