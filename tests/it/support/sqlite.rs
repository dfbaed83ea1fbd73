//! The database seam over SQLite, with the real migrations, foreign keys on and faults on command.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ringfence::ports::{Db, DbError, Outcome, Statement, Value};
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use serde_json::Value as Json;

/// When a database that is to die does so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// The batch is not written.
    BeforeCommit,
    /// The batch is written, its answer is lost.
    AfterCommit,
}

/// Statements that stay prepared: more than there are in the store.
const CACHED_STATEMENTS: usize = 400;

/// A database in memory.
pub struct SqliteDb {
    connection: Rc<RefCell<Connection>>,
    dies_after: Cell<Option<(u32, Death)>>,
    /// Whether it answers what only reads: the plan's rows to write are spent for the day, those to read are not.
    pub refuses_writes: Cell<bool>,
    /// Batches that were asked for.
    pub batches: Cell<u32>,
    /// Statements that were run.
    pub statements: Cell<u32>,
    /// Rows that were changed.
    pub rows_written: Cell<u64>,
}

impl SqliteDb {
    /// An empty database with every migration.
    pub fn migrated() -> Self {
        Self::with(&migrations())
    }

    /// An empty database with these migrations.
    pub fn with(migrations: &[PathBuf]) -> Self {
        // Each is used by one thread.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_in_memory_with_flags(flags).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        for path in migrations {
            let sql = std::fs::read_to_string(path).unwrap();
            connection.execute_batch(&sql).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        Self::over(Rc::new(RefCell::new(connection)))
    }

    /// As [`Self::migrated`], but what this thread's last one was made of is used again where nobody holds it any more: its rows
    /// are removed, its prepared statements stay.
    pub fn recycled() -> Self {
        thread_local! { static SPARE: RefCell<Option<(Rc<RefCell<Connection>>, String)>> = const { RefCell::new(None) }; }
        SPARE.with_borrow_mut(|spare| match spare {
            Some((connection, emptying)) if Rc::strong_count(connection) == 1 => {
                connection.borrow().execute_batch(emptying).unwrap();
                Self::over(Rc::clone(connection))
            }
            Some(_) | None => {
                let db = Self::migrated();
                // Else statements are prepared anew whenever a parameter that the planner has looked at is another.
                db.connection.borrow().set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
                *spare = Some((Rc::clone(&db.connection), db.emptying()));
                db
            }
        })
    }

    /// What empties every table that the migrations leave empty: those that refer to others first. Foreign keys stay on, since to
    /// turn them off would have every statement prepared anew.
    fn emptying(&self) -> String {
        let mut sql = "BEGIN;".to_owned();
        for table in self.texts("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid DESC") {
            if self.count(&format!("SELECT COUNT(*) FROM {table}")) == 0 {
                sql.push_str(&format!("DELETE FROM {table};"));
            }
        }
        sql + "COMMIT"
    }

    fn over(connection: Rc<RefCell<Connection>>) -> Self {
        Self {
            connection,
            dies_after: Cell::new(None),
            refuses_writes: Cell::new(false),
            batches: Cell::new(0),
            statements: Cell::new(0),
            rows_written: Cell::new(0),
        }
    }

    /// Lets that many more batches succeed; from then on the database cannot be reached.
    pub fn die_after(&self, batches: u32, death: Death) {
        self.dies_after.set(Some((batches, death)));
    }

    /// Ends every fault. Says whether the database had died.
    pub fn heal(&self) -> bool {
        matches!(self.dies_after.take(), Some((0, _)))
    }

