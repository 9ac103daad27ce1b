//! Expressions as other programs have them, and lines of a crontab: what would be right here.
//!
//! Only what was refused comes here. What is proposed was read before, so it is accepted.

use super::zone::zone;
use super::{Dialect, reader};

/// Three letters of each name are enough, and no more are taken.
const NAMES: [&str; 19] = [
    "SUNDAY",
    "MONDAY",
    "TUESDAY",
    "WEDNESDAY",
    "THURSDAY",
    "FRIDAY",
    "SATURDAY",
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];

/// What a job of Jenkins is likely to get for `H`, field by field.
const CHOSEN: [&str; 5] = ["17", "3", "1", "1", "1"];

const BOTH_DAYS: &str = "is written as for systemd (OnCalendar), which wants the day of the week \
     and the date; here a day that is either is due: give one of them, and let the command look at \
     the other";

/// What to do about an expression that was refused; none if nothing is known of its kind.
pub(super) fn advice<'a>(text: &'a str, dialect: Dialect) -> Option<String> {
    // Several lines are several things; that is said already.
    if text.len() > reader::MAX_EXPRESSION_BYTES || text.trim().contains(['\r', '\n']) {
        return None;
    }
    let looks: [fn(&Expression<'a>) -> Option<String>; 11] = [
        Expression::strange_characters,
        Expression::quotes,
        Expression::zone,
        Expression::blanks,
        Expression::aws,
        Expression::period,
        Expression::systemd,
        Expression::names,
        Expression::chosen_for_you,
        Expression::year,
        Expression::whole_line,
    ];
    let expression = Expression { text, parts: text.split_whitespace().collect(), dialect };
    looks.into_iter().find_map(|look| look(&expression))
}

struct Expression<'a> {
    text: &'a str,
    parts: Vec<&'a str>,
    dialect: Dialect,
}

