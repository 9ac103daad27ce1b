//! Why an expression or a zone name was refused, in one line that says what would be right.

use std::fmt;

/// A field of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// 0–59; the first of six fields in dialect `crontab`.
    Second,
    /// 0–59.
    Minute,
    /// 0–23.
    Hour,
    /// 1–31.
    DayOfMonth,
    /// 1–12 or `JAN`–`DEC`.
    Month,
    /// 0–7 or `SUN`–`SAT`; 0 and 7 are both Sunday.
    DayOfWeek,
    /// The last of six fields in dialect `original`.
    Year,
}

impl Field {
    /// Least and greatest value, both included.
    #[must_use]
    pub fn range(self) -> (u32, u32) {
        match self {
            Field::Second | Field::Minute => (0, 59),
            Field::Hour => (0, 23),
            Field::DayOfMonth => (1, 31),
            Field::Month => (1, 12),
            Field::DayOfWeek => (0, 7),
            Field::Year => (1970, 9999),
        }
    }

    /// What may stand in the field, to complete an error message.
    fn allowed(self) -> &'static str {
        match self {
            Field::Second | Field::Minute => "0-59, *, ranges (1-5), steps (*/5), lists (1,5)",
            Field::Hour => "0-23, *, ranges (9-17), steps (*/2), lists (8,20)",
            Field::DayOfMonth => {
                "1-31, *, ?, L (last day), LW (last weekday), 15W (weekday nearest the 15th), \
                 ranges, steps, lists"
            }
            Field::Month => "1-12 or JAN-DEC, *, ranges, steps, lists",
            Field::DayOfWeek => {
                "0-7 (0 and 7 are Sunday) or SUN-SAT, *, ?, 5L (last Friday), 5#2 (second Friday), \
                 ranges, steps, lists"
            }
            Field::Year => "a year such as 2026, *, ranges, steps, lists",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Second => "second",
            Field::Minute => "minute",
            Field::Hour => "hour",
            Field::DayOfMonth => "day of month",
            Field::Month => "month",
            Field::DayOfWeek => "day of week",
            Field::Year => "year",
        })
    }
}

/// Why an expression was refused. Displays as one line: field, value, what is wrong, what is
/// allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    /// The field at fault; `None` when it is the expression as a whole.
    pub field: Option<Field>,
    /// The text at fault, shortened if it is long.
    pub value: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

/// Characters of a bad value that are quoted back; enough to find it, too few to flood a log.
const MAX_QUOTED: usize = 60;

impl CronError {
    /// A fault of the whole expression.
    pub(super) fn whole(value: &str, why: impl Into<String>) -> CronError {
        CronError { field: None, value: shorten(value), why: why.into() }
    }

    /// A fault of one field, with the list of what it allows.
    pub(super) fn field(field: Field, value: &str, why: &str) -> CronError {
        let why = format!("{why}; allowed: {}", field.allowed());
        CronError { field: Some(field), value: shorten(value), why }
    }

    /// A fault of one field whose reason already tells what to write.
    pub(super) fn advice(field: Field, value: &str, why: impl Into<String>) -> CronError {
        CronError { field: Some(field), value: shorten(value), why: why.into() }
    }

    /// As it is told where the expression stands already: not once more.
    #[must_use]
    pub fn beside_expression(&self) -> String {
        match self.field {
            Some(_) => self.to_string(),
            None => self.why.clone(),
        }
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            Some(field) => write!(f, "{field} \"{}\": {}", self.value, self.why),
            None => write!(f, "cron expression \"{}\": {}", self.value, self.why),
        }
    }
}

impl std::error::Error for CronError {}

/// Quotes outside text: control characters escaped (the message stays one line), length bounded.
pub(super) fn shorten(value: &str) -> String {
    let mut out: String =
        value.chars().take(MAX_QUOTED).flat_map(|c| c.escape_debug().collect::<Vec<_>>()).collect();
    if value.chars().nth(MAX_QUOTED).is_some() {
        out.push('…');
    }
    out
}
