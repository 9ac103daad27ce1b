//! How many runs are alive at which second, as far as is known how long they take.
//!
//! What is counted is by how many there are more or fewer at a second than at the one before: so a
//! run costs two additions, however long it lives. Only a run that begins makes them more, and
//! slots are whole seconds; so seconds are enough.

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

    /// Whether the limit may matter in a span of so many seconds.
    fn overlap(self, span: usize) -> bool {
        self.limit < self.seconds && (self.limit as usize) < span
    }
}

/// Jobs whose runs live alike.
#[derive(Clone, Copy, Debug)]
struct Alike {
    lives: Lives,
    jobs: i32,
}

/// Jobs that have the same slots.
#[derive(Debug)]
pub(super) struct Group {
    /// How many there are.
    jobs: i32,
    /// Those whose limit does not matter.
    free: Vec<Alike>,
    limited: Vec<Alike>,
    /// How many slots there were.
    slots: usize,
    /// The last ones, as many as the highest limit, in a ring whose length is a power of two.
    began: Vec<u32>,
}

impl Group {
    /// Of so many jobs of each kind, in a span of so many seconds.
    fn new(kinds: impl Iterator<Item = (Lives, usize)>, span: usize) -> Group {
        let count = |jobs| i32::try_from(jobs).unwrap_or(i32::MAX);
        let kinds = kinds.map(|(lives, jobs)| Alike { lives, jobs: count(jobs) });
        let (limited, free): (Vec<_>, Vec<_>) = kinds.partition(|kind| kind.lives.overlap(span));
        let most = limited.iter().map(|kind| kind.lives.limit as usize).max();
        Group {
            jobs: free.iter().chain(&limited).map(|kind| kind.jobs).sum(),
            free,
            limited,
            slots: 0,
            began: vec![0; most.map_or(0, usize::next_power_of_two)],
        }
    }

    /// A run of each job starts at this second of the span, whose changes these are.
    pub(super) fn starts(&mut self, changes: &mut [i32], at: usize) {
        change(changes, at, self.jobs);
        for Alike { lives, jobs } in &self.free {
            change(changes, at + lives.seconds as usize, -jobs);
        }
        if self.began.is_empty() {
            return;
        }
        let mask = self.began.len() - 1;
        for Alike { lives, jobs } in &self.limited {
            // No job has more runs than it may: the oldest gives way, that is, the slot is skipped.
            if let Some(oldest) = self.slots.checked_sub(lives.limit as usize) {
                let end = self.began[oldest & mask] as usize + lives.seconds as usize;
                change(changes, at.min(end), -jobs);
            }
        }
        self.began[self.slots & mask] = at as u32;
        self.slots += 1;
    }

    /// There are no more slots.
    pub(super) fn ends(&self, changes: &mut [i32]) {
        for Alike { lives, jobs } in &self.limited {
            for slot in self.slots.saturating_sub(lives.limit as usize)..self.slots {
                let began = self.began[slot & (self.began.len() - 1)];
                change(changes, began as usize + lives.seconds as usize, -jobs);
            }
        }
    }
}

/// There are more or fewer at a second than at the one before. What is later than the span does not
/// matter.
fn change(changes: &mut [i32], at: usize, by: i32) {
    if let Some(change) = changes.get_mut(at) {
        *change = change.wrapping_add(by);
    }
}

/// The runs of a span, by its seconds.
#[derive(Debug)]
pub(super) struct Alive {
    /// As far as there is room; none any more once all was looked at.
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

    /// Makes room for so many seconds more: memory that is touched for the first time takes long.
    /// Returns whether there is room for all.
    pub(super) fn make_room(&mut self, seconds: usize) -> bool {
        if self.changes.is_empty() {
            self.changes.reserve_exact(self.seconds);
        }
        let end = self.changes.len().saturating_add(seconds).min(self.seconds);
        self.changes.resize(end, 0);
        end == self.seconds
    }

    /// Jobs that have the same slots are counted next.
    pub(super) fn group(&self, kinds: impl Iterator<Item = (Lives, usize)>) -> Group {
        Group::new(kinds, self.seconds)
    }

    /// How many more there are at each second than at the one before.
    pub(super) fn changes(&mut self) -> &mut [i32] {
        &mut self.changes
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
        let is_over = end == self.changes.len();
        if is_over {
            self.changes = Vec::new();
        }
        !is_over
    }

    /// The first second at which most are alive, and how many.
    pub(super) fn most(&self) -> Option<(usize, u64)> {
        self.most.map(|(at, most)| (at, most.unsigned_abs()))
    }
}
