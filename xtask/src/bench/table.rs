//! The table that a person reads, row by row: what, how much, how much it may be.

use std::fmt::Write;

use serde::Serialize;

/// What a figure counts.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Kib,
    Mib,
    MibPerSecond,
    Milliseconds,
    Messages,
    Statements,
    Rows,
    Requests,
    Nodes,
    Hours,
    Points,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::Kib => "KiB",
            Self::Mib => "MiB",
            Self::MibPerSecond => "MiB/s",
            Self::Milliseconds => "ms",
            Self::Messages => "messages",
            Self::Statements => "statements",
            Self::Rows => "rows",
            Self::Requests => "requests",
            Self::Nodes => "nodes",
            Self::Hours => "hours",
            Self::Points => "points",
        }
    }
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    what: String,
    measured: f64,
    /// The most it may be; a figure without one is printed for its own sake.
    at_most: Option<f64>,
    unit: Unit,
}

impl Row {
    /// A figure with a budget.
    pub(super) fn at_most(what: impl Into<String>, measured: f64, budget: f64, unit: Unit) -> Self {
        Self { what: what.into(), measured, at_most: Some(budget), unit }
    }

    /// A figure without a budget.
    pub(super) fn figure(what: impl Into<String>, measured: f64, unit: Unit) -> Self {
        Self { what: what.into(), measured, at_most: None, unit }
    }

    /// Whether the budget is kept, where there is one.
    pub(super) fn kept(&self) -> Option<bool> {
        self.at_most.map(|budget| self.measured <= budget)
    }
}

/// The rows as aligned text.
pub(super) fn render(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let verdict = match row.kept() {
            Some(true) => "ok",
            Some(false) => "OVER BUDGET",
            None => "",
        };
        let budget = row.at_most.map_or(String::new(), |budget| format!("≤ {}", number(budget)));
        let measured = number(row.measured);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {measured:>10} {:<10}  {budget:<10}  {verdict}", row.what, row.unit.word());
    }
    text
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_budget_is_said_aloud() {
        let rows = [Row::at_most("a", 2.0, 1.0, Unit::Mib), Row::at_most("b", 1.0, 1.0, Unit::Mib)];
        assert_eq!(rows.each_ref().map(Row::kept), [Some(false), Some(true)]);
        assert!(render(&rows).lines().next().unwrap().ends_with("OVER BUDGET"));
    }
}
