//! What a sync reads.
//!
//! It asks for everything it needs to know in one round trip: settings, a consistent snapshot and a
//! digest that the server computes, with the number of rows. Only when the digest differs are rows
//! read, in the same snapshot, so that digest and rows are of one state. Fewer or more rows than
//! the server counted are no answer.

use super::super::answers::Answers;
use super::super::rows;
use super::super::{Failure, Group};
use super::explain::explain;
use super::{Kept, Session};
use crate::core::cells::Cell;
use crate::core::columns::{Column, IN_FORCE};
use crate::core::database::{ErrorKind, Mysql};
use crate::core::limits::{MAX_COMMAND_BYTES, MAX_TEXT_BYTES};
use crate::core::protocol::Answer;
use mysql::prelude::Queryable;
use mysql::{Error, Row, Value};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Without READ ONLY: servers that don't know it (MySQL and MariaDB 5.5, TiDB) would refuse it, and
/// nothing is written here.
const SNAPSHOT: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT";

/// Answers an [`Ask::Sync`](crate::core::protocol::Ask::Sync).
pub fn sync(
    kept: &mut Kept,
    database: &Mysql,
    group: &Group,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let query = format!("{SNAPSHOT}; {}", digest_query(group));
    let (mut session, text) = Session::open_kept(kept, database, &query)?;
    read(&mut session, group, text.as_deref(), answers)?;
    kept.keep(session);
    Ok(())
}

fn read(
    session: &mut Session<'_>,
    group: &Group,
    text: Option<&str>,
    answers: &mut Answers,
) -> Result<(), Failure> {
    answers.works()?;
    let digest = Digest::read(group, text)?;
    if digest.text == group.digest && digest.complete {
        return answers.send(&Answer::Same(digest.text));
    }
    let columns = rows::job_columns(&session.columns("scheduler_jobs")?, job_column);
    let rule = format!("WHERE server_id = {} ORDER BY id", group.server_id);
    let jobs = format!("SELECT {columns} FROM scheduler_jobs {rule}");
    let rule = format!("WHERE server_id = {} ORDER BY id", group.vars_server);
    let name = bounded("name", MAX_TEXT_BYTES);
    let value = bounded("value", MAX_COMMAND_BYTES);
    let vars = format!("SELECT id, {name}, {value} FROM scheduler_vars {rule}");
    let tags = format!("SELECT id, {name} FROM scheduler_tags ORDER BY id");
    let [job_rows, var_rows, tag_rows] = digest.rows;
    let mut read = DefaultHasher::new();
    session.stream(&vars, rows::var, answers, &mut read, ("scheduler_vars", var_rows))?;
    session.stream(&tags, rows::tag, answers, &mut read, ("scheduler_tags", tag_rows))?;
    session.stream(&jobs, rows::job, answers, &mut read, ("scheduler_jobs", job_rows))?;
    let digest = digest.with(&read);
    answers.send(&Answer::End { digest, rows: job_rows + var_rows + tag_rows })
}

pub(super) fn job_column(column: Column) -> String {
    match column.is_text() {
        true => bounded(column.name(), column.max_bytes()),
        false => column.name().to_owned(),
    }
}

/// A text as it is read from a server: of what is far too long only so much that this shows. A row
/// that is longer than a packet may be would end the exchange.
fn bounded(column: &str, max_bytes: usize) -> String {
    format!("LEFT({column}, {})", max_bytes + 1)
}

/// What the server says of its rows.
struct Digest {
    text: String,
    /// How many there are: jobs, variables, tags.
    rows: [u64; 3],
    /// All that they say is in it. A row that is longer than a value may be (`max_allowed_packet`)
    /// has no hash: then an equal digest says nothing.
    complete: bool,
}

impl Digest {
    /// `text` has "rows-hashed-hash" for each table, as [`digest_query`] makes it.
    fn read(group: &Group, text: Option<&str>) -> Result<Self, Failure> {
        let why = "the database gave no digest of the jobs";
        let none = || Failure::new(ErrorKind::Other, why);
        let text = text.ok_or_else(none)?;
        let mut rows = [0; 3];
        let mut complete = true;
        for (rows, part) in rows.iter_mut().zip(text.split(':')) {
            let mut numbers = part.split('-').map(str::parse);
            *rows = numbers.next().and_then(Result::ok).ok_or_else(none)?;
            complete &= numbers.next() == Some(Ok(*rows));
        }
        // The groups are part of it: after a change of the configuration nothing is the same.
        let text = format!("m3:{}:{}:{text}", group.server_id, group.vars_server);
        Ok(Self { text, rows, complete })
    }

