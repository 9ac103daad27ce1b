//! A job's definition: its row with the placeholders filled in and its schedule understood.

use crate::core::columns::{Column, JobRow, Optional};
use crate::core::cron::Cron;
use crate::core::ids::JobId;
use crate::core::limits::MAX_COMMAND_BYTES;
use crate::core::shared_text::SharedTexts;
use crate::core::state_label::StateLabel;
use crate::core::time;
use crate::core::version::Version;
use md5::{Digest, Md5};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

/// What is left out at the end of a command.
const LINE_ENDS: [char; 2] = ['\r', '\n'];

/// Placeholder values by name (without braces).
pub type Vars = BTreeMap<String, String>;

/// What a job is. Compared by [`Definition::same`], never edited in place.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Primary key of the row.
    pub id: JobId,
    /// Display name.
    pub name: Box<str>,
    /// The command with its placeholders filled in, without line ends at its end: the carriage
    /// return of a text area would be a part of its last word.
    pub command: Box<str>,
    /// The command as it stands in the row, where that differs.
    pub raw_command: Option<Box<str>>,
    /// The schedule as it stands in the row.
    pub cron: Rc<str>,
    /// File to which stdout is appended; empty = a file per run.
    pub output: Rc<str>,
    /// File to which stderr is appended; empty = a file per run.
    pub stderr: Rc<str>,
    /// What stands in the row's optional columns.
    pub optional: Optional,
    /// Overlap limit.
    pub max_concurrence: u32,
    /// Row of the tags, 0 = none.
    pub tag_id: u32,
    /// The job's key in the original's URLs.
    pub md5: [u8; 16],
    /// What stands for all that the row says, as one that is in force.
    version: Version,
    /// The schedule, or why it can't be one. Such a job is shown and never due.
    pub schedule: Schedule,
}

/// What became of the cron expression and the zone of a row.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Understood; the zone is an index into the table's zones.
    Due(Cron, u16),
    /// Refused, with the reason.
    Refused(Flaw, Box<str>),
}

/// What of a row is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Its cron expression.
    Schedule,
    /// Its time zone.
    Timezone,
    /// There is no instant to come that fits it.
    Over,
    /// When its pause ends.
    Pause,
    /// Its command: there is none, or none that a process can be given.
    Command,
    /// Nothing is known of it: it is gone.
    Gone,
}

/// Why a job is never started when it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    /// Something of its row is no good; the reason.
    Flawed(Flaw, &'a str),
    /// Its limit is 0. Somebody wanted that.
    LimitZero,
}

impl<'a> Block<'a> {
    /// That no slot is left, as under the original's dialect after the last year that is named.
    pub const OVER: Block<'static> =
        Block::Flawed(Flaw::Over, "its schedule is never due again: correct it, or set status = 0");

    /// The words of all blocks, those that are mistakes first.
    pub const WORDS: [&'static str; 5] = ["schedule", "timezone", "pause", "command", "limit"];

    /// Its word for programs, of [`Block::WORDS`].
    pub fn word(self) -> &'static str {
        match self {
            // What is gone is never asked for.
            Block::Flawed(Flaw::Schedule | Flaw::Over | Flaw::Gone, _) => "schedule",
            Block::Flawed(Flaw::Timezone, _) => "timezone",
            Block::Flawed(Flaw::Pause, _) => "pause",
            Block::Flawed(Flaw::Command, _) => "command",
            Block::LimitZero => "limit",
        }
    }

    /// The reason, if it is a mistake.
    pub fn mistake(self) -> Option<&'a str> {
        match self {
            Block::Flawed(_, why) => Some(why),
            Block::LimitZero => None,
        }
    }

    /// The state of a job that is not alive.
    pub fn state(self) -> StateLabel {
        if self.mistake().is_some() { StateLabel::Invalid } else { StateLabel::Off }
    }
}

impl Definition {
    /// Fills the placeholders of `row` from `vars`; `schedule` is what its cron column came to.
    pub fn new(
        row: JobRow,
        vars: &Vars,
        schedule: Schedule,
        texts: &mut SharedTexts,
    ) -> Definition {
        let command = fill(&row.command, vars);
        // A wrong schedule keeps nobody from starting it by hand, so it hides no wrong command.
        let schedule = match (schedule, command_flaw(&row.command, &command)) {
            (gone @ Schedule::Refused(Flaw::Gone, _), _) => gone,
            (_, Some(why)) => Schedule::Refused(Flaw::Command, why.into()),
            (schedule, None) => schedule,
        };
        let md5 = original_key(&row, &command);
        let version = Version::of(&row, true);
        let optional = Optional::of(&row, |text| texts.share(text));
        let command: Box<str> = command.trim_end_matches(LINE_ENDS).into();
        let raw_command = (*command != row.command).then(|| row.command.into_boxed_str());
        Definition {
            id: JobId(row.id),
            name: row.name.into_boxed_str(),
            command,
            raw_command,
            cron: texts.share(&row.cron),
            output: texts.share(&row.output),
            stderr: texts.share(&row.stderr),
            optional,
            max_concurrence: row.max_concurrence,
            tag_id: row.tag_id,
            md5,
            version,
            schedule,
        }
    }

