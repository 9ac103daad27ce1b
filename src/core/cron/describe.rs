//! A schedule in words, English and Chinese; and the two readings of a row side by side.

use std::fmt;

use super::days::{DaySpec, DomSet, DowSet, YearRange};
use super::reader::{self, Reading};
use super::rules::Days;
use super::{Cron, CronError, Dialect, ExpressionKind, TimeOfDay};

/// Language of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}

/// Times of day that are written out one by one, at the most.
const MAX_TIMES: u32 = 6;

impl Cron {
    /// The schedule in words: `at 03:00, Monday to Friday`. One line, for a page or a message.
    #[must_use]
    pub fn describe(&self, lang: Lang) -> String {
        match &self.0 {
            ExpressionKind::Every { period_ms } => every(lang, *period_ms / 1000),
            ExpressionKind::Reboot => text(
                lang,
                "once per boot of the machine, when the daemon starts",
                "机器每次启动后一次(守护进程启动时)",
            ),
            ExpressionKind::Calendar { time, days, .. } => calendar(lang, *time, days),
        }
    }
}

fn text(lang: Lang, en: &str, zh: &str) -> String {
    match lang {
        Lang::En => en.to_owned(),
        Lang::Zh => zh.to_owned(),
    }
}

fn every(lang: Lang, period_s: u64) -> String {
    let units = [(86_400, "day", "天"), (3600, "hour", "小时"), (60, "minute", "分钟")];
    let unit = units.into_iter().find(|(unit_s, ..)| period_s.is_multiple_of(*unit_s));
    let (unit_s, en, zh) = unit.unwrap_or((1, "second", "秒"));
    match (lang, period_s / unit_s) {
        (Lang::En, 1) => format!("every {en}, counted from 1970 UTC"),
        (Lang::En, count) => format!("every {count} {en}s, counted from 1970 UTC"),
        (Lang::Zh, count) => format!("每{count}{zh}(从 1970 UTC 起算)"),
    }
}

fn calendar(lang: Lang, time: TimeOfDay, days: &Days) -> String {
    if !days.has_dates() || time.first(0).is_none() {
        return text(lang, "never (no such time exists)", "永不(不存在这样的时间)");
    }
    let spec = &days.spec;
    let parts = [time_of_day(lang, time), day(lang, spec), months(lang, spec), years(lang, spec)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(match lang {
        Lang::En => ", ",
        Lang::Zh => ",",
    })
}

fn time_of_day(lang: Lang, time: TimeOfDay) -> String {
    let hours = u64::from(time.hours);
    let count = hours.count_ones() * time.minutes.count_ones() * time.seconds.count_ones();
    if count <= MAX_TIMES {
        let times = times(time).join(comma(lang));
        return if lang == Lang::En { format!("at {times}") } else { times };
    }
    let mut parts = Vec::new();
    if time.seconds != 1 {
        parts.push(unit(lang, time.seconds, 60, ("second", "秒")));
    }
    // "Every minute" goes without saying where the seconds go round evenly: "every 10 seconds".
    let goes_round = is_full(time.seconds, 60) || even_step(time.seconds, 60).is_some();
    if !is_full(time.minutes, 60) || !goes_round {
        parts.push(unit(lang, time.minutes, 60, ("minute", "分")));
    }
    if !is_full(hours, 24) {
        parts.push(unit(lang, hours, 24, ("hour", "时")));
    } else if time.minutes.count_ones() == 1 {
        parts.push(text(lang, "every hour", "每小时"));
    }
    match lang {
        Lang::En => parts.join(" of "),
        Lang::Zh => parts.into_iter().rev().collect(),
    }
}

/// Few times, written out; seconds only where there are any.
fn times(time: TimeOfDay) -> Vec<String> {
    let mut out = Vec::new();
    let mut next = time.first(0);
    while let Some(at) = next {
        let (hour, minute, second) = (at / 3600, at / 60 % 60, at % 60);
        let clock = format!("{hour:02}:{minute:02}");
        out.push(if time.seconds == 1 { clock } else { format!("{clock}:{second:02}") });
        next = if at + 1 < 86_400 { time.first(at + 1) } else { None };
    }
    out
}

fn is_full(bits: u64, size: u32) -> bool {
    bits.count_ones() == size
}

/// `every minute`, `every 5 minutes`, `minute 0, 10-20`.
fn unit(lang: Lang, bits: u64, size: u32, (en, zh): (&str, &str)) -> String {
    let long = match zh {
        "分" => "分钟",
        "时" => "小时",
        other => other,
    };
    if is_full(bits, size) {
        return text(lang, &format!("every {en}"), &format!("每{long}"));
    }
    let step = even_step(bits, size);
    match (lang, step) {
        (Lang::En, Some(step)) => format!("every {step} {en}s"),
        (Lang::Zh, Some(step)) => format!("每{step}{long}"),
        (Lang::En, None) => format!("{en} {}", numbers(lang, bits)),
        (Lang::Zh, None) => format!("第{}{zh}", numbers(lang, bits)),
    }
}

/// The step of a set that starts at 0 and goes round evenly.
fn even_step(bits: u64, size: u32) -> Option<u32> {
    (2..size).find(|step| size.is_multiple_of(*step) && reader::stepped(0, size - 1, *step) == bits)
}

/// `1, 5-9, 20`; a long even row as `1, 3, …, 31`.
fn numbers(lang: Lang, bits: u64) -> String {
    let mut out: Vec<String> = Vec::new();
    let (first, last) = (bits.trailing_zeros(), 63 - bits.leading_zeros());
    let second = (bits & (bits - 1)).trailing_zeros();
    if bits.count_ones() > 4 && reader::stepped(first, last, second - first) == bits {
        if second == first + 1 {
            return format!("{first}-{last}");
        }
        out.extend([first.to_string(), second.to_string(), "…".to_owned(), last.to_string()]);
        return out.join(comma(lang));
    }
    for (first, last) in runs(bits) {
        match last - first {
            0 => out.push(first.to_string()),
            1 => out.extend([first.to_string(), last.to_string()]),
            _ => out.push(format!("{first}-{last}")),
        }
    }
    out.join(comma(lang))
}

/// Runs of consecutive bits, first and last.
fn runs(bits: u64) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for value in (0..64).filter(|value| bits >> value & 1 == 1) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == value => *last = value,
            _ => runs.push((value, value)),
        }
    }
    runs
}

