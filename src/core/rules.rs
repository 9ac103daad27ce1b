//! What is wrong with a row, column by column: the one list of the rules. `schedule check` tells
//! them of the rows that are there ([`super::check`]); a change is refused for those that are
//! errors ([`super::change`]).

use crate::core::columns::{Column, ColumnKind, JobRow, Part};
use crate::core::command_line::relative_program;
use crate::core::config::{Severity, did_you_mean};
use crate::core::cron::{self, Cron, Dialect, Lang, Zone, readings_differ};
use crate::core::definition::{Vars, braces, command_flaw, fill};
use crate::core::ids::JobId;
use crate::core::limits::{MAX_QUOTED_CHARS, cut};
use crate::core::plain;
use crate::core::time;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be said of a column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Errors keep a job from running or its output from being written.
    pub severity: Severity,
    /// Where.
    pub column: Column,
    /// What is wrong and what would be right, one line.
    pub text: String,
}

fn error(column: Column, text: String) -> Remark {
    Remark { severity: Severity::Error, column, text }
}

fn warning(column: Column, text: String) -> Remark {
    Remark { severity: Severity::Warning, column, text }
}

/// What the file system says about the file to which a job's output is to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputFile {
    /// It can be appended to, or created.
    Writable,
    /// Its directory does not exist.
    NoDirectory,
    /// It may not be written by this user.
    Forbidden,
    /// It does not exist, and may not be created by this user.
    ForbiddenDirectory,
    /// It is a directory.
    IsDirectory,
    /// Others can put hard links there to files that are not theirs: it is refused.
    MayBeLink,
    /// Its file system does not answer.
    NoAnswer,
}

/// What keeps a command from being run.
pub fn command(row: &JobRow, vars: &Vars) -> Vec<Remark> {
    let flaw = command_flaw(&row.command, &fill(&row.command, vars));
    flaw.into_iter().map(|why| error(Column::Command, why)).collect()
}

/// A program that is looked for where nobody expects it.
pub fn program(row: &JobRow, vars: &Vars) -> Option<Remark> {
    let filled = fill(&row.command, vars);
    let program = relative_program(&filled)?;
    let text = format!(
        "the command begins with the relative path {program:?}, which is looked for where the \
         daemon stands, and systemd and init scripts start that in `/`: begin it with `/`"
    );
    Some(warning(Column::Command, text))
}

/// What is started, and when. One command at two hours is mostly meant.
pub fn start_of(job: &JobRow) -> (u32, &str, &str, &str) {
    (job.server_id, &job.command, job.cron.trim(), job.timezone.trim())
}

/// That another job starts the same at the same times.
pub fn same_start(first: u32) -> Remark {
    let text =
        format!("command and schedule are the same as those of job {first}: is one too many?");
    warning(Column::Command, text)
}

/// That another job is called like this one.
pub fn same_name(other: u32) -> Remark {
    let text = format!(
        "job {other} has the same name: on the terminal both can only be named by their ids"
    );
    warning(Column::Name, text)
}

/// That a name reads like the id of another job.
pub fn name(row: &JobRow) -> Option<Remark> {
    let read: JobId = row.name.parse().ok().filter(|it: &JobId| it.0 != row.id)?;
    let text = format!(
        "on the terminal `{read}` is the job with the id {read}, so this one can only be named by \
         its id"
    );
    Some(warning(Column::Name, text))
}

/// Characters that no program can be given, or that are probably a mistake.
pub fn characters(job: &JobRow) -> Vec<Remark> {
    let mut found = Vec::new();
    for (column, text) in job.texts() {
        // What is wrong with a command is told by [`command_flaw`].
        if column != Column::Command && text.contains('\0') {
            let (severity, what) = match column.part() {
                // It keeps nothing from running.
                Part::People => (Severity::Warning, "which is shown as `?`"),
                Part::Key | Part::Job | Part::Slots => {
                    (Severity::Error, "which is probably a mistake")
                }
            };
            let text = format!("{} holds a NUL byte, {what}: take it out", column.name());
            found.push(Remark { severity, column, text });
        }
    }
    let links = job.texts().into_iter().filter(|(column, _)| column.kind() == ColumnKind::Link);
    for (column, text) in links.filter(|(_, text)| !text.is_empty()) {
        let Err(why) = plain::web_address(text) else { continue };
        let (name, text) = (column.name(), cut(text, MAX_QUOTED_CHARS));
        found.push(warning(column, format!("{name} {text:?} is shown as text, for it {why}")));
    }
    let mut add = |text: &str| found.push(warning(Column::Command, text.to_owned()));
    let command = job.command.trim_end_matches(['\r', '\n']);
    if command.contains('\r') {
        add("the command holds a carriage return (line ends of Windows), which is a part of the \
             word before it: write plain line ends");
    } else if job.command.contains('\r') {
        add("the command ends in a carriage return (a line end of Windows), which is left out \
             when it is run: take it out");
    }
    if command.contains("\\%") {
        add("the command holds `\\%`, as in a crontab: % means nothing here, write it without \
             the backslash");
    }
    found
}

