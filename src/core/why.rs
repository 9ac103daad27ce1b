//! Why a job ran, or did not, at an instant of the past or the future: facts in, one answer out.
//!
//! The facts are the row as it is and what has changed it, the runs and skips that are known of the
//! time around the instant, and the clock. A record goes before what the schedule says: what was
//! launched was due, whatever somebody has changed in that second.

use crate::core::change::{ENABLED, Stand, What};
use crate::core::columns::Column;
use crate::core::cron::{Cron, Dialect, Zone, zone};
use crate::core::earlier::{self, Change};
use crate::core::ids::RunId;
use crate::core::journal::{PauseOf, SkipReason};
use crate::core::time;
use serde_json::Value;

/// What is due is launched, or called skipped, within this time, ms.
const DECIDED_MS: i64 = 60_000;

/// How far back a slot before the instant is looked for, ms: ten years.
const BACK_MS: i64 = 10 * 366 * 86_400_000;

/// A change of the job's row that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// When, unix ms.
    pub at_ms: i64,
    /// By whom, as far as that is known.
    pub who: String,
    /// In a word.
    pub action: String,
    /// The version of the row afterwards, as text; empty: there is no row.
    pub version: String,
    /// Columns, with what stood there and what stands there since.
    pub what: What,
}

impl Done {
    fn change(&self) -> Change<'_> {
        let Done { action, version, what, .. } = self;
        Change { action, version, what }
    }
}

/// A run of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// Its id.
    pub run: String,
    /// The slot that it was started for, unix ms.
    pub slot_ms: Option<i64>,
    /// When it was launched, unix ms.
    pub started_ms: i64,
    /// How it ended; empty: it has not.
    pub outcome: String,
    /// Somebody told it to end: who, empty if that is not known.
    pub stopped: Option<String>,
    /// Whether that is no success.
    pub failed: bool,
}

impl Ran {
    /// Whether it began in the second from `at_ms` on, for no slot that is known.
    fn is_of_second(&self, at_ms: i64) -> bool {
        self.slot_ms.is_none() && (at_ms..at_ms + 1_000).contains(&self.started_ms)
    }
}

/// Slots that were skipped one after the other, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// In a word.
    pub reason: String,
    /// The first, unix ms.
    pub first_ms: i64,
    /// The last, unix ms.
    pub last_ms: i64,
    /// How many.
    pub count: u64,
}

/// That somebody paused slots of many jobs, or had them launched again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseDone {
    /// Whose slots.
    pub of: PauseOf,
    /// The first instant whose slots are launched again, unix ms; the greatest: somebody has to say
    /// so. The smallest: somebody did.
    pub end_ms: i64,
    /// What was done.
    pub done: Done,
}

/// Who had slots of a job skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paused {
    /// All, or those with a tag; none: the job itself.
    pub of: Option<PauseOf>,
    /// The first instant whose slots are launched again, unix ms; none: somebody has to say so.
    pub until_ms: Option<i64>,
    /// What was done.
    pub done: Done,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The instant that is asked about, unix ms.
    pub at_ms: i64,
    /// The present, unix ms.
    pub now_ms: i64,
    /// The job's id, and its group.
    pub id: (u32, u32),
    /// How schedules are read.
    pub dialect: Dialect,
    /// The zone of schedules without one of their own.
    pub zone: &'a Zone,
    /// The row as it is; none: it is gone.
    pub present: Option<Stand>,
    /// All that has changed it, newest first.
    pub changes: Vec<Done>,
    /// Pauses of tags and of all jobs, newest first, and their ends.
    pub pauses: Vec<PauseDone>,
    /// None of later than this is missing among the changes, unix ms.
    pub known_since_ms: i64,
    /// Runs of the time around the instant.
    pub runs: Vec<Ran>,
    /// Skipped slots of that time.
    pub skips: Vec<Skipped>,
}

