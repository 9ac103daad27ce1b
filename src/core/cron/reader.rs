//! Text → bit sets. Strict and our own, because the reader of crate `cron` takes `*5 * * * *`,
//! `******`, `Monday` and a year, and counts Sunday as 1.

use super::days::{DaySpec, DomSet, DowSet, YearRange};
use super::error::{CronError, Field};
use super::item::{Base, Item};
use super::{Dialect, original};
use crate::core::plain::counted;

/// Longest expression that is read, in bytes.
pub(super) const MAX_EXPRESSION_BYTES: usize = 1024;
/// Longest period of `@every`: ten years. Nobody waits longer, and the arithmetic stays small.
const MAX_EVERY_S: u64 = 3650 * 86_400;

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What an expression says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Fields to be matched against the wall clock.
    Calendar(Fields),
    /// A period in milliseconds, counted from the epoch.
    Every(u64),
    /// Once per boot.
    Reboot,
}

/// The fields as bit sets: bit n is value n.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub seconds: u64,
    pub minutes: u64,
    pub hours: u32,
    pub days: DaySpec,
    /// The second, minute or hour field starts with `*`: the job follows the wall clock through
    /// changes of the offset.
    pub wildcard: bool,
}

/// Reads an expression, and knows nothing of other programs.
pub(super) fn read(text: &str, dialect: Dialect) -> Result<Reading, CronError> {
    if text.len() > MAX_EXPRESSION_BYTES {
        let why = format!("is {} bytes long; the limit is {MAX_EXPRESSION_BYTES}", text.len());
        return Err(CronError::whole(text, why));
    }
    let parts = split(text, dialect)?;
    match parts.first() {
        Some(first) if first.starts_with('@') => macro_of(text, &parts, dialect),
        _ => fields_of(text, &parts, dialect).map(Reading::Calendar),
    }
}

/// Splits at blanks and tabs; at the ends any white space is let alone, such as the line end of a
/// text area or a spreadsheet. The original split at any white space of ASCII, so its rows may hold
/// a line end, and may go on doing so.
fn split(text: &str, dialect: Dialect) -> Result<Vec<&str>, CronError> {
    let line_end = |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c');
    let text = if dialect == Dialect::Crontab { text.trim() } else { text };
    if dialect == Dialect::Crontab && text.contains(line_end) {
        return Err(CronError::whole(
            text,
            "holds a line end; fields are separated by blanks or tabs only",
        ));
    }
    let parts = text.split(|c| c == ' ' || c == '\t' || line_end(c));
    Ok(parts.filter(|part| !part.is_empty()).collect())
}

/// The macros without an argument.
const MACROS: [&str; 8] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@reboot"];

/// What a word was perhaps meant to be, as the end of a sentence.
fn meant(word: &str, all: &[&str]) -> String {
    let word = word.to_ascii_uppercase();
    let far = |known: &&&str| strsim::osa_distance(&word, &known.to_ascii_uppercase());
    let near = all.iter().filter(|known| far(known) <= 1).min_by_key(|known| far(known));
    near.map_or_else(String::new, |known| format!("; did you mean {known}?"))
}

fn macro_of(text: &str, parts: &[&str], dialect: Dialect) -> Result<Reading, CronError> {
    let name = parts[0].to_ascii_lowercase();
    if name == "@every" {
        return every(text, parts).map(Reading::Every);
    }
    let fields = match name.as_str() {
        "@reboot" => "",
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let near = meant(&name, &MACROS);
            return Err(CronError::whole(
                text,
                format!(
                    "no such macro; there are {} and @every 90s|5m|2h|1d{near}",
                    MACROS.join(" ")
                ),
            ));
        }
    };
    if parts.len() > 1 {
        let why = format!("{} is the whole expression; remove what follows it", parts[0]);
        return Err(CronError::whole(text, why));
    }
    if fields.is_empty() {
        return Ok(Reading::Reboot);
    }
    let parts: Vec<&str> = fields.split(' ').collect();
    fields_of(text, &parts, dialect).map(Reading::Calendar)
}

/// The period of `@every 90s`, in milliseconds.
fn every(text: &str, parts: &[&str]) -> Result<u64, CronError> {
    let usage = "@every takes one whole number with a unit: 90s, 5m, 2h or 1d";
    let [_, period] = parts else { return Err(CronError::whole(text, usage)) };
    let digits = period.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit_s = match period[digits.len()..].to_ascii_lowercase().as_str() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(CronError::whole(text, usage)),
    };
    let Some(count) = number(digits) else { return Err(CronError::whole(text, usage)) };
    let period_s = u64::from(count) * unit_s;
    if period_s == 0 || period_s > MAX_EVERY_S {
        return Err(CronError::whole(text, "the period must be from 1s to 3650d"));
    }
    Ok(period_s * 1000)
}

