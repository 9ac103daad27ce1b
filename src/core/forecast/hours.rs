//! The hours of a zone's wall clock. A change of the offset ends one: where it is half an hour, so
//! is the hour.

use crate::core::cron::Zone;
use jiff::Timestamp;

const HOUR_S: i64 = 3600;

/// When the hours begin that have a second from `from_s` on and before `to_s`, Unix seconds.
pub(super) fn starts(zone: &Zone, from_s: i64, to_s: i64) -> Vec<i64> {
    let mut at = from_s - within(zone, from_s);
    // The offset may have changed since.
    while next(zone, at) <= from_s {
        at = next(zone, at);
    }
    let hours = std::iter::successors(Some(at), |at| Some(next(zone, *at)));
    hours.take_while(|at| *at < to_s).collect()
}

/// Seconds since the wall clock showed a whole hour.
fn within(zone: &Zone, at_s: i64) -> i64 {
    let offset = instant(at_s).map_or(0, |at| zone.to_offset(at).seconds());
    (at_s + i64::from(offset)).rem_euclid(HOUR_S)
}

fn next(zone: &Zone, at_s: i64) -> i64 {
    let hour = at_s - within(zone, at_s) + HOUR_S;
    let change = instant(at_s).and_then(|at| zone.following(at).next());
    let change = change.map(|change| change.timestamp().as_second());
    change.filter(|change| *change > at_s).map_or(hour, |change| hour.min(change))
}

fn instant(at_s: i64) -> Option<Timestamp> {
    Timestamp::from_second(at_s).ok()
}
