//! Cron expressions: what they mean, and when they are due next.
//!
//! Text → bit sets (`reader`, with `original` for the PHP program's dialect) → days
//! (`rules`, on crate `cron`) and time of day → instants (`zone`, the policy for changes of the
//! offset). `describe` puts a schedule in words; `walk` goes from instant to instant where there
//! are many; `saving` tells which times a change of the clock takes away or brings twice.
//!
//! The meaning, in short (crontab(5) with the usual extensions):
//! - five fields, minute hour day-of-month month day-of-week; six have seconds first. A macro is
//!   the whole expression.
//! - A day field that starts with `*` or is `?` does not restrict. If both restrict, either
//!   matches; else both must.
//! - Sunday is 0 and 7. `N/S` is N-max/S. A backward range is an error, except that days of the
//!   week may end on Sunday.
//! - `L`, `LW`, `15W` in day of month; `5L`, `5#2` in day of week.
//! - `@every 90s|5m|2h|1d` counts from the epoch; `@reboot` is once per boot.
//! - What can never be due is refused.
//!
//! Dialect `original` reads rows as the PHP program did: both day fields must match, a sixth field
//! is the year, a step after `*` counts from 0 also in month and day of month, and what can't
//! match is accepted and never due.

mod days;
mod describe;
mod error;
mod foreign;
mod item;
mod original;
mod reader;
mod rules;
mod saving;
mod walk;
mod zone;
mod zone_names;

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

pub use describe::{Lang, Readings, readings_differ};
pub use error::{CronError, Field};
pub use saving::{Fate, Moved};
pub use walk::Walk;
pub use zone::{Zone, machine_zone, zone};
pub use zone_names::ZoneError;

use crate::core::list::{Listed, list};
use days::DaySpec;
use reader::{Fields, Reading};
use rules::{DAY_S, Days};

list! {
    /// Who wrote the expressions.
    #[derive(Default)]
    pub enum Dialect {
        /// As crontab(5) has it.
        #[default]
        Crontab = "crontab",
        /// As the PHP program read it.
        Original = "original",
    }
}

impl FromStr for Dialect {
    type Err = String;

    fn from_str(text: &str) -> Result<Dialect, String> {
        let words = || Dialect::ALL.map(Dialect::label).join(" or ");
        Dialect::named(text).ok_or_else(|| format!("no cron dialect \"{text}\"; write {}", words()))
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A compiled expression: 40 bytes, and a share of its days (see [`CronCache`]).
#[derive(Clone, Debug)]
pub struct Cron(ExpressionKind);

#[derive(Clone, Debug)]
enum ExpressionKind {
    Calendar { time: TimeOfDay, wildcard: bool, days: Rc<Days> },
    Every { period_ms: u64 },
    Reboot,
}

/// What tells expressions apart: see [`Cron::identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    time: TimeOfDay,
    wildcard: bool,
    /// Where its days are; of what has none, 0.
    days: usize,
    /// 0: none.
    period_ms: u64,
}

/// Bit n of a set is value n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct TimeOfDay {
    seconds: u64,
    minutes: u64,
    hours: u32,
}

impl Cron {
    /// Reads one expression. Many are better read through a [`CronCache`].
    ///
    /// # Errors
    /// The expression is not well-formed, or (dialect `crontab`) can never be due.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Cron, CronError> {
        CronCache::default().parse(text, dialect)
    }

    /// The next instant strictly later than `after_ms` (Unix milliseconds) in `zone`; whole
    /// seconds, from 1970 on. `None`: never, or once per boot ([`Cron::is_reboot`]).
    #[must_use]
    pub fn next_after(&self, zone: &Zone, after_ms: i64) -> Option<i64> {
        match &self.0 {
            ExpressionKind::Reboot => None,
            ExpressionKind::Every { period_ms } => {
                let period_ms = i64::try_from(*period_ms).ok()?;
                after_ms.div_euclid(period_ms).checked_add(1)?.checked_mul(period_ms)
            }
            ExpressionKind::Calendar { time, wildcard, days } => {
                let after = after_ms.div_euclid(1000).max(-DAY_S);
                let next_wall = |from| next_wall(*time, days, from);
                let due = if *wildcard {
                    zone::next_wildcard(zone, after, next_wall)
                } else {
                    zone::next_fixed(zone, after, next_wall)
                };
                due.map(|due| due * 1000)
            }
        }
    }

    /// `@reboot`: due once per boot of the machine, at the daemon's start.
    #[must_use]
    pub fn is_reboot(&self) -> bool {
        matches!(self.0, ExpressionKind::Reboot)
    }

    /// Equal for expressions of one [`CronCache`] that are due at the same instants in each zone,
    /// as long as both are there.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let none = Identity { time: TimeOfDay::default(), wildcard: false, days: 0, period_ms: 0 };
        match &self.0 {
            ExpressionKind::Calendar { time, wildcard, days } => {
                let days = Rc::as_ptr(days) as usize;
                Identity { time: *time, wildcard: *wildcard, days, ..none }
            }
            ExpressionKind::Every { period_ms } => Identity { period_ms: *period_ms, ..none },
            ExpressionKind::Reboot => none,
        }
    }

    /// The period of `@every`, in milliseconds.
    #[must_use]
    pub fn every_ms(&self) -> Option<u64> {
        match self.0 {
            ExpressionKind::Every { period_ms } => Some(period_ms),
            _ => None,
        }
    }
}