/// What there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ran, or runs.
    Ran(Ran),
    /// It was due, and skipped.
    Skipped(Skipped),
    /// It would be due by its schedule, and is disabled: by this change, if that is known.
    Disabled(Option<Done>),
    /// It was not due then; by its present schedule it would have been, since this change.
    OtherSchedule(Option<Done>),
    /// There was no such job; it was made, or deleted, by this change.
    NotThere(Option<Done>),
    /// It is never due, for its schedule can't be read: why.
    NeverDue(String),
    /// It has no slots, for its limit of live runs is 0.
    NoPlace,
    /// It is started by hand or at the boot of the machine alone.
    NoSchedule,
    /// It is not due at that instant.
    NotDue,
    /// It will be due then, if nobody changes anything.
    WillRun,
    /// It would be due then, and is paused until later.
    Paused,
    /// It was due a moment ago.
    Undecided,
    /// It was due, and no record tells what came of it. It was changed near that time, perhaps.
    NoRecord(Option<Done>),
    /// Its definition of that time is not known any more.
    Unknown,
}

impl Verdict {
    /// Whether nothing was started, or will be, for it was paused.
    fn is_paused(&self) -> bool {
        match self {
            Verdict::Skipped(skip) => skip.reason == SkipReason::Paused.label(),
            verdict => *verdict == Verdict::Paused,
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What there is to say.
    pub verdict: Verdict,
    /// Whether the instant is a slot of it: by a record, or by its definition then.
    pub was_due: bool,
    /// The slots before and after the instant, by the schedule then, unix ms.
    pub nearest_ms: [Option<i64>; 2],
    /// The row as it was then.
    pub then: Option<Stand>,
    /// Who paused it, where that is why nothing was started, if that is known.
    pub paused: Option<Paused>,
    /// The row as it was then follows from what is known to have been changed.
    pub is_sure: bool,
}

/// A row's schedule, read.
struct Slots {
    cron: Cron,
    zone: Zone,
}

impl Slots {
    fn of(stand: &Stand, facts: &Facts<'_>) -> Result<Slots, String> {
        let cron = Cron::parse(&stand.row.cron, facts.dialect).map_err(|why| why.to_string())?;
        let zone = match stand.row.timezone.is_empty() {
            true => facts.zone.clone(),
            false => zone(&stand.row.timezone).map_err(|why| why.to_string())?,
        };
        // Where the end of its pause can't be read a job is never due.
        time::pause_end(&stand.row.paused_until).map_err(|why| format!("paused_until: {why}"))?;
        Ok(Slots { cron, zone })
    }

    fn has(&self, at_ms: i64) -> bool {
        self.cron.next_after(&self.zone, at_ms - 1) == Some(at_ms)
    }

    fn after(&self, at_ms: i64) -> Option<i64> {
        self.cron.next_after(&self.zone, at_ms)
    }

    /// The last one before an instant: found by halves.
    fn before(&self, at_ms: i64) -> Option<i64> {
        let (mut from_ms, mut to_ms) = (at_ms.saturating_sub(BACK_MS).max(0), at_ms);
        let mut found = None;
        while from_ms < to_ms {
            let middle_ms = from_ms + (to_ms - from_ms) / 2;
            match self.after(middle_ms).filter(|slot_ms| *slot_ms < at_ms) {
                Some(slot_ms) => (found, from_ms) = (Some(slot_ms), slot_ms.max(middle_ms + 1)),
                None => to_ms = middle_ms,
            }
        }
        found
    }
}

/// The last slot of a schedule before an instant, unix ms.
pub fn slot_before(cron: &str, dialect: Dialect, zone: &Zone, at_ms: i64) -> Option<i64> {
    let cron = Cron::parse(cron, dialect).ok()?;
    Slots { cron, zone: zone.clone() }.before(at_ms)
}

impl Answer {
    /// Whether it was paused, and by whom is not known.
    pub fn needs_pause(&self) -> bool {
        self.verdict.is_paused() && self.paused.is_none()
    }
}

impl Facts<'_> {
    /// The row as it was when all that was changed until then had been.
    fn then(&self) -> earlier::Earlier {
        let since = self.changes.iter().filter(|done| done.at_ms > self.at_ms);
        earlier::before(self.present.clone(), self.id, since.map(Done::change))
    }

    /// The last change until then that has made the row be like this.
    fn last_until(&self, is: impl Fn(&Done) -> bool) -> Option<Done> {
        self.changes.iter().filter(|done| done.at_ms <= self.at_ms).find(|done| is(done)).cloned()
    }

    /// The first change since then that has.
    fn first_since(&self, is: impl Fn(&Done) -> bool) -> Option<Done> {
        let since = self.changes.iter().rev().filter(|done| done.at_ms > self.at_ms);
        since.into_iter().find(|done| is(done)).cloned()
    }

    /// The run of that slot, or else one without a slot that began in that second.
    fn ran(&self) -> Option<&Ran> {
        let of_slot = self.runs.iter().find(|run| run.slot_ms == Some(self.at_ms));
        of_slot.or_else(|| self.runs.iter().find(|run| run.is_of_second(self.at_ms)))
    }

    /// Slots that were skipped around that instant. Where it is none of the schedule, only the
    /// first and the last of them are known to be slots.
    fn skipped(&self, is_slot: bool) -> Option<&Skipped> {
        let has = |skip: &&Skipped| match is_slot {
            true => (skip.first_ms..=skip.last_ms).contains(&self.at_ms),
            false => [skip.first_ms, skip.last_ms].contains(&self.at_ms),
        };
        self.skips.iter().find(has)
    }

    /// The answer.
    pub fn answer(self) -> Answer {
        let earlier::Earlier { stand: then, is_sure } = self.then();
        let slots = then.as_ref().map(|then| Slots::of(then, &self));
        let read = slots.as_ref().and_then(|slots| slots.as_ref().ok());
        let is_slot = read.is_some_and(|slots| slots.has(self.at_ms));
        let nearest_ms = [
            read.and_then(|slots| slots.before(self.at_ms)),
            read.and_then(|slots| slots.after(self.at_ms)),
        ];
        let recorded = match (self.ran(), self.skipped(is_slot)) {
            (Some(run), _) => Some(Verdict::Ran(run.clone())),
            (None, Some(skip)) => Some(Verdict::Skipped(skip.clone())),
            (None, None) => None,
        };
        let limit = then.as_ref().map_or(0, |then| then.row.max_concurrence);
        let is_enabled = then.as_ref().is_some_and(|then| then.enabled);
        let has_slot = match &recorded {
            Some(Verdict::Ran(run)) => run.slot_ms.is_some(),
            other => other.is_some(),
        };
        let was_due = has_slot || is_slot && is_enabled && limit > 0;
        let verdict = recorded.unwrap_or_else(|| self.unrecorded(then.as_ref(), slots, is_slot));
        let is_paused = verdict.is_paused();
        let paused = then.as_ref().filter(|_| is_paused).and_then(|then| self.paused(then));
        Answer { verdict, was_due, nearest_ms, then, paused, is_sure }
    }

    /// Who paused it: itself, all jobs, or those with its tag. A slot may be decided late, and then
    /// a pause counts that was made after it.
    fn paused(&self, then: &Stand) -> Option<Paused> {
        let of_row = self.changes.iter().filter_map(|done| {
            let end = new_value(&done.what, Column::PausedUntil.name())?.as_str()?;
            Some((None, row_end_ms(end), done))
        });
        let of = |of: PauseOf| {
            let its = self.pauses.iter().filter(move |pause| pause.of == of);
            its.map(move |pause| (Some(of), pause.end_ms, &pause.done)).collect()
        };
        let mut all = vec![of_row.collect(), of(PauseOf::All)];
        if then.row.tag_id > 0 {
            all.push(of(PauseOf::Tag(then.row.tag_id)));
        }
        let reaches = |found: &&(_, i64, _)| found.1 > self.at_ms;
        let is_before = |found: &&(_, _, &Done)| found.2.at_ms <= self.at_ms;
        let before = |its: &Vec<_>| its.iter().find(is_before).filter(reaches).copied();
        let since = |its: &Vec<_>| {
            let since = its.iter().rev().skip_while(is_before);
            since.into_iter().find(reaches).copied()
        };
        let found = all.iter().find_map(before).or_else(|| all.iter().find_map(since));
        let (of, end_ms, done) = found?;
        let until_ms = Some(end_ms).filter(|end_ms| *end_ms != i64::MAX);
        Some(Paused { of, until_ms, done: done.clone() })
    }

    fn unrecorded(
        &self,
        then: Option<&Stand>,
        slots: Option<Result<Slots, String>>,
        is_slot: bool,
    ) -> Verdict {
        if self.at_ms <= self.known_since_ms && self.at_ms <= self.now_ms {
            return Verdict::Unknown;
        }
        let (Some(then), Some(slots)) = (then, slots) else {
            let made = self.first_since(|done| done.action == "create");
            return Verdict::NotThere(made.or(self.last_until(|done| done.action == "delete")));
        };
        let slots = match slots {
            Err(why) => return Verdict::NeverDue(why),
            Ok(slots) => slots,
        };
        if slots.cron.is_reboot() {
            return Verdict::NoSchedule;
        }
        if !is_slot {
            return self.not_due(then);
        }
        if !then.enabled {
            let disables = |done: &Done| new_value(&done.what, ENABLED) == Some(&false.into());
            return Verdict::Disabled(self.last_until(disables));
        }
        if then.row.max_concurrence == 0 {
            return Verdict::NoPlace;
        }
        if self.at_ms > self.now_ms {
            let row = row_end_ms(&then.row.paused_until);
            let is_paused = row > self.at_ms || self.paused(then).is_some();
            return if is_paused { Verdict::Paused } else { Verdict::WillRun };
        }
        if self.now_ms - self.at_ms < DECIDED_MS {
            return Verdict::Undecided;
        }
        let is_near = |done: &Done| (self.at_ms - done.at_ms).abs() < DECIDED_MS;
        Verdict::NoRecord(self.changes.iter().find(|done| is_near(done)).cloned())
    }

    /// No slot of the schedule then: perhaps one of the schedule now.
    fn not_due(&self, then: &Stand) -> Verdict {
        let is_other = |present: &&Stand| {
            (&present.row.cron, &present.row.timezone) != (&then.row.cron, &then.row.timezone)
        };
        let present = self.present.as_ref().filter(is_other);
        let present = present.and_then(|present| Slots::of(present, self).ok());
        if !present.is_some_and(|slots| slots.has(self.at_ms)) {
            return Verdict::NotDue;
        }
        let changes =
            |done: &Done| ["cron", "timezone"].iter().any(|it| done.what.contains_key(*it));
        Verdict::OtherSchedule(self.first_since(changes))
    }
}

/// When the pause of a row ends, unix ms; the smallest: it has none.
fn row_end_ms(text: &str) -> i64 {
    time::pause_end(text).ok().flatten().unwrap_or(i64::MIN)
}

fn new_value<'a>(what: &'a What, name: &str) -> Option<&'a Value> {
    what.get(name)?.get(1)
}

