//! How many runs are alive at which second, as far as is known how long they take.
//!
//! What is counted is by how many there are more or fewer at a second than at the one before: so a
//! run costs two additions, however long it lives. Only a run that begins makes them more, and
//! slots are whole seconds; so seconds are enough.

use std::collections::VecDeque;

/// How the runs of a job live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lives {
    /// Seconds that a run lives, from 1 on: what takes no time is there at its instant.
    seconds: u32,
    /// At most so many at a time: the overlap limit, where it may matter.
    limit: u32,
}

impl Lives {
    /// Of a job whose runs take so long, and of whose runs so many may be alive at a time.
    pub(super) fn new(usual_ms: u64, max_concurrence: u32) -> Lives {
        let seconds = u32::try_from(usual_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        // There are no more slots of a job than one a second.
        Lives { seconds, limit: max_concurrence.min(seconds) }
    }

    fn overlap(self) -> bool {
        self.limit < self.seconds
    }
}

/// Jobs that have the same slots.
#[derive(Debug)]
pub(super) struct Group {
    lives: Lives,
    /// How many jobs there are.
    jobs: i32,
    /// When the last ones began, as many as may be alive; empty where the limit does not matter.
    began: VecDeque<u32>,
}

impl Group {
    pub(super) fn new(lives: Lives, jobs: usize) -> Group {
        Group { lives, jobs: i32::try_from(jobs).unwrap_or(i32::MAX), began: VecDeque::new() }
    }
}

/// The runs of a span, by its seconds.
#[derive(Debug)]
pub(super) struct Alive {
    /// Empty until there is a run.
    changes: Vec<i32>,
    seconds: usize,
    /// How many were looked at, and how many are alive there.
    looked_at: (usize, i64),
    /// The first second of most, and how many that is.
    most: Option<(usize, i64)>,
}

impl Alive {
    /// Of a span of so many seconds.
    pub(super) fn new(seconds: i64) -> Alive {
        let seconds = usize::try_from(seconds).unwrap_or(0);
        Alive { changes: Vec::new(), seconds, looked_at: (0, 0), most: None }
    }

    /// A run of each job of a group starts at this second of the span.
    pub(super) fn starts(&mut self, group: &mut Group, at_s: i64) {
        if self.changes.is_empty() {
            self.changes = vec![0; self.seconds];
        }
        let at = at_s as usize; // it is one of the span
        self.change(at, group.jobs);
        let Lives { seconds, limit } = group.lives;
        if !group.lives.overlap() {
            return self.change(at.saturating_add(seconds as usize), -group.jobs);
        }
        // No job has more runs than it may: the oldest gives way, that is, the slot is skipped.
        if group.began.len() >= limit as usize
            && let Some(oldest) = group.began.pop_front()
        {
            self.change(at.min((oldest as usize).saturating_add(seconds as usize)), -group.jobs);
        }
        group.began.push_back(at as u32);
    }

    /// There are no more slots of the group.
    pub(super) fn group_ends(&mut self, group: Group) {
        for began in group.began {
            let end = (began as usize).saturating_add(group.lives.seconds as usize);
            self.change(end, -group.jobs);
        }
    }

    fn change(&mut self, at: usize, by: i32) {
        if let Some(change) = self.changes.get_mut(at) {
            *change = change.saturating_add(by);
        }
    }

    /// Looks at so many seconds more. Returns whether there are others.
    pub(super) fn look(&mut self, seconds: usize) -> bool {
        let (at, mut alive) = self.looked_at;
        let end = at.saturating_add(seconds).min(self.changes.len());
        for second in at..end {
            alive += i64::from(self.changes[second]);
            if self.most.is_none_or(|(_, most)| alive > most) {
                self.most = Some((second, alive));
            }
        }
        self.looked_at = (end, alive);
        end < self.changes.len()
    }

    /// The first second at which most are alive, and how many.
    pub(super) fn most(&self) -> Option<(usize, u64)> {
        self.most.map(|(at, most)| (at, most.unsigned_abs()))
    }
}
