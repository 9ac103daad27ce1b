//! What the daemon knows itself of runs: those that are alive, and the last ones of each job.

use super::wanted::Wanted;
use crate::core::cron::Zone;
use crate::core::history::PastRun;
use crate::core::ids::{JobId, RunId};
use crate::core::limits::RECORDED_COMMAND_CHARS;
use crate::core::protocol::Place;
use crate::core::run_kind::RunKind;
use crate::core::scheduler::{Run, Scheduler};
use crate::core::table::Job;
use crate::core::time::{datetime, instant_of, offset_s};
use crate::core::web::sources::job_of_run;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// By so much the order of local times may be another than that of instants, ms.
const FOLD_MS: i64 = 7_200_000;

/// A run that the daemon knows.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// It has not ended.
    Live(&'a Run),
    /// It has.
    Past(&'a PastRun),
}

impl Known<'_> {
    fn id(&self) -> RunId {
        match self {
            Known::Live(run) => run.id,
            Known::Past(run) => run.run,
        }
    }

    pub fn started_ms(&self) -> i64 {
        match self {
            Known::Live(run) => run.at_ms,
            Known::Past(run) => run.started_ms,
        }
    }

    fn kind(&self) -> RunKind {
        match self {
            Known::Live(_) => RunKind::Running,
            Known::Past(run) => run.outcome.kind(run.stopped).into(),
        }
    }

    pub fn place(&self, scheduler: &Scheduler) -> Place {
        let at = datetime(self.started_ms(), &scheduler.settings().zone);
        Place { at, run: self.id().to_string() }
    }

    /// Whether it is among those that are wanted, wherever it stands.
    pub fn is_wanted(&self, job: &Job, wanted: &Wanted) -> bool {
        // The database has whole seconds.
        let at_s = self.started_ms().div_euclid(1_000);
        let command = job.def.command.char_indices().nth(RECORDED_COMMAND_CHARS);
        let command = &job.def.command[..command.map_or(job.def.command.len(), |(at, _)| at)];
        wanted.takes_job(job.def.id)
            && wanted.takes_kind(self.kind())
            && wanted.since_ms.is_none_or(|since| at_s >= since.div_euclid(1_000))
            && wanted.until_ms.is_none_or(|until| at_s < until.div_euclid(1_000))
            && wanted.takes_command(command)
    }
}

/// A run of this job.
pub fn run_of(scheduler: &Scheduler, job: JobId, run: RunId) -> Option<Known<'_>> {
    if let Some(live) = scheduler.runs().get(&run) {
        return Some(Known::Live(live));
    }
    let past = scheduler.table().get(job)?.history.as_ref()?;
    past.runs.iter().find(|past| past.run == run).map(Known::Past)
}

/// Where a run stands, as far as the daemon knows.
pub fn place_of(scheduler: &Scheduler, run: &str) -> Option<Place> {
    let id = run.parse().ok()?;
    let known = run_of(scheduler, job_of_run(scheduler, id)?, id)?;
    Some(known.place(scheduler))
}

/// Where a run would stand that nobody knows any more: its id has the second of its launch.
pub fn place_by_id(scheduler: &Scheduler, run: &str) -> Option<Place> {
    let id: RunId = run.parse().ok()?;
    let at_ms = i64::try_from(id.unix_seconds()).ok()?.checked_mul(1_000)?;
    Some(Place { at: datetime(at_ms, &scheduler.settings().zone), run: run.to_owned() })
}

/// The runs of a job.
fn runs_of<'a>(scheduler: &'a Scheduler, job: &'a Job) -> impl Iterator<Item = Known<'a>> {
    let live = job.live.iter().filter_map(|run| scheduler.runs().get(run)).map(Known::Live);
    let past = job.history.iter().flat_map(|past| past.runs.iter().rev()).map(Known::Past);
    live.chain(past)
}

/// The newest of the runs that are wanted, from this place on, so many at the most.
pub fn newest<'a>(
    scheduler: &'a Scheduler,
    wanted: &Wanted,
    below: Option<&Place>,
    most: usize,
) -> Vec<(Place, &'a Job, Known<'a>)> {
    let zone = &scheduler.settings().zone;
    let below_ms = below.and_then(|below| instant_of(&below.at, zone, None));
    let is_below = |known: &Known<'_>| match (below, below_ms) {
        (None, _) => true,
        (Some(below), Some(below_ms)) if (known.started_ms() - below_ms).abs() <= FOLD_MS => {
            known.place(scheduler) < *below
        }
        (Some(_), Some(below_ms)) => known.started_ms() < below_ms,
        (Some(below), None) => known.place(scheduler) < *below,
    };
    let table = scheduler.table();
    let (one, all) = match wanted.job {
        Some(job) => (table.get(job), None),
        None => (None, Some(table.iter().chain(table.disabled()))),
    };
    let mut newest = Newest { zone, most, heap: BinaryHeap::new(), slack_ms: FOLD_MS };
    for job in one.into_iter().chain(all.into_iter().flatten()) {
        if !wanted.takes_job(job.def.id) {
            continue;
        }
        for known in runs_of(scheduler, job) {
            // Not the end of it: after the clock was set back ends are in no order.
            if newest.is_before_all(known.started_ms()) {
                continue;
            }
            if is_below(&known) && known.is_wanted(job, wanted) {
                newest.add(known, job.def.id);
            }
        }
    }
    let found = newest.heap.into_iter().filter_map(|Reverse(key)| {
        let known = run_of(scheduler, key.job, key.run)?;
        Some((known.place(scheduler), table.get(key.job)?, known))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|one, other| other.0.cmp(&one.0));
    found
}

/// A run by its place in the order: local time to the second, and the id as text.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    local_s: i64,
    text: String,
    started_ms: i64,
    run: RunId,
    job: JobId,
}

/// The newest runs of very many: the oldest of them is on top. Of nearly all others it is seen at
/// once that they are older.
struct Newest<'a> {
    zone: &'a Zone,
    most: usize,
    heap: BinaryHeap<Reverse<Key>>,
    /// What is older than the one on top by more than this is behind it.
    slack_ms: i64,
}

impl Newest<'_> {
    fn is_before_all(&self, started_ms: i64) -> bool {
        let oldest = self.heap.peek().filter(|_| self.heap.len() == self.most);
        oldest.is_some_and(|Reverse(oldest)| started_ms + self.slack_ms < oldest.started_ms)
    }

    fn add(&mut self, known: Known<'_>, job: JobId) {
        let (started_ms, run) = (known.started_ms(), known.id());
        let local_s = started_ms.div_euclid(1_000) + offset_s(started_ms, self.zone);
        self.heap.push(Reverse(Key { local_s, text: run.to_string(), started_ms, run, job }));
        if self.heap.len() > self.most {
            self.heap.pop();
        }
        if let Some(Reverse(top)) = self.heap.peek() {
            // Where no clock is put back nearby local times are in the order of instants.
            let [before, after] =
                [-FOLD_MS, FOLD_MS].map(|by| offset_s(top.started_ms + by, self.zone));
            self.slack_ms = if before == after { 1_000 } else { FOLD_MS };
        }
    }
}

/// No run is missing that was begun later than this, unix ms: one that is forgotten had ended
/// before all that are remembered. None: that is not known, as where the clock was set back.
pub fn whole_after_ms(job: &Job) -> Option<i64> {
    let mut ends = job.history.as_ref()?.runs.iter().map(|run| run.ended_ms);
    ends.clone().is_sorted().then(|| ends.next()).flatten()
}
