//! Which days an expression means: bit sets, and the test of one date against them.

use chrono::{Datelike, NaiveDate};

/// Bits 1–31.
const ALL_DAYS: u32 = 0xffff_fffe;
/// Bits 0–6.
const ALL_WEEKDAYS: u8 = 0x7f;

/// The day part of an expression. Compared and ordered by meaning, so that equal ones share one
/// compiled form.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DaySpec {
    /// Bits 1–12.
    pub months: u16,
    pub dom: DomSet,
    pub dow: DowSet,
    /// Either day field matching is enough; otherwise both must.
    pub either: bool,
    /// Empty = any year.
    pub years: Vec<YearRange>,
}

/// Day of month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DomSet {
    /// Plain days, bits 1–31.
    pub days: u32,
    /// `L`: the last day.
    pub last: bool,
    /// `LW`: the last Monday-to-Friday day.
    pub last_weekday: bool,
    /// `nW`, bits 1–31: the Monday-to-Friday day nearest to day n, within its month.
    pub nearest: u32,
}

/// Day of week; bit 0 is Sunday in each set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DowSet {
    /// Plain days.
    pub days: u8,
    /// `dL`: the last such day of the month.
    pub last: u8,
    /// `d#n` at index n − 1: the nth such day of the month.
    pub nth: [u8; 5],
}

/// `from`, `from + step`, … up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct YearRange {
    pub from: u32,
    pub to: u32,
    pub step: u32,
}

impl DaySpec {
    /// One form for one meaning: a full set swallows its special days, and where one side is
    /// full, "either" means every day.
    pub fn normalized(mut self) -> DaySpec {
        if self.dom.is_full() {
            self.dom = DomSet { days: ALL_DAYS, ..DomSet::default() };
        }
        if self.dow.is_full() {
            self.dow = DowSet { days: ALL_WEEKDAYS, ..DowSet::default() };
        }
        if self.either && (self.dom.is_full() || self.dow.is_full()) {
            self.dom = DomSet { days: ALL_DAYS, ..DomSet::default() };
            self.dow = DowSet { days: ALL_WEEKDAYS, ..DowSet::default() };
            self.either = false;
        }
        self
    }

    /// Whether the date matches, its year aside.
    pub fn matches(&self, date: NaiveDate) -> bool {
        let days = if self.either {
            self.dom.matches(date) || self.dow.matches(date)
        } else {
            self.dom.matches(date) && self.dow.matches(date)
        };
        days && self.months >> date.month() & 1 == 1
    }

    /// The first year not before `year` that the year field allows.
    pub fn year_from(&self, year: i32) -> Option<i32> {
        let Ok(wanted) = u32::try_from(year) else { return Some(0) };
        if self.years.is_empty() {
            return Some(year);
        }
        let next = |range: &YearRange| {
            let behind = wanted.saturating_sub(range.from).div_ceil(range.step);
            let next = range.from.checked_add(behind.checked_mul(range.step)?)?;
            (next <= range.to).then_some(next)
        };
        let first = self.years.iter().filter_map(next).min()?;
        i32::try_from(first).ok()
    }
}

impl DomSet {
    pub fn is_full(&self) -> bool {
        self.days == ALL_DAYS
    }

    /// Whether [`DomSet::candidates`] is the set itself.
    pub fn is_plain(&self) -> bool {
        !self.last && !self.last_weekday && self.nearest == 0
    }

    /// Days on which it can match in some month, bits 1–31.
    pub fn candidates(&self) -> u32 {
        let mut days = self.days;
        if self.last {
            days |= 0b1111 << 28;
        }
        if self.last_weekday {
            days |= 0b11_1111 << 26;
        }
        // The nearest weekday is at most two days off (from a Sunday the 31st, or a Saturday
        // the 1st).
        let near = self.nearest;
        days | (near | near << 1 | near << 2 | near >> 1 | near >> 2) & ALL_DAYS
    }

    pub fn matches(&self, date: NaiveDate) -> bool {
        let (day, length) = (date.day(), month_length(date));
        self.days >> day & 1 == 1
            || self.last && day == length
            || self.last_weekday && day == weekday_near(date, length)
            || (day.saturating_sub(2).max(1)..=(day + 2).min(length))
                .any(|n| self.nearest >> n & 1 == 1 && weekday_near(date, n) == day)
    }
}

impl DowSet {
    pub fn is_full(&self) -> bool {
        self.days == ALL_WEEKDAYS
    }

    /// Whether [`DowSet::candidates`] is the set itself: plain days only, or one nth for all.
    pub fn is_plain(&self) -> bool {
        let nths = self.nth.iter().filter(|days| **days != 0).count();
        self.last == 0 && (nths == 0 || nths == 1 && self.days == 0)
    }

    /// Weekdays (bit 0 Sunday) and days of month (bits 1–31): on all others it can't match.
    /// The crate's "day of month and day of week" is then just right for `5#3`: a Friday from the
    /// 15th to the 21st.
    pub fn candidates(&self) -> (u8, u32) {
        let mut weekdays = self.days | self.last;
        let mut days = if self.days != 0 { ALL_DAYS } else { 0 };
        if self.last != 0 {
            days |= ALL_DAYS & !((1 << 22) - 1);
        }
        for (at, set) in self.nth.iter().enumerate().filter(|(_, set)| **set != 0) {
            weekdays |= set;
            days |= ((0x7f_u64 << (7 * at + 1)) & u64::from(ALL_DAYS)) as u32;
        }
        (weekdays, days)
    }

    pub fn matches(&self, date: NaiveDate) -> bool {
        let bit = 1 << date.weekday().num_days_from_sunday();
        let nth = self.nth[(date.day() as usize - 1) / 7];
        (self.days | nth) & bit != 0 || self.last & bit != 0 && date.day() + 7 > month_length(date)
    }
}

/// Days in the month of `date`.
fn month_length(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

/// The Monday-to-Friday day nearest to day `n` (1 to the month's length) of the month of `date`,
/// not leaving the month.
fn weekday_near(date: NaiveDate, n: u32) -> u32 {
    let first = date.weekday().num_days_from_monday() + 35 - (date.day() - 1);
    match (first + n - 1) % 7 {
        5 if n == 1 => 3,
        5 => n - 1,
        6 if n == month_length(date) => n - 2,
        6 => n + 1,
        _ => n,
    }
}
