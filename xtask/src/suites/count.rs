//! How many tests passed, as each runner says it.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::AddAssign;

/// What became of a number of tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

/// Whose words to look for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    /// `cargo test`.
    Cargo,
    /// `cargo nextest run`, which repeats what `cargo test` says of the tests that failed.
    Nextest,
    /// Node's own runner.
    Node,
    /// vitest.
    Vitest,
}

impl Count {
    /// What a line of a runner's output adds.
    pub(super) fn in_line(format: Format, line: &str) -> Self {
        let line = without_colours(line);
        let line = line.trim();
        match format {
            Format::Cargo => match line.strip_prefix("test result:") {
                Some(result) => Self::from_words(result, ';'),
                None => Self::default(),
            },
            Format::Nextest => match line.split_once(" run: ") {
                Some((before, result)) if before.starts_with("Summary") => Self::from_words(result, ','),
                Some(_) | None => Self::default(),
            },
            Format::Vitest => match line.strip_prefix("Tests ") {
                Some(result) => Self::from_words(result.split('(').next().unwrap_or_default(), '|'),
                None => Self::default(),
            },
            Format::Node => {
                let words = line.trim_start_matches(['ℹ', '#', ' ']);
                let number = |name: &str| words.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
                Self {
                    passed: number("pass").unwrap_or(0),
                    failed: number("fail").unwrap_or(0) + number("cancelled").unwrap_or(0),
                    skipped: number("skipped").unwrap_or(0) + number("todo").unwrap_or(0),
                }
            }
        }
    }

    /// Says which tests noted that they were not made, a line each that begins with the test's name, and counts them as skipped:
    /// their runner took them for passed.
    pub(super) fn say_and_move(&mut self, notes: &str) {
        for line in notes.lines() {
            eprintln!("SKIPPED: {line}");
        }
        let tests: BTreeSet<&str> = notes.lines().filter_map(|line| line.split(": ").next()).collect();
        let skipped = self.passed.min(tests.len() as u64);
        self.passed -= skipped;
        self.skipped += skipped;
    }

    /// Reads `3 passed; 1 failed; …`, with whatever else stands between.
    fn from_words(text: &str, separator: char) -> Self {
        let mut count = Self::default();
        for part in text.split(separator) {
            // `ok. 3 passed`, and nextest's `3 passed (1 slow)`.
            let words: Vec<&str> = part.split_whitespace().collect();
            for pair in words.windows(2) {
                let (Ok(number), what) = (pair[0].parse::<u64>(), pair[1]) else { continue };
                match what {
                    "passed" => count.passed += number,
                    "failed" | "timed" => count.failed += number,
                    "ignored" | "skipped" | "todo" => count.skipped += number,
                    _ => {}
                }
            }
        }
        count
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(format: Format, lines: &str) -> (u64, u64, u64) {
        let mut total = Count::default();
        for line in lines.lines() {
            total += Count::in_line(format, line);
        }
        (total.passed, total.failed, total.skipped)
    }

    #[test]
    fn cargo_test_is_understood() {
        let lines = "running 12 tests\ntest result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s\n\
                     test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(count(Format::Cargo, lines), (13, 2, 1));
    }

    #[test]
    fn nextest_is_understood() {
        let line = "     Summary [   3.402s] 30 tests run: 28 passed (2 slow), 1 failed, 1 timed out, 3 skipped";
        assert_eq!(count(Format::Nextest, line), (28, 2, 3));
        assert_eq!(count(Format::Nextest, "test result: FAILED. 0 passed; 1 failed; 0 ignored"), (0, 0, 0));
        assert_eq!(
            count(Format::Nextest, "\u{1b}[1mSummary\u{1b}[0m [ 1s] 1 test run: 1 passed, 0 skipped"),
            (1, 0, 0)
        );
    }

    #[test]
    fn a_test_that_was_not_made_is_not_counted_as_passed() {
        let mut count = Count { passed: 3, failed: 1, skipped: 2 };
        count.say_and_move("judges::one: no judge\njudges::one: no other judge\ntwo: no root\n");
        assert_eq!((count.passed, count.failed, count.skipped), (1, 1, 4));
        count.say_and_move("");
        assert_eq!((count.passed, count.failed, count.skipped), (1, 1, 4));
    }

    #[test]
    fn vitest_is_understood() {
        assert_eq!(count(Format::Vitest, "      Tests  1 failed | 11 passed | 2 skipped (14)"), (11, 1, 2));
        assert_eq!(count(Format::Vitest, " Test Files  3 passed (3)\n Tests  7 passed (7)"), (7, 0, 0));
    }

    #[test]
    fn node_is_understood() {
        assert_eq!(count(Format::Node, "ℹ tests 4\nℹ pass 3\nℹ fail 1\nℹ skipped 0\nℹ todo 0"), (3, 1, 0));
        assert_eq!(count(Format::Node, "# pass 2\n# fail 0\n# skipped 1"), (2, 0, 1));
    }
}
