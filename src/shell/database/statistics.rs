//! What runs came to, whichever database it is: told of a job, and written down of past days.
//!
//! The table `scheduler_statistics` has a row for each day and job, made of the runs that were
//! started on that day. It is made of the rows of `scheduler_logs`, a whole day at a time, and put
//! in the place of what was there: so nothing is ever counted twice, whatever is killed when, and a
//! day can be counted once more at any time.
//!
//! Which day is to be is known by the row of job 0. Each transaction that writes ends of runs
//! counts its `changed` up ([`mark`]), as its last statement; who counts the day reads it before
//! it reads the runs, and takes off in the end what it has read. A transaction that it did not see
//! whole has counted it up later, or has locked the row, so that the day is counted once more. A
//! day without such a row was not counted yet.
//!
//! What is asked for is made of the days that are counted, and for the rest of the runs themselves:
//! so it is right at any time, and takes longer where much is not counted.
//!
//! - `runs`: reads runs, a page at a time
//! - `roll_up`: counts days

mod roll_up;
pub(super) mod runs;

use super::Failure;
use super::answers::Answers;
use super::mysql::{Kept, Session as Server};
use super::reader::Reader;
use super::records::STATISTICS_COLUMNS;
use super::schema::STATISTICS;
use super::sqlite::Session as Embedded;
use crate::core::cells::Cell;
use crate::core::database::{Database, Driver, ErrorKind};
use crate::core::protocol::{Answer, DayTold, Statistics, StatisticsAsk, Uncounted};
use crate::core::statistics::{Measure, Tally, WINDOWS, day_after, days_before};
pub(super) use roll_up::roll_up;
use runs::{Runs, Whose};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The row of this job stands for the day of the group.
const GROUP: u32 = 0;

/// So long runs are looked at for an answer.
const BUDGET: Duration = Duration::from_millis(2_500);

/// What says in a transaction that ends of runs of these days were written.
pub(super) fn mark<'a>(
    driver: Driver,
    days: impl IntoIterator<Item = (u32, &'a str)>,
) -> Option<String> {
    let row = |(server_id, day)| format!("({server_id}, '{day}', {GROUP}, 1)");
    let rows: Vec<String> = days.into_iter().filter(|(_, day)| is_day(day)).map(row).collect();
    let otherwise = match driver {
        Driver::Mysql => "ON DUPLICATE KEY UPDATE",
        Driver::Sqlite => "ON CONFLICT (server_id, day, job_id) DO UPDATE SET",
    };
    (!rows.is_empty()).then(|| {
        let rows = rows.join(", ");
        format!(
            "INSERT INTO {STATISTICS} (server_id, day, job_id, changed) VALUES {rows} \
             {otherwise} changed = changed + 1"
        )
    })
}

/// Whether what goes wrong with a mark is to be told nobody: records are worth more than
/// statistics, and are written without it.
pub(super) fn does_without(failure: &Failure) -> bool {
    match failure.kind {
        ErrorKind::Refused
        | ErrorKind::Unsure
        | ErrorKind::Rights
        | ErrorKind::NoTable
        | ErrorKind::NoColumn => true,
        ErrorKind::Connect
        | ErrorKind::Auth
        | ErrorKind::Full
        | ErrorKind::NoDatabase
        | ErrorKind::Other => false,
    }
}

/// Whether a text that goes into a statement is a day, `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Answers an [`Ask::Statistics`](crate::core::protocol::Ask::Statistics).
pub(super) fn read(
    kept: &mut Kept,
    database: &Database,
    ask: &StatisticsAsk,
    answers: &mut Answers,
) -> Result<(), Failure> {
    if !is_day(&ask.today) || !runs::is_time(&ask.since) {
        return Err(Failure::new(
            ErrorKind::Other,
            "the question has no day, or no time, in place",
        ));
    }
    let found = match database {
        Database::Mysql(it) => {
            let (mut session, _) = Server::open_kept(kept, it, "DO 0")?;
            let found = Work { reader: &mut session, ask }.found(answers)?;
            kept.keep(session);
            found
        }
        Database::Sqlite(it) => {
            let mut session = Embedded::open(it, false)?;
            Work { reader: &mut session, ask }.found(answers)?
        }
    };
    answers.send(&Answer::Statistics(Box::new(found)))
}

struct Work<'a, R: Reader> {
    reader: &'a mut R,
    ask: &'a StatisticsAsk,
}

