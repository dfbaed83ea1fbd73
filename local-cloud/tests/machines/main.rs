//! Machines, really booted: `cargo xtask test --only nspawn` in namespaces, `--only qemu` with a kernel of their own. Without one of
//! them each test says in one line that it was skipped.

mod cloud;
mod network;
mod nspawn;
mod qemu;