/// Placeholders that nobody fills, which are told one by one.
const MAX_UNKNOWN: usize = 20;

/// Placeholders that nobody fills.
pub fn placeholders(job: &JobRow, vars: &Vars) -> Vec<Remark> {
    let unknown = unknown_placeholders(&job.command, vars);
    let first = unknown.iter().take(MAX_UNKNOWN).map(|name| unknown_placeholder(name, vars));
    let more = unknown.len().saturating_sub(MAX_UNKNOWN);
    let more = (more > 0).then(|| format!("and {more} more placeholders that no row fills"));
    first.chain(more).map(|text| warning(Column::Command, text)).collect()
}

/// The files that output is appended to; one that is not in `files` is not judged.
pub fn outputs(job: &JobRow, files: &BTreeMap<String, OutputFile>) -> Vec<Remark> {
    let [output, stderr] =
        [&job.output, &job.stderr].map(|path| output_file(path, files.get(path)));
    // What is wrong with a directory is mostly the same for both.
    let both = output == stderr;
    let told = |column: Column, found: Option<(Severity, String)>| {
        let (severity, text) = found?;
        let names = if both { "output and stderr" } else { column.name() };
        Some(Remark { severity, column, text: format!("{names}{text}") })
    };
    [told(Column::Output, output), told(Column::Stderr, stderr)].into_iter().flatten().collect()
}

/// Tags that are told where one is meant that there is not.
const MAX_TAGS: usize = 10;

/// A tag that has no row: the job is shown without one.
pub fn tag(job: &JobRow, tags: &BTreeMap<u32, String>) -> Option<Remark> {
    let id = Some(job.tag_id).filter(|id| *id != 0 && !tags.contains_key(id))?;
    let mut known: Vec<String> = tags
        .iter()
        .take(MAX_TAGS)
        .map(|(id, name)| format!("{id} ({})", cut(name, MAX_QUOTED_CHARS)))
        .collect();
    if tags.len() > MAX_TAGS {
        known.push("…".to_owned());
    }
    let known = match known.is_empty() {
        true => "no tags".to_owned(),
        false => format!("the tags {}", known.join(", ")),
    };
    let text = format!(
        "scheduler_tags has no row {id}, so the job is shown without a tag: add it, or set another \
         tag_id; there are {known}"
    );
    Some(Remark { severity: Severity::Note, column: Column::TagId, text })
}

/// A job that is never started because its limit says so.
pub fn limit(job: &JobRow) -> Option<Remark> {
    let text = "max_concurrence is 0: it is never started".to_owned();
    (job.max_concurrence == 0).then(|| warning(Column::MaxConcurrence, text))
}

/// What is to be said of a time zone.
pub fn timezone(job: &JobRow) -> Option<Remark> {
    let zone = Some(&job.timezone).filter(|zone| !zone.is_empty())?;
    let why = cron::zone(zone).err()?;
    Some(error(Column::Timezone, format!("timezone: {why}")))
}

/// What is to be said of when a pause ends.
pub fn pause(job: &JobRow) -> Option<Remark> {
    let why = time::pause_end(&job.paused_until).err()?;
    let text = format!("paused_until: {why}, or leave it empty");
    Some(error(Column::PausedUntil, text))
}

/// A schedule that can be read and will not come again.
pub fn over(job: &JobRow, dialect: Dialect, now_ms: i64) -> Option<Remark> {
    let cron = Cron::parse(&job.cron, dialect).ok()?;
    // What zone the daemon has makes hours of difference, and years are looked for.
    let zone = cron::zone(&job.timezone).or_else(|_| cron::zone("UTC")).ok()?;
    if cron.is_reboot() || cron.next_after(&zone, now_ms).is_some() {
        return None;
    }
    let hint = "it is never due again: correct it, or set status = 0";
    Some(warning(Column::Cron, format!("cron {:?}: {hint}", job.cron)))
}

