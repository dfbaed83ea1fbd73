//! `cargo xtask sim`: simulated worlds, as many as wanted, and what was broken in them.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::suites::PROOF_MEMORY;
use crate::{project, run};

/// The test that runs seeds. CI runs it with its own number of them.
const TEST: &str = "seeds::what_must_hold_does_in_every_simulated_world";

/// Which worlds.
#[derive(Args)]
pub struct SimOptions {
    /// How many seeds.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first one. A seed that failed is told again, with its trace, by `--start SEED --seeds 1`.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What the test reports.
#[derive(Deserialize)]
struct Report {
    seeds: u64,
    seconds: f64,
    seeds_per_second: f64,
    workspaces: u64,
    nodes: u64,
    nodes_that_got_ready: u64,
    alarms: u64,
    batches: u64,
    crashes: u64,
    faults: u64,
    kept_warm: u64,
    given_up: u64,
    refused: u64,
    failed: Vec<Failed>,
}

#[derive(Deserialize)]
struct Failed {
    seed: u64,
    breach: String,
    trace: Vec<String>,
}

/// Runs the seeds and prints what came of them.
pub fn run(options: &SimOptions) -> Result<()> {
    let path = project::target_dir().join(format!("sim-{}.json", std::process::id()));
    let mut command = run::command("cargo");
    command.args(["test", "--profile", "proof", "-p", "ringfence", "--test", "proof", "--", "--exact", TEST]);
    command.args(["--nocapture"]).env("RUST_BACKTRACE", "0").env("RINGFENCE_SIM_REPORT", &path);
    command.env("RINGFENCE_SIM_SEEDS", options.seeds.to_string()).env(PROOF_MEMORY.0, PROOF_MEMORY.1);
    command.env("RINGFENCE_SIM_START", options.start.to_string());
    let outcome = run::show(&mut command);
    let Ok(text) = fs::read_to_string(&path) else {
        return outcome.and_then(|()| bail!("the simulation left no report"));
    };
    fs::remove_file(&path)?;
    let report: Report = serde_json::from_str(&text).context("reading the simulation's report")?;
    if options.json {
        println!("{text}");
    } else {
        print(&report);
    }
    match report.failed.len() {
        0 => outcome,
        count => bail!("{count} seeds failed"),
    }
}

fn print(report: &Report) {
    for Failed { seed, breach, trace } in &report.failed {
        println!("seed {seed}: {breach}\n  {}", trace.join("\n  "));
    }
    println!("{} seeds in {:.0} s, {:.0} a second", report.seeds, report.seconds, report.seeds_per_second);
    println!(
        "{} workspaces on {} nodes, {} of them ready, {} made to be kept warm, {} given up; {} requests refused by a limit or a pause",
        report.workspaces, report.nodes, report.nodes_that_got_ready, report.kept_warm, report.given_up, report.refused
    );
    println!(
        "{} alarms, {} batches, {} crashes, {} faults; {} seeds failed",
        report.alarms,
        report.batches,
        report.crashes,
        report.faults,
        report.failed.len()
    );
}
