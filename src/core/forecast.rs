//! What starts between two instants: the slots of the jobs in force by their schedules, how many
//! there are in each hour, and when most runs are alive at once.
//!
//! Ten thousand jobs have hundreds of millions of slots in a month. So jobs that are due at the
//! same instants and take the same time are walked through once, as a *group*; of the slots only
//! the first are kept, the others are counted. All is done in slices: [`Forecast::work`].
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
use std::collections::{BTreeMap, BinaryHeap};

/// Work of a slice, as a number of slots that are counted: half a millisecond on a slow machine.
/// The last step may go beyond it by a day of one group.
const SLOTS_A_SLICE: usize = 200_000;

/// What it costs to keep a slot, in the same measure. Measured.
const KEEP_COST: usize = 50;

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

/// Jobs that are due at the same instants and take the same time: by their places, ids growing.
type Group = (Cron, Zone, Vec<usize>);

/// What makes a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    cron: Identity,
    zone: u16,
    lives: Lives,
}

/// A group whose slots are being counted.
#[derive(Debug)]
struct Course {
    members: Vec<usize>,
    alive: alive::Group,
    /// The hour of the last slot.
    hour: usize,
    /// No later slot of it is among the first.
    is_late: bool,
}

/// What is counted.
#[derive(Debug)]
struct Counts {
    from_s: i64,
    limit: usize,
    jobs: Vec<Planned>,
    /// The first slots so far, the last of them on top.
    first: BinaryHeap<(i64, JobId, usize)>,
    total: u64,
    hours: Vec<Hour>,
    alive: Alive,
}

/// A forecast under way. First all jobs are added, then it is worked on until it is done.
#[derive(Debug)]
pub struct Forecast {
    to_s: i64,
    groups: BTreeMap<Key, Group>,
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
            limit,
            jobs: Vec::new(),
            first: BinaryHeap::new(),
            total: 0,
            hours: hours.into_iter().map(|at| Hour { at_ms: at * 1000, slots: 0 }).collect(),
            alive: Alive::new(to_s.saturating_sub(from_s)),
        };
        Forecast { to_s, groups: BTreeMap::new(), walking: None, counts }
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
        let group = self.groups.entry(Key { cron: cron.identity(), zone, lives });
        let new = || (cron.clone(), table.zone(zone).clone(), Vec::new());
        group.or_insert_with(new).2.push(place);
    }

    /// Does a slice of the work. Returns whether there is more to do.
    pub fn work(&mut self) -> bool {
        let mut spent = 0;
        while spent < SLOTS_A_SLICE {
            let Some((walk, course)) = &mut self.walking else {
                let Some((key, group)) = self.groups.pop_first() else {
                    return self.counts.alive.look(SLOTS_A_SLICE - spent);
                };
                self.walking = Some(self.begin(key, group));
                continue;
            };
            let counts = &mut self.counts;
            let mut kept = 0;
            let cost = walk.step(|slot_s| kept += counts.count(course, slot_s));
            spent += cost.unwrap_or(GROUP_COST) + kept * KEEP_COST;
            if cost.is_none()
                && let Some((_, course)) = self.walking.take()
            {
                self.counts.alive.group_ends(course.alive);
            }
        }
        true
    }

    fn begin(&self, key: Key, group: Group) -> (Walk, Course) {
        let (cron, zone, members) = group;
        let alive = alive::Group::new(key.lives, members.len());
        let course = Course { members, alive, hour: 0, is_late: false };
        (Walk::new(&cron, &zone, self.counts.from_s, self.to_s), course)
    }

    /// What it came to, once there is no more to do.
    pub fn found(self) -> Found {
        let Counts { from_s, jobs, first, total, hours, alive, .. } = self.counts;
        let busiest = alive.most().map(|(at_s, runs)| {
            let at_ms = (from_s + at_s as i64) * 1000; // a second of the span
            Busiest { at_ms, runs }
        });
        Found { jobs, slots: first.into_sorted_vec(), total, hours, busiest }
    }
}

impl Counts {
    /// Counts a slot of each job of a group. Returns how many were kept among the first.
    fn count(&mut self, course: &mut Course, slot_s: i64) -> usize {
        self.alive.starts(&mut course.alive, slot_s - self.from_s);
        let (slot_ms, jobs) = (slot_s * 1000, course.members.len() as u64);
        self.total += jobs;
        while self.hours.get(course.hour + 1).is_some_and(|next| next.at_ms <= slot_ms) {
            course.hour += 1;
        }
        if let Some(hour) = self.hours.get_mut(course.hour) {
            hour.slots += jobs;
        }
        if course.is_late { 0 } else { self.keep(course, slot_ms) }
    }

    fn keep(&mut self, course: &mut Course, slot_ms: i64) -> usize {
        for (count, place) in course.members.iter().enumerate() {
            let slot = (slot_ms, self.jobs[*place].id, *place);
            if self.first.len() < self.limit {
                self.first.push(slot);
                continue;
            }
            match self.first.peek_mut() {
                Some(mut last) if slot < *last => *last = slot,
                // What comes after it in its group is later still.
                Some(_) | None => {
                    course.is_late = true;
                    return count;
                }
            }
        }
        course.members.len()
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