    /// The version of its row, which is enabled or not.
    pub fn version(&self, enabled: bool) -> Version {
        if enabled { self.version } else { self.version.disabled() }
    }

    /// The row that it was made of.
    pub fn row(&self, server_id: u32) -> JobRow {
        let mut row = JobRow {
            id: self.id.0,
            name: self.name.to_string(),
            command: self.raw().to_owned(),
            cron: self.cron.to_string(),
            output: self.output.to_string(),
            stderr: self.stderr.to_string(),
            max_concurrence: self.max_concurrence,
            server_id,
            tag_id: self.tag_id,
            ..JobRow::default()
        };
        for column in Column::ALL.iter().filter(|column| column.is_optional()) {
            // Each of them holds text.
            let _ = row.set(*column, self.optional.text(*column));
        }
        row
    }

    /// The command as it stands in the row.
    pub fn raw(&self) -> &str {
        self.raw_command.as_deref().unwrap_or(&self.command)
    }

    /// The command before its placeholders were filled in, where that says something else.
    pub fn unfilled(&self) -> Option<&str> {
        let raw = self.raw_command.as_deref();
        raw.filter(|raw| raw.trim_end_matches(LINE_ENDS) != &*self.command)
    }

    /// Whether both are the same job as far as running it goes. The key covers all the original's
    /// columns; the optional ones are ours.
    pub fn same(&self, other: &Definition) -> bool {
        self.md5 == other.md5
            && self.optional.same(&other.optional)
            && self.raw_command == other.raw_command
    }

    /// Whether both are the same, and say the same to people.
    pub fn says_the_same(&self, other: &Definition) -> bool {
        self.same(other) && self.version == other.version
    }

    /// IANA zone of the schedule; empty = the configured one.
    pub fn timezone(&self) -> &str {
        self.optional.text(Column::Timezone)
    }

    /// The first instant whose slots are launched again, unix ms; the greatest if somebody has to
    /// end the pause. None: its row says nothing of one.
    pub fn paused_until_ms(&self) -> Option<i64> {
        // What is no instant is a flaw of the row.
        time::pause_end(self.optional.text(Column::PausedUntil)).ok().flatten()
    }

    /// Why there is nothing that even somebody's hand could start.
    pub fn command_flaw(&self) -> Option<&str> {
        match &self.schedule {
            Schedule::Refused(Flaw::Command, why) => Some(why),
            Schedule::Refused(
                Flaw::Schedule | Flaw::Timezone | Flaw::Pause | Flaw::Over | Flaw::Gone,
                _,
            )
            | Schedule::Due(..) => None,
        }
    }

    /// Why no slot of it is ever launched, as far as its row tells; see also
    /// [`Job::block`](crate::core::table::Job::block).
    pub fn block(&self) -> Option<Block<'_>> {
        match &self.schedule {
            Schedule::Refused(flaw, why) => Some(Block::Flawed(*flaw, why)),
            Schedule::Due(..) => (self.max_concurrence == 0).then_some(Block::LimitZero),
        }
    }

    /// The key in hexadecimal.
    pub fn md5_hex(&self) -> String {
        hex(&self.md5)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why the second row with an id, as a view may have it, is no job.
pub fn there_twice(id: u32) -> String {
    format!("id {id} is there twice: give each row an id of its own")
}

/// Why a command, `raw` in its row, can't be run with its placeholders filled in.
pub fn command_flaw(raw: &str, filled: &str) -> Option<String> {
    let filled_in = if raw == filled { "" } else { " with its placeholders filled in" };
    if filled.trim().is_empty() {
        Some(format!("its command is empty{filled_in}: nothing would be run"))
    } else if filled.contains('\0') {
        let whose = if raw.contains('\0') { "command" } else { "command, by a variable," };
        Some(format!("its {whose} holds a NUL byte, which no process can be given: take it out"))
    } else if filled.len() > MAX_COMMAND_BYTES {
        Some(format!(
            "its command has more than {MAX_COMMAND_BYTES} bytes with its placeholders filled in: \
             put it into a script"
        ))
    } else {
        None
    }
}

/// What stands between each `{` of a text and the next `}`, with the place of the `{`. Each `}` is
/// looked for once, also where it has many `{` before it.
pub fn braces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut close = 0;
    text.match_indices('{').map_while(move |(at, _)| {
        if close <= at {
            close = at + text[at..].find('}')?;
        }
        Some((at, &text[at + 1..close]))
    })
}

