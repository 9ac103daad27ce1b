//! Reads runs of the past, newest first, whichever database it is.
//!
//! The order is that of (`start_time`, `uniq_id`): the daemon can put what it knows itself into the
//! same order without asking, and no run is on two pages. A page begins behind a place in that
//! order and not after so many rows, so the last one costs no more than the first.
//!
//! An index that has a job (or the group), how a run stands, and the order, has the rows of a job
//! that stand alike in one stretch, already in order. What is asked for is some such stretches; the
//! newest of each are put together, and only of those the rows are read. That is the same work for
//! a rare outcome as for any. Without such indexes it takes the database longer.
//!
//! What no index has (words, jobs that are many) is looked at row by row, for a while: a page may
//! have less than it could, and says how far it goes.

use super::Failure;
use super::answers::Answers;
use super::mysql::{Kept, Session as Server};
use super::reader::Reader;
use super::records::{HAS_ENDED, KIND, OF_GROUP, OF_JOB, OPTIONAL_RUN_COLUMNS, RUN_COLUMNS};
use super::sqlite::Session as Embedded;
use crate::core::cells::Cell;
use crate::core::database::{Database, ErrorKind};
use crate::core::ids::RUN_ID_CHARS;
use crate::core::protocol::{Answer, Place, RunRecord, RunsAsk, RunsEnd, SkipRecord};
use crate::core::run_kind::RunKind;
use crate::core::statistics::days_before;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Jobs that are looked up one by one; beyond, those of the group are looked through.
const MAX_JOBS: usize = 16;

/// Rows that are looked through at a time.
const CHUNK: usize = 2_000;

/// So long it is looked through.
const BUDGET: Duration = Duration::from_secs(2);

/// A stretch of skipped slots that began so many days before is still looked for.
const SKIP_DAYS: u32 = 7;

/// Ranges of skipped slots at the most.
const MAX_SKIPS: usize = 1_000;

/// Has a question of a client answered, whichever database it is.
pub(super) fn with_reader(
    kept: &mut Kept,
    database: &Database,
    answer: impl FnOnce(&mut dyn Reader) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match database {
        Database::Mysql(it) => {
            let (mut session, _) = Server::open_kept(kept, it, "DO 0")?;
            answer(&mut session)?;
            kept.keep(session);
            Ok(())
        }
        Database::Sqlite(it) => answer(&mut Embedded::open_for_client(it)?),
    }
}

/// Answers an [`Ask::Runs`](crate::core::protocol::Ask::Runs).
pub(super) fn read(
    kept: &mut Kept,
    database: &Database,
    ask: &RunsAsk,
    answers: &mut Answers,
) -> Result<(), Failure> {
    with_reader(kept, database, |reader| answer(reader, ask, answers).map(drop))
}

/// The same in a session that is open. Returns the first run that was sent.
pub(super) fn answer(
    reader: &mut dyn Reader,
    ask: &RunsAsk,
    answers: &mut Answers,
) -> Result<Option<RunRecord>, Failure> {
    check(ask)?;
    let mut work = Work::begin(reader, ask)?;
    work.answer(answers)?;
    Ok(work.first)
}

/// What goes into a query as text is only what an id and a time can be.
fn check(ask: &RunsAsk) -> Result<(), Failure> {
    let places = [&ask.below, &ask.near].into_iter().flatten();
    let runs = [&ask.run, &ask.before].into_iter().chain(places.clone().map(|it| &it.run));
    let is_run = |text: &&String| {
        text.len() <= RUN_ID_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    };
    let times = [&ask.since, &ask.until].into_iter().chain(places.map(|it| &it.at));
    let is_time = |text: &&String| {
        text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit() || b"-: ".contains(&byte))
    };
    match runs.clone().all(|run| is_run(&run)) && times.clone().all(|time| is_time(&time)) {
        true => Ok(()),
        false => {
            Err(Failure::new(ErrorKind::Other, "the question has no id, or no time, in place"))
        }
    }
}

struct Work<'a> {
    reader: &'a mut dyn Reader,
    ask: &'a RunsAsk,
    /// Columns of `scheduler_logs` that are there.
    columns: Vec<String>,
    indexes: Vec<String>,
    /// Lines that were sent.
    sent: usize,
    first: Option<RunRecord>,
}

