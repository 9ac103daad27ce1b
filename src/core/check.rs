//! What is wrong with the rows of the database, for `schedule check`. The daemon runs a table
//! with bad rows all the same, without the bad ones; here a person learns of all of them.

mod moved;

pub use moved::{moved_rows, moved_zone, unique_key};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::core::columns::{Column, ColumnKind, Part};
use crate::core::command_line::relative_program;
use crate::core::config::{Severity, did_you_mean};
use crate::core::cron::{self, Cron, Dialect, Lang, readings_differ};
use crate::core::definition::{Vars, command_flaw, fill, there_twice};
use crate::core::limits::{MAX_QUOTED_CHARS, cut};
use crate::core::plain;
use crate::core::protocol::{Answer, JobRow};
use serde::{Deserialize, Serialize};

/// One thing that is wrong. Displays as `job 7 "backup": error: text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Errors keep a job from running or its output from being written.
    pub severity: Severity,
    /// The job; 0 = none in particular.
    pub job_id: u32,
    /// Its name; empty where it is not known.
    pub name: String,
    /// What is wrong and what would be right, one line.
    pub text: String,
}

impl Finding {
    /// One that is about no job in particular.
    pub fn general(severity: Severity, text: String) -> Finding {
        Finding { severity, job_id: 0, name: String::new(), text }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.job_id, self.name.as_str()) {
            (0, _) => {}
            (id, "") => write!(f, "job {id}: ")?,
            (id, name) => write!(f, "job {id} {name:?}: ")?,
        }
        write!(f, "{}: {}", self.severity, self.text)
    }
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

/// The output files of all jobs: what the shell has to look at for [`check_rows`].
pub fn output_files(answers: &[Answer]) -> BTreeSet<String> {
    jobs(answers)
        .flat_map(|job| [&job.output, &job.stderr])
        .filter(|path| !path.is_empty())
        .cloned()
        .collect()
}

