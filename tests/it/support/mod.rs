//! The core's surroundings, natively: the real migrations on SQLite, a clock that tests move, a cloud in memory, an agent.

pub mod accounts;
pub mod agent;
pub mod cloud;
pub mod diagram;
pub mod joined;
pub mod keys;
pub mod platform;
pub mod pools;
pub mod spent;
pub mod sqlite;
pub mod world;
