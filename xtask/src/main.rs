//! `cargo xtask`: the command line of a developer and of CI.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::build::{self, Profile};
use xtask::suites::{self, Suite};
use xtask::toolchain::{self, Toolchain};
use xtask::{bench, check, demo, dev, image, keys, model, mutate, progress, sim};

/// Build, run, test and measure Ringfence on this machine.
///
/// Each command installs what it lacks (into the user's cache, once), says what it does on standard error and keeps
/// standard output for results.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install every tool: the wasm32 target, worker-build, wasm-bindgen, the npm tools and a browser for the tests.
    ///
    /// The other commands install what they need by themselves; this one is for going offline afterwards.
    Setup,
    /// Build the agent, the local cloud, the browser UI and the Worker.
    Build {
        /// Quick builds for development and tests, instead of what is deployed.
        #[arg(long)]
        dev: bool,
    },
    /// Make the Debian image that machines in namespaces and in qemu boot from, and print where it is. Needs root.
    ///
    /// Made once per recipe, in some minutes, and kept in the user's cache.
    Image,
    /// Run the whole of Ringfence on this machine until Ctrl-C.
    ///
    /// Prints one line, `READY url=… sign-in=…`, when it serves. Users, credentials and nodes survive a restart.
    Dev(dev::DevOptions),
    /// Do a newcomer's whole job once, against real parts, and say how long each step took.
    ///
    /// Signs in, stores a credential, creates a workspace, types in its terminal, loses the connection and comes back, deletes
    /// everything and checks that no machine is left. Ends with one JSON object; exit code 0 only if all of it held.
    Demo {
        /// Use what is deployed, which takes minutes to build, instead of the quick development build.
        #[arg(long)]
        release: bool,
    },
    /// Run the tests. The last line counts them.
    Test {
        /// Only this suite.
        #[arg(long, value_enum)]
        only: Option<Suite>,
        /// Only the native tests: two to three minutes, and neither workerd nor a browser.
        #[arg(long)]
        quick: bool,
        /// Passed on to the test runners: a filter on test names.
        filter: Option<String>,
    },
    /// Format, lint, layout rules and documentation, without running anything.
    Check,
    /// Measure what the budgets limit, and print one table.
    ///
    /// Builds what is deployed. Exit code 0 only if every budget is kept; figures of a busy machine tell little.
    Bench(bench::BenchOptions),
    /// Tell the stories of simulated worlds: users, clouds, agents and crashes from a seed each. Prints every seed that failed.
    Sim(sim::SimOptions),
    /// Try every order of what can happen to one node. Prints how many states each life has, how deep they are and how long that took.
    Model(model::ModelOptions),
    /// Take each guard out in turn, in a copy of the checkout, and see that something goes red. About a minute for each.
    Mutate(mutate::MutateOptions),
    /// Make a keyring secret, or rotate one: a new signing key in front of those of a file.
    Keys {
        /// The keyring to rotate; without it, everything is new.
        #[arg(long, value_name = "FILE")]
        rotate: Option<PathBuf>,
        /// The new key's id; random if not given.
        #[arg(long)]
        kid: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Setup => toolchain::setup(),
        Command::Build { dev } => {
            let artifacts = build::all(&Toolchain::ensure()?, profile(dev))?;
            build::report_sizes(&artifacts)
        }
        Command::Image => image::print(),
        Command::Dev(options) => dev::run(&options),
        Command::Demo { release } => demo::run(profile(!release)),
        Command::Test { only, quick, filter } => suites::run(only, quick, filter.as_deref()),
        Command::Bench(options) => bench::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Model(options) => model::run(&options),
        Command::Mutate(options) => mutate::run(&options),
        Command::Check => progress::step("Checking", check::run),
        Command::Keys { rotate, kid } => keys::print(rotate.as_deref(), kid),
    }
}

fn profile(dev: bool) -> Profile {
    if dev { Profile::Dev } else { Profile::Release }
}