/// Checks all that can be seen without reading cron expressions ([`check_crons`] does those).
///
/// `answers` is a whole answer of the exchange, `files` what was found of [`output_files`]; a file
/// that is not in it is not judged. Sorted by job.
pub fn check_rows(answers: &[Answer], files: &BTreeMap<String, OutputFile>) -> Vec<Finding> {
    let mut findings = unusable(answers);
    let vars = vars(answers);
    let (mut starts, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for job in jobs(answers) {
        let mut add = |severity, text| findings.push(finding(job, severity, text));
        // The daemon does not look at it either.
        if !ids.insert(job.id) {
            add(Severity::Error, there_twice(job.id));
            continue;
        }
        let filled = fill(&job.command, &vars);
        if let Some(why) = command_flaw(&job.command, &filled) {
            add(Severity::Error, why);
        } else if let Some(first) = starts.insert(start_of(job), job.id) {
            let text = format!(
                "command and schedule are the same as those of job {first}: is one too many?"
            );
            add(Severity::Warning, text);
        }
        if let Some(program) = relative_program(&filled) {
            let text = format!(
                "the command begins with the relative path {program:?}, which is looked for where \
                 the daemon stands, and systemd and init scripts start that in `/`: begin it with \
                 `/`"
            );
            add(Severity::Warning, text);
        }
        characters(job).into_iter().for_each(|(severity, text)| add(severity, text));
        for name in unknown_placeholders(&job.command, &vars) {
            add(Severity::Warning, unknown_placeholder(name, &vars));
        }
        for (column, path) in [("output", &job.output), ("stderr", &job.stderr)] {
            let file = files.get(path);
            if let Some(text) = placeholder_in_path(column, path, file) {
                add(Severity::Error, text);
                continue;
            }
            output_file(column, path, file).into_iter().for_each(|(sev, text)| add(sev, text));
        }
        if job.max_concurrence == 0 {
            add(Severity::Warning, "max_concurrence is 0: it is never started".to_string());
        }
    }
    findings.sort_by_key(|finding| finding.job_id);
    findings
}

/// What is started, and when. One command at two hours is mostly meant.
fn start_of(job: &JobRow) -> (u32, &str, &str, &str) {
    (job.server_id, &job.command, job.cron.trim(), job.timezone.trim())
}

/// Characters that no program can be given, or that are hardly meant.
fn characters(job: &JobRow) -> Vec<(Severity, String)> {
    let mut found = Vec::new();
    for (column, text) in job.texts() {
        // What is wrong with a command is told by [`command_flaw`].
        if column != Column::Command && text.contains('\0') {
            let (severity, what) = match column.part() {
                // It keeps nothing from running.
                Part::People => (Severity::Warning, "which is shown as `?`"),
                Part::Key | Part::Job => (Severity::Error, "which is hardly meant"),
            };
            let name = column.name();
            found.push((severity, format!("{name} holds a NUL byte, {what}: take it out")));
        }
    }
    let links = job.texts().into_iter().filter(|(column, _)| column.kind() == ColumnKind::Link);
    for (column, text) in links.filter(|(_, text)| !text.is_empty()) {
        let Err(why) = plain::web_address(text) else { continue };
        let (name, text) = (column.name(), cut(text, MAX_QUOTED_CHARS));
        found.push((Severity::Warning, format!("{name} {text:?} is shown as text, for it {why}")));
    }
    let command = job.command.trim_end_matches(['\r', '\n']);
    if command.contains('\r') {
        let text = "the command holds a carriage return (line ends of Windows), which is a part of \
                    the word before it: write plain line ends";
        found.push((Severity::Warning, text.to_owned()));
    } else if job.command.contains('\r') {
        let text = "the command ends in a carriage return (a line end of Windows), which is left \
                    out when it is run: take it out";
        found.push((Severity::Warning, text.to_owned()));
    }
    if command.contains("\\%") {
        let text = "the command holds `\\%`, as in a crontab: % means nothing here, write it \
                    without the backslash";
        found.push((Severity::Warning, text.to_owned()));
    }
    found
}

/// Checks the cron expressions and time zones, as the daemon in this dialect reads them, and tells
/// of those that the other dialect would read differently.
pub fn check_crons(answers: &[Answer], dialect: Dialect) -> Vec<Finding> {
    let mut findings = Vec::new();
    for job in jobs(answers) {
        findings.extend(schedule(job, dialect));
        if !job.timezone.is_empty()
            && let Err(why) = cron::zone(&job.timezone)
        {
            findings.push(finding(job, Severity::Error, format!("timezone: {why}")));
        }
    }
    findings
}

/// Tells of schedules that can be read and will not come again: under the original's dialect a year
/// that is past, or a date that there is not.
pub fn check_future(answers: &[Answer], dialect: Dialect, now_ms: i64) -> Vec<Finding> {
    let is_over = |job: &&JobRow| {
        let Ok(cron) = Cron::parse(&job.cron, dialect) else { return false };
        // What zone the daemon has makes hours of difference, and years are looked for.
        let zone = cron::zone(&job.timezone).or_else(|_| cron::zone("UTC"));
        !cron.is_reboot() && zone.is_ok_and(|zone| cron.next_after(&zone, now_ms).is_none())
    };
    let told = |job: &JobRow| {
        let hint = "it is never due again: correct it, or set status = 0";
        finding(job, Severity::Warning, format!("cron {:?}: {hint}", job.cron))
    };
    jobs(answers).filter(is_over).map(told).collect()
}

/// What is to be said of an expression, in one piece.
fn schedule(job: &JobRow, dialect: Dialect) -> Option<Finding> {
    let other = readings_differ(&job.cron).map(|readings| {
        let (crontab, original) = readings.describe(Lang::En);
        match dialect {
            Dialect::Crontab => format!("cron_dialect = original would read it: {original}"),
            Dialect::Original => format!("cron_dialect = crontab would read it: {crontab}"),
        }
    });
    let read = Cron::parse(&job.cron, dialect).map_err(|why| why.beside_expression());
    let (severity, text) = match (read, other) {
        (Ok(_), None) => return None,
        (Ok(cron), Some(other)) => {
            (Severity::Warning, format!("read as: {}; {other}", cron.describe(Lang::En)))
        }
        (Err(why), None) => (Severity::Error, why),
        (Err(why), Some(other)) => (Severity::Error, format!("{why}; {other}")),
    };
    Some(finding(job, severity, format!("cron {:?}: {text}", job.cron)))
}

/// The findings as they are told: what is the same for several jobs once, with their ids.
pub fn told(findings: &[Finding]) -> Vec<(Severity, String)> {
    let mut groups: Vec<(&Finding, Vec<u32>)> = Vec::new();
    for it in findings {
        let same = |(first, _): &&mut (&Finding, Vec<u32>)| {
            (first.severity, &first.text) == (it.severity, &it.text)
        };
        match groups.iter_mut().find(same) {
            Some((_, ids)) if ids.contains(&it.job_id) => {}
            Some((_, ids)) => ids.push(it.job_id),
            None => groups.push((it, vec![it.job_id])),
        }
    }
    let line = |(first, ids): &(&Finding, Vec<u32>)| {
        let text = match ids.len() {
            1 => first.to_string(),
            count => format!("{}: {}: {}", several(ids, count), first.severity, first.text),
        };
        (first.severity, text)
    };
    groups.iter().map(line).collect()
}

/// The ids of jobs, the first of many.
fn several(ids: &[u32], count: usize) -> String {
    const MAX_IDS: usize = 20;
    let first: Vec<String> = ids.iter().take(MAX_IDS).map(u32::to_string).collect();
    let more = if count > MAX_IDS { ", …" } else { "" };
    format!("{count} jobs ({}{more})", first.join(", "))
}

fn jobs(answers: &[Answer]) -> impl Iterator<Item = &JobRow> {
    answers.iter().filter_map(|answer| match answer {
        Answer::Job(job) => Some(&**job),
        _ => None,
    })
}

fn vars(answers: &[Answer]) -> Vars {
    let var = |answer: &Answer| match answer {
        Answer::Var { name, value } => Some((name.clone(), value.clone())),
        _ => None,
    };
    answers.iter().filter_map(var).collect()
}

fn finding(job: &JobRow, severity: Severity, text: String) -> Finding {
    Finding { severity, job_id: job.id, name: job.name.clone(), text }
}

/// Rows that are no jobs, and an exchange that failed.
fn unusable(answers: &[Answer]) -> Vec<Finding> {
    let told = |answer: &Answer| match answer {
        Answer::BadRow { id, why } => Some((*id, why.clone())),
        Answer::Error { message, .. } => Some((0, message.clone())),
        _ => None,
    };
    let finding =
        |(job_id, text)| Finding { severity: Severity::Error, job_id, name: String::new(), text };
    answers.iter().filter_map(told).map(finding).collect()
}

/// Names in `{…}` that no variable fills. They stay in the command as they are, which may be
/// meant: `${HOME}`, `{a,b}` and `{print $1}` are the shell's and awk's, and are left alone.
fn unknown_placeholders<'a>(command: &'a str, vars: &Vars) -> BTreeSet<&'a str> {
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
    let mut unknown = BTreeSet::new();
    for (i, _) in command.match_indices('{') {
        let Some((inside, _)) = command[i + 1..].split_once('}') else {
            continue;
        };
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
fn placeholder_in_path(column: &str, path: &str, file: Option<&OutputFile>) -> Option<String> {
    if file == Some(&OutputFile::Writable) {
        return None;
    }
    let name = *unknown_placeholders(path, &Vars::new()).first()?;
    Some(format!(
        "{column} {path:?}: `{{{name}}}` is taken as it stands, since placeholders are replaced in \
         commands only: write the path out"
    ))
}

fn output_file(column: &str, path: &str, file: Option<&OutputFile>) -> Vec<(Severity, String)> {
    let mut found = Vec::new();
    if !path.is_empty() && !path.starts_with('/') {
        let text = format!("{column} {path:?} is not an absolute path: begin it with `/`");
        found.push((Severity::Warning, text));
        // Where it leads to from here says nothing of where the daemon stands.
        return found;
    }
    // What is wrong with a directory is the same for all files in it.
    let directory = path.rsplit_once('/').map_or(".", |(directory, _)| directory);
    let text = match file {
        None | Some(OutputFile::Writable) => return found,
        Some(OutputFile::NoDirectory) => {
            format!("output and stderr: there is no directory {directory:?}: create it")
        }
        Some(OutputFile::ForbiddenDirectory) => format!(
            "output and stderr: this user can't make files in {directory:?}: change the \
             directory's owner or mode"
        ),
        Some(OutputFile::NoAnswer) => format!(
            "output and stderr: the file system of {directory:?} does not answer: see to its mount"
        ),
        Some(OutputFile::MayBeLink) => format!(
            "{column} {path:?}: others can make names in {directory:?}, and hard links to any file \
             as fs.protected_hardlinks is not 1, so it is refused: `sysctl \
             fs.protected_hardlinks=1`, or name a file in a directory of the daemon's user"
        ),
        Some(OutputFile::Forbidden) => {
            format!("{column} {path:?}: this user may not write it: change its owner or mode")
        }
        Some(OutputFile::IsDirectory) => {
            format!("{column} {path:?}: it is a directory: name a file in it")
        }
    };
    found.push((Severity::Error, text));
    found
}
