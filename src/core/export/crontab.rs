//! Jobs as a crontab (crontab(5) of Debian's cron and cronie). What it can't say of a job is told
//! in a comment; overlap limits, tags and owners it knows nothing of.

use crate::core::bad_rows::{BadRows, left_out};
use crate::core::columns::Column;
use crate::core::cron::{Cron, Dialect, readings_differ};
use crate::core::crontab::{HEADER, SAID, is_simple, quoted, unsaid};
use crate::core::definition::{Definition, Schedule};
use crate::core::plain;
use std::fmt::Write;

/// The least and the greatest value of each field, and its names from the least on.
const FIELDS: [(u32, u32, &str); 5] = [
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"),
    (0, 7, "SUN MON TUE WED THU FRI SAT"),
];

/// Sunday, as the end of a range.
const SUNDAY: u32 = 7;

/// What is written so far has this in force.
#[derive(Debug)]
pub(super) struct Writer {
    dialect: Dialect,
    /// That of the daemon; empty where it has no name.
    zone: String,
    /// That of the lines that come next.
    present: String,
}

impl Writer {
    pub fn new(dialect: Dialect, zone: &str) -> Writer {
        Writer { dialect, zone: zone.to_owned(), present: zone.to_owned() }
    }

    pub fn begin(&self, text: &mut String) {
        let _ = writeln!(text, "# {HEADER}"); // a String takes every write
        if !self.zone.is_empty() {
            let _ = writeln!(text, "CRON_TZ={}", self.zone); // a String takes every write
        }
    }

    pub fn add(&mut self, def: &Definition, enabled: bool, text: &mut String) {
        let line = line(def, self.dialect);
        // What cron can't have stands in a comment from which it can be read again.
        let said = line.is_err().then(|| said(def, self.dialect).filter(|_| enabled)).flatten();
        text.push('\n');
        if let (Err(why), Some(_)) = (&line, &said) {
            comment(&format!("job {} can't be said in a crontab: {why}", def.id), text);
            text.push('\n');
        }
        if line.is_ok() || said.is_some() {
            self.turn_to(def.timezone(), text);
        }
        // Right above the line: there a reader takes them for what describes it.
        let description = def.optional.text(Column::Description);
        let told = if description.is_empty() { &def.name } else { description };
        told.lines().for_each(|line| comment(line, text));
        match line {
            Err(_) if said.is_some() => {
                // A String takes every write.
                let _ = writeln!(text, "# {SAID}{}) {}", def.cron, said.unwrap_or_default());
            }
            Err(why) => {
                comment(&format!("job {} can't be said in a crontab: {why}", def.id), text);
                let command = def.command.lines().next().unwrap_or_default();
                comment(&format!("({} {command})", def.cron), text);
            }
            Ok(line) => {
                let mark = if enabled { "" } else { "# disabled: " };
                let _ = writeln!(text, "{mark}{line}"); // a String takes every write
            }
        }
    }

    /// Puts the zone of a job in force.
    fn turn_to(&mut self, zone: &str, text: &mut String) {
        let zone = if zone.is_empty() { &self.zone } else { zone };
        if *zone != self.present && !zone.is_empty() {
            let _ = writeln!(text, "CRON_TZ={zone}"); // a String takes every write
        }
        zone.clone_into(&mut self.present);
    }

    pub fn end(&self, bad: &BadRows, text: &mut String) {
        for (name, why) in bad.named() {
            comment(&left_out(&name, why), text);
        }
    }
}

/// What people have written: nobody is to take it for a job.
fn comment(line: &str, text: &mut String) {
    let _ = writeln!(text, "# {}", unsaid(&plain::line(line))); // a String takes every write
}

