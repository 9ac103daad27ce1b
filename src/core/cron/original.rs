//! Items as the PHP program (mtdowling/cron-expression 1.2) matched them: value by value, with no
//! check of ranges. So `60 * * * *` and `5-1 …` are accepted and match nothing, and a step after
//! `*` or `0` counts from 0 whatever the field starts with.

use super::days::YearRange;
use super::error::{CronError, Field};
use super::item::{Base, Item};

/// The values of the field that the item matches; Sunday may come as bit 0 or bit 7.
pub(super) fn bits(field: Field, raw: &str, item: Item) -> Result<u64, CronError> {
    let (mut min, mut max) = field.range();
    let mut item = item;
    if field == Field::DayOfWeek {
        item.base = weekdays(raw, item)?;
        // It compares with 1–7 when the digit 7 stands anywhere in the item, else with 0–6.
        let seven = matches!(item.base, Base::One(7) | Base::Range(_, 7))
            || item.step.is_some_and(|step| step.to_string().contains('7'));
        (min, max) = if seven { (1, 7) } else { (0, 6) };
    }
    Ok((min..=max).filter(|value| matches_value(item, *value)).fold(0, |bits, v| bits | 1 << v))
}

/// A range from 7 starts at 0, else a plain range to 0 ends at 7.
fn weekdays(raw: &str, item: Item) -> Result<Base, CronError> {
    let fail = || CronError::field(Field::DayOfWeek, raw, "out of range");
    match item.base {
        Base::One(8..) | Base::Range(8.., _) | Base::Range(_, 8..) => Err(fail()),
        Base::Range(7, to) => Ok(Base::Range(0, to)),
        Base::Range(from, 0) if item.step.is_none() => Ok(Base::Range(from, 7)),
        base => Ok(base),
    }
}

fn matches_value(item: Item, value: u32) -> bool {
    match (item.base, item.step) {
        (Base::Star, None) => true,
        (Base::Star | Base::One(0), Some(step)) => value.is_multiple_of(step),
        (Base::One(from), None) => value == from,
        (Base::One(from), Some(step)) => value >= from && (value - from).is_multiple_of(step),
        (Base::Range(from, to), step) => {
            (from..=to).contains(&value) && (value - from).is_multiple_of(step.unwrap_or(1))
        }
    }
}

/// The years of an item.
pub(super) fn year_range(item: Item) -> YearRange {
    let step = item.step.unwrap_or(1);
    let (from, to) = match item.base {
        Base::Star => (0, u32::MAX),
        Base::One(year) if item.step.is_some() => (year, u32::MAX),
        Base::One(year) => (year, year),
        Base::Range(from, to) => (from, to),
    };
    YearRange { from, to, step }
}