impl<'a> Work<'a> {
    fn begin(reader: &'a mut dyn Reader, ask: &'a RunsAsk) -> Result<Self, Failure> {
        let columns = reader.columns("scheduler_logs")?;
        let indexes = reader.indexes("scheduler_logs")?;
        Ok(Self { reader, ask, columns, indexes, sent: 0, first: None })
    }

    fn answer(&mut self, answers: &mut Answers) -> Result<(), Failure> {
        if !self.ask.run.is_empty() {
            let (run, server_id) = (&self.ask.run, self.ask.server_id);
            let columns = self.selected("");
            let sql = format!(
                "SELECT {columns} FROM scheduler_logs WHERE uniq_id = '{run}' \
                 AND server_id = {server_id}"
            );
            for row in self.reader.rows(&sql)?.into_iter().take(1) {
                let record = self.record(row);
                self.send(answers, Answer::Run(Box::new(record)))?;
            }
            let end = RunsEnd { rows: self.sent, ..RunsEnd::default() };
            return answers.send(&Answer::Runs(end));
        }
        let below = self.below()?;
        let down_to = self.runs(below.clone(), answers)?;
        if self.ask.skips {
            self.skips(below.as_ref(), down_to.as_ref(), answers)?;
        }
        answers.send(&Answer::Runs(RunsEnd { below, down_to, rows: self.sent }))
    }

    fn send(&mut self, answers: &mut Answers, row: Answer) -> Result<(), Failure> {
        self.sent += 1;
        if let (None, Answer::Run(run)) = (&self.first, &row) {
            self.first = Some((**run).clone());
        }
        answers.send(&row)
    }

    fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name.eq_ignore_ascii_case(column))
    }

    /// Where the run stands behind which the page begins.
    fn below(&mut self) -> Result<Option<Place>, Failure> {
        if self.ask.below.is_some() || self.ask.before.is_empty() {
            return Ok(self.ask.below.clone());
        }
        let (run, server_id) = (&self.ask.before, self.ask.server_id);
        let sql = format!(
            "SELECT start_time, uniq_id FROM scheduler_logs WHERE uniq_id = '{run}' \
             AND server_id = {server_id}"
        );
        let row = self.reader.rows(&sql)?.into_iter().next();
        let place = row.and_then(|row| {
            let [at, run] = <[Cell; 2]>::try_from(row).ok()?.map(text_of);
            Some(Place { at, run })
        });
        Ok(place.or_else(|| self.ask.near.clone()))
    }

    /// Sends the runs that stand behind this place, as many as are wanted. Returns the last place
    /// that was looked at, if there may be more.
    fn runs(
        &mut self,
        mut below: Option<Place>,
        answers: &mut Answers,
    ) -> Result<Option<Place>, Failure> {
        let begin = Instant::now();
        let many = self.ask.jobs.as_ref().filter(|jobs| jobs.len() > MAX_JOBS);
        let many: Option<BTreeSet<u32>> = many.map(|jobs| jobs.iter().copied().collect());
        let looks = many.is_some() || !self.ask.words.is_empty();
        let chunk = if looks { CHUNK } else { self.ask.limit + 1 };
        let mut found = 0;
        loop {
            let Some(sql) = self.query(below.as_ref(), chunk) else { return Ok(None) };
            let rows = self.reader.rows(&sql)?;
            let (count, is_last) = (rows.len(), rows.len() < chunk);
            for (at, row) in rows.into_iter().enumerate() {
                let record = self.record(row);
                let place = Place { at: record.start_time.clone(), run: record.uniq_id.clone() };
                below = Some(place);
                if many.as_ref().is_some_and(|jobs| !jobs.contains(&record.job_id))
                    || !has_words(&record.command, &self.ask.words)
                {
                    continue;
                }
                self.send(answers, Answer::Run(Box::new(record)))?;
                found += 1;
                if found == self.ask.limit {
                    return Ok(below.filter(|_| !is_last || at + 1 < count));
                }
            }
            if is_last {
                return Ok(None);
            }
            answers.works()?;
            if begin.elapsed() > BUDGET {
                return Ok(below);
            }
        }
    }

    /// The rows behind a place, newest first, so many. None: there can be none.
    fn query(&self, below: Option<&Place>, count: usize) -> Option<String> {
        let stretches = self.stretches(below);
        if stretches.is_empty() {
            return None;
        }
        let order = if self.ask.oldest { "ASC" } else { "DESC" };
        let newest = format!("ORDER BY start_time {order}, uniq_id {order}");
        let parts = stretches.iter().enumerate().map(|(at, (index, condition))| {
            format!(
                "SELECT * FROM (SELECT id, start_time, uniq_id FROM scheduler_logs{index} \
                 WHERE {condition} {newest} LIMIT {count}) AS s{at}"
            )
        });
        let parts: Vec<String> = parts.collect();
        Some(format!(
            "SELECT {} FROM (SELECT id, start_time, uniq_id FROM ({}) AS parts {newest} \
             LIMIT {count}) AS k JOIN scheduler_logs AS l ON l.id = k.id \
             ORDER BY k.start_time {order}, k.uniq_id {order}",
            self.selected("l."),
            parts.join(" UNION ALL ")
        ))
    }

    /// The stretches of indexes in which all rows are that are wanted: by which index, and the
    /// condition.
    fn stretches(&self, below: Option<&Place>) -> Vec<(String, String)> {
        let ask = self.ask;
        let of_group = format!("server_id = {}", ask.server_id);
        let (index, whose) = match ask.jobs.as_ref().filter(|jobs| jobs.len() <= MAX_JOBS) {
            None => (OF_GROUP, vec![of_group]),
            Some(jobs) => {
                let of_job = |job: &u32| format!("command_id = {job} AND {of_group}");
                (OF_JOB, jobs.iter().map(of_job).collect())
            }
        };
        let mut bounds = String::new();
        if !ask.since.is_empty() {
            bounds += &format!(" AND start_time >= '{}'", ask.since);
        }
        if !ask.until.is_empty() {
            bounds += &format!(" AND start_time < '{}'", ask.until);
        }
        if let Some(Place { at, run }) = below {
            bounds += &format!(
                " AND start_time <= '{at}' AND (start_time < '{at}' OR uniq_id < '{run}')"
            );
        }
        let is_there = self.has(KIND) && self.indexes.iter().any(|name| name == index);
        let index = if is_there { self.reader.by_index(index) } else { String::new() };
        let standing = self.standing(is_there);
        let each = |whose: &String| -> Vec<_> {
            let one = |how: &String| (index.clone(), format!("{whose}{how}{bounds}"));
            standing.iter().map(one).collect()
        };
        whose.iter().flat_map(each).collect()
    }

    /// Conditions for how a run stands, one for each stretch.
    fn standing(&self, by_kind: bool) -> Vec<String> {
        let wanted = &self.ask.kinds;
        let is_all = wanted.is_empty();
        let outcome = if self.has("outcome") { "outcome" } else { "''" };
        let by_row = || {
            let codes: Vec<String> = wanted.iter().map(|kind| kind.code().to_string()).collect();
            let mut kind = RunKind::sql(outcome, HAS_ENDED);
            if self.has(KIND) && !by_kind {
                kind = format!("COALESCE(NULLIF({KIND}, 0), {kind})");
            }
            format!("({kind}) IN ({})", codes.join(", "))
        };
        if !by_kind {
            return vec![if is_all { String::new() } else { format!(" AND {}", by_row()) }];
        }
        let of = |kind: RunKind| match kind {
            RunKind::Unfilled if is_all => Some(format!(" AND {KIND} = 0")),
            RunKind::Unfilled => Some(format!(" AND {KIND} = 0 AND {}", by_row())),
            // The column is filled when a run ends.
            RunKind::Running => None,
            kind if is_all || wanted.contains(&kind) => {
                Some(format!(" AND {KIND} = {}", kind.code()))
            }
            _ => None,
        };
        RunKind::ALL.into_iter().filter_map(of).collect()
    }

    /// The columns of a run, in the order in which [`Work::record`] takes them.
    fn selected(&self, table: &str) -> String {
        let required = RUN_COLUMNS.iter().chain(&["end_time"]).map(|name| format!("{table}{name}"));
        let optional = OPTIONAL_RUN_COLUMNS.iter().map(|name| match self.has(name) {
            true => format!("{table}{name}"),
            false => "''".to_owned(),
        });
        required.chain(optional).collect::<Vec<_>>().join(", ")
    }

    fn record(&self, row: Vec<Cell>) -> RunRecord {
        let mut record = RunRecord::default();
        let names = RUN_COLUMNS.iter().chain(&["end_time"]);
        for (name, cell) in names.chain(&OPTIONAL_RUN_COLUMNS).zip(row) {
            put(&mut record, name, text_of(cell));
        }
        // As it is told while a run is alive.
        if *record.end_time <= *"1970-01-02 00:00:00" {
            record.end_time.clear();
        }
        if record.kind == RunKind::Unfilled {
            record.kind = RunKind::of_row(&record.outcome, !record.end_time.is_empty());
        }
        record
    }

    /// Sends what was skipped in the time between two places.
    fn skips(
        &mut self,
        below: Option<&Place>,
        down_to: Option<&Place>,
        answers: &mut Answers,
    ) -> Result<(), Failure> {
        if self.reader.columns("scheduler_skips")?.is_empty() {
            return Ok(());
        }
        let local = |at: &str| at.replace(' ', "T");
        let ask = self.ask;
        let mut rule = format!("server_id = {}", ask.server_id);
        let earlier = [below.map(|it| &it.at), Some(&ask.until).filter(|it| !it.is_empty())];
        for at in earlier.into_iter().flatten() {
            rule += &format!(" AND first_slot < '{}'", local(at));
        }
        if let Some(down_to) = down_to {
            rule += &format!(" AND first_slot >= '{}'", local(&down_to.at));
        }
        if let Some(day) = ask.since.get(..10) {
            // The index is by the first slot.
            let first = days_before(day, SKIP_DAYS);
            let since = local(&ask.since);
            rule += &format!(" AND first_slot >= '{first}' AND last_slot >= '{since}'");
        }
        if let Some(jobs) = &ask.jobs {
            let jobs: Vec<String> = jobs.iter().map(u32::to_string).collect();
            rule += &format!(
                " AND job_id IN ({})",
                if jobs.is_empty() { "NULL".into() } else { jobs.join(", ") }
            );
        }
        let sql = format!(
            "SELECT job_id, reason, first_slot, last_slot, skipped FROM scheduler_skips \
             WHERE {rule} ORDER BY first_slot DESC LIMIT {MAX_SKIPS}"
        );
        for row in self.reader.rows(&sql)? {
            let Ok(cells) = <[Cell; 5]>::try_from(row) else { continue };
            let [job_id, reason, first_slot, last_slot, count] = cells.map(text_of);
            let (job_id, count) = (job_id.parse().unwrap_or(0), count.parse().unwrap_or(0));
            let server_id = ask.server_id;
            let skip = SkipRecord { job_id, server_id, reason, first_slot, last_slot, count };
            self.send(answers, Answer::Skipped(Box::new(skip)))?;
        }
        Ok(())
    }
}

