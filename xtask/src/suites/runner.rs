//! Running a test runner: its output is passed on as it comes, and read for the counts.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};

use super::count::{Count, Format};

/// Runs to the end. A runner that fails without naming a failed test counts as one failure.
pub(super) fn run(command: &mut Command, format: Format) -> Result<Count> {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting the test runner")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let stderr = child.stderr.take().context("no standard error")?;
    // Both at once, or a full pipe would stop the runner.
    let errors = thread::spawn(move || follow(stderr, format));
    let mut count = follow(stdout, format);
    if let Ok(other) = errors.join() {
        count += other;
    }
    let status = child.wait()?;
    if !status.success() && count.failed == 0 {
        eprintln!("the test runner failed: {status}");
        count.failed = 1;
    }
    Ok(count)
}

fn follow(stream: impl Read, format: Format) -> Count {
    let mut count = Count::default();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        eprint!("{text}");
        count += Count::in_line(format, &text);
        line.clear();
    }
    count
}
