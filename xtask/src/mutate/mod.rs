//! `cargo xtask mutate`: takes each guard out in turn, in a copy of the checkout, and sees that something goes red.
//!
//! A guard that nothing misses is either not needed or not tested. The copy and its build output are kept in the target
//! directory, so that the next run compiles only what differs; they hold nothing that cannot be made again.

mod guards;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use self::guards::{Guard, Within};
use crate::progress::human;
use crate::{project, run};

/// Seeds of the simulation for one guard.
const SEEDS: &str = "3000";

/// What may go red.
struct Judge {
    name: &'static str,
    /// Of cargo, to compile what is judged: it has to succeed, for code that does not compile shows nothing.
    build: Vec<&'static str>,
    /// Of cargo, to judge it.
    test: Vec<&'static str>,
}

impl Judge {
    fn of_tests(name: &'static str, selection: &[&'static str]) -> Self {
        let test = [&["test", "--quiet"], selection].concat();
        Self { name, build: [&test[..], &["--no-run"]].concat(), test }
    }

    /// The whole on this machine, with the Worker built anew.
    fn of_the_whole(seen_by: &'static str) -> Self {
        let xtask = ["run", "--quiet", "--package", "xtask", "--"];
        let build = [&xtask[..], &["build", "--dev"]].concat();
        Self { name: seen_by, build, test: [&xtask[..], &["test", "--only", "e2e", seen_by]].concat() }
    }
}

/// What may go red without a guard, in the order in which it is tried.
fn judges_of(guard: &Guard) -> Vec<Judge> {
    match guard.within {
        Within::ControlPlane => vec![
            Judge::of_tests("tests", &["-p", "ringfence", "--lib", "--test", "it"]),
            Judge::of_tests("simulation and model", &["-p", "ringfence", "--profile", "proof", "--test", "proof"]),
        ],
        // What needs neither root nor a container engine.
        Within::Agent => vec![
            Judge::of_tests("the agent's own tests", &["-p", "vm-agent", "--lib"]),
            Judge::of_tests("the agent as a whole", &["-p", "vm-agent", "--test", "agent"]),
        ],
        Within::Worker { seen_by } => vec![Judge::of_the_whole(seen_by)],
    }
}

/// Which guards.
#[derive(Args)]
pub struct MutateOptions {
    /// Only the guards whose name contains this; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    /// Also those of the Worker's shell, for each of which the Worker is built anew and the whole runs on this machine.
    #[arg(long)]
    e2e: bool,
    /// Name the guards and stop.
    #[arg(long)]
    list: bool,
}

/// Takes the guards out, one after the other, and says what noticed.
pub fn run(options: &MutateOptions) -> Result<()> {
    let is_chosen =
        |guard: &&Guard| options.only.is_empty() || options.only.iter().any(|only| guard.name.contains(only));
    let is_meant = |guard: &&Guard| options.e2e || !matches!(guard.within, Within::Worker { .. });
    let chosen: Vec<&Guard> = guards::all().filter(is_meant).filter(is_chosen).collect();
    ensure!(!chosen.is_empty(), "no guard is called so, but perhaps one that needs --e2e");
    if options.list {
        chosen.iter().for_each(|guard| println!("{:<32} {}", guard.name, guard.file));
        return Ok(());
    }
    let mut scratch = Scratch::make()?;
    let mut missed = Vec::new();
    for guard in &chosen {
        let started = Instant::now();
        let caught = scratch.without(guard)?;
        let took = human(started.elapsed());
        match caught {
            Some(by) => println!("caught  {:<32} {took:>8}  {by}", guard.name),
            None => {
                println!("MISSED  {:<32} {took:>8}", guard.name);
                missed.push(guard.name);
            }
        }
    }
    println!("{} of {} guards are caught", chosen.len() - missed.len(), chosen.len());
    if !missed.is_empty() {
        bail!("nothing went red without {}", missed.join(", "));
    }
    Ok(())
}

/// The text of a guard's file without the guard. The text that is replaced must be there exactly once.
fn removed(guard: &Guard, text: &str) -> Result<String> {
    let count = text.matches(guard.text).count();
    ensure!(count == 1, "{}: its text is {count} times in {}", guard.name, guard.file);
    ensure!(guard.text != guard.without, "{}: nothing is taken out", guard.name);
    Ok(text.replacen(guard.text, guard.without, 1))
}

/// A copy of the checkout.
struct Scratch {
    root: PathBuf,
    target: PathBuf,
    /// Judges that were seen green with every guard in place.
    green: Vec<&'static str>,
}

