//! What ran, runs and will run, as a picture has it: lanes, and in each the same stretches of time,
//! the *bins*.
//!
//! A run counts in the bin in which it was started, and so does a slot that is due. Slots that were
//! skipped are a stretch themselves, and are spread over it.

use crate::core::cron::{Cron, Identity, Walk, Zone};
use crate::core::run_kind::RunKind;
use crate::core::table::{Job, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Bins at the most.
pub const MAX_BINS: u64 = 200;

/// How long bins are, in seconds: the shortest of these that makes few enough.
const LENGTHS_S: [u64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400,
    21_600, 28_800, 43_200, 86_400, 172_800,
];

/// Work of a slice, as a number of slots that are counted.
const SLOTS_A_SLICE: usize = 60_000;

/// The bins of a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bins {
    /// Where the first one begins, unix ms.
    pub from_ms: i64,
    /// Where the last one ends, unix ms: the first instant that does not belong to it.
    pub to_ms: i64,
    /// How long each is, ms; the last one may be shorter.
    pub bin_ms: i64,
}

impl Bins {
    /// Those of a stretch of time that is no longer than some months.
    pub fn new(from_ms: i64, to_ms: i64) -> Bins {
        let span_ms = to_ms.abs_diff(from_ms);
        let is_enough = |s: &&u64| span_ms <= *s * 1_000 * MAX_BINS;
        let last = LENGTHS_S[LENGTHS_S.len() - 1];
        let length_s = *LENGTHS_S.iter().find(is_enough).unwrap_or(&last);
        Bins { from_ms, to_ms, bin_ms: (length_s * 1_000).cast_signed() }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        let span_ms = self.to_ms.saturating_sub(self.from_ms).max(0);
        usize::try_from(span_ms.unsigned_abs().div_ceil(self.bin_ms.max(1).unsigned_abs()))
            .unwrap_or(0)
    }

    /// The one in which an instant is, unix ms.
    pub fn of(self, at_ms: i64) -> Option<usize> {
        let is_in = at_ms >= self.from_ms && at_ms < self.to_ms;
        is_in.then(|| ((at_ms - self.from_ms) / self.bin_ms.max(1)) as usize)
    }
}

/// What is in a bin of a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Runs that did what they should.
    pub ok: u64,
    /// Runs after which somebody has to look.
    pub failed: u64,
    /// Runs that somebody told to end, and those whose end nobody knows.
    pub other: u64,
    /// Slots that were skipped.
    pub skipped: u64,
    /// Runs that have not ended.
    pub running: u64,
    /// Slots that are due.
    pub planned: u64,
    /// How long the longest run took, or takes so far, ms.
    pub longest_ms: u64,
}

impl Cell {
    /// Takes in another one.
    pub fn add(&mut self, other: &Cell) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.other += other.other;
        self.skipped += other.skipped;
        self.running += other.running;
        self.planned += other.planned;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
    }

    /// Counts a run.
    pub fn count(&mut self, kind: RunKind, took_ms: u64) {
        match kind {
            RunKind::Unfilled => return,
            RunKind::Running => self.running += 1,
            RunKind::Success => self.ok += 1,
            RunKind::Failure | RunKind::Signal | RunKind::SpawnFailed | RunKind::Lost => {
                self.failed += 1;
            }
            RunKind::Stopped | RunKind::Unknown => self.other += 1,
        }
        self.longest_ms = self.longest_ms.max(took_ms);
    }
}

/// The cells of a lane that have something in them, by their bins.
pub type Lane = BTreeMap<usize, Cell>;

/// Spreads slots that were skipped evenly over the time from the first to the last of them (unix
/// ms).
pub fn skip(lane: &mut Lane, bins: Bins, (first_ms, last_ms): (i64, i64), count: u64) {
    let span_ms = last_ms.saturating_sub(first_ms).max(0);
    // How many of them come before an instant.
    let before = |at_ms: i64| -> u64 {
        match at_ms {
            _ if at_ms <= first_ms => 0,
            _ if at_ms > last_ms || count < 2 => count,
            _ => {
                let steps = u128::from((at_ms - first_ms).unsigned_abs()) * u128::from(count - 1);
                let places = steps.div_ceil(u128::from(span_ms.unsigned_abs().max(1)));
                u64::try_from(places).unwrap_or(count).min(count)
            }
        }
    };
    let first = bins.of(first_ms.max(bins.from_ms));
    let last = bins.of(last_ms.max(first_ms).min(bins.to_ms - 1));
    let (Some(first), Some(last)) = (first, last) else { return };
    for bin in first..=last {
        let begin_ms = bins.from_ms + bin as i64 * bins.bin_ms;
        let end_ms = (begin_ms + bins.bin_ms).min(bins.to_ms);
        let skipped = before(end_ms) - before(begin_ms);
        if skipped > 0 {
            lane.entry(bin).or_default().skipped += skipped;
        }
    }
}

