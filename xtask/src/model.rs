//! `cargo xtask model`: every order of what can happen to one node, to a depth of one's own.

use anyhow::Result;
use clap::Args;

use crate::run;
use crate::suites::PROOF_MEMORY;

/// How far.
#[derive(Args)]
pub struct ModelOptions {
    /// Steps of a story, at most. Without it each life is explored as deep as in CI.
    #[arg(long)]
    depth: Option<usize>,
}

/// Explores, one life after the other, and prints of each how many states it has, how deep they are and how long that took.
pub fn run(options: &ModelOptions) -> Result<()> {
    let mut command = run::command("cargo");
    command.args(["test", "--profile", "proof", "-p", "ringfence", "--test", "proof", "--", "model::"]);
    command.args(["--nocapture", "--test-threads=1"]).env("RUST_BACKTRACE", "0").env(PROOF_MEMORY.0, PROOF_MEMORY.1);
    if let Some(depth) = options.depth {
        command.env("RINGFENCE_MODEL_DEPTH", depth.to_string());
    }
    run::show(&mut command)
}
