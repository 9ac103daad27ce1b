//! Which other jobs start in the minute in which a job would start, and where there is more room.

use crate::core::cron::{Cron, Identity, Walk, Zone};
use crate::core::table::{Job, Table};
use std::collections::BTreeMap;

/// So many others in a minute are told.
const MANY: u32 = 5;

/// Minutes before and after that are looked at.
const AROUND: i64 = 30;

/// Work of a slice, in slots that are counted.
const SLOTS_A_SLICE: usize = 30_000;

/// What it costs to begin with other slots, in the same measure.
const BEGIN_COST: usize = 100;

/// Where many start, and where few do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// The minute in which the job would start, unix ms.
    pub at_ms: i64,
    /// So many others start in it.
    pub others: u32,
    /// The nearest minute in which the fewest start, unix ms, and how many those are. None where
    /// the job starts in all of them, or it is the same everywhere.
    pub quiet: Option<(i64, u32)>,
}

/// A count under way. First all other jobs are added, then it is worked on until it is done.
#[derive(Debug)]
pub struct Crowd {
    /// The first minute that is looked at, Unix seconds.
    from_s: i64,
    /// How many others start in each.
    starts: Vec<u32>,
    /// Whether the job itself starts in it.
    is_own: Vec<bool>,
    groups: BTreeMap<(Identity, u16), (Cron, Zone, u32)>,
    walking: Option<Course>,
}

/// Jobs that start at the same times, and how far they are counted.
#[derive(Debug)]
struct Course {
    walk: Walk,
    /// How many; none: it is the job itself.
    members: Option<u32>,
    /// The last minute that was counted.
    last: Option<usize>,
}

impl Crowd {
    /// One about the minute of an instant (unix ms), the first at which a schedule is due.
    pub fn new(cron: &Cron, zone: &Zone, at_ms: i64) -> Crowd {
        let from_s = (at_ms.div_euclid(60_000) - AROUND) * 60;
        let count = 2 * AROUND as usize + 1; // it is positive
        let mut crowd = Crowd {
            from_s,
            starts: vec![0; count],
            is_own: vec![false; count],
            groups: BTreeMap::new(),
            walking: None,
        };
        crowd.walking = Some(crowd.begin(cron, zone, None));
        crowd
    }

    /// Adds another job, if it has slots.
    pub fn add(&mut self, table: &Table, job: &Job) {
        let Some((cron, zone)) = job.due_by().filter(|(cron, _)| !cron.is_reboot()) else { return };
        let new = || (cron.clone(), table.zone(zone).clone(), 0);
        self.groups.entry((cron.identity(), zone)).or_insert_with(new).2 += 1;
    }

    fn begin(&self, cron: &Cron, zone: &Zone, members: Option<u32>) -> Course {
        let to_s = self.from_s + self.starts.len() as i64 * 60;
        Course { walk: Walk::new(cron, zone, self.from_s, to_s), members, last: None }
    }

    /// Does a slice of the work. Returns whether there is more to do.
    pub fn work(&mut self) -> bool {
        let mut spent = 0;
        while spent < SLOTS_A_SLICE {
            let Some(course) = &mut self.walking else {
                let Some((_, (cron, zone, members))) = self.groups.pop_first() else {
                    return false;
                };
                self.walking = Some(self.begin(&cron, &zone, Some(members)));
                spent += BEGIN_COST;
                continue;
            };
            let (from_s, starts, is_own) = (self.from_s, &mut self.starts, &mut self.is_own);
            let cost = course.walk.step(|slot_s| {
                let minute = (slot_s - from_s) as usize / 60; // it is one of those
                if course.last.replace(minute) == Some(minute) {
                    return;
                }
                match course.members {
                    Some(members) => starts[minute] += members,
                    None => is_own[minute] = true,
                }
            });
            match cost {
                Some(cost) => spent += cost,
                None => self.walking = None,
            }
        }
        true
    }

    /// What it came to, if that is worth telling.
    pub fn found(&self) -> Option<Crowded> {
        let middle = AROUND as usize; // it is positive
        let others = self.starts[middle];
        if others < MANY {
            return None;
        }
        let at_ms = |minute: usize| (self.from_s + minute as i64 * 60) * 1000;
        let free = (0..self.starts.len()).filter(|minute| !self.is_own[*minute]);
        let quiet = free.min_by_key(|minute| {
            let away = minute.abs_diff(middle);
            // Of two that are as near the later one: nobody waits for it before it is due.
            (self.starts[*minute], away, *minute < middle)
        });
        let quiet = quiet.filter(|minute| self.starts[*minute] < others);
        let quiet = quiet.map(|minute| (at_ms(minute), self.starts[minute]));
        Some(Crowded { at_ms: at_ms(middle), others, quiet })
    }
}
