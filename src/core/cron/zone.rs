//! Wall-clock times → instants, by one policy for every change of the offset.
//!
//! A *wildcard* job (second, minute or hour field starts with `*`) follows the wall clock: nothing
//! in a skipped hour, both passes of a repeated one. A *fixed* job fires once, whatever the clock
//! does: its times in a gap at the first instant after it, its times in a repeated hour in the
//! first pass. Half-hour, two-hour, midnight and whole-day changes go the same way, and so do those
//! that are no daylight saving time.
//!
//! Instants are Unix seconds; wall-clock times are seconds too, counted as if the wall were UTC.

use jiff::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use super::zone_names::{ZoneError, is_place};

/// A time zone. Cheap to clone.
pub type Zone = TimeZone;

/// No zone's offset moves by more than this at a time, and no two changes undo each other sooner.
pub(super) const MAX_STEP_S: i64 = 2 * 86_400;

/// The next instant after `after` of a wildcard job, whose next wall-clock time not before a given
/// one is told by `next_wall`.
pub(super) fn next_wildcard(
    zone: &Zone,
    after: i64,
    next_wall: impl Fn(i64) -> Option<i64>,
) -> Option<i64> {
    let mut from = after + 1;
    loop {
        let offset = offset_at(zone, from)?;
        let wall = next_wall(from + offset)?;
        let due = wall - offset;
        let Some(change) = next_change(zone, from) else { return Some(due) };
        if due < change {
            return Some(due);
        }
        // Nothing before the change. If it is near it may bring wall-clock times back that are
        // behind us, so look again from there; if it is far it can't, and only the one that
        // governs `wall` matters.
        if change - from <= MAX_STEP_S {
            from = change;
            continue;
        }
        match resolve(zone, wall)? {
            Wall::Once(due) | Wall::Twice { first: due, .. } => return Some(due),
            Wall::Skipped { end } => from = end,
        }
    }
}

/// The next instant after `after` of a fixed job.
pub(super) fn next_fixed(
    zone: &Zone,
    after: i64,
    next_wall: impl Fn(i64) -> Option<i64>,
) -> Option<i64> {
    let mut from = after + offset_at(zone, after)? + 1;
    loop {
        let wall = next_wall(from)?;
        match resolve(zone, wall)? {
            Wall::Once(due) | Wall::Twice { first: due, .. } | Wall::Skipped { end: due }
                if due > after =>
            {
                return Some(due);
            }
            // We are in the second pass: all of the stretch has fired.
            Wall::Twice { end, .. } => from = end,
            // Strictly later, whatever a zone's history may hold.
            _ => from = wall + 1,
        }
    }
}

/// What a wall-clock time is.
enum Wall {
    Once(i64),
    /// In a repeated stretch: its first instant, and the wall-clock time at which the stretch ends.
    Twice {
        first: i64,
        end: i64,
    },
    /// In a gap: the first instant after it.
    Skipped {
        end: i64,
    },
}

fn resolve(zone: &Zone, wall: i64) -> Option<Wall> {
    let time = Offset::UTC.to_datetime(Timestamp::from_second(wall).ok()?);
    Some(match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => Wall::Once(wall - seconds(offset)),
        AmbiguousOffset::Fold { before, .. } => {
            let first = wall - seconds(before);
            Wall::Twice { first, end: next_change(zone, first)? + seconds(before) }
        }
        AmbiguousOffset::Gap { after, .. } => {
            Wall::Skipped { end: next_change(zone, wall - seconds(after))? }
        }
    })
}

/// The offset in force at an instant, in seconds east of UTC.
pub(super) fn offset_at(zone: &Zone, instant: i64) -> Option<i64> {
    Some(seconds(zone.to_offset(Timestamp::from_second(instant).ok()?)))
}

/// The first instant after `instant` at which the zone changes.
pub(super) fn next_change(zone: &Zone, instant: i64) -> Option<i64> {
    let change = zone.following(Timestamp::from_second(instant).ok()?).next()?;
    let change = change.timestamp().as_second();
    (change > instant).then_some(change)
}

fn seconds(offset: Offset) -> i64 {
    i64::from(offset.seconds())
}

/// Finds a zone by its IANA name, in any case: in the system's database first, then in the bundled
/// one (a bare machine has no zone files, a Debian one lacks the old names).
///
/// # Errors
/// The name is in neither; the error suggests the nearest one.
pub fn zone(name: &str) -> Result<Zone, ZoneError> {
    let bundled = TimeZoneDatabase::bundled();
    if !is_place(name) {
        return Err(ZoneError::new(name, &bundled));
    }
    if let Ok(zone) = jiff::tz::db().get(name) {
        return Ok(zone);
    }
    bundled.get(name).map_err(|_| ZoneError::new(name, &bundled))
}

/// The zone that the machine says it is in; none where it says none that is known.
#[must_use]
pub fn machine_zone() -> Option<Zone> {
    TimeZone::try_system().ok()
}
