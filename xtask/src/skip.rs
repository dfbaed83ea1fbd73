//! Tests that cannot be made where they run, said so that somebody counts them.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Names the file that skipped tests are noted in, while a suite runs.
pub const VARIABLE: &str = "RINGFENCE_SKIPPED_TESTS";

/// Says that the test that calls it was not made, and why.
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
    let Some(file) = std::env::var_os(VARIABLE) else { return };
    let thread = std::thread::current();
    let line = format!("{}: {why}\n", thread.name().unwrap_or("a test"));
    // A line that is not noted was said all the same.
    let _ =
        OpenOptions::new().append(true).create(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
}
