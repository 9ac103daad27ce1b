//! Counts past days of a group, the newest first: see the module above.

use super::super::Failure;
use super::super::answers::Answers;
use super::super::mysql::{Kept, Session as Server};
use super::super::reader::Reader;
use super::super::records::{KIND, OF_GROUP, STATISTICS_COLUMNS};
use super::super::schema::STATISTICS;
use super::super::sqlite::Session as Embedded;
use super::runs::{Runs, Whose, text};
use super::{GROUP, counted, day_after, days_before, has_table, is_day, mark};
use crate::core::cells::Cell;
use crate::core::database::{Database, Driver, ErrorKind};
use crate::core::protocol::{Answer, Rolled, Uncounted};
use crate::core::run_kind::RunKind;
use crate::core::statistics::Tally;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Days with runs that are kept of each job.
const KEPT_DAYS: u32 = 400;

/// No further day is begun after this.
const BUDGET: Duration = Duration::from_secs(2);

/// Rows of a statement.
const ROWS_A_STATEMENT: usize = 200;

/// Answers an [`Ask::RollUp`](crate::core::protocol::Ask::RollUp).
pub fn roll_up(
    kept: &mut Kept,
    database: &Database,
    (server_id, today, afresh): (u32, &str, bool),
    answers: &mut Answers,
) -> Result<(), Failure> {
    if !is_day(today) {
        return Err(Failure::new(ErrorKind::Other, "the question has no day in its place"));
    }
    let driver = database.driver();
    let rolled = match database {
        Database::Mysql(it) => {
            let (mut session, _) = Server::open_kept(kept, it, "DO 0")?;
            let rolled =
                Work { reader: &mut session, driver, server_id, today }.roll(afresh, answers)?;
            kept.keep(session);
            rolled
        }
        Database::Sqlite(it) => {
            let mut session = Embedded::open(it, false)?;
            Work { reader: &mut session, driver, server_id, today }.roll(afresh, answers)?
        }
    };
    answers.send(&Answer::Rolled(rolled))
}

struct Work<'a, R: Reader> {
    reader: &'a mut R,
    driver: Driver,
    server_id: u32,
    today: &'a str,
}

