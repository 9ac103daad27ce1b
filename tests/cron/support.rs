//! An oracle of the policy that shares nothing with the implementation: it walks real time minute
//! by minute, looks at the wall, and keeps the days of a month in lists.
#![allow(dead_code)] // each test binary uses its part
#![allow(missing_docs)]

use std::collections::BTreeSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schedule::core::cron::{Cron, Dialect, zone};

/// Marsaglia's xorshift64*: the seed is all there is to know about a failure.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Zones with every kind of change, each with a year worth walking.
pub const YEARS: &[(&str, i16)] = &[
    ("UTC", 2026),
    ("Asia/Shanghai", 2026),
    ("America/New_York", 2026),
    ("Europe/London", 2028),
    ("Australia/Lord_Howe", 2026), // half an hour
    ("Antarctica/Troll", 2025),    // two hours
    ("America/Santiago", 2025),    // at midnight
    ("Africa/Cairo", 2024),        // at midnight
    ("America/Havana", 2026),      // at midnight, back to 00:00
    ("America/Caracas", 2016),     // half an hour for good, no daylight saving
    ("Pacific/Apia", 2011),        // a day that never was
    ("Africa/Casablanca", 2026),   // four changes in some years, negative daylight saving
    ("Asia/Kathmandu", 1986),      // fifteen minutes for good
    ("America/Sao_Paulo", 2018),   // at midnight, until it was ended
    ("Europe/Dublin", 2040),       // beyond the table, by rule
];

/// A plain field: its text and its values.
pub struct Plain {
    pub text: String,
    pub values: BTreeSet<u32>,
}

/// An item of a day field.
pub enum DayItem {
    Plain(BTreeSet<u32>),
    Last,
    LastWeekday,
    Nearest(u32),
    LastOf(u32),
    Nth(u32, u32),
}

pub struct Days {
    pub text: String,
    pub items: Vec<DayItem>,
}

/// An expression whose meaning is known because the text was made from it.
pub struct Made {
    pub second: Option<Plain>,
    pub minute: Plain,
    pub hour: Plain,
    pub dom: Days,
    pub month: Plain,
    pub dow: Days,
}

impl Made {
    pub fn text(&self) -> String {
        let second = self.second.as_ref().map_or(String::new(), |field| format!("{} ", field.text));
        let (minute, hour, month) = (&self.minute.text, &self.hour.text, &self.month.text);
        format!("{second}{minute} {hour} {} {month} {}", self.dom.text, self.dow.text)
    }

    /// Rule 7: the job follows the wall.
    pub fn wildcard(&self) -> bool {
        self.minute.text.starts_with('*')
            || self.hour.text.starts_with('*')
            || self.second.as_ref().is_some_and(|field| field.text.starts_with('*'))
    }

    pub fn day(&self, date: Date) -> bool {
        let free = |text: &str| text.starts_with('*') || text == "?";
        let dom = self.dom.items.iter().any(|item| day_item(item, date));
        let dow = self.dow.items.iter().any(|item| day_item(item, date));
        let month = self.month.values.contains(&(date.month() as u32));
        month && if free(&self.dom.text) || free(&self.dow.text) { dom && dow } else { dom || dow }
    }

    pub fn minute_of(&self, minute_of_day: i64) -> bool {
        self.hour.values.contains(&((minute_of_day / 60) as u32))
            && self.minute.values.contains(&((minute_of_day % 60) as u32))
    }
}

fn weekday(date: Date) -> u32 {
    date.weekday().to_sunday_zero_offset() as u32
}

/// The dates of the month of `date`.
fn month_of(date: Date) -> Vec<Date> {
    let first = date.first_of_month();
    first.series(1.day()).take_while(|day| day.month() == first.month()).collect()
}

fn day_item(item: &DayItem, date: Date) -> bool {
    let month = month_of(date);
    let workdays: Vec<Date> =
        month.iter().copied().filter(|day| (1..=5).contains(&weekday(*day))).collect();
    match item {
        DayItem::Plain(days) => days.contains(&u32::MAX) || days.contains(&(date.day() as u32)),
        DayItem::Last => month.last() == Some(&date),
        DayItem::LastWeekday => workdays.last() == Some(&date),
        DayItem::Nearest(n) => {
            month.len() as u32 >= *n
                && workdays.iter().min_by_key(|day| (i32::from(day.day()) - *n as i32).abs())
                    == Some(&date)
        }
        DayItem::LastOf(d) => {
            month.iter().rev().find(|day| weekday(**day) == *d % 7) == Some(&date)
        }
        DayItem::Nth(d, n) => {
            let mut such = month.iter().filter(|day| weekday(**day) == *d % 7);
            such.nth(*n as usize - 1) == Some(&date)
        }
    }
}

/// A random list field over `min..=max`.
pub fn plain(random: &mut Random, min: u32, max: u32, star_one_in: u64) -> Plain {
    if random.one_in(star_one_in) {
        return Plain { text: "*".into(), values: (min..=max).collect() };
    }
    let (mut texts, mut values) = (Vec::new(), BTreeSet::new());
    for _ in 0..=random.below(3) {
        let from = min + random.below(u64::from(max - min) + 1) as u32;
        let to = from + random.below(u64::from(max - from) + 1) as u32;
        let step = 1 + random.below(u64::from(max) / 2 + 2) as u32;
        let (text, from, to, step) = match random.below(6) {
            0 => (format!("{from}-{to}"), from, to, 1),
            1 => (format!("{from}-{to}/{step}"), from, to, step),
            2 => (format!("*/{step}"), min, max, step),
            3 => (format!("{from}/{step}"), from, max, step),
            _ => (format!("{from}"), from, from, 1),
        };
        values.extend((from..=to).step_by(step as usize));
        texts.push(text);
    }
    Plain { text: texts.join(","), values }
}

