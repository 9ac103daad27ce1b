//! A picture of the past: how many runs of each lane were started in each bin, how they ended, and
//! which slots were skipped.
//!
//! It is looked at from the newest on, a part of the time after the other, for a while: where runs
//! are very many the picture may begin later than it was asked for, and says so.

use super::Failure;
use super::answers::Answers;
use super::mysql::{Kept, Session as Server};
use super::reader::Reader;
use super::sqlite::Session as Embedded;
use super::statistics::runs::{self, Run, Runs, Whose};
use crate::core::cells::Cell as Value;
use crate::core::cron::Zone;
use crate::core::database::Database;
use crate::core::ids::RunId;
use crate::core::protocol::{Answer, LaneTold, TimelineAsk, TimelineEnd};
use crate::core::time::{datetime, instant, instant_of, offset_s};
use crate::core::timeline::{Lane, skip};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// So long it is looked at runs.
const BUDGET: Duration = Duration::from_millis(2_500);

/// Parts of the time that are looked at one after the other.
const PARTS: usize = 25;

/// Jobs that are looked up one by one; beyond, those of the group are looked through.
const MAX_JOBS: usize = 8;

/// By so much local times may be in another order than instants, ms.
const FOLD_MS: i64 = 7_200_000;

/// Answers an [`Ask::Timeline`](crate::core::protocol::Ask::Timeline).
pub(super) fn read(
    kept: &mut Kept,
    database: &Database,
    (ask, zone): (&TimelineAsk, &Zone),
    answers: &mut Answers,
) -> Result<(), Failure> {
    let begin =
        |zone| Look { ask, zone, jobs: ask.jobs.iter().copied().collect(), lanes: BTreeMap::new() };
    match database {
        Database::Mysql(it) => {
            let (mut session, _) = Server::open_kept(kept, it, "DO 0")?;
            begin(zone).answer(&mut session, answers)?;
            kept.keep(session);
            Ok(())
        }
        Database::Sqlite(it) => {
            let mut session = Embedded::open(it, false)?;
            begin(zone).answer(&mut session, answers)
        }
    }
}

struct Look<'a> {
    ask: &'a TimelineAsk,
    zone: &'a Zone,
    jobs: BTreeMap<u32, usize>,
    lanes: BTreeMap<usize, Lane>,
}

impl Look<'_> {
    fn answer(mut self, reader: &mut impl Reader, answers: &mut Answers) -> Result<(), Failure> {
        let from_ms = self.runs(reader, answers)?;
        self.skips(reader, from_ms.unwrap_or(self.ask.bins.from_ms))?;
        let mut lanes = 0;
        for (lane, cells) in self.lanes {
            let cells = cells.into_iter().collect();
            answers.send(&Answer::Lane(LaneTold { lane, cells }))?;
            lanes += 1;
        }
        answers.send(&Answer::Timeline(TimelineEnd { lanes, from_ms }))
    }

    /// Counts runs, the newest part of the time first. Returns from where on all were counted, if
    /// not from the beginning.
    fn runs(
        &mut self,
        reader: &mut impl Reader,
        answers: &mut Answers,
    ) -> Result<Option<i64>, Failure> {
        let TimelineAsk { server_id, bins, until_ms, known, .. } = self.ask;
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let begin = Instant::now();
        let of: Vec<Runs> = match self.jobs.len() {
            0 => return Ok(None),
            count if count <= MAX_JOBS => {
                let of = |job: &u32| Runs::new(reader, Whose::Job(*server_id, *job));
                self.jobs.keys().map(of).collect::<Result<_, _>>()?
            }
            _ => vec![Runs::new(reader, Whose::Group(*server_id))?],
        };
        let part = bins.count().div_ceil(PARTS).max(1) as i64 * bins.bin_ms;
        let mut to_ms = (*until_ms).min(bins.to_ms);
        while to_ms > bins.from_ms {
            let from_ms = (to_ms - part).max(bins.from_ms);
            let span = self.span(from_ms, to_ms);
            for runs in &of {
                let mut take = |run: Run| {
                    if !known.contains(run.id.as_str()) {
                        self.count(&run, (from_ms, to_ms));
                    }
                };
                runs.each(reader, &span, &mut || answers.works(), &mut take)?;
            }
            to_ms = from_ms;
            if begin.elapsed() > BUDGET && to_ms > bins.from_ms {
                return Ok(Some(to_ms));
            }
        }
        Ok(None)
    }

    /// A stretch of time as it is recorded. Where a clock is put back nearby it is a longer one.
    fn span(&self, from_ms: i64, to_ms: i64) -> (String, String) {
        let offsets = [from_ms - FOLD_MS, to_ms + FOLD_MS].map(|ms| offset_s(ms, self.zone));
        let slack_ms = if offsets[0] == offsets[1] { 0 } else { FOLD_MS };
        // What begins within a second is recorded with that second.
        let until_ms = to_ms + slack_ms + 999;
        (datetime(from_ms - slack_ms, self.zone), datetime(until_ms, self.zone))
    }

    fn count(&mut self, run: &Run, (from_ms, to_ms): (i64, i64)) {
        let Some(lane) = self.jobs.get(&run.job) else { return };
        // Of an hour that comes twice the id tells which one it was.
        let id: Option<RunId> = run.id.parse().ok();
        let near_s = id.and_then(|id| i64::try_from(id.unix_seconds()).ok());
        let Some(at_ms) = instant_of(&run.at, self.zone, near_s) else { return };
        let Some(bin) = self.ask.bins.of(at_ms).filter(|_| at_ms >= from_ms && at_ms < to_ms)
        else {
            return;
        };
        let cell = self.lanes.entry(*lane).or_default().entry(bin).or_default();
        cell.count(run.ended.kind, run.ended.took_ms);
    }

    fn skips(&mut self, reader: &mut impl Reader, from_ms: i64) -> Result<(), Failure> {
        if reader.columns("scheduler_skips")?.is_empty() {
            return Ok(());
        }
        let TimelineAsk { server_id, bins, .. } = self.ask;
        let local = |ms: i64| datetime(ms, self.zone).replace(' ', "T");
        let (from, to) = (local(from_ms - FOLD_MS), local(bins.to_ms + FOLD_MS));
        let jobs = match self.jobs.len() {
            0 => return Ok(()),
            count if count <= MAX_JOBS => {
                let jobs: Vec<String> = self.jobs.keys().map(u32::to_string).collect();
                format!(" AND job_id IN ({})", jobs.join(", "))
            }
            _ => String::new(),
        };
        let rows = reader.rows(&format!(
            "SELECT job_id, first_slot, last_slot, skipped FROM scheduler_skips \
             WHERE server_id = {server_id}{jobs} AND first_slot < '{to}' AND last_slot >= '{from}'"
        ))?;
        for row in rows {
            let Ok(cells) = <[Value; 4]>::try_from(row) else { continue };
            let [job, first, last, count] = cells.map(runs::text);
            let lane = job.parse().ok().and_then(|job: u32| self.jobs.get(&job));
            if let (Some(lane), Ok(first), Ok(last)) = (lane, instant(&first), instant(&last)) {
                let lane = self.lanes.entry(*lane).or_default();
                skip(lane, *bins, (first, last), count.parse().unwrap_or(0));
            }
        }
        Ok(())
    }
}