fn comma(lang: Lang) -> &'static str {
    match lang {
        Lang::En => ", ",
        Lang::Zh => "、",
    }
}

fn day(lang: Lang, spec: &DaySpec) -> String {
    let (dom, dow) = (dom(lang, &spec.dom), dow(lang, &spec.dow));
    match (spec.dom.is_full(), spec.dow.is_full(), lang) {
        (true, true, _) => String::new(),
        (false, true, Lang::En) => format!("on {dom}"),
        (false, true, Lang::Zh) => format!("每月{dom}"),
        (true, false, _) => dow,
        (false, false, Lang::En) if spec.either => format!("on {dom} or on {dow}"),
        (false, false, Lang::Zh) if spec.either => format!("每月{dom}或{dow}"),
        (false, false, Lang::En) => format!("on {dom} if that is {dow}"),
        (false, false, Lang::Zh) => format!("每月{dom}且须为{dow}"),
    }
}

fn dom(lang: Lang, set: &DomSet) -> String {
    let mut out = Vec::new();
    if set.days != 0 {
        let days = numbers(lang, u64::from(set.days));
        out.push(text(lang, &format!("day {days}"), &format!("{days}日")));
    }
    for n in (1..=31).filter(|n| set.nearest >> n & 1 == 1) {
        let en = format!("the weekday nearest day {n}");
        out.push(text(lang, &en, &format!("最接近{n}日的工作日")));
    }
    if set.last {
        out.push(text(lang, "the last day of the month", "最后一天"));
    }
    if set.last_weekday {
        out.push(text(lang, "the last weekday of the month", "最后一个工作日"));
    }
    out.join(comma(lang))
}