fn day_of_month(random: &mut Random) -> Days {
    if random.one_in(3) {
        let text = if random.one_in(4) { "?" } else { "*" };
        return Days { text: text.into(), items: vec![DayItem::Plain([u32::MAX].into())] };
    }
    let (mut texts, mut items) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(2) {
        let n = 1 + random.below(31) as u32;
        let (text, item) = match random.below(7) {
            0 => ("L".into(), DayItem::Last),
            1 => ("LW".into(), DayItem::LastWeekday),
            2 => (format!("{n}W"), DayItem::Nearest(n)),
            _ => {
                let field = plain(random, 1, 31, 20);
                (field.text, DayItem::Plain(field.values))
            }
        };
        texts.push(text);
        items.push(item);
    }
    Days { text: texts.join(","), items }
}

/// Weekdays are turned into dates by hand: an item `Plain` of weekdays is a set of `Nth`.
fn day_of_week(random: &mut Random) -> Days {
    if random.one_in(3) {
        let text = if random.one_in(4) { "?" } else { "*" };
        return Days { text: text.into(), items: vec![DayItem::Plain([u32::MAX].into())] };
    }
    let (mut texts, mut items) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(2) {
        let d = random.below(8) as u32;
        let n = 1 + random.below(5) as u32;
        match random.below(7) {
            0 => {
                texts.push(format!("{d}L"));
                items.push(DayItem::LastOf(d));
            }
            1 => {
                texts.push(format!("{d}#{n}"));
                items.push(DayItem::Nth(d, n));
            }
            _ => {
                let field = plain(random, 0, 7, 20);
                texts.push(field.text);
                let all = field.values.iter().flat_map(|d| (1..=5).map(|n| DayItem::Nth(*d, n)));
                items.extend(all);
            }
        }
    }
    Days { text: texts.join(","), items }
}

/// A random expression of five fields (six with `seconds`); dense in time of day, so that changes
/// of the offset are met.
pub fn made(random: &mut Random, seconds: bool) -> Made {
    Made {
        second: seconds.then(|| plain(random, 0, 59, 4)),
        minute: plain(random, 0, 59, 5),
        hour: plain(random, 0, 23, 3),
        dom: day_of_month(random),
        month: plain(random, 1, 12, 2),
        dow: day_of_week(random),
    }
}

/// Real time as the wall shows it: for each minute from `from` on, (Unix minute, wall minute).
pub fn walk(zone: &TimeZone, from: Timestamp, minutes: i64) -> Vec<(i64, i64)> {
    let from = from.as_second().div_euclid(60);
    let offset = |minute: i64| {
        let at = Timestamp::from_second(minute * 60).expect("in range");
        i64::from(zone.to_offset(at).seconds()) / 60
    };
    (from..from + minutes).map(|minute| (minute, minute + offset(minute))).collect()
}

/// The Unix minutes at which the policy fires the expression on that walk.
pub fn oracle(made: &Made, walk: &[(i64, i64)]) -> Vec<i64> {
    let minutes: Vec<bool> = (0..1440).map(|minute| made.minute_of(minute)).collect();
    let mut day = (i64::MIN, false);
    let mut matches = |wall: i64| {
        let number = wall.div_euclid(1440);
        if day.0 != number {
            let date = Timestamp::from_second(number * 86_400).expect("in range");
            day = (number, made.day(TimeZone::UTC.to_datetime(date).date()));
        }
        day.1 && minutes[wall.rem_euclid(1440) as usize]
    };
    let mut due = Vec::new();
    // The wall has shown everything below this already.
    let mut shown = walk[0].1;
    for (minute, wall) in walk {
        let fires = if made.wildcard() {
            matches(*wall)
        } else {
            // Everything the wall shows for the first time, or jumped over to get here.
            (shown..=*wall).any(&mut matches)
        };
        if fires {
            due.push(*minute);
        }
        shown = shown.max(wall + 1);
    }
    due
}

/// All instants in Unix seconds with `from < due <= to`.
pub fn all_due(cron: &Cron, zone: &TimeZone, from: i64, to: i64) -> Vec<i64> {
    let mut due = Vec::new();
    let mut at = from * 1000;
    while let Some(next) = cron.next_after(zone, at) {
        assert!(next > at, "{next} is not later than {at}");
        assert_eq!(next % 1000, 0);
        if next > to * 1000 {
            break;
        }
        due.push(next / 1000);
        at = next;
    }
    due
}

pub fn zone_of(name: &str) -> TimeZone {
    zone(name).expect("a zone of the bundled database")
}

pub fn crontab(text: &str) -> Cron {
    Cron::parse(text, Dialect::Crontab).unwrap_or_else(|error| panic!("{error}"))
}

/// The next `count` instants after `from` (RFC 3339), as local time with offset.
pub fn nexts(cron: &Cron, zone_name: &str, from: &str, count: usize) -> Vec<String> {
    let zone = zone_of(zone_name);
    let mut at = from.parse::<Timestamp>().expect("RFC 3339").as_millisecond();
    let mut out = Vec::new();
    for _ in 0..count {
        let Some(next) = cron.next_after(&zone, at) else { break };
        let at_that = Timestamp::from_millisecond(next).expect("in range");
        let shown = jiff::ZonedDateTime::new(at_that, zone.clone());
        out.push(shown.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string());
        at = next;
    }
    out
}