    /// What names the rows that were read. Where the server could not hash them all, their own hash
    /// is in it: two tables must not have one name, or the snapshot of the one before counts.
    fn with(self, read: &DefaultHasher) -> String {
        match self.complete {
            true => self.text,
            false => format!("{}/{:016x}", self.text, read.finish()),
        }
    }
}

impl Session<'_> {
    /// Sends the rows of a query on, and takes them into a hash; `table` has so many of them.
    fn stream(
        &mut self,
        query: &str,
        judge: fn(Vec<Cell>) -> Answer,
        answers: &mut Answers,
        read: &mut DefaultHasher,
        (table, counted): (&str, u64),
    ) -> Result<(), Failure> {
        let database = self.database;
        let lost = |err: Error| explain(database, &err, "read from");
        let mut came = 0;
        for row in self.conn.query_iter(query).map_err(lost)? {
            let cells = cells(row.map_err(lost)?);
            cells.hash(read);
            answers.send(&judge(cells))?;
            came += 1;
        }
        if came == counted {
            return Ok(());
        }
        let hint = "does a limit of a proxy cut answers, or is the table not InnoDB?";
        let message = format!("{came} of {counted} rows of {table} came: {hint}");
        Err(Failure::new(ErrorKind::Other, message))
    }
}

/// The digest of what a sync would read, as one value.
///
/// 64 bits of a hash of each row, combined by XOR, so that the order does not matter; the id is in
/// each, so that equal rows don't cancel out and swapped ones show. `last_run_time` and the other
/// times are not in it: they don't make a job. Text is taken as bytes, else columns of different
/// charsets can't be joined. SHA2 because MD5 is not everywhere any more.
///
/// An optional column may not exist: its name then finds that of the outer row, which is empty. (An
/// unqualified name in a subquery is looked up inside first, then outside: SQL:1999, 6.6.)
fn digest_query(group: &Group) -> String {
    let summary = |columns: &[&str]| {
        let texts = columns.iter().map(|name| format!("IFNULL(CAST({name} AS BINARY), x'01')"));
        let bytes = columns.iter().map(|name| format!("IFNULL(LENGTH({name}), 0) + 1"));
        let (texts, bytes): (Vec<_>, Vec<_>) = (texts.collect(), bytes.collect());
        format!(
            "CONCAT(COUNT(*), '-', COUNT(IF({} < @@max_allowed_packet, 1, NULL)), '-', \
             IFNULL(BIT_XOR(CAST(CONV(LEFT(SHA2(CONCAT_WS(x'00', {}), 256), 16), 16, 10) \
             AS UNSIGNED)), 0))",
            bytes.join(" + "),
            texts.join(", ")
        )
    };
    let (required, optional) = Column::ALL.split_at(Column::REQUIRED.len());
    let absent: Vec<_> = optional.iter().map(|column| rows::absent(*column)).collect();
    let columns = required.iter().chain(optional).map(|column| column.name());
    let columns: Vec<_> = columns.chain([IN_FORCE]).collect();
    format!(
        "SELECT CONCAT((SELECT {} FROM scheduler_jobs WHERE server_id = {}), ':', \
         (SELECT {} FROM scheduler_vars WHERE server_id = {}), ':', \
         (SELECT {} FROM scheduler_tags)) FROM (SELECT {}) AS optional",
        summary(&columns),
        group.server_id,
        summary(&["id", "name", "value"]),
        group.vars_server,
        summary(&["id", "name"]),
        absent.join(", ")
    )
}

pub(super) fn cells(row: Row) -> Vec<Cell> {
    let cell = |value| match value {
        Value::NULL => Cell::Null,
        Value::Bytes(bytes) => Cell::from_bytes(&bytes),
        // The text protocol sends nothing else; should a driver convert, its literal will do.
        other => Cell::Text(other.as_sql(true)),
    };
    // Whole: nothing was taken from the row before.
    row.unwrap().into_iter().map(cell).collect()
}
