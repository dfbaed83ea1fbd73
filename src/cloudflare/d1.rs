//! The database seam over D1.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use wasm_bindgen::JsValue;
use worker::D1Database;

use super::usage::Usage;
use crate::ports::{DbError, Outcome, Statement, Value};

/// Largest integer a JavaScript number holds exactly: 2^53 − 1. D1 has no other integers on the wire.
const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;

/// Runs the statements as one D1 batch: a transaction.
pub(super) async fn batch(
    database: &D1Database,
    statements: Vec<Statement>,
    usage: &Usage,
) -> Result<Vec<Outcome>, DbError> {
    // D1 refuses an empty batch; nothing was asked for, and nothing is done.
    if statements.is_empty() {
        return Ok(Vec::new());
    }
    let mut prepared = Vec::with_capacity(statements.len());
    for statement in statements {
        let params = statement.params.iter().map(to_js).collect::<Result<Vec<_>, _>>()?;
        prepared.push(database.prepare(statement.sql).bind(&params).map_err(classify)?);
    }
    let results = database.batch(prepared).await.map_err(classify)?;
    results.iter().map(|result| outcome(result, usage)).collect()
}

fn outcome(result: &worker::D1Result, usage: &Usage) -> Result<Outcome, DbError> {
    let rows: Vec<BTreeMap<String, serde_json::Value>> = result.results().map_err(classify)?;
    let meta = result.meta().map_err(classify)?;
    let count = |number: Option<usize>| number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    usage.statements.fetch_add(1, Ordering::Relaxed);
    usage.rows_read.fetch_add(count(meta.as_ref().and_then(|m| m.rows_read)), Ordering::Relaxed);
    usage.rows_written.fetch_add(count(meta.as_ref().and_then(|m| m.rows_written)), Ordering::Relaxed);
    let changes = count(meta.and_then(|meta| meta.changes));
    Ok(Outcome { rows, changes })
}

fn to_js(value: &Value) -> Result<JsValue, DbError> {
    match value {
        Value::Null => Ok(JsValue::NULL),
        Value::Int(int) if int.unsigned_abs() <= MAX_SAFE_INTEGER.unsigned_abs() => Ok(JsValue::from_f64(*int as f64)),
        Value::Int(_) => Err(DbError::Constraint("an integer beyond 2^53".into())),
        Value::Real(real) => Ok(JsValue::from_f64(*real)),
        Value::Text(text) => Ok(JsValue::from_str(text)),
    }
}

/// D1 tells failures apart by their text alone.
fn classify(error: worker::Error) -> DbError {
    let text = error.to_string();
    if text.contains("SQLITE_CONSTRAINT") || text.contains("constraint failed") {
        DbError::Constraint(text)
    } else {
        DbError::Unavailable(text)
    }
}