/// The first wall-clock second, not before `from`, that matches.
fn next_wall(time: TimeOfDay, days: &Days, from: i64) -> Option<i64> {
    let today = from.div_euclid(DAY_S);
    // A remainder of a division by 86,400 fits.
    let later = time.first(from.rem_euclid(DAY_S) as u32);
    let day = days.next(if later.is_some() { today } else { today + 1 })?;
    let second = if day == today { later? } else { time.first(0)? };
    Some(day * DAY_S + i64::from(second))
}

impl TimeOfDay {
    /// The first matching second of the day, not before `from` (0–86,399).
    fn first(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        let at = |hour: u32, minute: u32, second: u32| hour * 3600 + minute * 60 + second;
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = bit_from(self.seconds, second)
            {
                return Some(at(hour, minute, second));
            }
            if let Some(minute) = bit_from(self.minutes, minute + 1) {
                return Some(at(hour, minute, bit_from(self.seconds, 0)?));
            }
        }
        let hour = bit_from(u64::from(self.hours), hour + 1)?;
        Some(at(hour, bit_from(self.minutes, 0)?, bit_from(self.seconds, 0)?))
    }
}

/// The lowest bit that is set from `from` (0–63) on.
fn bit_from(bits: u64, from: u32) -> Option<u32> {
    let bits = bits & (u64::MAX << from);
    (bits != 0).then(|| bits.trailing_zeros())
}

/// Reads expressions, and lets those with equal days share one compiled form: it takes 0.6–1.7 kB,
/// and of 10,000 expressions of a daemon most say `* * *`.
#[derive(Debug, Default)]
pub struct CronCache {
    days: BTreeMap<DaySpec, Rc<Days>>,
}

impl CronCache {
    /// Distinct days that are remembered at the most while no expression uses them.
    const MAX_IDLE: usize = 256;

    /// Reads one expression.
    ///
    /// # Errors
    /// As [`Cron::parse`].
    pub fn parse(&mut self, text: &str, dialect: Dialect) -> Result<Cron, CronError> {
        let reading = reader::read(text, dialect);
        // What another program's looks like is refused with what would be right.
        let reading = reading.map_err(|why| match foreign::advice(text, dialect) {
            Some(advice) => CronError::whole(text, advice),
            None => why,
        });
        match reading? {
            Reading::Every(period_ms) => Ok(Cron(ExpressionKind::Every { period_ms })),
            Reading::Reboot => Ok(Cron(ExpressionKind::Reboot)),
            Reading::Calendar(Fields { seconds, minutes, hours, days, wildcard }) => {
                let days = self.share(days);
                if dialect == Dialect::Crontab && !days.has_dates() {
                    let why = "can never be due: no such date exists; see its day and month";
                    return Err(CronError::whole(text, why));
                }
                let time = TimeOfDay { seconds, minutes, hours };
                Ok(Cron(ExpressionKind::Calendar { time, wildcard, days }))
            }
        }
    }

    fn share(&mut self, spec: DaySpec) -> Rc<Days> {
        if let Some(days) = self.days.get(&spec) {
            return Rc::clone(days);
        }
        let days = Rc::new(Days::compile(spec.clone()));
        // Rows come and go for months: forget what none of them uses any more, at intervals that
        // make it cheap.
        if self.days.len() >= Self::MAX_IDLE && self.days.len().is_power_of_two() {
            self.days.retain(|_, days| Rc::strong_count(days) > 1);
        }
        self.days.insert(spec, Rc::clone(&days));
        days
    }
}