/// What was between a job's last good run and its first bad one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The last good one.
    pub good: Ran,
    /// The first bad one.
    pub bad: Ran,
    /// What was changed meanwhile, newest first: of the job's row, and of variables.
    pub changes: Vec<Done>,
    /// Another daemon has started the bad one: it was restarted, reloaded, or upgraded.
    pub is_other_daemon: bool,
}

/// Finds out since when a run that failed has failed. `runs` are those that are known, in any
/// order; `changes` are newest first.
pub fn turn(run: &Ran, runs: &[Ran], changes: &[Done]) -> Option<Turn> {
    let has_ended = |other: &&Ran| !other.outcome.is_empty();
    let before = runs.iter().filter(has_ended).filter(|it| it.started_ms < run.started_ms);
    let good = before.filter(|it| !it.failed).max_by_key(|it| it.started_ms)?;
    let since = runs.iter().chain([run]).filter(|it| it.started_ms > good.started_ms);
    let bad = since.filter(|it| it.failed).min_by_key(|it| it.started_ms)?;
    let between = good.started_ms..=bad.started_ms;
    let is_between = |done: &&Done| between.contains(&done.at_ms);
    let daemon = |run: &Ran| run.run.parse::<RunId>().ok().map(|id| id.instance);
    Some(Turn {
        good: good.clone(),
        bad: bad.clone(),
        changes: changes.iter().filter(is_between).cloned().collect(),
        is_other_daemon: daemon(good) != daemon(bad),
    })
}