impl Scratch {
    fn make() -> Result<Self> {
        let base = project::target_dir().join("mutants");
        let scratch = Self { root: base.join("checkout"), target: base.join("target"), green: Vec::new() };
        let listed = run::read(run::command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
        let mut files: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
        files.retain(|file| project::root().join(file).is_file());
        for file in &files {
            copy_if_changed(&project::root().join(file), &scratch.root.join(file))?;
        }
        scratch.remove_what_is_not_in(&files)?;
        Ok(scratch)
    }

    /// Files of an earlier run that have left the checkout since would be compiled all the same.
    fn remove_what_is_not_in(&self, files: &[PathBuf]) -> Result<()> {
        for file in crate::stamp::files_under(&self.root)? {
            let known = file.strip_prefix(&self.root)?;
            if !files.iter().any(|listed| listed == known) {
                fs::remove_file(&file)?;
            }
        }
        Ok(())
    }

    /// What goes red without a guard.
    fn without(&mut self, guard: &Guard) -> Result<Option<String>> {
        let path = self.root.join(guard.file);
        let whole = fs::read_to_string(&path).with_context(|| format!("reading {}", guard.file))?;
        let lacking = removed(guard, &whole)?;
        for judge in &judges_of(guard) {
            self.must_be_green(judge)?;
            fs::write(&path, &lacking)?;
            let red = self.red(judge);
            // Whatever came of it, the next one starts from the whole.
            fs::write(&path, &whole)?;
            if let Some(red) = red? {
                return Ok(Some(red));
            }
        }
        Ok(None)
    }

    /// A judge that is red with every guard in place can judge nothing. Asked of each once, and only when it is needed.
    fn must_be_green(&mut self, judge: &Judge) -> Result<()> {
        if self.green.contains(&judge.name) {
            return Ok(());
        }
        eprintln!("▸ with every guard: {}", judge.name);
        if let Some(red) = self.red(judge)? {
            bail!("red before any guard is taken out: {red}");
        }
        self.green.push(judge.name);
        Ok(())
    }

    /// What of a judge goes red, if anything does. Code that does not compile shows nothing.
    fn red(&self, judge: &Judge) -> Result<Option<String>> {
        let cargo = |arguments: &[&str]| {
            let mut command = Command::new("cargo");
            command.args(arguments).current_dir(&self.root).stdin(Stdio::null());
            command.env("CARGO_TARGET_DIR", &self.target).env("RINGFENCE_SIM_SEEDS", SEEDS).env("RUST_BACKTRACE", "0");
            // What fails without one guard would be tried first without the next: each is judged by itself.
            command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1");
            command
        };
        run::quiet(&mut cargo(&judge.build)).context("it does not compile")?;
        // Into a file: what a failed test has left running would hold a pipe open.
        let said = self.target.join("said.txt");
        let file = fs::File::create(&said).with_context(|| format!("writing {}", said.display()))?;
        let errors = file.try_clone()?;
        let status = cargo(&judge.test).stdout(file).stderr(errors).status().context("starting cargo")?;
        if status.success() {
            return Ok(None);
        }
        let said = fs::read(&said)?;
        let text = String::from_utf8_lossy(&said);
        let mut failed: Vec<&str> = text.lines().filter_map(failed_test).collect();
        // A runner may name it when it ends and once more in the end.
        failed.dedup();
        ensure!(!failed.is_empty(), "the tests failed without naming one:\n{}", run::tail(&text));
        let more = failed.len().saturating_sub(3);
        let named = failed[..failed.len() - more].join(", ");
        Ok(Some(if more > 0 { format!("{named} and {more} more") } else { named }))
    }
}

/// The test that a line of a runner's output says has failed: of cargo's own, or of `cargo nextest`.
fn failed_test(line: &str) -> Option<&str> {
    let by_cargo = || line.strip_prefix("---- ")?.strip_suffix(" stdout ----");
    let by_nextest = || line.trim_start().strip_prefix("FAIL [")?.rsplit(' ').next();
    by_cargo().or_else(by_nextest)
}

/// Only what differs is written: cargo goes by the time of a file.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(to, bytes).with_context(|| format!("writing {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_is_where_the_list_says() {
        for guard in guards::all() {
            let text = fs::read_to_string(project::root().join(guard.file)).unwrap();
            removed(guard, &text).unwrap();
        }
    }

    #[test]
    fn failed_tests_are_read_from_either_runner() {
        assert_eq!(failed_test("---- a::b stdout ----"), Some("a::b"));
        assert_eq!(failed_test("        FAIL [   3.210s] (1/1) ringfence::e2e a::b"), Some("a::b"));
        assert_eq!(failed_test("        PASS [   3.210s] (1/1) ringfence::e2e a::b"), None);
    }

    #[test]
    fn guards_have_names_of_their_own() {
        let mut names: Vec<&str> = guards::all().map(|guard| guard.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), guards::all().count());
    }
}
