//! All instants of an expression between two others, a few at a time. They are those that
//! [`Cron::next_after`] finds one by one; where the zone's offset stays, they are read off the bit
//! sets instead, a day at a time, so that a job which is due each second costs no search each.

use super::rules::DAY_S;
use super::zone::{self, MAX_STEP_S, Zone};
use super::{Cron, ExpressionKind, TimeOfDay};

/// Instants that are searched for, or counted on by a period, in one step.
const SEARCHES_A_STEP: usize = 256;

/// Instants of a period in one step.
const PERIODS_A_STEP: i64 = 65_536;

/// What one search costs, as a number of instants that are read off. Measured.
const SEARCH_COST: usize = 100;

/// A walk from instant to instant.
#[derive(Debug)]
pub struct Walk {
    cron: Cron,
    zone: Zone,
    /// What is before this is done, Unix seconds.
    at: i64,
    /// Where it ends: the first instant that does not belong to it.
    to: i64,
    stretch: Option<Stretch>,
}

/// A time in which the offset of the zone stays.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    offset: i64,
    /// Its end.
    until: i64,
    /// Until then the change before it may still matter to a fixed job, whose times in a repeated
    /// hour are over, and whose times in a skipped one are due at its beginning.
    search_until: i64,
}

impl Walk {
    /// From `from_s` on and before `to_s`, Unix seconds.
    #[must_use]
    pub fn new(cron: &Cron, zone: &Zone, from_s: i64, to_s: i64) -> Walk {
        // Days are counted from 1970 on, in any zone.
        let at = from_s.max(1 - DAY_S);
        Walk { cron: cron.clone(), zone: zone.clone(), at, to: to_s, stretch: None }
    }

    /// Tells the next instants, in order, in Unix seconds: at most 86,400 of them, perhaps none.
    /// Returns what that cost, in instants that are just read off; none once the walk is over.
    pub fn step(&mut self, each: impl FnMut(i64)) -> Option<usize> {
        if self.at >= self.to {
            return None;
        }
        let cost = match &self.cron.0 {
            ExpressionKind::Reboot => None,
            ExpressionKind::Every { period_ms } => {
                let period_s = i64::try_from(period_ms / 1000).ok();
                period_s.filter(|it| *it > 0).map(|period_s| self.count_on(period_s, each))
            }
            ExpressionKind::Calendar { .. } => self.read_some(each),
        };
        if cost.is_none() {
            self.at = self.to;
        }
        cost
    }

    fn count_on(&mut self, period_s: i64, mut each: impl FnMut(i64)) -> usize {
        let first = self.at + (-self.at).rem_euclid(period_s);
        let end = self.to.min(first.saturating_add(period_s.saturating_mul(PERIODS_A_STEP)));
        let mut count = 0;
        let mut due = first;
        while due < end {
            each(due);
            count += 1;
            due += period_s;
        }
        self.at = due;
        count + 1
    }

    fn read_some(&mut self, each: impl FnMut(i64)) -> Option<usize> {
        let stretch = match self.stretch {
            Some(stretch) if self.at < stretch.until => stretch,
            Some(_) | None => {
                let stretch = self.next_stretch()?;
                self.stretch = Some(stretch);
                stretch
            }
        };
        match self.at < stretch.search_until {
            true => Some(self.search(stretch.search_until.min(stretch.until), each)),
            false => Some(SEARCH_COST + self.read_day(stretch, each)),
        }
    }

    fn next_stretch(&self) -> Option<Stretch> {
        let offset = zone::offset_at(&self.zone, self.at)?;
        let until = zone::next_change(&self.zone, self.at).map_or(self.to, |at| at.min(self.to));
        let ExpressionKind::Calendar { wildcard: false, .. } = self.cron.0 else {
            return Some(Stretch { offset, until, search_until: i64::MIN });
        };
        // A change matters for no longer than it moves the clock.
        let mut change = zone::next_change(&self.zone, self.at - MAX_STEP_S);
        let mut search_until = i64::MIN;
        while let Some(at) = change.filter(|at| *at <= self.at) {
            search_until = at + MAX_STEP_S;
            change = zone::next_change(&self.zone, at);
        }
        Some(Stretch { offset, until, search_until })
    }

    fn search(&mut self, end: i64, mut each: impl FnMut(i64)) -> usize {
        for count in 1..=SEARCHES_A_STEP {
            let due = self.cron.next_after(&self.zone, self.at * 1000 - 1);
            match due.map(|due| due.div_euclid(1000)).filter(|due| *due < end) {
                Some(due) => {
                    each(due);
                    self.at = due + 1;
                }
                None => {
                    self.at = end;
                    return count * SEARCH_COST;
                }
            }
        }
        SEARCHES_A_STEP * SEARCH_COST
    }

    /// Reads a day of the stretch off the bit sets.
    fn read_day(&mut self, stretch: Stretch, mut each: impl FnMut(i64)) -> usize {
        let ExpressionKind::Calendar { time, days, .. } = &self.cron.0 else { return 0 };
        let Stretch { offset, until, .. } = stretch;
        let (from, end) = (self.at + offset, until + offset);
        let day = days.next(from.div_euclid(DAY_S)).map(|day| day * DAY_S);
        let Some(midnight) = day.filter(|midnight| *midnight < end) else {
            self.at = until;
            return 0;
        };
        let within = |wall: i64| (wall - midnight).clamp(0, DAY_S);
        let mut count = 0;
        // Both are seconds of a day.
        time.each(within(from) as u32, within(end) as u32, |second| {
            each(midnight + i64::from(second) - offset);
            count += 1;
        });
        self.at = midnight + within(end) - offset;
        count
    }
}

impl TimeOfDay {
    /// Tells the matching seconds of the day from `from` on and before `to` (0–86,400), in order.
    fn each(self, from: u32, to: u32, mut tell: impl FnMut(u32)) {
        for hour in Bits::within(self.hours.into(), from / 3600, to.div_ceil(3600)) {
            let hour = hour * 3600;
            let (first, last) = (from.saturating_sub(hour), to - hour);
            for minute in Bits::within(self.minutes, first / 60, last.div_ceil(60)) {
                let (first, last) = (first.saturating_sub(minute * 60), last - minute * 60);
                for second in Bits::within(self.seconds, first, last) {
                    tell(hour + minute * 60 + second);
                }
            }
        }
    }
}

/// The values of a set, in order.
struct Bits(u64);

impl Bits {
    /// From `from` on and before `to`.
    fn within(bits: u64, from: u32, to: u32) -> Bits {
        let below = 1_u64.checked_shl(to).map_or(u64::MAX, |bit| bit - 1);
        Bits(bits & below & u64::MAX.checked_shl(from).unwrap_or(0))
    }
}

impl Iterator for Bits {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let value = (self.0 != 0).then(|| self.0.trailing_zeros())?;
        self.0 &= self.0 - 1;
        Some(value)
    }
}