fn fields_of(text: &str, parts: &[&str], dialect: Dialect) -> Result<Fields, CronError> {
    let extra = match dialect {
        Dialect::Crontab => "or 6 with seconds first",
        Dialect::Original => "or 6 with a year last",
    };
    let (second, fields, year) = match (dialect, parts) {
        (_, fields) if fields.len() == 5 => ("0", fields, "*"),
        (Dialect::Crontab, [second, fields @ ..]) if fields.len() == 5 => (*second, fields, "*"),
        (Dialect::Original, [fields @ .., year]) if fields.len() == 5 => ("0", fields, *year),
        _ => {
            let why = format!(
                "has {}; write 5 (minute hour day-of-month month day-of-week), {extra}",
                counted(parts.len() as u64, "field")
            );
            return Err(CronError::whole(text, why));
        }
    };
    let (minute, hour, dom, month, dow) = (fields[0], fields[1], fields[2], fields[3], fields[4]);
    let days = DaySpec {
        dom: dom_set(dom, dialect)?,
        months: set(Field::Month, month, dialect)? as u16,
        dow: dow_set(dow, dialect)?,
        either: dialect == Dialect::Crontab && restricts(dom) && restricts(dow),
        years: years(year)?,
    };
    Ok(Fields {
        seconds: set(Field::Second, second, dialect)?,
        minutes: set(Field::Minute, minute, dialect)?,
        hours: set(Field::Hour, hour, dialect)? as u32,
        wildcard: [second, minute, hour].iter().any(|field| field.starts_with('*')),
        days: days.normalized(),
    })
}

/// Whether a day field restricts, as `cron` understands it: by its first character.
fn restricts(field: &str) -> bool {
    !field.starts_with('*') && field != "?"
}

fn dom_set(text: &str, dialect: Dialect) -> Result<DomSet, CronError> {
    let mut set = DomSet::default();
    for raw in items(Field::DayOfMonth, text)? {
        let upper = raw.to_ascii_uppercase();
        match upper.strip_suffix('W') {
            _ if upper == "L" => set.last = true,
            Some("L") => set.last_weekday = true,
            Some(day) => set.nearest |= 1 << nearest(raw, day)?,
            None => set.days |= bits(Field::DayOfMonth, raw, dialect)? as u32,
        }
    }
    Ok(set)
}

/// The day of `15W`.
fn nearest(raw: &str, day: &str) -> Result<u32, CronError> {
    match number(day) {
        Some(day @ 1..=31) => Ok(day),
        _ => Err(CronError::field(Field::DayOfMonth, raw, "W needs one day before it, 1-31")),
    }
}

fn dow_set(text: &str, dialect: Dialect) -> Result<DowSet, CronError> {
    let field = Field::DayOfWeek;
    let mut set = DowSet::default();
    for raw in items(field, text)? {
        let upper = raw.to_ascii_uppercase();
        if let Some((day, nth)) = upper.split_once('#') {
            let Some(nth @ 1..=5) = number(nth) else {
                return Err(CronError::field(field, raw, "# needs a number from 1 to 5 after it"));
            };
            set.nth[nth as usize - 1] |= weekday_bit(raw, day)?;
        } else if let Some(day) = upper.strip_suffix('L') {
            set.last |= weekday_bit(raw, day)?;
        } else {
            set.days |= bits(field, raw, dialect)? as u8;
        }
    }
    Ok(set)
}

/// The day of `5L` or `5#2` as a bit, Sunday 0.
fn weekday_bit(raw: &str, day: &str) -> Result<u8, CronError> {
    match value(Field::DayOfWeek, day) {
        Some(day @ 0..=7) => Ok(1 << (day % 7)),
        _ => Err(CronError::field(Field::DayOfWeek, raw, "L and # need one day before them")),
    }
}

fn years(text: &str) -> Result<Vec<YearRange>, CronError> {
    let mut ranges = Vec::new();
    for raw in items(Field::Year, text)? {
        let item = item(Field::Year, raw)?;
        if matches!(item, Item { base: Base::Star, step: None }) {
            return Ok(Vec::new());
        }
        ranges.push(original::year_range(item));
    }
    Ok(ranges)
}

/// The set of a field that is a plain list.
fn set(field: Field, text: &str, dialect: Dialect) -> Result<u64, CronError> {
    items(field, text)?.try_fold(0, |set, raw| Ok(set | bits(field, raw, dialect)?))
}