/// What is to be said of an expression, in one piece. How the other dialect reads it is said to who
/// comes from the PHP program (`moved`, or its dialect), where it can only be read there, and where
/// both fields of days are restricted: that surprises everybody.
pub fn schedule(job: &JobRow, dialect: Dialect, moved: bool) -> Option<Remark> {
    let read = Cron::parse(&job.cron, dialect).map_err(|why| why.beside_expression());
    // What has no slot in the other dialect is a mistake there as well.
    let is_meant = || {
        Cron::parse(&job.cron, Dialect::Original)
            .is_ok_and(|it| it.next_after(&Zone::UTC, 0).is_some())
    };
    let is_told = moved
        || dialect == Dialect::Original
        || by_both_days(&job.cron)
        || (read.is_err() && is_meant());
    let other = readings_differ(&job.cron).filter(|_| is_told).map(|readings| {
        let (crontab, original) = readings.describe(Lang::En);
        match dialect {
            Dialect::Crontab => format!("cron_dialect = original would read it: {original}"),
            Dialect::Original => format!("cron_dialect = crontab would read it: {crontab}"),
        }
    });
    let (severity, text) = match (read, other) {
        (Ok(_), None) => return None,
        (Ok(cron), Some(other)) => {
            (Severity::Warning, format!("read as: {}; {other}", cron.describe(Lang::En)))
        }
        (Err(why), None) => (Severity::Error, why),
        (Err(why), Some(other)) => (Severity::Error, format!("{why}; {other}")),
    };
    let text = format!("cron {:?}: {text}", job.cron);
    Some(Remark { severity, column: Column::Cron, text })
}

/// Whether days of the month and days of the week are restricted.
fn by_both_days(cron: &str) -> bool {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let is_restricted = |field: &str| !field.starts_with(['*', '?']);
    match &fields[..] {
        [_, .., days, _, week] => is_restricted(days) && is_restricted(week),
        _ => false,
    }
}

/// Names in `{…}` that no variable fills. They stay in the command as they are, which may be
/// meant: `${HOME}`, `{a,b}` and `{print $1}` are the shell's and awk's, and are left alone.
fn unknown_placeholders<'a>(command: &'a str, vars: &Vars) -> BTreeSet<&'a str> {
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    let mut unknown = BTreeSet::new();
    for (i, inside) in braces(command) {
        let shells = command[..i].ends_with('$') || inside.is_empty() || !inside.chars().all(name);
        // `{1..5}` is a sequence to bash.
        if !shells && !inside.contains("..") && !vars.contains_key(inside) {
            unknown.insert(inside);
        }
    }
    unknown
}

fn unknown_placeholder(name: &str, vars: &Vars) -> String {
    let hint = match did_you_mean(name, vars.keys().map(String::as_str)) {
        Some(right) => format!("did you mean `{{{right}}}`?"),
        None => "it stays in the command as it is; add the variable if it is meant as one".into(),
    };
    format!("no row of scheduler_vars is called `{name}` for `{{{name}}}`: {hint}")
}

/// What would be told of the path is a consequence, unless somebody has such a directory.
fn placeholder_in_path(path: &str, file: Option<&OutputFile>) -> Option<String> {
    if file == Some(&OutputFile::Writable) {
        return None;
    }
    let name = *unknown_placeholders(path, &Vars::new()).first()?;
    Some(format!(
        " {path:?}: `{{{name}}}` is taken as it stands, since placeholders are replaced in \
         commands only: write the path out"
    ))
}

/// What is wrong with a file, to be read after the name of its column.
fn output_file(path: &str, file: Option<&OutputFile>) -> Option<(Severity, String)> {
    if let Some(text) = placeholder_in_path(path, file) {
        return Some((Severity::Error, text));
    }
    if !path.is_empty() && !path.starts_with('/') {
        // Where it leads to from here says nothing of where the daemon stands.
        let text = format!(" {path:?} is not an absolute path: begin it with `/`");
        return Some((Severity::Warning, text));
    }
    // What is wrong with a directory is the same for all files in it.
    let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
    let text = match file {
        None | Some(OutputFile::Writable) => return None,
        Some(OutputFile::NoDirectory) => {
            format!(": there is no directory {directory:?}: create it")
        }
        Some(OutputFile::ForbiddenDirectory) => format!(
            ": this user can't make files in {directory:?}: change the directory's owner or mode"
        ),
        Some(OutputFile::NoAnswer) => {
            format!(": the file system of {directory:?} does not answer: see to its mount")
        }
        Some(OutputFile::MayBeLink) => format!(
            " {path:?}: others can make names in {directory:?}, and hard links to any file \
             as fs.protected_hardlinks is not 1, so it is refused: `sysctl \
             fs.protected_hardlinks=1`, or name a file in a directory of the daemon's user"
        ),
        Some(OutputFile::Forbidden) => {
            format!(" {path:?}: this user may not write it: change its owner or mode")
        }
        Some(OutputFile::IsDirectory) => {
            format!(" {path:?}: it is a directory: name a file in it")
        }
    };
    Some((Severity::Error, text))
}
