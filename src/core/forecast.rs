//! What starts between two instants: the slots of the jobs in force by their schedules, how many
//! there are in each hour, and when most runs are alive at once.
//!
//! Ten thousand jobs have hundreds of millions of slots in a month. So jobs that are due at the
//! same instants are walked through once, as a *group*, and those of them whose runs take the same
//! time are counted as one; of the slots only the first are kept. All is done in slices:
//! [`Forecast::work`].
//!
//! - `alive`: how many runs are alive at which second
//! - `hours`: the hours of a zone's wall clock

mod alive;
mod hours;

use crate::core::cron::{Cron, Identity, Walk, Zone};
use crate::core::history::{History, PastRun};
use crate::core::ids::JobId;
use crate::core::outcome::OutcomeKind;
use crate::core::table::{Job, Table};
use alive::{Alive, Lives};
use std::collections::BTreeMap;

/// Work of a slice, as a number of slots that are counted: a millisecond or two on a slow machine.
/// The last step may go beyond it by a day of one group.
const SLOTS_A_SLICE: usize = 60_000;

/// What it costs to keep a slot, in the same measure. Measured.
const KEEP_COST: usize = 10;

/// Slots of a step from which on they share lines of the processor's cache; each one costs so much
/// where they don't. Measured.
const DENSE: usize = 1_000;
const SPARSE_COST: usize = 6;

/// Slots that are kept before the first time that those which are none of the first are dropped.
const MIN_KEPT: usize = 512;

/// Kinds of jobs, by how long they take, that are counted in one walk: the walk costs less for
/// each, and a step of it takes longer.
const KINDS_A_WALK: usize = 8;

/// What it costs to end a group and to begin the next. Measured.
const GROUP_COST: usize = 100;

/// The stretch of time that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning, unix ms.
    pub from_ms: i64,
    /// Its end, unix ms: the first instant that does not belong to it.
    pub to_ms: i64,
}

/// A job, as far as it is told.
#[derive(Debug)]
pub struct Planned {
    /// The job.
    pub id: JobId,
    /// Its name.
    pub name: Box<str>,
    /// How long a run of it takes, ms; 0 = nobody knows.
    pub usual_ms: u64,
}

/// An hour, or what the change of a zone's offset has left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hour {
    /// Its beginning, unix ms.
    pub at_ms: i64,
    /// Slots of the span in it.
    pub slots: u64,
}

/// When most runs are alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busiest {
    /// The first such instant, unix ms.
    pub at_ms: i64,
    /// How many are alive then.
    pub runs: u64,
}

/// What a forecast came to.
#[derive(Debug)]
pub struct Found {
    /// The jobs.
    pub jobs: Vec<Planned>,
    /// The first slots in the order of their instants (unix ms) and of ids; each with the place of
    /// its job.
    pub slots: Vec<(i64, JobId, usize)>,
    /// How many slots there are.
    pub total: u64,
    /// All hours of the span.
    pub hours: Vec<Hour>,
    /// None where nothing starts.
    pub busiest: Option<Busiest>,
}

/// Jobs that are due at the same instants, those that take the same time together: by their places.
type Group = (Cron, Zone, BTreeMap<Lives, Vec<usize>>);

/// What makes a group: an expression, and a zone.
type Key = (Identity, u16);

/// A group whose slots are being counted.
#[derive(Debug)]
struct Course {
    /// By their places, ids growing.
    members: Vec<usize>,
    /// How many kinds of them there are.
    kinds: usize,
    alive: alive::Group,
    /// The hour of the last slot.
    hour: usize,
    /// No later slot of it is among the first.
    is_late: bool,
}

/// The first slots.
#[derive(Debug)]
struct First {
    limit: usize,
    /// Those so far, in no order, and some of others.
    kept: Vec<(i64, JobId, usize)>,
    /// What is not before this one is none of them, as far as is known.
    end: Option<(i64, JobId, usize)>,
}

