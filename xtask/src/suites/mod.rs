//! `cargo xtask test`: the suites, each with its own runner, counted together.

mod count;
mod runner;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use self::count::{Count, Format};
use crate::build::{self, Profile, web};
use crate::progress::human;
use crate::toolchain::{Toolchain, browser};
use crate::{image, project, run, skip};

/// One suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Suite {
    /// All crates' own tests, and the control plane on native SQLite.
    Native,
    /// The browser UI's own tests.
    Web,
    /// The whole of Ringfence on this machine, through its API.
    E2e,
    /// The browser UI in a real browser, on the whole of Ringfence.
    Browser,
    /// Machines that boot for real, in namespaces of this computer. Needs root.
    Nspawn,
    /// The same with a kernel of their own. Needs root, takes many minutes where there is no KVM, and runs only when asked for.
    Qemu,
}

/// What runs when nothing is chosen.
const USUAL: [Suite; 5] = [Suite::Native, Suite::Web, Suite::E2e, Suite::Browser, Suite::Nspawn];

/// How one suite went.
struct Outcome {
    suite: Suite,
    count: Count,
    duration: Duration,
}

/// Runs the suites to the end, whatever fails, and counts. A quick run is the native suite alone.
pub fn run(only: Option<Suite>, quick: bool, filter: Option<&str>) -> Result<()> {
    let chosen = match only {
        Some(only) => vec![only],
        None if quick => vec![Suite::Native],
        None => USUAL.to_vec(),
    };
    let outcomes: Vec<Outcome> = chosen.into_iter().map(|suite| outcome_of(suite, filter)).collect();
    let mut total = Count::default();
    for Outcome { suite, count, duration } in &outcomes {
        eprintln!("{:>8}  {:<10} {count}", format!("{suite:?}").to_lowercase(), human(*duration));
        total += *count;
    }
    println!("{total}");
    if total.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

fn outcome_of(suite: Suite, filter: Option<&str>) -> Outcome {
    eprintln!("▸ {suite:?} tests");
    let started = Instant::now();
    let result = match suite {
        Suite::Native => native(filter),
        Suite::Web => web_units(filter),
        Suite::E2e => end_to_end(filter),
        Suite::Browser => in_browser(filter),
        Suite::Nspawn => on_machines("nspawn", filter),
        Suite::Qemu => image::ensure_qemu().and_then(|()| on_machines("qemu", filter)),
    };
    // A suite that could not run at all is a failure, not a suite without tests.
    let count = result.unwrap_or_else(|error| {
        eprintln!("✗ {error:#}");
        Count { failed: 1, ..Count::default() }
    });
    Outcome { suite, count, duration: started.elapsed() }
}

/// The control plane's end-to-end tests are left out. The agent goes by itself because features add up over what is
/// built together: with its TLS, every other package's HTTP client would want a provider of cryptography.
const NATIVE: [&[&str]; 3] = [
    &["--workspace", "--exclude", "ringfence", "--exclude", "vm-agent"],
    &["--package", "vm-agent"],
    &["--package", "ringfence", "--lib", "--test", "it"],
];
const MACHINES: [&[&str]; 2] =
    [&["--package", "local-cloud", "--test", "machines"], &["--package", "ringfence", "--test", "machines"]];
/// Where the stories on machines find the agent's own tests of containers, to run them in a machine.
const AGENT_TESTS: &str = "RINGFENCE_AGENT_TESTS";
const END_TO_END: [&[&str]; 1] = [&["--package", "ringfence", "--test", "e2e*"]];

/// Thousands of simulated worlds: they are told quickly only by optimised code.
const PROOF: [&str; 4] = ["--package", "ringfence", "--test", "proof"];
/// Memory that is given back comes back at once, in worlds that are made and thrown away by the thousand: an eighth of the time.
pub(crate) const PROOF_MEMORY: (&str, &str) = (
    "GLIBC_TUNABLES",
    "glibc.malloc.tcache_count=127:glibc.malloc.tcache_max=4096:glibc.malloc.trim_threshold=1000000000:glibc.malloc.top_pad=67108864",
);

fn native(filter: Option<&str>) -> Result<Count> {
    let mut count = cargo_tests(&NATIVE, filter, &[])?;
    let profile = if has_nextest() { "--cargo-profile=proof" } else { "--profile=proof" };
    count += cargo_tests(&[&[&PROOF[..], &[profile]].concat()], filter, &[PROOF_MEMORY])?;
    Ok(count)
}

fn has_nextest() -> bool {
    run::find_program("cargo-nextest").is_some()
}

fn web_units(filter: Option<&str>) -> Result<Count> {
    let web = project::root().join("web");
    web::install_packages(&web)?;
    let mut command = run::command("npm");
    command.args(["test", "--silent", "--"]).args(filter).current_dir(&web);
    runner::run(&mut command, Format::Vitest)
}

fn end_to_end(filter: Option<&str>) -> Result<Count> {
    build::all(&Toolchain::ensure()?, Profile::Dev)?;
    cargo_tests(&END_TO_END, filter, &[])
}

/// Machines need root. Without it the suite says so and counts as skipped: on a developer's own computer that is no failure.
fn on_machines(driver: &str, filter: Option<&str>) -> Result<Count> {
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "SKIPPED: the {driver} suite makes machines, and that needs root. `sudo cargo xtask test --only {driver}` runs it."
        );
        return Ok(Count { skipped: 1, ..Count::default() });
    }
    let image = image::ensure()?;
    build::all(&Toolchain::ensure()?, Profile::Dev)?;
    // Read by the local cloud's own tests and by those of the whole.
    let image = image.dir.to_string_lossy().into_owned();
    let agent_tests = test_program(&["--package", "vm-agent", "--test", "containers"])?;
    let environment = [
        ("RINGFENCE_TEST_DRIVER", driver),
        ("RINGFENCE_IMAGE_DIR", &image),
        (AGENT_TESTS, &agent_tests),
        // They wait more than they work.
        ("NEXTEST_TEST_THREADS", "3"),
    ];
    cargo_tests(&MACHINES, filter, &environment)
}

