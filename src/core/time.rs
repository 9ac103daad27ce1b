//! Clock readings and how they are written. The core never reads a clock: it is told.

use crate::core::cron::Zone;
use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Serialize};

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

/// An instant as the database has it: `2026-11-22 13:42:07` in `zone`.
pub fn datetime(wall_ms: i64, zone: &Zone) -> String {
    let instant = Timestamp::from_millisecond(wall_ms).unwrap_or_default();
    zone.to_datetime(instant).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