/// What is counted.
#[derive(Debug)]
struct Counts {
    from_s: i64,
    jobs: Vec<Planned>,
    first: First,
    hours: Vec<Hour>,
    alive: Alive,
}

/// A forecast under way. First all jobs are added, then it is worked on until it is done.
#[derive(Debug)]
pub struct Forecast {
    to_s: i64,
    groups: BTreeMap<Key, Group>,
    has_room: bool,
    walking: Option<(Walk, Course)>,
    counts: Counts,
}

impl Forecast {
    /// One that tells the first `limit` slots one by one. Its hours are those of `zone`.
    pub fn new(span: Span, limit: usize, zone: &Zone) -> Forecast {
        // Slots are whole seconds.
        let whole = |ms: i64| ms.div_euclid(1000) + i64::from(ms.rem_euclid(1000) > 0);
        let (from_s, to_s) = (whole(span.from_ms), whole(span.to_ms));
        let hours = hours::starts(zone, span.from_ms.div_euclid(1000), to_s);
        let counts = Counts {
            from_s,
            jobs: Vec::new(),
            first: First { limit, kept: Vec::new(), end: None },
            hours: hours.into_iter().map(|at| Hour { at_ms: at * 1000, slots: 0 }).collect(),
            alive: Alive::new(to_s.saturating_sub(from_s)),
        };
        Forecast { to_s, groups: BTreeMap::new(), has_room: false, walking: None, counts }
    }

    /// Adds a job, if it has slots at all. To be called in the order of ids.
    pub fn add(&mut self, table: &Table, job: &Job) {
        let Some((cron, zone)) = job.due_by().filter(|(cron, _)| !cron.is_reboot()) else { return };
        // Of a job that is replaced the new definition has the slots.
        let def = job.scheduled().unwrap_or(&job.def);
        let usual_ms = job.history.as_deref().and_then(usual_ms).unwrap_or(0);
        let lives = Lives::new(usual_ms, def.max_concurrence);
        let place = self.counts.jobs.len();
        self.counts.jobs.push(Planned { id: def.id, name: def.name.clone(), usual_ms });
        let group = self.groups.entry((cron.identity(), zone));
        let new = || (cron.clone(), table.zone(zone).clone(), BTreeMap::new());
        group.or_insert_with(new).2.entry(lives).or_default().push(place);
    }

    /// Does a slice of the work. Returns whether there is more to do.
    pub fn work(&mut self) -> bool {
        if !self.has_room {
            self.has_room = self.counts.alive.make_room(SLOTS_A_SLICE);
            return true;
        }
        let mut spent = 0;
        while spent < SLOTS_A_SLICE {
            let Some((walk, course)) = &mut self.walking else {
                self.walking = self.begin();
                if self.walking.is_none() {
                    return self.counts.alive.look(SLOTS_A_SLICE - spent);
                }
                continue;
            };
            let (cost, kept) = self.counts.count(walk, course);
            let walked = cost.unwrap_or(GROUP_COST);
            let each = if walked < DENSE { SPARSE_COST } else { 1 };
            spent += walked * each * (1 + course.kinds) / 2 + kept * KEEP_COST;
            if cost.is_none()
                && let Some((_, course)) = self.walking.take()
            {
                course.alive.ends(self.counts.alive.changes());
            }
        }
        true
    }

    /// The next group, or as much of it as is walked through at a time.
    fn begin(&mut self) -> Option<(Walk, Course)> {
        let mut group = self.groups.first_entry()?;
        let (cron, zone, kinds) = group.get_mut();
        let some: Vec<_> = std::iter::from_fn(|| kinds.pop_first()).take(KINDS_A_WALK).collect();
        let walk = Walk::new(cron, zone, self.counts.from_s, self.to_s);
        if kinds.is_empty() {
            group.remove();
        }
        let alive = some.iter().map(|(lives, members)| (*lives, members.len()));
        let (alive, kinds) = (self.counts.alive.group(alive), some.len());
        let mut members: Vec<usize> = some.into_iter().flat_map(|(_, members)| members).collect();
        members.sort_unstable();
        Some((walk, Course { members, kinds, alive, hour: 0, is_late: false }))
    }

