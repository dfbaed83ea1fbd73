//! vm-agent
fn main() {}
