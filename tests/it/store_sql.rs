//! Every SQL text of `src/store` is prepared on SQLite with the real migrations: found in the source, so that none can be
//! forgotten.

use std::path::Path;

use ringfence::app::ready;
use ringfence::store::sweeps;
use ringfence_protocol::state::{
    ActivityCause, EndingCause, EngineChoice, EngineKind, Isolation, LimitMeasure, LimitScope, NodePolicy, NodeState,
    ProviderKind, Role, WorkspaceState,
};
use ringfence_protocol::time::UnixMillis;

use crate::support::platform::TestPlatform;
use crate::support::sqlite::{SqliteDb, migrations};
use crate::support::world::run;
use crate::sweeps::ours;

/// A string literal at the start of `text`: its value and what follows.
fn literal(text: &str) -> Option<(String, &str)> {
    let rest = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &rest[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                // A line that goes on: the white space before its text is not part of it.
                '\n' => {
                    let skipped = rest[at + 2..].len() - rest[at + 2..].trim_start().len();
                    for _ in 0..skipped {
                        chars.next();
                    }
                }
                escaped => value.push(escaped),
            },
            c => value.push(c),
        }
    }
    None
}

/// The literal that a file's `columns!` macro stands for.
fn columns(source: &str) -> String {
    let Some((_, body)) = source.split_once("macro_rules! columns") else { return String::new() };
    literal(&body[body.find('"').unwrap()..]).unwrap().0
}

/// Every SQL text of a file: what `concat!` puts together, and every literal that begins like a statement.
fn statements(source: &str) -> Vec<String> {
    let columns = columns(source);
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find(['"', 'c', '\'']) {
        rest = &rest[at..];
        if let Some(parts) = rest.strip_prefix("concat!(") {
            let (sql, after) = concatenated(parts, &columns);
            found.push(sql);
            rest = after;
        } else if let Some((sql, after)) = literal(rest) {
            found.push(sql);
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
    found.retain(|sql| verbs.iter().any(|verb| sql.starts_with(verb)));
    found
}

fn concatenated<'a>(mut parts: &'a str, columns: &str) -> (String, &'a str) {
    let mut sql = String::new();
    loop {
        parts = parts.trim_start().trim_start_matches(',').trim_start();
        if let Some(rest) = parts.strip_prefix("columns!()") {
            sql.push_str(columns);
            parts = rest;
        } else if let Some((part, rest)) = literal(parts) {
            sql.push_str(&part);
            parts = rest;
        } else {
            assert!(parts.starts_with(')'), "neither a literal nor columns!(): {parts:.60}");
            return (sql, parts);
        }
    }
}

fn store() -> Vec<(String, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.into_iter().map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn every_statement_of_the_store_prepares_on_sqlite() {
    let db = SqliteDb::migrated();
    let mut count = 0;
    for (file, source) in store() {
        for sql in statements(&source) {
            db.prepare(&sql).unwrap_or_else(|error| panic!("{file}: {error}\n{sql}"));
            count += 1;
        }
    }
    assert!(count >= 70, "only {count} statements found");
}

#[test]
fn what_is_asked_for_often_is_found_through_an_index() {
    let db = SqliteDb::migrated();
    for (file, source) in store() {
        let hot = ["nodes.rs", "workspaces.rs", "events.rs"].iter().any(|name| file.ends_with(name));
        for sql in statements(&source).into_iter().filter(|_| hot) {
            let plan = db.plan(&sql);
            // A common table expression and a list of places have no index; a table has.
            let scans: Vec<&String> = plan.iter().filter(|step| is_table_scan(step)).collect();
            assert!(scans.is_empty(), "{file}: {scans:?}\n{sql}");
        }
    }
}

#[test]
fn whose_turn_it_is_to_be_swept_is_found_without_reading_the_others() {
    let db = SqliteDb::migrated();
    let asked = [
        (sweeps::next_accounts(UnixMillis::from_secs(1), 2), "credentials_by_turn"),
        (sweeps::oldest_account(), "credentials_by_last_sweep"),
    ];
    for (statement, index) in asked {
        let plan = db.plan(statement.sql);
        assert!(plan.len() == 1 && plan[0].contains(index), "{plan:?}");
    }
}

fn is_table_scan(step: &str) -> bool {
    let tables = ["n", "w", "s", "t", "c", "e", "nodes", "workspaces", "node_slots", "events", "provider_credentials"];
    step.strip_prefix("SCAN ").is_some_and(|rest| tables.contains(&rest))
}

#[test]
fn migrations_only_ever_add() {
    for path in migrations() {
        let sql = std::fs::read_to_string(&path).unwrap().to_uppercase();
        for word in ["DROP TABLE", "DROP COLUMN", "RENAME"] {
            assert!(!sql.contains(word), "{}: {word}", path.display());
        }
    }
}

/// Rows refer to their words: one that is missing would be refused at the write, long after the code was deployed.
#[test]
fn every_word_that_a_row_may_hold_is_in_its_table() {
    let db = SqliteDb::migrated();
    macro_rules! holds {
        ($($table:literal $words:ident,)*) => { $(
            let mut words: Vec<_> = $words::ALL.iter().map(|word| word.as_str()).collect();
            words.sort_unstable();
            assert_eq!(db.texts(concat!("SELECT name FROM ", $table, " ORDER BY name")), words, $table);
        )* };
    }
    holds! {
        "roles" Role, "providers" ProviderKind, "engines" EngineKind, "engine_choices" EngineChoice,
        "isolations" Isolation, "node_policies" NodePolicy, "node_states" NodeState, "workspace_states" WorkspaceState,
        "activity_causes" ActivityCause, "ending_causes" EndingCause, "limit_scopes" LimitScope, "limit_measures" LimitMeasure,
    }
}

#[test]
fn a_database_that_lacks_a_migration_is_not_ready() {
    run(async {
        let all = migrations();
        for applied in 0..=all.len() {
            let platform = TestPlatform::over(1, SqliteDb::with(&all[..applied]));
            let view = ready::check(&platform, &ours()).await;
            let said = view.checks.iter().find(|check| check.name == "migrations").unwrap();
            assert_eq!(said.ok, applied == all.len(), "with {applied} of {}", all.len());
        }
    });
}