fn dow(lang: Lang, set: &DowSet) -> String {
    let mut out = Vec::new();
    // Weeks are read from Monday on: Sunday moves behind Saturday.
    let monday_first = u64::from(set.days) >> 1 | u64::from(set.days & 1) << 6;
    for (first, last) in runs(monday_first) {
        let name = |at: u32| weekday(lang, (at + 1) % 7);
        match last - first {
            0 => out.push(name(first)),
            1 => out.extend([name(first), name(last)]),
            _ => out.push(match lang {
                Lang::En => format!("{} to {}", name(first), name(last)),
                Lang::Zh => format!("{}至{}", name(first), name(last)),
            }),
        }
    }
    for at in 0..7 {
        let name = weekday(lang, at);
        for (nth, _) in set.nth.iter().enumerate().filter(|(_, days)| **days >> at & 1 == 1) {
            let ordinal = ["1st", "2nd", "3rd", "4th", "5th"][nth];
            let zh = format!("当月第{}个{name}", nth + 1);
            out.push(text(lang, &format!("the {ordinal} {name}"), &zh));
        }
        if set.last >> at & 1 == 1 {
            out.push(text(lang, &format!("the last {name}"), &format!("当月最后一个{name}")));
        }
    }
    out.join(comma(lang))
}

fn weekday(lang: Lang, day: u32) -> String {
    const EN: [&str; 7] =
        ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    const ZH: [&str; 7] = ["周日", "周一", "周二", "周三", "周四", "周五", "周六"];
    text(lang, EN[day as usize], ZH[day as usize])
}

fn months(lang: Lang, spec: &DaySpec) -> String {
    const EN: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let bits = u64::from(spec.months);
    if is_full(bits, 12) {
        return String::new();
    }
    match lang {
        Lang::Zh => format!("仅{}月", numbers(lang, bits)),
        Lang::En => {
            let names = (1..=12).filter(|month| bits >> month & 1 == 1).map(|month| EN[month - 1]);
            format!("in {}", names.collect::<Vec<_>>().join(", "))
        }
    }
}

fn years(lang: Lang, spec: &DaySpec) -> String {
    let year = |range: &YearRange| match *range {
        YearRange { from, to, .. } if from == to => from.to_string(),
        YearRange { from, to, step: 1 } => format!("{from}-{to}"),
        YearRange { from, to: u32::MAX, step } => format!("{from}/{step}"),
        YearRange { from, to, step } => format!("{from}-{to}/{step}"),
    };
    let years = spec.years.iter().map(year).collect::<Vec<_>>().join(comma(lang));
    match (lang, years.is_empty()) {
        (_, true) => String::new(),
        (Lang::En, _) => format!("in the year {years}"),
        (Lang::Zh, _) => format!("{years}年"),
    }
}

/// How the two dialects read a row that they read differently.
#[derive(Clone, Debug)]
pub struct Readings {
    /// Dialect `crontab`.
    pub crontab: Result<Cron, CronError>,
    /// Dialect `original`.
    pub original: Result<Cron, CronError>,
}

impl Readings {
    /// Both readings in words: (crontab, original).
    #[must_use]
    pub fn describe(&self, lang: Lang) -> (String, String) {
        let words = |reading: &Result<Cron, CronError>| match reading {
            Ok(cron) => cron.describe(lang),
            Err(error) => {
                let why = error.beside_expression();
                format!("{}{why}", text(lang, "refused: ", "被拒绝:"))
            }
        };
        (words(&self.crontab), words(&self.original))
    }
}

impl fmt::Display for Readings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (crontab, original) = self.describe(Lang::En);
        write!(f, "crontab reads it: {crontab}; original reads it: {original}")
    }
}

/// Whether the dialects read `text` differently, one refusing it included. `None` where both read
/// the same, or both refuse it.
#[must_use]
pub fn readings_differ(text: &str) -> Option<Readings> {
    let readings = Readings {
        crontab: Cron::parse(text, Dialect::Crontab),
        original: Cron::parse(text, Dialect::Original),
    };
    let same = match (&readings.crontab, &readings.original) {
        (Err(_), Err(_)) => true,
        (Ok(_), Ok(_)) => same_fields(text),
        _ => false,
    };
    (!same).then_some(readings)
}

fn same_fields(text: &str) -> bool {
    let read = |dialect| reader::read(text, dialect).ok();
    let (crontab, original): (Option<Reading>, Option<Reading>) =
        (read(Dialect::Crontab), read(Dialect::Original));
    crontab == original
}
