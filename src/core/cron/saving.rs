//! Where a zone's clock is set forward or back over times of a schedule, and what happens to them
//! then: the policy of `zone`, told before it is met.

use super::zone::{self, Zone};
use super::{Cron, ExpressionKind, next_wall};
use jiff::Timestamp;
use jiff::tz::Offset;

/// Changes of a clock that are looked at: some zones have four in a year.
const MAX_CHANGES: usize = 8;

/// What happens to a time that a change of the clock takes away, or brings twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is not there, and nothing is due in its place.
    Skipped,
    /// It is not there; the schedule is due when the clock goes on, at this wall-clock time.
    Later(String),
    /// It is there twice; the schedule is due at the first one.
    First,
    /// It is there twice; the schedule is due both times.
    Both,
}

/// A time of a schedule that a change of the clock takes away, or brings twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The first such time by the wall clock: `2027-03-28 02:30`.
    pub wall: String,
    /// What happens then.
    pub fate: Fate,
}

impl Cron {
    /// Times between two instants (unix ms) that the zone's clock takes away or brings twice; of
    /// each change of the clock the first one. None of a schedule that goes on in every hour with
    /// the wall clock, for nothing of it changes.
    #[must_use]
    pub fn moved(&self, zone: &Zone, from_ms: i64, to_ms: i64) -> Vec<Moved> {
        let ExpressionKind::Calendar { time, wildcard, days } = &self.0 else { return Vec::new() };
        if *wildcard && time.hours.count_ones() == 24 {
            return Vec::new();
        }
        let (mut at, to) = (from_ms.div_euclid(1000), to_ms.div_euclid(1000));
        let mut found = Vec::new();
        for _ in 0..MAX_CHANGES {
            let Some(change) = zone::next_change(zone, at).filter(|change| *change < to) else {
                break;
            };
            let offsets = (zone::offset_at(zone, change - 1), zone::offset_at(zone, change));
            let (Some(before), Some(after)) = offsets else { break };
            let (from, end) = (change + before.min(after), change + before.max(after));
            let wall = next_wall(*time, days, from).filter(|wall| *wall < end);
            let fate = match (after > before, *wildcard) {
                (true, true) => Fate::Skipped,
                (true, false) => Fate::Later(clock(end)),
                (false, true) => Fate::Both,
                (false, false) => Fate::First,
            };
            found.extend(
                wall.map(|wall| Moved { wall: format!("{} {}", date(wall), clock(wall)), fate }),
            );
            at = change;
        }
        found
    }
}

/// A wall-clock time, in seconds as if the wall were UTC.
fn civil(wall: i64) -> jiff::civil::DateTime {
    // It is a time of the next years.
    Offset::UTC.to_datetime(Timestamp::from_second(wall).unwrap_or_default())
}

fn date(wall: i64) -> String {
    civil(wall).date().to_string()
}

/// Hours and minutes; seconds only where there are any.
fn clock(wall: i64) -> String {
    let time = civil(wall).time();
    let text = format!("{:02}:{:02}", time.hour(), time.minute());
    if time.second() == 0 { text } else { format!("{text}:{:02}", time.second()) }
}