/// The items of a list. `?` stands for `*`, alone in a day field.
fn items(field: Field, text: &str) -> Result<impl Iterator<Item = &str>, CronError> {
    let is_day = matches!(field, Field::DayOfMonth | Field::DayOfWeek);
    let text = if text == "?" && is_day { "*" } else { text };
    if text.contains('?') {
        return Err(CronError::field(field, text, "? may only stand alone in a day field"));
    }
    if text.split(',').any(str::is_empty) {
        return Err(CronError::field(field, text, "an item of the list is empty"));
    }
    Ok(text.split(','))
}

/// The set of one plain item.
fn bits(field: Field, raw: &str, dialect: Dialect) -> Result<u64, CronError> {
    let item = item(field, raw)?;
    let bits = match dialect {
        Dialect::Crontab => crontab_bits(field, raw, item)?,
        Dialect::Original => original::bits(field, raw, item)?,
    };
    // 7 is Sunday as well as 0.
    Ok(if field == Field::DayOfWeek { (bits | bits >> 7) & 0x7f } else { bits })
}

fn crontab_bits(field: Field, raw: &str, item: Item) -> Result<u64, CronError> {
    let (min, max) = field.range();
    let (from, to) = match item.base {
        Base::Star => (min, max),
        Base::One(value) if item.step.is_some() => (value, max),
        Base::One(value) => (value, value),
        Base::Range(from, to) => (from, to),
    };
    if from < min || from > max || to < min || to > max {
        return Err(CronError::field(field, raw, "out of range"));
    }
    // Of the backward ranges only the one that ends on a Sunday written as 0 has one meaning.
    let to = if field == Field::DayOfWeek && to == 0 && from > 0 { 7 } else { to };
    if from > to {
        return Err(CronError::advice(field, raw, backwards(field, from, to, item.step)));
    }
    Ok(stepped(from, to, item.step.unwrap_or(1)))
}

/// Bits of `from`, `from + step`, … up to `to`, which is at most 63.
pub(super) fn stepped(from: u32, to: u32, step: u32) -> u64 {
    (from..=to).step_by(step as usize).fold(0, |bits, value| bits | 1 << value)
}

/// What to write in place of a backward range. The steps go on over the end: `20-8/5` is 20, 1, 6.
fn backwards(field: Field, from: u32, to: u32, step: Option<u32>) -> String {
    let (min, max) = field.range();
    // 7 is a second Sunday.
    let (from, max) = match field {
        Field::DayOfWeek => (from % 7, 6),
        _ => (from, max),
    };
    let by = step.map_or(String::new(), |step| format!("/{step}"));
    let step = step.unwrap_or(1);
    let hint = if from <= to {
        format!("{from}-{to}{by}")
    } else {
        let steps_left = (max - from) / step + 1;
        let over = from.saturating_add(steps_left.saturating_mul(step)) - (max + 1 - min);
        match over <= to {
            true => format!("{from}-{max}{by},{over}-{to}{by}"),
            false => format!("{from}-{max}{by}"),
        }
    };
    format!("the range runs backwards; write {hint} to wrap around, or the smaller value first")
}

/// Reads one plain item.
fn item(field: Field, raw: &str) -> Result<Item, CronError> {
    let fail = |why: &str| CronError::field(field, raw, why);
    let (base, step) = match raw.split_once('/') {
        Some((base, step)) => {
            let step = number(step).ok_or_else(|| fail("the step after / is not a number"))?;
            (base, Some(step))
        }
        None => (raw, None),
    };
    if step == Some(0) {
        return Err(fail("a step of 0 would never move on"));
    }
    let value = |text: &str| {
        value(field, text).ok_or_else(|| {
            let names: &[&str] = match field {
                Field::Month => &MONTHS,
                Field::DayOfWeek => &WEEKDAYS,
                _ => &[],
            };
            // A number is none.
            let is_name = text.len() > 2;
            let near = if is_name { meant(text, names) } else { String::new() };
            fail(&format!("not a value of this field{near}"))
        })
    };
    let base = match base.split_once('-') {
        _ if base == "*" => Base::Star,
        Some((from, to)) => Base::Range(value(from)?, value(to)?),
        None => Base::One(value(base)?),
    };
    Ok(Item { base, step })
}

/// A number, or a name where the field has names.
fn value(field: Field, text: &str) -> Option<u32> {
    let place = |names: &[&str]| names.iter().position(|name| name.eq_ignore_ascii_case(text));
    match field {
        Field::Month => place(&MONTHS).map(|at| at as u32 + 1),
        Field::DayOfWeek => place(&WEEKDAYS).map(|at| at as u32),
        _ => None,
    }
    .or_else(|| number(text))
}

/// Decimal digits only (`str::parse` would take a sign); a huge number saturates, and is then out
/// of range or a step beyond the end, which is what it means.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}
