//! The `Date` header (RFC 9110 §5.6.7).

use jiff::civil::{self, DateTime};
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::{SignedDuration, Timestamp};

const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// The first second of the year 0, since the epoch.
const FIRST_S: i64 = -62_167_219_200;

/// The last second of the year 9999: the format has four digits for a year.
const LAST_S: i64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT`: an instant in milliseconds since the epoch as IMF-fixdate.
/// Years outside 0..=9999 are shown as the nearest of these.
pub fn http_date(wall_ms: i64) -> String {
    let seconds = wall_ms.div_euclid(1000).clamp(FIRST_S, LAST_S);
    Timestamp::from_second(seconds)
        .and_then(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at))
        .unwrap_or_else(|_| far_date(seconds))
}

/// The same for the last two days, which `Timestamp` leaves free for zones. It is slow, and every
/// answer has a date.
fn far_date(seconds: i64) -> String {
    let at = EPOCH.saturating_add(SignedDuration::from_secs(seconds));
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
