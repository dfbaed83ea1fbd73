//! What requests cost the database, from the control plane's own log: one line for each request, with what it asked of D1.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::table::{Row, Unit};

/// The part of a log line that counts.
#[derive(Deserialize)]
struct Logged {
    message: String,
    #[serde(rename = "http.method")]
    method: Option<String>,
    #[serde(rename = "url.path")]
    path: Option<String>,
    #[serde(rename = "d1.statements", default)]
    statements: u32,
    #[serde(rename = "d1.rows_read", default)]
    rows_read: u32,
    #[serde(rename = "d1.rows_written", default)]
    rows_written: u32,
}

pub(super) fn measure(log: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    let requests: Vec<Logged> = text.lines().filter_map(logged).collect();
    ensure!(!requests.is_empty(), "the control plane has logged no request");
    let busiest = requests.iter().max_by_key(|request| request.statements).map(Logged::name).unwrap_or_default();
    let most = |of: fn(&Logged) -> u32, among: fn(&Logged) -> bool| {
        f64::from(requests.iter().filter(|request| among(request)).map(of).max().unwrap_or(0))
    };
    Ok(vec![
        Row::at_most(
            format!("D1 statements of {busiest}, the most"),
            most(|r| r.statements, |_| true),
            10.0,
            Unit::Statements,
        ),
        Row::figure("D1 rows read, creating a workspace", most(|r| r.rows_read, is_creation), Unit::Rows),
        Row::figure("D1 rows written, creating a workspace", most(|r| r.rows_written, is_creation), Unit::Rows),
        Row::figure("D1 rows read, looking at a workspace", most(|r| r.rows_read, is_look), Unit::Rows),
    ])
}

impl Logged {
    /// The request without the ids in its path.
    fn name(&self) -> String {
        let path = self.path.as_deref().unwrap_or_default();
        let general = path.split('/').map(|part| if part.contains('_') { "{id}" } else { part });
        format!("{} {}", self.method.as_deref().unwrap_or_default(), general.collect::<Vec<_>>().join("/"))
    }
}

fn logged(line: &str) -> Option<Logged> {
    let json = &line[line.find('{')?..];
    serde_json::from_str::<Logged>(json).ok().filter(|logged| logged.message == "request")
}

fn is_creation(request: &Logged) -> bool {
    request.method.as_deref() == Some("POST") && request.path.as_deref() == Some("/api/workspaces")
}

fn is_look(request: &Logged) -> bool {
    let one = |path: &str| path.strip_prefix("/api/workspaces/").is_some_and(|id| !id.contains('/'));
    request.method.as_deref() == Some("GET") && request.path.as_deref().is_some_and(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_in_the_log() {
        let line = r#"2026-11-22T01:09:00.124Z log {"message":"request","http.method":"POST","url.path":"/api/workspaces","d1.statements":4,"d1.rows_read":7,"d1.rows_written":6}"#;
        let request = logged(line).unwrap();
        assert!(is_creation(&request));
        assert_eq!(request.name(), "POST /api/workspaces");
        assert_eq!((request.statements, request.rows_read, request.rows_written), (4, 7, 6));
        assert!(logged("applied migration 0001").is_none());
        assert!(logged(r#"x {"message":"alarm"}"#).is_none());
    }
}