/// Builds the one test program of a selection; where it is.
fn test_program(selection: &[&str]) -> Result<String> {
    let mut command = run::command("cargo");
    command.args(["test", "--no-run", "--message-format=json"]).args(selection).stderr(Stdio::inherit());
    let built = command.output()?;
    let messages = String::from_utf8(built.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let is_test = |message: &serde_json::Value| message["profile"]["test"] == true;
    let mut programs = messages.filter(is_test).filter_map(|message| message["executable"].as_str().map(str::to_owned));
    programs.next_back().with_context(|| format!("{selection:?} has no program"))
}

fn in_browser(filter: Option<&str>) -> Result<Count> {
    let dir = project::root().join("tests/browser");
    let chromium = browser::ensure()?;
    build::all(&Toolchain::ensure()?, Profile::Dev)?;
    web::install_packages(&dir)?;
    let mut command = run::command("node");
    command.args(["--test", "--test-concurrency=1", "--test-reporter=spec"]);
    if let Some(filter) = filter {
        command.arg(format!("--test-name-pattern={filter}"));
    }
    command.current_dir(&dir).env("CHROMIUM_PATH", chromium);
    // The tests start `xtask dev` themselves; this very program spares them a wait for cargo.
    command.env("RINGFENCE_XTASK", this_program()?);
    runner::run(&mut command, Format::Node)
}

/// A path to run this very program by. An earlier suite may have built it anew, and so removed the file that runs here;
/// Linux runs a removed program by the process that still has it.
fn this_program() -> Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { format!("/proc/{}/exe", std::process::id()).into() })
}

/// Runs the tests of each selection: `cargo nextest run` where there is nextest, which runs them side by side; else
/// `cargo test`.
fn cargo_tests(selections: &[&[&str]], filter: Option<&str>, environment: &[(&str, &str)]) -> Result<Count> {
    let mut count = Count::default();
    let has_nextest = has_nextest();
    for selection in selections {
        let mut command = run::command("cargo");
        let format = if has_nextest {
            command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass", "--status-level=fail"]);
            Format::Nextest
        } else {
            command.args(["test", "--no-fail-fast"]);
            Format::Cargo
        };
        // The backtrace of an error says nothing that its words do not, sixty lines each.
        command.args(*selection).args(filter).env("RUST_LIB_BACKTRACE", "0").envs(environment.iter().copied());
        let notes = std::env::temp_dir().join(format!("ringfence-skipped-{}", std::process::id()));
        command.env(skip::VARIABLE, &notes);
        count += runner::run(&mut command, format)?;
        // There is none where nothing was skipped.
        count.say_and_move(&std::fs::read_to_string(&notes).unwrap_or_default());
        let _ = std::fs::remove_file(&notes);
    }
    Ok(count)
}