/// The command of a job as `schedule import crontab` reads it beside a schedule that cron can't
/// have; none where it has several lines, or where that would be no schedule either.
fn said(def: &Definition, dialect: Dialect) -> Option<String> {
    let is_due = matches!(def.schedule, Schedule::Due(..));
    let differs = dialect == Dialect::Original && readings_differ(&def.cron).is_some();
    let is_odd =
        Cron::parse(&def.cron, Dialect::Crontab).is_err() || def.cron.contains([')', '\n', '\r']);
    if !is_due || differs || is_odd {
        return None;
    }
    escaped(&with_files(def)).ok()
}

/// The line of a job, or why there is none.
fn line(def: &Definition, dialect: Dialect) -> Result<String, String> {
    if let Schedule::Refused(_, why) = &def.schedule {
        return Err(why.to_string());
    }
    if dialect == Dialect::Original && readings_differ(&def.cron).is_some() {
        return Err("the PHP program and cron read its schedule in two ways".to_owned());
    }
    let cron = schedule(&def.cron)?;
    let command = escaped(&with_files(def))?;
    Ok(format!("{cron} {command}"))
}

/// The command, with the files that its output goes to.
fn with_files(def: &Definition) -> String {
    let command = &def.command;
    if def.output.is_empty() && def.stderr.is_empty() {
        return command.to_string();
    }
    let mut text = match is_simple(command) {
        true => command.to_string(),
        false => format!("/bin/sh -c {}", quoted(command)),
    };
    for (file, sign) in [(&def.output, ">>"), (&def.stderr, "2>>")] {
        if !file.is_empty() {
            let _ = write!(text, " {sign}{}", quoted(file)); // a String takes every write
        }
    }
    text
}

/// A command as a crontab has it: a `%` would end it.
fn escaped(command: &str) -> Result<String, String> {
    if command.contains(['\n', '\r']) {
        return Err("its command has several lines".to_owned());
    }
    let mut text = String::new();
    let mut backslashes = 0;
    for c in command.chars() {
        if c == '%' && backslashes % 2 == 1 {
            return Err("its command has a backslash before a %".to_owned());
        }
        if c == '%' {
            text.push('\\');
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        text.push(c);
    }
    Ok(text)
}

/// An expression as cron reads it.
fn schedule(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.starts_with('@') {
        let is_every = text.to_ascii_lowercase().starts_with("@every");
        return if is_every { Err("cron has no @every".to_owned()) } else { Ok(text.to_owned()) };
    }
    let mut fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() == FIELDS.len() + 1 {
        if !fields[0].bytes().all(|byte| byte == b'0') {
            return Err("cron has no seconds".to_owned());
        }
        fields.remove(0);
    }
    let said = fields.iter().zip(FIELDS).map(|(text, field)| {
        let items = text.split(',').map(|item| self::item(item, field).ok_or(item));
        let items = items.collect::<Result<Vec<String>, &str>>();
        items.map(|items| items.join(",")).map_err(|item| format!("cron has no `{item}`"))
    });
    Ok(said.collect::<Result<Vec<String>, String>>()?.join(" "))
}

/// `*`, `5`, `1-5`, each with a step; none where cron has no such thing.
fn item(text: &str, (min, max, names): (u32, u32, &str)) -> Option<String> {
    let value = |text: &str| {
        let mut all = names.split(' ').filter(|name| !name.is_empty());
        let named = all.position(|name| name.eq_ignore_ascii_case(text));
        named.map(|at| at as u32 + min).or_else(|| text.parse().ok())
    };
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (text, None),
    };
    let with_step = |range: &str| match step {
        Some(step) => format!("{range}/{step}"),
        None => range.to_owned(),
    };
    if matches!(range, "*" | "?") {
        return Some(with_step("*"));
    }
    match (range.split_once('-'), step) {
        (Some((from, to)), _) => match (value(from)?, value(to)?) {
            (from, to) if from <= to => Some(with_step(range)),
            (from, 0) if max == SUNDAY => Some(with_step(&format!("{from}-{SUNDAY}"))),
            _ => None,
        },
        (None, None) => value(range).map(|_| range.to_owned()),
        // From a value on to the end of the field.
        (None, Some(_)) => Some(with_step(&format!("{}-{max}", value(range)?))),
    }
}