impl<R: Reader> Work<'_, R> {
    fn roll(&mut self, afresh: bool, answers: &mut Answers) -> Result<Rolled, Failure> {
        if !has_table(self.reader)? {
            return Ok(Rolled { uncounted: Some(Uncounted::NoTable), ..Rolled::default() });
        }
        let runs = Runs::new(self.reader, Whose::Group(self.server_id))?;
        if !runs.indexed {
            return Ok(Rolled { uncounted: Some(Uncounted::NoIndex), ..Rolled::default() });
        }
        if afresh {
            let (group, recent) = (self.of_group(), days_before(self.today, 1));
            self.reader.rows(&format!(
                "UPDATE {STATISTICS} SET changed = changed + 1 WHERE {group} AND day >= '{recent}'"
            ))?;
        }
        let begin = Instant::now();
        let mut days = 0;
        for day in self.open_days()? {
            if days > 0 && begin.elapsed() > BUDGET {
                return Ok(Rolled { days, more: true, uncounted: None });
            }
            self.count(&runs, &day, answers)?;
            days += 1;
        }
        self.forget()?;
        Ok(Rolled { days, more: false, uncounted: None })
    }

    /// The rows that stand for days of the group.
    fn of_group(&self) -> String {
        format!("server_id = {} AND job_id = {GROUP}", self.server_id)
    }

    /// Days that are over, and not counted, the newest first.
    fn open_days(&mut self) -> Result<Vec<String>, Failure> {
        let Some(oldest) = self.oldest()? else { return Ok(Vec::new()) };
        let first = days_before(self.today, KEPT_DAYS).max(oldest);
        let counted = counted(self.reader, self.server_id, &first)?;
        let mut day = days_before(self.today, 1);
        let mut open = Vec::new();
        while day >= first {
            if !counted.contains(&day) {
                open.push(day.clone());
            }
            day = days_before(&day, 1);
        }
        Ok(open)
    }

    /// The day of the first run.
    fn oldest(&mut self) -> Result<Option<String>, Failure> {
        let index = self.reader.by_index(OF_GROUP);
        let mut oldest: Option<String> = None;
        for kind in RunKind::ALL {
            // What never began, or nobody knows when, has a time of long ago.
            let rows = self.reader.rows(&format!(
                "SELECT start_time FROM scheduler_logs{index} WHERE server_id = {} AND {KIND} = {} \
                 AND start_time > '1971-01-01 00:00:00' ORDER BY start_time LIMIT 1",
                self.server_id,
                kind.code()
            ))?;
            let found = rows.into_iter().flatten().next().map(text);
            let day = found.and_then(|at| at.get(..10).map(str::to_owned));
            oldest = [oldest, day.filter(|day| is_day(day))].into_iter().flatten().min();
        }
        Ok(oldest)
    }

    /// Counts a day.
    fn count(&mut self, runs: &Runs, day: &str, answers: &mut Answers) -> Result<(), Failure> {
        // Who writes of the day now holds its row until that is to be seen.
        let begun = mark(self.driver, [(self.server_id, day)]);
        self.reader.rows(&begun.unwrap_or_default())?;
        let changed = self.number("changed", day)?;
        let mut jobs: BTreeMap<u32, Tally> = BTreeMap::new();
        let span = (format!("{day} 00:00:00"), format!("{} 00:00:00", day_after(day)));
        runs.each(self.reader, &span, &mut || answers.works(), &mut |run| {
            jobs.entry(run.job).or_default().count(run.ended);
        })?;
        jobs.remove(&GROUP);
        self.reader.rows(match self.driver {
            Driver::Mysql => "START TRANSACTION",
            Driver::Sqlite => "BEGIN IMMEDIATE",
        })?;
        let written = self.write(day, changed, &jobs);
        let end = if written.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.reader.rows(end).map(drop);
        written.and(ended)
    }

    fn number(&mut self, column: &str, day: &str) -> Result<u64, Failure> {
        let group = self.of_group();
        let rows = self
            .reader
            .rows(&format!("SELECT {column} FROM {STATISTICS} WHERE {group} AND day = '{day}'"))?;
        let found = rows.into_iter().flatten().next().map(text);
        Ok(found.and_then(|text| text.parse().ok()).unwrap_or(0))
    }

    /// Puts what a day came to in the place of what was there.
    fn write(
        &mut self,
        day: &str,
        changed: u64,
        jobs: &BTreeMap<u32, Tally>,
    ) -> Result<(), Failure> {
        let group = self.of_group();
        let mut sum = Tally::default();
        jobs.values().for_each(|tally| sum.add(tally));
        let mut sets = format!("changed = changed - {changed}");
        // Where runs of the day were deleted meanwhile, what was counted before stays.
        let is_whole = sum.runs >= self.number("runs", day)?;
        if is_whole {
            let Tally { runs, ok, failed, stopped, took, cpu, memory } = &sum;
            sets += &format!(
                ", runs = {runs}, ok = {ok}, failed = {failed}, stopped = {stopped}, \
                 took = '{took}', cpu = '{cpu}', memory = '{memory}'"
            );
        }
        // This row first, as writers lock it. Of two that count the day at a time the second one
        // has it counted once more.
        self.reader.rows(&format!(
            "UPDATE {STATISTICS} SET {sets} WHERE {group} AND day = '{day}' \
             AND changed >= {changed}"
        ))?;
        if is_whole { self.replace(day, jobs) } else { Ok(()) }
    }

    fn replace(&mut self, day: &str, jobs: &BTreeMap<u32, Tally>) -> Result<(), Failure> {
        let server_id = self.server_id;
        self.reader.rows(&format!(
            "DELETE FROM {STATISTICS} WHERE server_id = {server_id} AND day = '{day}' \
             AND job_id > {GROUP}"
        ))?;
        let rows: Vec<String> =
            jobs.iter().map(|(job, tally)| row(server_id, day, *job, tally)).collect();
        for rows in rows.chunks(ROWS_A_STATEMENT) {
            let (columns, rows) = (STATISTICS_COLUMNS.join(", "), rows.join(", "));
            self.reader.rows(&format!("INSERT INTO {STATISTICS} ({columns}) VALUES {rows}"))?;
        }
        Ok(())
    }

    /// Deletes what is older than so many days on which there were runs: no clock decides that.
    fn forget(&mut self) -> Result<(), Failure> {
        let group = self.of_group();
        let last = self.reader.rows(&format!(
            "SELECT day FROM {STATISTICS} WHERE {group} AND runs > 0 ORDER BY day DESC \
             LIMIT 1 OFFSET {KEPT_DAYS}"
        ))?;
        let last: Option<Cell> = last.into_iter().flatten().next();
        let Some(day) = last.map(text).filter(|day| is_day(day)) else { return Ok(()) };
        let of_day = format!("server_id = {} AND day <= '{day}'", self.server_id);
        self.reader.rows(&format!("DELETE FROM {STATISTICS} WHERE {of_day}")).map(drop)
    }
}

/// What a row has for [`STATISTICS_COLUMNS`].
fn row(server_id: u32, day: &str, job: u32, tally: &Tally) -> String {
    let Tally { runs, ok, failed, stopped, took, cpu, memory } = tally;
    format!(
        "({server_id}, '{day}', {job}, 0, {runs}, {ok}, {failed}, {stopped}, '{took}', '{cpu}', \
         '{memory}')"
    )
}
