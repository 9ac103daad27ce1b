//! Deletes a piece of what is older than it is to be kept: runs, then skips, then acts.
//!
//! Runs go by the index of the group: one stretch for each way to end. Without it the database
//! would look through all rows for each piece, so then nothing is deleted, and that is told. A run
//! that is alive has no end, and stays.

use super::Failure;
use super::answers::Answers;
use super::mysql::Kept;
use super::mysql::Session as Server;
use super::reader::Reader;
use super::records::{HAS_ENDED, KIND, OF_GROUP};
use super::schema::AUDIT;
use super::sqlite::Session as Embedded;
use crate::core::cells::Cell;
use crate::core::database::{Database, ErrorKind};
use crate::core::protocol::{Answer, Purged};
use crate::core::run_kind::RunKind;

/// What is to go: of this group, older than this (`YYYY-MM-DD HH:MM:SS`), and so many rows at the
/// most.
pub(super) struct Piece<'a> {
    pub server_id: u32,
    pub before: &'a str,
    pub limit: u32,
}

/// Answers an [`Ask::Purge`](crate::core::protocol::Ask::Purge).
pub(super) fn purge(
    kept: &mut Kept,
    database: &Database,
    piece: &Piece,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let is_time = |byte: u8| byte.is_ascii_digit() || b"-: ".contains(&byte);
    if piece.before.len() != 19 || !piece.before.bytes().all(is_time) {
        return Err(Failure::new(ErrorKind::Other, "the question has no time in its place"));
    }
    let purged = match database {
        Database::Mysql(it) => {
            let (mut session, _) = Server::open_kept(kept, it, "DO 0")?;
            let purged = delete(&mut session, piece).map_err(with_rights)?;
            kept.keep(session);
            purged
        }
        Database::Sqlite(it) => delete(&mut Embedded::open(it, false)?, piece)?,
    };
    answers.send(&Answer::Purged(purged))
}

/// What to do about a right that is missing.
fn with_rights(failure: Failure) -> Failure {
    match failure.kind {
        ErrorKind::Rights => Failure::new(
            ErrorKind::Rights,
            format!(
                "{}: keep_records takes DELETE, too, on scheduler_logs, scheduler_skips and \
                 scheduler_audit",
                failure.message
            ),
        ),
        _ => failure,
    }
}

fn delete<R: Reader>(reader: &mut R, piece: &Piece) -> Result<Purged, Failure> {
    let indexes = reader.indexes("scheduler_logs")?;
    let columns = reader.columns("scheduler_logs")?;
    let mut purged = Purged::default();
    let there = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
    if !there(&indexes, OF_GROUP) || !there(&columns, KIND) {
        return Ok(Purged { lacks: true, ..purged });
    }
    let Piece { server_id, before, limit } = *piece;
    let limit = u64::from(limit);
    let of_group = format!("server_id = {server_id}");
    let ended = format!("{HAS_ENDED} AND end_time < '{before}'");
    let by_index = reader.by_index(OF_GROUP);
    for kind in RunKind::ALL {
        let left = limit - purged.runs;
        if kind == RunKind::Running || left == 0 {
            continue;
        }
        let ids = ids(
            reader,
            &format!(
                "SELECT id FROM scheduler_logs{by_index} WHERE {of_group} AND {KIND} = {} \
             AND start_time < '{before}' AND {ended} ORDER BY start_time LIMIT {left}",
                kind.code()
            ),
        )?;
        // It may have been changed in between.
        purged.runs += remove(reader, "scheduler_logs", &ids, &format!("{of_group} AND {ended}"))?;
    }
    // Written in order, so that the oldest are found first.
    let local = before.replace(' ', "T");
    for (table, column) in [("scheduler_skips", "last_slot"), (AUDIT, "at")] {
        let left = limit - purged.rows();
        if left == 0 || reader.columns(table)?.is_empty() {
            continue;
        }
        let old = format!("{of_group} AND {column} > '' AND {column} < '{local}'");
        let found =
            ids(reader, &format!("SELECT id FROM {table} WHERE {old} ORDER BY id LIMIT {left}"))?;
        let count = remove(reader, table, &found, &old)?;
        *(if table == AUDIT { &mut purged.acts } else { &mut purged.skips }) += count;
    }
    purged.more = purged.rows() >= limit;
    Ok(purged)
}

fn ids<R: Reader>(reader: &mut R, sql: &str) -> Result<Vec<String>, Failure> {
    let rows = reader.rows(sql)?;
    let first = rows.into_iter().filter_map(|row| match row.into_iter().next() {
        Some(Cell::Text(id)) => Some(id),
        _ => None,
    });
    Ok(first.collect())
}

fn remove<R: Reader>(
    reader: &mut R,
    table: &str,
    ids: &[String],
    condition: &str,
) -> Result<u64, Failure> {
    if !ids.is_empty() {
        reader.rows(&format!(
            "DELETE FROM {table} WHERE id IN ({}) AND {condition}",
            ids.join(", ")
        ))?;
    }
    Ok(ids.len() as u64)
}
