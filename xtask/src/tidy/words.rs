//! Words that must not appear in certain places.

use super::source::Source;

/// A word, where it is not allowed, and why.
struct Ban {
    word: &'static str,
    applies: fn(&Source) -> bool,
    reason: &'static str,
}

const BANS: [Ban; 9] = [
    Ban {
        word: "worker::",
        applies: |source| {
            source.layer().is_some_and(|layer| !matches!(layer, "http" | "durable" | "cloudflare" | "lib"))
        },
        reason: "only http, durable, cloudflare and lib.rs know the platform",
    },
    Ban { word: "async", applies: in_domain, reason: "domain is synchronous" },
    Ban { word: "serde_json::Value", applies: in_domain, reason: "domain knows types, not JSON" },
    Ban { word: "SystemTime", applies: in_domain, reason: "domain is given the time" },
    Ban { word: "Instant", applies: in_domain, reason: "domain is given the time" },
    Ban { word: "rand::", applies: in_domain, reason: "domain is given its randomness" },
    Ban { word: "getrandom", applies: in_domain, reason: "domain is given its randomness" },
    Ban { word: "todo!", applies: everywhere, reason: "finish it or leave it out" },
    Ban { word: "unimplemented!", applies: everywhere, reason: "finish it or leave it out" },
];

/// Words that begin an SQL statement and are not English at the start of a string.
const SQL: [&str; 8] =
    ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE TABLE", "CREATE INDEX", "PRAGMA ", "WITH RECURSIVE"];

/// Where SQL may stand, besides migrations: the store, tests, and the local stack that writes the first administrator.
const SQL_PLACES: [&str; 6] =
    ["src/store/", "tests/", "xtask/src/stack/", "xtask/src/tidy/", "xtask/src/bench/", "xtask/src/mutate/"];

pub(super) fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push(format!("{}: begins without a `//!` that says what the file is for", source.path));
    }
    for ban in BANS.iter().filter(|ban| (ban.applies)(source)) {
        for (line, code) in source.code.iter().enumerate() {
            if has_word(code, ban.word) {
                found.push(format!("{}: `{}`: {}", source.place(line), ban.word, ban.reason));
            }
        }
    }
    if !SQL_PLACES.iter().any(|place| source.path.starts_with(place)) {
        for (line, text) in &source.strings {
            let text = text.trim_start();
            if SQL.iter().any(|word| text.starts_with(word)) {
                found.push(format!("{}: SQL outside src/store", source.place(*line)));
            }
        }
    }
    found
}

fn in_domain(source: &Source) -> bool {
    source.layer() == Some("domain")
}

fn everywhere(_: &Source) -> bool {
    true
}

/// Whether a word stands in the code by itself, and not as a part of a longer one.
fn has_word(code: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(word).any(|(start, _)| {
        let after = &code[start + word.len()..];
        let open_end = !word.ends_with(|c: char| c.is_alphanumeric());
        !code[..start].ends_with(part_of_word)
            && (open_end || !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        violations(&Source::parse(path.into(), format!("//! Doc.\n{text}")))
    }

    #[test]
    fn the_platform_is_named_by_its_adapters_only() {
        assert_eq!(found("src/app/a.rs", "use worker::Env;").len(), 1);
        assert!(found("src/http/a.rs", "use worker::Env;").is_empty());
        assert!(found("src/app/a.rs", "use coworker::Env; use crate::worker::Env;").is_empty());
    }

    #[test]
    fn sql_stays_in_the_store() {
        assert_eq!(found("src/app/a.rs", "let x = \"SELECT 1\";"), ["src/app/a.rs:2: SQL outside src/store"]);
        assert!(found("src/store/a.rs", "let x = \"SELECT 1\";").is_empty());
        assert!(found("src/app/a.rs", "let x = \"Select a region\";").is_empty());
    }

    #[test]
    fn domain_has_no_clock_and_does_not_wait() {
        assert_eq!(found("src/domain/a.rs", "async fn f() { Instant::now() }").len(), 2);
        assert!(found("src/domain/a.rs", "struct Instants;").is_empty());
    }

    #[test]
    fn a_file_says_what_it_is_for() {
        assert_eq!(violations(&Source::parse("src/a.rs".into(), "use x;".into())).len(), 1);
    }
}