/// Replaces each `{NAME}` that has a value; unknown names stay as they are, and values are not
/// searched for further placeholders.
pub fn fill(command: &str, vars: &Vars) -> String {
    let mut out = String::with_capacity(command.len());
    let mut done = 0;
    for (at, name) in braces(command) {
        // What is longer can't be executed, whatever follows: few placeholders could fill the
        // memory.
        if out.len() > MAX_COMMAND_BYTES {
            break;
        }
        // One that is within another was filled with it.
        if let Some(value) = vars.get(name).filter(|_| at >= done) {
            out.push_str(&command[done..at]);
            out.push_str(value);
            done = at + name.len() + 2;
        }
    }
    out.push_str(&command[done..]);
    out
}

/// The job's key as the original computes it: `md5(json_encode(row))`, the row's columns in this
/// order, numbers unquoted, in PHP's default JSON. Ops tools have such keys in their URLs.
pub fn original_key(row: &JobRow, command: &str) -> [u8; 16] {
    let mut json = String::with_capacity(200 + command.len());
    let _ = write!(json, "{{\"id\":{},\"name\":", row.id);
    php_string(&mut json, &row.name);
    json.push_str(",\"command\":");
    php_string(&mut json, command);
    json.push_str(",\"cron\":");
    php_string(&mut json, &row.cron);
    json.push_str(",\"output\":");
    php_string(&mut json, &row.output);
    let _ = write!(
        json,
        ",\"max_concurrence\":{},\"server_id\":{},\"tag_id\":{},\"stderr\":",
        row.max_concurrence, row.server_id, row.tag_id
    );
    php_string(&mut json, &row.stderr);
    json.push('}');
    Md5::digest(json.as_bytes()).into()
}

/// A string as PHP's `json_encode` writes it by default: `/` escaped, everything outside ASCII
/// as `\uXXXX` (surrogate pairs above the first plane).
fn php_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' | '\u{7f}' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> Vars {
        pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()
    }

    fn vars_of_a(value: String) -> Vars {
        [("A".to_owned(), value)].into()
    }

    #[test]
    fn placeholders_are_filled_once_and_unknown_ones_stay() {
        let vars = vars(&[("PHP", "/usr/bin/php"), ("A", "{PHP}"), ("路径", "/数据")]);
        assert_eq!(fill("{PHP} a.php {X} {", &vars), "/usr/bin/php a.php {X} {");
        assert_eq!(fill("{A}{路径}{{PHP}}", &vars), "{PHP}/数据{/usr/bin/php}");
        let long = vars_of_a("x".repeat(MAX_COMMAND_BYTES));
        let filled = fill(&"{A}".repeat(40_000), &long);
        assert!((MAX_COMMAND_BYTES + 1..400_000).contains(&filled.len()), "{}", filled.len());
        assert_eq!(fill("awk '{print $1}' {PHP}", &vars), "awk '{print $1}' /usr/bin/php");
    }

    #[test]
    fn what_is_within_a_placeholder_is_none() {
        let vars = vars(&[("A", "a"), ("A{B", "b"), ("{{", "c")]);
        assert_eq!(fill("{A{B} {{{} {A{A}", &vars), "b c {Aa");
    }

    /// The command of a row is known to the last line end.
    #[test]
    fn a_definition_has_the_row_that_it_was_made_of() {
        for command in ["true", "true\n", "{A} b\r\n", "{A}", "true \n\n", "{B}\n"] {
            let row = JobRow { id: 7, command: command.into(), ..JobRow::new(1) };
            let schedule = Schedule::Refused(Flaw::Schedule, "".into());
            let vars = vars(&[("A", "a\n")]);
            let def = Definition::new(row.clone(), &vars, schedule, &mut SharedTexts::default());
            assert_eq!((def.row(1), def.raw()), (row.clone(), command));
            assert_eq!(Version::of(&def.row(1), true), def.version(true), "{command:?}");
            assert_eq!(def.unfilled().is_some(), command.contains("{A}"), "{command:?}");
            assert!(!def.command.ends_with(LINE_ENDS));
        }
    }

    /// The expected text is PHP 8.2's `json_encode` of the same row; its MD5 by md5sum.
    #[test]
    fn the_key_is_the_original_s() {
        let mut json = String::new();
        php_string(&mut json, "备份 \"a\\b\"/\u{1f600}\u{7f}\u{1}\n");
        assert_eq!(
            json,
            r#""\u5907\u4efd \"a\\b\"\/\ud83d\ude00"#.to_owned() + "\u{7f}" + r#"\u0001\n""#
        );
        let row = JobRow {
            id: 5,
            name: "n".into(),
            cron: "* * * * *".into(),
            server_id: 1,
            max_concurrence: 1,
            output: "/tmp/o".into(),
            ..JobRow::default()
        };
        // printf '%s' '{"id":5,…,"stderr":""}' | md5sum
        assert_eq!(hex(&original_key(&row, "date")), "4a5fd74e069c81f17299f252c3965384");
    }
}