/// Jobs that are due at the same instants: how many of each lane.
type Group = (Cron, Zone, BTreeMap<usize, u64>);

/// What will be due. First all jobs are added, then it is worked on until it is done.
#[derive(Debug)]
pub struct Planned {
    bins: Bins,
    /// What is due before is over, unix ms.
    from_ms: i64,
    groups: BTreeMap<(Identity, u16), Group>,
    /// The group that is walked through, and what was counted of it.
    walking: Option<(Walk, BTreeMap<usize, u64>, Vec<u64>)>,
    lanes: BTreeMap<usize, Lane>,
}

impl Planned {
    /// Of what is due from an instant on.
    pub fn new(bins: Bins, from_ms: i64) -> Planned {
        let from_ms = from_ms.max(bins.from_ms);
        Planned { bins, from_ms, groups: BTreeMap::new(), walking: None, lanes: BTreeMap::new() }
    }

    /// Adds a job, if it has slots at all.
    pub fn add(&mut self, table: &Table, job: &Job, lane: usize) {
        let Some((cron, zone)) = job.due_by().filter(|(cron, _)| !cron.is_reboot()) else { return };
        let new = || (cron.clone(), table.zone(zone).clone(), BTreeMap::new());
        let group = self.groups.entry((cron.identity(), zone)).or_insert_with(new);
        *group.2.entry(lane).or_default() += 1;
    }

    /// Does a slice of the work. Returns whether there is more to do.
    pub fn work(&mut self) -> bool {
        let whole = |ms: i64| ms.div_euclid(1_000) + i64::from(ms.rem_euclid(1_000) > 0);
        let mut spent = 0;
        while spent < SLOTS_A_SLICE {
            let Some((walk, members, counts)) = &mut self.walking else {
                let Some((_, (cron, zone, members))) = self.groups.pop_first() else {
                    return false;
                };
                let walk = Walk::new(&cron, &zone, whole(self.from_ms), whole(self.bins.to_ms));
                self.walking = Some((walk, members, vec![0; self.bins.count()]));
                continue;
            };
            let bins = self.bins;
            let cost = walk.step(|slot_s| {
                if let Some(bin) = bins.of(slot_s * 1_000) {
                    counts[bin] += 1;
                }
            });
            spent += cost.unwrap_or(1_000);
            if cost.is_none() {
                for (lane, jobs) in &*members {
                    let lane = self.lanes.entry(*lane).or_default();
                    for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                        lane.entry(bin).or_default().planned += count * jobs;
                    }
                }
                self.walking = None;
            }
        }
        true
    }

    /// What is due, by lanes, once there is no more to do.
    pub fn found(self) -> BTreeMap<usize, Lane> {
        self.lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_few_and_of_lengths_that_people_know() {
        for (span_s, length_s, count) in [
            (200, 1, 200),
            (201, 2, 101),
            (86_400, 600, 144),
            (7 * 86_400, 3_600, 168),
            (31 * 86_400, 14_400, 186),
            (365 * 86_400, 172_800, 183),
        ] {
            let bins = Bins::new(1_000, 1_000 + span_s * 1_000);
            assert_eq!((bins.bin_ms, bins.count()), (length_s * 1_000, count), "{span_s}");
            let last = bins.to_ms - 1;
            assert_eq!((bins.of(1_000), bins.of(last)), (Some(0), Some(count - 1)));
            assert_eq!((bins.of(999), bins.of(bins.to_ms)), (None, None));
        }
    }

    #[test]
    fn skipped_slots_are_where_they_were_due() {
        let bins = Bins { from_ms: 10_000, to_ms: 20_000, bin_ms: 1_000 };
        for (first_ms, step_ms, count) in [
            (10_000, 0, 1),
            (12_500, 1_000, 4),
            (4_000, 700, 30),
            (10_000, 100, 100),
            (19_999, 5, 3),
            (2_000, 1_000, 8),
            (20_000, 1_000, 8),
            (11_000, 0, 5),
        ] {
            let last_ms = first_ms + step_ms * (count - 1);
            let mut lane = Lane::new();
            skip(&mut lane, bins, (first_ms, last_ms), count as u64);
            let mut right = Lane::new();
            for slot in 0..count {
                if let Some(bin) = bins.of(first_ms + slot * step_ms) {
                    right.entry(bin).or_default().skipped += 1;
                }
            }
            assert_eq!(lane, right, "{first_ms} {step_ms} {count}");
        }
    }
}
