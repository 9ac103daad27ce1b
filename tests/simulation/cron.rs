//! When a few simple expressions are due, found by trying one instant after the other, with zones
//! whose rules are written out here. Nothing is shared with the daemon's own code.

/// A zone: its offset east of UTC before the first change, and the changes (unix s, new offset).
#[derive(Clone)]
pub struct FakeZone {
    pub name: &'static str,
    first: i64,
    changes: Vec<(i64, i64)>,
}

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Days from 1970-01-01 to a date (proleptic Gregorian), counted year by year.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    let years: i64 = (1970..year).map(|y| 365 + i64::from(leap(y))).sum();
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths[..(month - 1) as usize].iter().sum::<i64>() + day - 1
}

/// The first Sunday from a date on; 1970-01-01 was a Thursday.
fn sunday_from(days: i64) -> i64 {
    days + (7 - (days + 4) % 7) % 7
}

impl FakeZone {
    pub fn utc() -> FakeZone {
        FakeZone { name: "UTC", first: 0, changes: Vec::new() }
    }

    pub fn shanghai() -> FakeZone {
        FakeZone { name: "Asia/Shanghai", first: 8 * HOUR, changes: Vec::new() }
    }

    /// Summer from the last Sunday of March to that of October, both at 01:00 UTC.
    pub fn berlin() -> FakeZone {
        let change = |year| {
            let spring = sunday_from(days_to(year, 3, 25)) * DAY + HOUR;
            let autumn = sunday_from(days_to(year, 10, 25)) * DAY + HOUR;
            [(spring, 2 * HOUR), (autumn, HOUR)]
        };
        let changes = (2025..2032).flat_map(change).collect();
        FakeZone { name: "Europe/Berlin", first: HOUR, changes }
    }

    /// Summer from the second Sunday of March to the first of November, both at 02:00 local time.
    pub fn new_york() -> FakeZone {
        let change = |year| {
            let spring = sunday_from(days_to(year, 3, 8)) * DAY + 7 * HOUR;
            let autumn = sunday_from(days_to(year, 11, 1)) * DAY + 6 * HOUR;
            [(spring, -4 * HOUR), (autumn, -5 * HOUR)]
        };
        let changes = (2025..2032).flat_map(change).collect();
        FakeZone { name: "America/New_York", first: -5 * HOUR, changes }
    }

    fn offset(&self, at: i64) -> i64 {
        let past = self.changes.iter().rev().find(|(from, _)| *from <= at);
        past.map_or(self.first, |(_, offset)| *offset)
    }

    /// Instants of changes: interesting times to begin at.
    pub fn change_near(&self, index: usize) -> Option<i64> {
        self.changes.get(2 + index).map(|(at, _)| *at)
    }

    /// The instant of a wall-clock time: the first of two, or the end of the gap it is in.
    fn instant(&self, wall: i64) -> i64 {
        let offsets = self.changes.iter().map(|(_, offset)| *offset).chain([self.first]);
        let fits = offsets.filter(|o| self.offset(wall - o) == *o).map(|o| wall - o).min();
        let gap = || {
            let ends = self.changes.iter().map(|(at, _)| *at);
            ends.filter(|at| *at + self.offset(*at) > wall).min()
        };
        fits.or_else(gap).unwrap_or(wall)
    }
}

/// A schedule, as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// `*/N * * * * *`
    Seconds(i64),
    /// `*/N * * * *`
    Minutes(i64),
    /// `A,B * * * *`
    AtMinutes(i64, i64),
    /// `0 */N * * *`
    Hours(i64),
    /// `M H * * *`: minute and hour.
    Daily(i64, i64),
    /// `@every Ns`
    Period(i64),
    /// `@reboot`
    Reboot,
    /// Something that is refused.
    Refused,
}

impl Expr {
    pub fn text(&self) -> String {
        match self {
            Expr::Seconds(1) => "* * * * * *".into(),
            Expr::Seconds(n) => format!("*/{n} * * * * *"),
            Expr::Minutes(n) => format!("*/{n} * * * *"),
            Expr::AtMinutes(a, b) => format!("{a},{b} * * * *"),
            Expr::Hours(n) => format!("0 */{n} * * *"),
            Expr::Daily(minute, hour) => format!("{minute} {hour} * * *"),
            Expr::Period(seconds) => format!("@every {seconds}s"),
            Expr::Reboot => "@reboot".into(),
            Expr::Refused => "61 * * * *".into(),
        }
    }

    /// The first instant later than `after_ms`.
    pub fn next(&self, zone: &FakeZone, after_ms: i64) -> Option<i64> {
        let after = after_ms.div_euclid(1000);
        let minute = |wall: i64| wall / 60 % 60;
        Some(
            1000 * match self {
                Expr::Reboot | Expr::Refused => return None,
                Expr::Seconds(n) => scan(zone, after, 1, |wall| wall % 60 % n == 0),
                Expr::Minutes(n) => scan(zone, after, 60, |wall| minute(wall) % n == 0),
                Expr::AtMinutes(a, b) => {
                    scan(zone, after, 60, |wall| minute(wall) == *a || minute(wall) == *b)
                }
                Expr::Hours(n) => {
                    scan(zone, after, 60, |wall| minute(wall) == 0 && wall / HOUR % 24 % n == 0)
                }
                Expr::Period(n) => (after / n + 1) * n,
                Expr::Daily(minute, hour) => {
                    let today = (after + zone.offset(after)).div_euclid(DAY);
                    let at = |day| zone.instant(day * DAY + hour * HOUR + minute * 60);
                    (today - 1..=today + 2).map(at).filter(|at| *at > after).min()?
                }
            },
        )
    }
}

/// The first instant after `after`, a multiple of `step`, whose wall-clock time `fits`.
fn scan(zone: &FakeZone, after: i64, step: i64, fits: impl Fn(i64) -> bool) -> i64 {
    let mut at = (after.div_euclid(step) + 1) * step;
    while !fits(at + zone.offset(at)) {
        at += step;
    }
    at
}
