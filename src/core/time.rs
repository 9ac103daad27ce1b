//! Clock readings and how they are written. The core never reads a clock: it is told.

use crate::core::cron::Zone;
use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::{AmbiguousOffset, Offset};
use jiff::{Timestamp, ToSpan, ZonedDateTime};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Both clocks, read once a turn of the loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Wall clock: milliseconds since 1970-01-01T00:00:00Z. May jump either way.
    pub wall_ms: i64,
    /// Monotonic clock: milliseconds since an arbitrary start. Never goes back.
    pub mono_ms: u64,
}

/// An instant as RFC 3339 with the zone's offset: `2026-11-22T13:42:07+08:00`, with three digits
/// of milliseconds where there are any.
pub fn rfc3339(wall_ms: i64, zone: &Zone) -> String {
    let instant = Timestamp::from_millisecond(wall_ms).unwrap_or_default();
    let precision = (instant.subsec_millisecond() != 0).then_some(3);
    let offset = zone.to_offset(instant);
    let mut text = String::with_capacity(30);
    let printer = DateTimePrinter::new().precision(precision);
    // A String takes every write.
    let _ = printer.print_timestamp_with_offset(&instant, offset, &mut text);
    text
}

/// Instants for which schedules and zones are known, unix ms: the years 1970 to 9998.
pub const SCHEDULED_MS: Range<i64> = 0..253_370_764_800_000;

/// An instant of RFC 3339 in unix ms, rounded down: what is due in its very millisecond is still to
/// come only if the instant is earlier.
///
/// # Errors
/// It is none: what would be one.
pub fn instant(text: &str) -> Result<i64, String> {
    let instant: Timestamp = text.trim().parse().map_err(|_| {
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        format!("\"{shown}\" is not an instant; write it as 2026-11-22T13:42:07+08:00")
    })?;
    Ok(instant.as_nanosecond().div_euclid(1_000_000) as i64) // jiff's range fits
}

/// From this instant on (unix ms) a pause is one that somebody has to end: it is how a row says so.
pub const OPEN_END_MS: i64 = SCHEDULED_MS.end;

/// The same as a row has it.
pub const OPEN_END: &str = "9999-01-01T00:00:00Z";

/// What stands in a row about when its pause ends: the first instant whose slots are launched
/// again, unix ms; the greatest if somebody has to end it; none if there is no pause.
///
/// # Errors
/// It is no instant: what would be one.
pub fn pause_end(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let at_ms = instant(text)?;
    Ok(Some(if at_ms >= OPEN_END_MS { i64::MAX } else { at_ms }))
}

/// An instant as people write it, unix ms: RFC 3339, or a time of the wall clock in `zone`, with or
/// without seconds.
///
/// # Errors
/// It is none: what would be one.
pub fn instant_in(text: &str, zone: &Zone) -> Result<i64, String> {
    instant(text).or_else(|why| {
        let local = text.trim().replace('T', " ");
        let seconds = if local.matches(':').count() == 1 { ":00" } else { "" };
        let found = instant_of(&format!("{local}{seconds}"), zone, None);
        found.ok_or_else(|| format!("{why}, or by the local time as 2026-11-22 13:42"))
    })
}

/// The same time of the wall clock so many days later, unix ms; as many times 24 hours where the
/// calendar ends.
pub fn days_later(wall_ms: i64, days: i64, zone: &Zone) -> i64 {
    let instant = Timestamp::from_millisecond(wall_ms).unwrap_or_default();
    let later = ZonedDateTime::new(instant, zone.clone()).checked_add(days.days());
    later.map_or(wall_ms + days * 86_400_000, |later| later.timestamp().as_millisecond())
}

/// An instant as the database has it: `2026-11-22 13:42:07` in `zone`.
pub fn datetime(wall_ms: i64, zone: &Zone) -> String {
    let instant = Timestamp::from_millisecond(wall_ms).unwrap_or_default();
    zone.to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// By how many seconds the local time is ahead of UTC at an instant.
pub fn offset_s(wall_ms: i64, zone: &Zone) -> i64 {
    zone.to_offset(Timestamp::from_millisecond(wall_ms).unwrap_or_default()).seconds().into()
}

/// What [`datetime`] has made a text of, unix ms; none if it is no time. Of an hour that comes
/// twice it is the one in which `near_s` is (unix seconds), else the first.
pub fn instant_of(text: &str, zone: &Zone, near_s: Option<i64>) -> Option<i64> {
    let local = DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let at_s = |offset: Offset| Some(offset.to_timestamp(local).ok()?.as_second());
    let found_s = match ambiguous.offset() {
        AmbiguousOffset::Unambiguous { offset } => at_s(offset)?,
        // There is no such time: as if the clock had not been put forward yet.
        AmbiguousOffset::Gap { before, .. } => at_s(before)?,
        AmbiguousOffset::Fold { before, after } => {
            let (first, second) = (at_s(before)?, at_s(after)?);
            let near = |near_s: i64| near_s.abs_diff(second) < near_s.abs_diff(first);
            if near_s.is_some_and(near) { second } else { first }
        }
    };
    Some(found_s * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::cron::zone;

    #[test]
    fn the_end_of_a_pause_is_an_instant_or_open() {
        assert_eq!(pause_end(""), Ok(None));
        assert_eq!(pause_end("2026-12-01T07:00:00+08:00"), Ok(Some(1_796_079_600_000)));
        assert_eq!(pause_end(OPEN_END), Ok(Some(i64::MAX)));
        assert_eq!(instant(OPEN_END), Ok(OPEN_END_MS));
        for text in ["tomorrow", "2026-12-01 07:00:00", "0", " "] {
            assert!(pause_end(text).unwrap_err().contains("is not an instant"), "{text}");
        }
    }

    #[test]
    fn an_instant_is_written_with_an_offset_or_by_the_local_time() {
        let shanghai = zone("Asia/Shanghai").unwrap();
        for text in [
            "2026-11-22T13:42:00+08:00",
            "2026-11-22 05:42:00Z",
            "2026-11-22 13:42",
            " 2026-11-22T13:42 ",
            "2026-11-22 13:42:00",
        ] {
            assert_eq!(instant_in(text, &shanghai), Ok(1_795_326_120_000), "{text}");
        }
        for text in ["", "2026-11-22", "13:42", "soon", "2026-11-22 13:42 Z"] {
            let why = instant_in(text, &shanghai).unwrap_err();
            assert!(why.ends_with("or by the local time as 2026-11-22 13:42"), "{text}: {why}");
        }
    }

    #[test]
    fn a_local_time_is_an_instant_and_of_two_the_nearer_one() {
        let berlin = zone("Europe/Berlin").unwrap();
        for ms in [1_795_326_127_000, 1_792_890_000_000, 1_792_893_600_000, 1_792_897_200_000] {
            let text = datetime(ms, &berlin);
            assert_eq!(instant_of(&text, &berlin, Some(ms / 1_000 + 7)), Some(ms), "{text}");
        }
        // 2026-10-25: 2:30 comes twice.
        assert_eq!(datetime(1_792_888_200_000, &berlin), datetime(1_792_891_800_000, &berlin));
        let text = datetime(1_792_891_800_000, &berlin);
        assert_eq!(instant_of(&text, &berlin, None), Some(1_792_888_200_000));
        for text in ["", "0000-00-00 00:00:00", "2026-13-01 00:00:00", "x"] {
            assert_eq!(instant_of(text, &berlin, None), None, "{text}");
        }
    }
}