impl Expression<'_> {
    /// The expression, if it is one.
    fn good(&self, text: &str) -> Option<String> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        reader::read(&text, self.dialect).is_ok().then_some(text)
    }

    /// `０ ８ ＊ ＊ ＊`, a Chinese comma, a dash of a text program, blanks of a web page.
    fn strange_characters(&self) -> Option<String> {
        let first = self.text.chars().find(|c| plain(*c).is_some())?;
        let plain: String = self.text.chars().map(|c| plain(c).unwrap_or(c)).collect();
        let right = self.good(&plain).map_or(String::new(), |right| format!(": write {right}"));
        let (shown, code) = (first.escape_debug(), u32::from(first));
        Some(format!("holds \"{shown}\" (U+{code:04X}) where a plain character belongs{right}"))
    }

    fn quotes(&self) -> Option<String> {
        let bare = self.text.trim().trim_matches(['"', '\'', '`']);
        let right = (bare != self.text.trim()).then(|| self.good(bare)).flatten()?;
        Some(format!("has quotes around it: write {right} without them"))
    }

    /// `CRON_TZ=Asia/Shanghai 0 0 * * *`, and a zone as the last field.
    fn zone(&self) -> Option<String> {
        let (first, last) = (self.parts.first()?, self.parts.last()?);
        let upper = first.to_ascii_uppercase();
        let (name, rest) = if upper.starts_with("CRON_TZ=") || upper.starts_with("TZ=") {
            (first.split_once('=')?.1.trim_matches(['"', '\'']), &self.parts[1..])
        } else if self.parts.len() > 5 && last.contains(|c: char| c.is_ascii_alphabetic()) {
            (zone(last).is_ok().then_some(*last)?, &self.parts[..self.parts.len() - 1])
        } else {
            return None;
        };
        let there = match zone(name) {
            Ok(_) => format!("write {name} there"),
            Err(why) => why.to_string(),
        };
        let here = self.good(&rest.join(" "));
        let here = here.map_or(String::new(), |right| format!("; write only {right} here"));
        Some(format!("a zone belongs in the column timezone, or [base] timezone: {there}{here}"))
    }

    /// `* /5 * * * *`, `1, 31 * * * *`.
    fn blanks(&self) -> Option<String> {
        let mut joined = self.parts.join(" ");
        for mark in ['/', ',', '-'] {
            joined = joined.replace(&format!(" {mark}"), &mark.to_string());
            joined = joined.replace(&format!("{mark} "), &mark.to_string());
        }
        let right = (joined != self.parts.join(" ")).then(|| self.good(&joined)).flatten()?;
        Some(format!("has a blank within a field: write {right}"))
    }

    /// `cron(0 12 * * ? *)` and `rate(5 minutes)`.
    fn aws(&self) -> Option<String> {
        let (name, inner) = self.text.trim().strip_suffix(')')?.split_once('(')?;
        let right = match name.to_ascii_lowercase().as_str() {
            "rate" => every(inner)?,
            "cron" => {
                let mut fields: Vec<String> =
                    inner.split_whitespace().take(5).map(str::to_owned).collect();
                let day = fields.get_mut(4)?;
                *day = from_sunday_1(day)?;
                self.good(&fields.join(" "))?
            }
            _ => return None,
        };
        Some(format!("is written as for AWS: write {right}{}", self.days_counted(inner, true)))
    }

    /// `@every 1h30m`, `every 5 minutes`.
    fn period(&self) -> Option<String> {
        let lower = self.text.trim().to_ascii_lowercase();
        let rest = lower.strip_prefix('@').unwrap_or(&lower).strip_prefix("every")?;
        let right = self.good(&every(rest)?)?;
        Some(format!("@every takes one whole number with a unit s, m, h or d: write {right}"))
    }

    /// `Mon..Fri *-*-* 02:00:00`, `daily`, `OnCalendar=daily`.
    fn systemd(&self) -> Option<String> {
        let text = self.text.trim();
        let is_line = text.get(..11).is_some_and(|key| key.eq_ignore_ascii_case("OnCalendar="));
        let text = if is_line { text[11..].trim() } else { text };
        let word = text.to_ascii_lowercase();
        let right = match word.as_str() {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "hourly" => {
                format!("@{word}")
            }
            "minutely" => "* * * * *".to_owned(),
            "quarterly" => "0 0 1 1,4,7,10 *".to_owned(),
            "semiannually" => "0 0 1 1,7 *".to_owned(),
            _ => {
                let parts: Vec<&str> = text.split_whitespace().collect();
                let (right, both) = calendar(&parts)?;
                if both {
                    return self.good(&right).map(|_| BOTH_DAYS.to_owned());
                }
                right
            }
        };
        Some(format!("is written as for systemd (OnCalendar): write {}", self.good(&right)?))
    }

    /// `0 8 * * MONDAY`.
    fn names(&self) -> Option<String> {
        let short = short_names(self.text);
        let right = (short != self.text).then(|| self.good(&short)).flatten()?;
        Some(format!("names have three letters here: write {right}"))
    }

    /// `H` of Jenkins, `~` of OpenBSD and cronie.
    fn chosen_for_you(&self) -> Option<String> {
        let own = |(field, chosen): (&&str, &str)| match field.split_once('~') {
            Some((from, _)) => from.parse().map_or(chosen, |_: u32| from).to_owned(),
            None => hashed(field, chosen).unwrap_or_else(|| (*field).to_owned()),
        };
        let fields: Vec<String> = self.parts.iter().zip(CHOSEN).map(own).collect();
        let changed = self.parts.len() == 5 && fields != self.parts;
        let right = changed.then(|| self.good(&fields.join(" "))).flatten()?;
        Some(format!("nothing is chosen for you (H, ~): choose a value yourself, such as {right}"))
    }

    /// Quartz has seconds first and a year last, AWS a year last.
    fn year(&self) -> Option<String> {
        let (year, fields) = self.parts.split_last()?;
        let is_year = |c: char| c.is_ascii_digit() || "*?-,/".contains(c);
        let many = matches!((self.dialect, fields.len()), (Dialect::Crontab, 5 | 6));
        let right = (many && year.chars().all(is_year)).then(|| self.good(&fields.join(" ")));
        let right = right.flatten()?;
        // With seven fields it is Quartz for sure; the six of others may count as cron does.
        let quartz = self.parts.len() == 7;
        let right = if quartz { self.quartz_days(fields)? } else { right };
        let counted = self.days_counted(&right, quartz);
        Some(format!("no year can be given: write {right} without it{counted}"))
    }

    /// The six fields of Quartz, which has Sunday as 1.
    fn quartz_days(&self, fields: &[&str]) -> Option<String> {
        let (day, before) = fields.split_last()?;
        self.good(&format!("{} {}", before.join(" "), from_sunday_1(day)?))
    }

    /// A line of a crontab, with its command.
    fn whole_line(&self) -> Option<String> {
        let is_macro = self.parts.first()?.starts_with('@');
        let (fields, rest) = self.parts.split_at_checked(if is_macro { 1 } else { 5 })?;
        let command = rest.first()?.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        let right = command.then(|| self.good(&fields.join(" "))).flatten()?;
        Some(format!("the command belongs in the column command: write only {right} here"))
    }

    /// A word on the days of the week where there are numbers: Quartz and AWS count them from 1.
    fn days_counted(&self, fields: &str, converted: bool) -> &'static str {
        let day = fields.split_whitespace().nth(if self.parts.len() == 7 { 5 } else { 4 });
        match (day.is_some_and(|day| day.contains(|c: char| c.is_ascii_digit())), converted) {
            (true, true) => " (Sunday is 0 here where others have 1)",
            (true, false) => "; mind that Sunday is 0 here where others have 1, Saturday is 6",
            (false, _) => "",
        }
    }
}

