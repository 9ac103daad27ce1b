//! Bit sets of days → rules that find the next date.
//!
//! A rule is a [`cron::Schedule`] built from numbers and day names, so that nothing of the crate's
//! own dialect shows, plus the test of [`DaySpec`] where the crate can't say it (`L`, `W`, …); the
//! next date is the least over the rules. The crate is asked for *dates* only. The time of day is
//! three words of bits beside it, so the many expressions of a daemon share few schedules: one
//! takes 0.6–1.7 kB in B-trees, and most jobs run every day. The crate is asked only when the day
//! at hand does not match, which the bits tell in a tenth of the time.

use std::fmt::Write;

use chrono::{DateTime, Datelike, NaiveDate};
use cron::Schedule;

use super::days::DaySpec;

pub(super) const DAY_S: i64 = 86_400;
/// The crate knows 1970 to 2100.
const LAST_YEAR: i32 = 2100;
const NAMES: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Compiled days. Dates are day numbers: days since 1970-01-01.
#[derive(Debug)]
pub(super) struct Days {
    pub spec: DaySpec,
    /// None of them: no such date ever comes.
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    schedule: Schedule,
    test: Test,
}

/// Which part of the day fields is left to be tested on a date the crate proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    None,
    Dom,
    Dow,
    Both,
}

impl Days {
    pub fn compile(spec: DaySpec) -> Days {
        let dom_test = if spec.dom.is_plain() { Test::None } else { Test::Dom };
        let dow_test = if spec.dow.is_plain() { Test::None } else { Test::Dow };
        let dom_days = spec.dom.candidates();
        let (weekdays, dow_days) = spec.dow.candidates();
        let wanted = if spec.either {
            vec![(dom_days, 0x7f, dom_test), (dow_days, weekdays, dow_test)]
        } else {
            // Days are tested without the crate, so a test must hold all there is to it.
            let plain = dom_test == Test::None && dow_test == Test::None;
            let test = if plain { Test::None } else { Test::Both };
            vec![(dom_days & dow_days, weekdays, test)]
        };
        let mut days = Days { spec, rules: Vec::new() };
        days.rules.reserve_exact(wanted.len());
        for (dom, dow, test) in wanted {
            let Some(schedule) = schedule(dom, days.spec.months, dow) else { continue };
            let rule = Rule { schedule, test };
            // A rule with no date in the crate's years has none at all: they hold every kind of
            // year. It is left out here, else each question would search them all again.
            if days.next_of(&rule, 0).is_some_and(|day| year_of(day) <= LAST_YEAR) {
                days.rules.push(rule);
            }
        }
        days
    }

    /// Whether some date matches in years that the year field allows or not.
    pub fn has_dates(&self) -> bool {
        !self.rules.is_empty()
    }

    /// The first matching day not before `day`, from 1970 to 9999.
    pub fn next(&self, day: i64) -> Option<i64> {
        let mut day = day.max(0);
        loop {
            let found = self.next_any_year(day)?;
            if self.spec.years.is_empty() {
                return Some(found);
            }
            let year = year_of(found);
            let allowed = self.spec.year_from(year)?;
            if allowed == year {
                return Some(found);
            }
            day = first_day(allowed)?;
        }
    }

    fn next_any_year(&self, day: i64) -> Option<i64> {
        if self.rules.is_empty() {
            return None;
        }
        // Most jobs run daily: ask the crate only when the way is longer than to the next door.
        if self.spec.matches(date_of(day)?) {
            return Some(day);
        }
        self.rules.iter().filter_map(|rule| self.next_of(rule, day)).min()
    }