/// Puts the value of a column where it belongs.
fn put(record: &mut RunRecord, column: &str, text: String) {
    fn number<N: std::str::FromStr + Default>(text: &str) -> N {
        text.parse().unwrap_or_default()
    }
    match column {
        "uniq_id" => record.uniq_id = text,
        "command_id" => record.job_id = number(&text),
        "server_id" => record.server_id = number(&text),
        "command" => record.command = text,
        "running_time" => record.running_time_s = number(&text),
        "start_time" => record.start_time = text,
        "end_time" => record.end_time = text,
        "pid" => record.pid = number(&text),
        "concurrent" => record.concurrent = number(&text),
        "slot" => record.slot = text,
        "cause" => record.cause = text,
        "outcome" => record.outcome = text,
        "duration_ms" => record.duration_ms = number(&text),
        "user_ms" => record.user_ms = number(&text),
        "system_ms" => record.system_ms = number(&text),
        "max_rss_bytes" => record.max_rss_bytes = number(&text),
        "attempt" => record.attempt = number(&text),
        "who" => record.who = text,
        "stopped_by" => record.stopped_by = text,
        "note" => record.note = text,
        "parameters" => record.parameters = text,
        "last_line" => record.last_line = text,
        KIND if text.is_empty() => {}
        KIND => record.kind = RunKind::of_code(&text),
        _ => {}
    }
}

fn has_words(command: &str, words: &[String]) -> bool {
    words.is_empty() || {
        let command = command.to_lowercase();
        words.iter().all(|word| command.contains(word))
    }
}

pub(super) fn text_of(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => text,
        Cell::Null | Cell::NotText | Cell::TooLong => String::new(),
    }
}
