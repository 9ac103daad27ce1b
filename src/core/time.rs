//! Clock readings and how they are written. The core never reads a clock: it is told.

use crate::core::cron::Zone;
use jiff::fmt::temporal::DateTimePrinter;
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
