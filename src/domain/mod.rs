//! The pure core: values in, values out. No I/O, no clock, no randomness, nothing asynchronous (I8).

pub mod keyring;
pub mod lifecycle;
pub mod mac;
pub mod proof;
pub mod seal;
pub mod token;
