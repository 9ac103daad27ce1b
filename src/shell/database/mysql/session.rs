//! A session of MySQL or MariaDB: how it is opened, what makes it the same on every server, and
//! what can be asked in it.

use super::super::Failure;
use super::super::schema::OPTIONAL_TABLES;
use super::address::ANSWER_TIMEOUT;
use super::connect::connect;
use super::explain::explain;
use super::{Kept, settings};
use crate::core::database::Mysql;
use crate::shell::panics::caught;
use mysql::prelude::Queryable;
use mysql::{Conn, Error, QueryResult, Row, Text, Value};
use std::time::Duration;

/// The connection and what is said about it when it fails.
pub struct Session<'a> {
    pub conn: Conn,
    pub database: &'a Mysql,
}

impl<'a> Session<'a> {
    /// Connects, makes the session ours and says `first`, in one round trip after the handshake.
    /// Returns with it the one value of the last statement.
    pub fn open(database: &'a Mysql, first: &str) -> Result<(Self, Option<String>), Failure> {
        Self::open_within(database, ANSWER_TIMEOUT, first)
    }

    /// The same with another limit for each answer.
    pub fn open_within(
        database: &'a Mysql,
        limit: Duration,
        first: &str,
    ) -> Result<(Self, Option<String>), Failure> {
        let mut session = Self { conn: connect(database, limit)?, database };
        let text = session.first_text(first);
        let text = text.map_err(|err| session.explain(&err).of_no_record())?;
        Ok((session, text))
    }

    /// The same on the connection that is kept, if that is still good. `first` may be said twice.
    pub fn open_kept(
        kept: &mut Kept,
        database: &'a Mysql,
        first: &str,
    ) -> Result<(Self, Option<String>), Failure> {
        if let Some(conn) = kept.take(database) {
            let mut session = Self { conn, database };
            // What is wrong, if anything is, is for the new one to say.
            if let Ok(Ok(text)) = caught(|| session.first_text(first)) {
                return Ok((session, text));
            }
        }
        Self::open(database, first)
    }

    fn first_text(&mut self, first: &str) -> mysql::Result<Option<String>> {
        let charset = &self.database.charset;
        let place = settings::place(&self.database.dbname);
        let rest = format!("{place}{}; {first}", settings::TRANSACTIONS);
        // An error that comes at once is that of the first statement.
        let refused = match self.conn.query_iter(format!("{}; {rest}", settings::all(charset))) {
            Ok(result) => return last_text(result),
            Err(err) => err,
        };
        let names = settings::names(charset);
        if !matches!(refused, Error::MySqlError(_)) || self.conn.query_drop(names).is_err() {
            return Err(refused);
        }
        for setting in settings::each() {
            match self.conn.query_drop(setting) {
                // Not known to this server, or not allowed: then it is as the server has it.
                Ok(()) | Err(Error::MySqlError(_)) => {}
                Err(err) => return Err(err),
            }
        }
        last_text(self.conn.query_iter(rest)?)
    }

    pub fn explain(&self, err: &Error) -> Failure {
        explain(self.database, err, "go on with")
    }

    pub fn run_all(&mut self, sql: &str) -> Result<(), Failure> {
        let done = self.conn.query_iter(sql).and_then(last_text);
        done.map(drop).map_err(|err| self.explain(&err))
    }

    /// Names of the columns of a table.
    pub fn columns(&mut self, table: &str) -> Result<Vec<String>, Failure> {
        self.first_column(&format!("SHOW COLUMNS FROM {table}"))
    }

    /// Names of the tables that are ours.
    pub fn tables(&mut self) -> Result<Vec<String>, Failure> {
        self.first_column("SHOW TABLES LIKE 'scheduler\\_%'")
    }

    /// The optional tables that are there.
    pub fn optional_tables(&mut self) -> Result<Vec<&'static str>, Failure> {
        let there = self.tables()?;
        let is_there = |table: &&str| there.iter().any(|name| name.eq_ignore_ascii_case(table));
        Ok(OPTIONAL_TABLES.into_iter().filter(is_there).collect())
    }

    /// The first column of a result, as text.
    pub fn first_column(&mut self, sql: &str) -> Result<Vec<String>, Failure> {
        let texts = self.conn.query_map(sql, |row: Row| text_of(row));
        let texts = texts.map_err(|err| self.explain(&err))?;
        Ok(texts.into_iter().flatten().collect())
    }
}

/// The first value of a row. Names of columns can hold any bytes where the session's charset is
/// latin1 or binary.
pub fn text_of(mut row: Row) -> Option<String> {
    match row.take::<Value, _>(0)? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// The one value of the last of several statements.
fn last_text(mut result: QueryResult<'_, '_, '_, Text>) -> mysql::Result<Option<String>> {
    let mut text = None;
    while let Some(set) = result.iter() {
        for row in set {
            text = text_of(row?);
        }
    }
    Ok(text)
}