    fn next_of(&self, rule: &Rule, mut day: i64) -> Option<i64> {
        loop {
            let found = next_date(&rule.schedule, day)?;
            if rule.test == Test::None {
                return Some(found);
            }
            // The rest of that month is tested day by day, which costs less than to be led from
            // candidate to candidate.
            let first = date_of(found)?;
            let mut dates = first.iter_days().take_while(|date| date.month() == first.month());
            if let Some(at) = dates.position(|date| self.passes(rule.test, date)) {
                return Some(found + at as i64); // at most 30
            }
            day = found + i64::from(u32::from(first.num_days_in_month()) - first.day()) + 1;
        }
    }

    fn passes(&self, test: Test, date: NaiveDate) -> bool {
        match test {
            Test::None => true,
            Test::Dom => self.spec.dom.matches(date),
            Test::Dow => self.spec.dow.matches(date),
            Test::Both => self.spec.dom.matches(date) && self.spec.dow.matches(date),
        }
    }
}

/// Midnights of days `dom` (bits 1–31) in `months` (bits 1–12) on weekdays `dow` (bits 0–6); `None`
/// if one of the sets is empty.
fn schedule(dom: u32, months: u16, dow: u8) -> Option<Schedule> {
    if dom == 0 || months == 0 || dow == 0 {
        return None;
    }
    let mut text = String::from("0 0 0 ");
    push_set(&mut text, u64::from(dom), 1, 31);
    push_set(&mut text, u64::from(months), 1, 12);
    if dow == 0x7f {
        text.push('*');
    } else {
        let names = (0..7).filter(|at| dow >> at & 1 == 1).map(|at| NAMES[at]);
        text.push_str(&names.collect::<Vec<_>>().join(","));
    }
    // The text consists of what the crate reads, so there is no error to report.
    text.parse().ok()
}

/// `*` for a full set (the crate then allocates nothing), else its numbers, then a blank.
fn push_set(text: &mut String, bits: u64, min: u32, max: u32) {
    if (min..=max).all(|value| bits >> value & 1 == 1) {
        text.push_str("* ");
        return;
    }
    for value in (min..=max).filter(|value| bits >> value & 1 == 1) {
        let _ = write!(text, "{value},"); // a String takes all
    }
    text.pop();
    text.push(' ');
}

/// The first date of the schedule not before `day`.
fn next_date(schedule: &Schedule, mut day: i64) -> Option<i64> {
    if year_of(day) <= LAST_YEAR {
        if let Some(found) = ask(schedule, day) {
            return Some(found);
        }
        day = first_day(LAST_YEAR + 1)?;
    }
    // Beyond the crate's years ask about a year with the same calendar. Four hundred years hold
    // every date there is.
    let first = year_of(day);
    for year in first..=(first + 400).min(9999) {
        let twin = twin(year)?;
        let shift = first_day(year)? - first_day(twin)?;
        if let Some(found) = ask(schedule, day - shift)
            && found < first_day(twin + 1)?
        {
            return Some(found + shift);
        }
        day = first_day(year + 1)?;
    }
    None
}

/// Asks the crate. It sees midnights labelled UTC, so no change of offset can confuse it.
fn ask(schedule: &Schedule, day: i64) -> Option<i64> {
    let before = DateTime::from_timestamp(day * DAY_S - 1, 0)?;
    let found = schedule.after(&before).next()?;
    Some(found.timestamp().div_euclid(DAY_S))
}

/// A year from 1972 to 1999 with the calendar of `year`: these 28 hold all fourteen.
fn twin(year: i32) -> Option<i32> {
    let kind = |year: i32| {
        let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
        Some((first.weekday(), first.leap_year()))
    };
    let wanted = kind(year)?;
    (1972..2000).find(|twin| kind(*twin) == Some(wanted))
}

fn date_of(day: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp(day * DAY_S, 0).map(|time| time.date_naive())
}

fn year_of(day: i64) -> i32 {
    date_of(day).map_or(i32::MAX, |date| date.year())
}

fn first_day(year: i32) -> Option<i64> {
    let date = NaiveDate::from_ymd_opt(year, 1, 1)?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp() / DAY_S)
}
