//! The pure core: values in, values out. No I/O, no clock, no randomness, nothing asynchronous (I8).

pub mod alarm;
pub mod budget;
pub mod container;
pub mod image;
pub mod keyring;
pub mod lifecycle;
pub mod mac;
pub mod node;
pub mod patience;
pub mod placement;
pub mod posture;
pub mod proof;
pub mod quota;
pub mod restart;
pub mod seal;
pub mod sweep;
pub mod ticket;
pub mod together;
pub mod token;
pub mod user_data;
pub mod warm;
pub mod workspace;