impl<R: Reader> Work<'_, R> {
    fn found(&mut self, answers: &mut Answers) -> Result<Statistics, Failure> {
        let first = days_before(&self.ask.today, WINDOWS[WINDOWS.len() - 1].days);
        let table = has_table(self.reader)?;
        let (counted, mut days) = match table {
            true => (counted(self.reader, self.ask.server_id, &first)?, self.rolled(&first)?),
            false => (BTreeSet::new(), BTreeMap::new()),
        };
        let mut of_day = Tally::default();
        let from = self.look(&first, &counted, &mut days, &mut of_day, answers)?;
        let skips = self.skips(&first)?;
        Ok(self.told(&first, &days, &of_day, &skips, (from, table)))
    }

    /// What was written down of the job, by day.
    fn rolled(&mut self, first: &str) -> Result<BTreeMap<String, Tally>, Failure> {
        let StatisticsAsk { server_id, job, .. } = self.ask;
        let rows = self.reader.rows(&format!(
            "SELECT day, runs, ok, failed, stopped, took, cpu, memory FROM {STATISTICS} \
             WHERE server_id = {server_id} AND job_id = {job} AND day >= '{first}'"
        ))?;
        Ok(rows.into_iter().filter_map(read_row).collect())
    }

    /// Counts the runs of days that are not counted, the newest first, into `days`; those of the
    /// last 24 hours into `of_day`. Returns the day down to which it came; none: to the first.
    fn look(
        &mut self,
        first: &str,
        counted: &BTreeSet<String>,
        days: &mut BTreeMap<String, Tally>,
        of_day: &mut Tally,
        answers: &mut Answers,
    ) -> Result<Option<String>, Failure> {
        let StatisticsAsk { server_id, job, today, since } = self.ask;
        let begin = Instant::now();
        let runs = Runs::new(self.reader, Whose::Job(*server_id, *job))?;
        let (mut day, mut from) = (today.clone(), None);
        while *day >= *first {
            let is_counted = counted.contains(&day);
            let next = days_before(&day, 1);
            if begin.elapsed() > BUDGET && !is_counted {
                from.get_or_insert_with(|| day_after(&day));
            } else if since[..10] <= *day || !is_counted {
                let mut found = Tally::default();
                let midnight = format!("{day} 00:00:00");
                let begins = if is_counted { midnight.max(since.clone()) } else { midnight };
                let span = (begins, format!("{} 00:00:00", day_after(&day)));
                runs.each(self.reader, &span, &mut || answers.works(), &mut |run| {
                    found.count(run.ended);
                    if run.at >= *since {
                        of_day.count(run.ended);
                    }
                })?;
                // Of a day that was written down some runs may be deleted by now.
                let before = days.get(&day).map_or(0, |tally| tally.runs);
                if !is_counted && found.runs >= before {
                    days.insert(day.clone(), found);
                }
            }
            if next == day {
                break;
            }
            day = next;
        }
        Ok(from)
    }

    /// Slots that were skipped: the local time of the first of each stretch, and how many.
    fn skips(&mut self, first: &str) -> Result<Vec<(String, u64)>, Failure> {
        if self.reader.columns("scheduler_skips")?.is_empty() {
            return Ok(Vec::new());
        }
        let StatisticsAsk { server_id, job, .. } = self.ask;
        let rows = self.reader.rows(&format!(
            "SELECT first_slot, skipped FROM scheduler_skips WHERE server_id = {server_id} \
             AND job_id = {job} AND first_slot >= '{first}'"
        ))?;
        let skips = rows.into_iter().filter_map(|row| {
            let [at, count] = <[Cell; 2]>::try_from(row).ok()?.map(runs::text);
            Some((at.get(..19)?.replace('T', " "), count.parse().ok()?))
        });
        Ok(skips.collect())
    }

    fn told(
        &self,
        first: &str,
        days: &BTreeMap<String, Tally>,
        of_day: &Tally,
        skips: &[(String, u64)],
        (from, table): (Option<String>, bool),
    ) -> Statistics {
        let ask = self.ask;
        let skipped = |is_in: &dyn Fn(&str) -> bool| -> u64 {
            skips.iter().filter(|(at, _)| is_in(at)).map(|(_, count)| count).sum()
        };
        let windows = WINDOWS.into_iter().map(|window| {
            if window.days == 1 {
                return of_day.told(skipped(&|at| *at >= *ask.since));
            }
            let begin = days_before(&ask.today, window.days);
            let mut sum = Tally::default();
            days.range(begin.clone()..).for_each(|(_, tally)| sum.add(tally));
            sum.told(skipped(&|at| *at >= *begin))
        });
        let windows = windows.collect();
        let mut told = Vec::new();
        let mut day = ask.today.clone();
        while *day >= *first {
            let skipped = skipped(&|at| at.starts_with(&*day));
            let one = days.get(&day).map(|tally| tally.told(skipped));
            let one = one.unwrap_or_else(|| Tally::default().told(skipped));
            if one.runs > 0 || one.skipped > 0 {
                told.push(DayTold { day: day.clone(), told: one });
            }
            let before = days_before(&day, 1);
            if before == day {
                break;
            }
            day = before;
        }
        let why = if table { Uncounted::NotYet } else { Uncounted::NoTable };
        let uncounted = from.is_some().then_some(why);
        Statistics { windows, days: told, from: from.unwrap_or_default(), uncounted }
    }
}

/// Whether the table is there, with all of its columns.
fn has_table(reader: &mut impl Reader) -> Result<bool, Failure> {
    let there = reader.columns(STATISTICS)?;
    let is_there = |column: &&str| there.iter().any(|name| name.eq_ignore_ascii_case(column));
    Ok(STATISTICS_COLUMNS.iter().all(is_there))
}

/// The days of a group from this one on that are counted.
fn counted(
    reader: &mut impl Reader,
    server_id: u32,
    first: &str,
) -> Result<BTreeSet<String>, Failure> {
    let rows = reader.rows(&format!(
        "SELECT day FROM {STATISTICS} WHERE server_id = {server_id} AND job_id = {GROUP} \
         AND day >= '{first}' AND changed = 0"
    ))?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).map(runs::text).collect())
}

/// The day and the tally of a row, as [`Work::rolled`] selects them.
fn read_row(row: Vec<Cell>) -> Option<(String, Tally)> {
    let [day, runs, ok, failed, stopped, took, cpu, memory] =
        <[Cell; 8]>::try_from(row).ok()?.map(runs::text);
    let number = |text: String| text.parse().unwrap_or(0);
    let tally = Tally {
        runs: number(runs),
        ok: number(ok),
        failed: number(failed),
        stopped: number(stopped),
        took: Measure::read(&took),
        cpu: Measure::read(&cpu),
        memory: Measure::read(&memory),
    };
    Some((day, tally))
}