    /// Runs SQL of a test.
    pub fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.borrow().execute_batch(sql)
    }

    /// Runs one statement, outside of any batch, and says how many rows it changed.
    pub fn changes(&self, statement: &Statement) -> rusqlite::Result<u64> {
        run_one(&self.connection.borrow(), statement).map(|outcome| outcome.changes)
    }

    /// One number.
    pub fn count(&self, sql: &str) -> i64 {
        self.connection.borrow().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// The first column of every row, as text.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// The same for a text that is asked for again and again, with its parameters.
    pub fn known(&self, sql: &'static str, params: impl rusqlite::Params) -> Vec<String> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached(sql).unwrap();
        statement.query_map(params, |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// How many rows a statement gives.
    pub fn rows(&self, statement: &Statement) -> usize {
        run_one(&self.connection.borrow(), statement).unwrap().rows.len()
    }

    /// Whether SQLite accepts the text.
    pub fn prepare(&self, sql: &str) -> Result<(), String> {
        self.connection.borrow().prepare(sql).map(|_| ()).map_err(|error| error.to_string())
    }

    /// How SQLite would run it, one step a line, without its checks of foreign keys.
    pub fn plan(&self, sql: &str) -> Vec<String> {
        let connection = self.connection.borrow();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Value::Null; statement.parameter_count()];
        let steps = statement.query_map(params_from_iter(nulls), |row| row.get(3)).unwrap();
        steps.map(Result::unwrap).collect()
    }

    /// A batch, at once and without a fault.
    pub fn batch_now(&self, statements: &[Statement]) -> Result<Vec<Outcome>, DbError> {
        self.batches.set(self.batches.get() + 1);
        self.run(statements, None)
    }

    fn run(&self, statements: &[Statement], death: Option<Death>) -> Result<Vec<Outcome>, DbError> {
        let connection = self.connection.borrow();
        // Prepared once, which a transaction of the library's is not.
        let bare = |sql| connection.prepare_cached(sql).and_then(|mut prepared| prepared.execute([]));
        bare("BEGIN").unwrap();
        let result = self.run_all(&connection, statements, death).and_then(|outcomes| {
            bare("COMMIT").map_err(|error| classify(error, "COMMIT"))?;
            Ok(outcomes)
        });
        // Some failures have ended it already.
        if result.is_err() && !connection.is_autocommit() {
            bare("ROLLBACK").unwrap();
        }
        match death {
            Some(_) => result.and(Err(DbError::Unavailable("died after the commit".into()))),
            None => result,
        }
    }

    fn run_all(
        &self,
        connection: &Connection,
        statements: &[Statement],
        death: Option<Death>,
    ) -> Result<Vec<Outcome>, DbError> {
        let mut outcomes = Vec::with_capacity(statements.len());
        for statement in statements {
            if self.refuses_writes.get() && !connection.prepare_cached(statement.sql).unwrap().readonly() {
                return Err(DbError::Unavailable("no rows are left to write today".into()));
            }
            let outcome = run_one(connection, statement).map_err(|error| classify(error, statement.sql))?;
            self.statements.set(self.statements.get() + 1);
            self.rows_written.set(self.rows_written.get() + outcome.changes);
            outcomes.push(outcome);
        }
        match death {
            Some(Death::BeforeCommit) => Err(DbError::Unavailable("died before the commit".into())),
            Some(Death::AfterCommit) | None => Ok(outcomes),
        }
    }
}

impl Db for SqliteDb {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<Outcome>, DbError> {
        // Others run between any two batches, as they do in a Worker.
        tokio::task::yield_now().await;
        self.batches.set(self.batches.get() + 1);
        let death = match self.dies_after.get() {
            None => None,
            Some((0, _)) => return Err(DbError::Unavailable("dead".into())),
            Some((left, death)) => {
                self.dies_after.set(Some((left - 1, death)));
                (left == 1).then_some(death)
            }
        };
        self.run(&statements, death)
    }
}

fn run_one(connection: &Connection, statement: &Statement) -> rusqlite::Result<Outcome> {
    let mut prepared =
        connection.prepare_cached(statement.sql).unwrap_or_else(|error| panic!("{error}: {}", statement.sql));
    assert_eq!(prepared.parameter_count(), statement.params.len(), "parameters of {}", statement.sql);
    let params = statement.params.iter().map(|value| match value {
        Value::Null => rusqlite::types::Value::Null,
        // As D1 does: a number of JavaScript is bound as a real one.
        Value::Int(int) => rusqlite::types::Value::Real(*int as f64),
        Value::Real(real) => rusqlite::types::Value::Real(*real),
        Value::Text(text) => rusqlite::types::Value::Text(text.clone()),
    });
    let mut rows = prepared.query(params_from_iter(params))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut columns = BTreeMap::new();
        // Many statements give no row: nobody asks for the names of their columns.
        for (index, name) in row.as_ref().column_names().enumerate() {
            columns.insert(name.to_owned(), json(row.get_ref(index)?));
        }
        found.push(columns);
    }
    drop(rows);
    let changes = if prepared.readonly() { 0 } else { connection.changes() };
    Ok(Outcome { rows: found, changes })
}

fn json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::Null => Json::Null,
        ValueRef::Integer(int) => int.into(),
        ValueRef::Real(real) => real.into(),
        ValueRef::Text(text) => std::str::from_utf8(text).unwrap().into(),
        ValueRef::Blob(_) => panic!("no column holds bytes"),
    }
}

/// A constraint is an answer; anything else is a mistake in the SQL.
fn classify(error: rusqlite::Error, sql: &str) -> DbError {
    match error.sqlite_error_code() {
        Some(ErrorCode::ConstraintViolation) => DbError::Constraint(error.to_string()),
        _ => panic!("{error}: {sql}"),
    }
}

/// The migrations, in order.
pub fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("d1-migrations");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "sql"));
    paths.sort();
    paths
}