/// The plain character that one like it stands for.
fn plain(c: char) -> Option<char> {
    Some(match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0)?,
        '、' => ',',
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2217}' | '\u{00d7}' | '\u{2731}' => '*',
        '\u{200b}'..='\u{200f}' | '\u{feff}' | '\u{2060}' => ' ',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{2018}' | '\u{2019}' => '\'',
        c if c.is_whitespace() && !c.is_ascii() => ' ',
        _ => return None,
    })
}

/// `@every 90m` for `1h30m`, `5 minutes`.
fn every(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (mut rest, mut seconds) = (text.as_str(), 0_u64);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(unit);
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let times = match &tail[..end] {
            "s" | "sec" | "second" | "seconds" => 1,
            "m" | "min" | "minute" | "minutes" => 60,
            "h" | "hr" | "hour" | "hours" => 3_600,
            "d" | "day" | "days" => 86_400,
            _ => return None,
        };
        seconds = number.parse::<u64>().ok()?.checked_mul(times)?.checked_add(seconds)?;
        rest = &tail[end..];
    }
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds.is_multiple_of(*length))?;
    (seconds > 0).then(|| format!("@every {}{unit}", seconds / length))
}

/// `[days] [year-month-day] hour:minute[:second]` as fields, and whether a day must be both a day
/// of the week and a date.
fn calendar(parts: &[&str]) -> Option<(String, bool)> {
    let (mut days, mut month, mut dom) = ("*".to_owned(), "*", "*");
    let (time, before) = parts.split_last()?;
    for part in before {
        match part.split('-').collect::<Vec<_>>()[..] {
            ["*", m, d] => (month, dom) = (m, d),
            _ if part.contains(|c: char| c.is_ascii_alphabetic()) => {
                days = short_names(&part.replace("..", "-"));
            }
            _ => return None,
        }
    }
    let time = time.replace("..", "-");
    let (hour, minute, second) = match time.split(':').collect::<Vec<_>>()[..] {
        [hour, minute] => (hour, minute, "00"),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    let value = |text: &str| match text.trim_start_matches('0') {
        "" => "0".to_owned(),
        bare if bare.starts_with(|c: char| c.is_ascii_digit()) => bare.to_owned(),
        _ => text.to_owned(),
    };
    let second = if second == "00" { String::new() } else { value(second) };
    let [minute, hour, dom, month] = [minute, hour, dom, month].map(value);
    let both = days != "*" && dom != "*";
    Some((format!("{second} {minute} {hour} {dom} {month} {days}"), both))
}

/// Days of the week that were counted from Sunday as 1, from 0. Steps and `#` count nothing.
fn from_sunday_1(field: &str) -> Option<String> {
    let mut out = String::with_capacity(field.len());
    let mut before = ',';
    for c in field.chars() {
        match c.to_digit(10) {
            Some(day) if ",-".contains(before) => {
                out.push(char::from_digit(day.checked_sub(1)?, 10)?);
            }
            _ => out.push(c),
        }
        before = c;
    }
    Some(out)
}

/// A text in which names of days and months have three letters.
fn short_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphabetic()) {
        let end = piece.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(piece.len());
        let word = piece[..end].to_ascii_uppercase();
        let known = word.len() >= 3 && NAMES.iter().any(|name| name.starts_with(&word));
        out.push_str(if known { &word[..3] } else { &piece[..end] });
        out.push_str(&piece[end..]);
    }
    out
}

/// A field of Jenkins with `H`, `H/15` or `H(0-29)/10`, in which a value was chosen.
fn hashed(field: &str, chosen: &str) -> Option<String> {
    let rest = field.strip_prefix(['H', 'h'])?;
    Some(match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((range, "")) => range.split('-').next()?.to_owned(),
        Some((range, step)) => format!("{range}{step}"),
        None if rest.is_empty() => chosen.to_owned(),
        None => format!("*{rest}"),
    })
}
