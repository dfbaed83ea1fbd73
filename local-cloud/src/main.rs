//! local-cloud
fn main() {}
