//! Reads who did what, newest first, whichever database it is.
//!
//! The order is that of the ids, which grow with time, so the daemon can put what it knows itself
//! into the same order. Ids of a group begin alike, and the key of ids has them side by side; those
//! of a job are found by the key of jobs and sorted, for few things are done with one job.
//!
//! First only what is needed to choose is read, then the rows that are chosen. What no key has
//! (who, and when) is looked at row by row, for a while: a page may have less than it could, and
//! says how far it goes.

use super::Failure;
use super::answers::Answers;
use super::mysql::Kept;
use super::past::{text_of, with_reader};
use super::reader::Reader;
use super::schema::AUDIT;
use crate::core::cells::Cell;
use crate::core::database::{Database, ErrorKind};
use crate::core::ids::RUN_ID_CHARS;
use crate::core::protocol::{ActRecord, ActsAsk, ActsEnd, Answer};
use crate::core::time::instant;
use std::time::{Duration, Instant};

/// Rows that are looked through at a time.
const CHUNK: usize = 2_000;

/// So long it is looked through.
const BUDGET: Duration = Duration::from_secs(2);

/// Rows that are read at a time.
const WHOLE_ROWS: usize = 100;

/// Bytes of a page, about: what was changed may be long.
const MAX_BYTES: usize = 4 << 20;

/// The keys of the table, as the server's file of the schema names them.
const OF_ID: &str = "uniq_id";
const OF_JOB: &str = "server_job";

/// Answers an [`Ask::Acts`](crate::core::protocol::Ask::Acts).
pub(super) fn read(
    kept: &mut Kept,
    database: &Database,
    ask: &ActsAsk,
    answers: &mut Answers,
) -> Result<(), Failure> {
    with_reader(kept, database, |reader| answer(reader, ask, answers))
}

/// What goes into a query as text is only what an id can be.
fn is_id(text: &str) -> bool {
    text.len() <= RUN_ID_CHARS
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The same in a session that is open.
pub(super) fn answer(
    reader: &mut dyn Reader,
    ask: &ActsAsk,
    answers: &mut Answers,
) -> Result<(), Failure> {
    if ![&ask.from, &ask.before].into_iter().all(|id| is_id(id)) {
        return Err(Failure::new(ErrorKind::Other, "the question has no id in place of one"));
    }
    if reader.columns(AUDIT)?.is_empty() {
        return answers.send(&Answer::Acts(ActsEnd { no_table: true, ..ActsEnd::default() }));
    }
    let (ids, mut down_to) = chosen(reader, ask, answers)?;
    let (mut rows, mut bytes) = (0, 0);
    for some in ids.chunks(WHOLE_ROWS) {
        let records = records(reader, some)?;
        for id in some {
            // One that is gone since was deleted for its age.
            let Some(record) = records.iter().find(|record| record.uniq_id == *id) else {
                continue;
            };
            bytes += record.what.len() + record.result.len();
            answers.send(&Answer::Did(Box::new(record.clone())))?;
            rows += 1;
            if bytes > MAX_BYTES {
                if ids.last() != Some(id) {
                    down_to = Some(id.clone());
                }
                return answers.send(&Answer::Acts(ActsEnd { down_to, rows, no_table: false }));
            }
        }
    }
    answers.send(&Answer::Acts(ActsEnd { down_to, rows, no_table: false }))
}

/// The ids of the acts that are wanted, as many as are, and the last one that was looked at if
/// there may be more.
fn chosen(
    reader: &mut dyn Reader,
    ask: &ActsAsk,
    answers: &mut Answers,
) -> Result<(Vec<String>, Option<String>), Failure> {
    let begin = Instant::now();
    let looks = !ask.who.is_empty() || !ask.actions.is_empty() || ask.since_ms.is_some();
    let chunk = if looks { CHUNK } else { ask.limit + 1 };
    let keys = reader.indexes(AUDIT)?;
    let mut ids = Vec::new();
    let mut before = ask.before.clone();
    loop {
        let sql = query(reader, &keys, ask, &before, chunk);
        let rows = reader.rows(&sql)?;
        let (count, is_last) = (rows.len(), rows.len() < chunk);
        for (at, row) in rows.into_iter().enumerate() {
            let Ok(row) = <[Cell; 4]>::try_from(row) else { continue };
            let [id, when, who, action] = row.map(text_of);
            // What is none, nobody here has written.
            if !is_id(&id) {
                continue;
            }
            before.clone_from(&id);
            let is_wanted = (ask.who.is_empty() || who == ask.who)
                && (ask.actions.is_empty() || ask.actions.contains(&action))
                && ask.since_ms.is_none_or(|since| instant(&when).is_ok_and(|at| at >= since));
            if !is_wanted {
                continue;
            }
            ids.push(id);
            if ids.len() == ask.limit {
                let is_end = is_last && at + 1 == count;
                return Ok((ids, (!is_end).then_some(before)));
            }
        }
        if is_last {
            return Ok((ids, None));
        }
        answers.works()?;
        if begin.elapsed() > BUDGET {
            return Ok((ids, Some(before)));
        }
    }
}

/// What is needed to choose, of so many rows. A plus keeps SQLite from going by a key, and is
/// nothing to a server, which is told the key.
fn query(
    reader: &dyn Reader,
    keys: &[String],
    ask: &ActsAsk,
    before: &str,
    count: usize,
) -> String {
    let by = |key: &str| match keys.iter().any(|name| name == key) {
        true => reader.by_index(key),
        false => String::new(),
    };
    let server_id = ask.server_id;
    let (key, id, whose) = match ask.job {
        Some(job) => {
            (by(OF_JOB), "+uniq_id", format!("server_id = {server_id} AND job_id = {job}"))
        }
        None => (by(OF_ID), "uniq_id", format!("+server_id = {server_id}")),
    };
    let below = match before {
        // Those of other groups stand beside them.
        "" => format!("<= '{}'", last_id(server_id)),
        before => format!("< '{before}'"),
    };
    let from = &ask.from;
    format!(
        "SELECT uniq_id, at, who, action FROM {AUDIT}{key} WHERE {whose} AND {id} {below} \
         AND {id} >= '{from}' ORDER BY {id} DESC LIMIT {count}"
    )
}

/// No id of the group is greater.
fn last_id(server_id: u32) -> String {
    let first = crate::core::ids::RunId { server_id, sequence: 0, instance: 0 }.to_string();
    let group = first.split('-').next().unwrap_or_default();
    let digits = RUN_ID_CHARS - 1 - group.len();
    format!("{group}-{}", "z".repeat(digits))
}

fn records(reader: &mut dyn Reader, ids: &[String]) -> Result<Vec<ActRecord>, Failure> {
    let ids: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
    let sql = format!(
        "SELECT server_id, uniq_id, at, who, origin, action, job_id, run_id, version, what, result \
         FROM {AUDIT} WHERE uniq_id IN ({})",
        ids.join(", ")
    );
    let record = |row: Vec<Cell>| {
        let row = <[Cell; 11]>::try_from(row).ok()?.map(text_of);
        let [server_id, uniq_id, at, who, origin, action, job_id, run_id, version, what, result] =
            row;
        Some(ActRecord {
            server_id: server_id.parse().unwrap_or_default(),
            uniq_id,
            at,
            who,
            origin,
            action,
            job_id: job_id.parse().unwrap_or_default(),
            run_id,
            version,
            request_key: String::new(),
            request_body: String::new(),
            what,
            result,
        })
    };
    Ok(reader.rows(&sql)?.into_iter().filter_map(record).collect())
}
