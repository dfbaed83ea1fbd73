//! What the security tests share: a stage with people on it, tokens of every kind, raw requests, a ledger of effects.

pub mod ledger;
pub mod mint;
pub mod people;
pub mod request;
pub mod socket;
pub mod stage;