    /// What it came to, once there is no more to do.
    pub fn found(self) -> Found {
        let Counts { from_s, jobs, first, hours, alive } = self.counts;
        let total = hours.iter().map(|hour| hour.slots).sum();
        let most = alive.most().filter(|_| total > 0);
        let busiest = most.map(|(at_s, runs)| {
            let at_ms = (from_s + at_s as i64) * 1000; // a second of the span
            Busiest { at_ms, runs }
        });
        Found { jobs, slots: first.in_order(), total, hours, busiest }
    }
}

impl Counts {
    /// Counts the next slots of a group. Returns what that cost (see [`Walk::step`]), and how many
    /// were kept among the first.
    fn count(&mut self, walk: &mut Walk, course: &mut Course) -> (Option<usize>, usize) {
        let Counts { from_s, jobs, first, hours, alive } = self;
        let (from_s, changes) = (*from_s, alive.changes());
        let Course { members, alive, hour, is_late, .. } = course;
        let end_of = |hours: &[Hour], hour: usize| {
            hours.get(hour + 1).map_or(i64::MAX, |next| next.at_ms.div_euclid(1000))
        };
        let (mut end_s, mut slots, mut kept) = (end_of(hours, *hour), 0, 0);
        let cost = walk.step(|slot_s| {
            while slot_s >= end_s {
                hours[*hour].slots += std::mem::take(&mut slots) * members.len() as u64;
                *hour += 1;
                end_s = end_of(hours, *hour);
            }
            slots += 1;
            alive.starts(changes, (slot_s - from_s) as usize); // it is one of the span
            if !*is_late {
                let (count, all) = first.keep(jobs, members, slot_s * 1000);
                kept += count;
                *is_late = !all;
            }
        });
        if let Some(hour) = hours.get_mut(*hour) {
            hour.slots += slots * members.len() as u64;
        }
        (cost, kept)
    }
}

impl First {
    /// Keeps a slot of each of these jobs, if it is among the first. Returns how many were, and
    /// whether all.
    fn keep(&mut self, jobs: &[Planned], members: &[usize], slot_ms: i64) -> (usize, bool) {
        for (count, place) in members.iter().enumerate() {
            let slot = (slot_ms, jobs[*place].id, *place);
            // What comes after it in its group is later still.
            if self.end.is_some_and(|end| slot >= end) {
                return (count, false);
            }
            self.kept.push(slot);
            if self.kept.len() >= 2 * self.limit.max(MIN_KEPT) {
                self.cut();
            }
        }
        (members.len(), true)
    }

    /// Drops what is none of the first.
    fn cut(&mut self) {
        if self.kept.len() > self.limit {
            self.end = Some(*self.kept.select_nth_unstable(self.limit).1);
            self.kept.truncate(self.limit);
        }
    }

    fn in_order(mut self) -> Vec<(i64, JobId, usize)> {
        self.cut();
        self.kept.sort_unstable();
        self.kept
    }
}

/// How long a run usually takes, ms: the median of those that are remembered and ended well. None:
/// there is none.
pub fn usual_ms(history: &History) -> Option<u64> {
    // One that was told to end, and ended well, would have taken longer.
    let is_good = |run: &&PastRun| !run.stopped && run.outcome.kind(false) == OutcomeKind::Success;
    let mut took: Vec<u64> =
        history.runs.iter().filter(is_good).map(|run| run.duration_ms).collect();
    took.sort_unstable();
    let (below, above) = (took.get(took.len().saturating_sub(1) / 2)?, took.get(took.len() / 2)?);
    Some(below.midpoint(*above))
}
