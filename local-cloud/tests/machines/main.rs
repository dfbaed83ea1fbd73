//! Machines in namespaces, really booted. Runs as root on Linux where `RINGFENCE_IMAGE_DIR` names the image that `cargo xtask image`
//! made; elsewhere each test says in one line that it was skipped.

mod cloud;
mod network;
mod nspawn;
mod qemu;
