//! What is wrong with the rows of the database, for `schedule check`. The daemon runs a table
//! with bad rows all the same, without the bad ones; here a person learns of all of them.

mod moved;

pub use crate::core::rules::OutputFile;
pub use moved::{moved_rows, moved_zone, unique_key};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::core::columns::JobRow;
use crate::core::config::Severity;
use crate::core::cron::Dialect;
use crate::core::definition::{Vars, there_twice};
use crate::core::plain::counted;
use crate::core::protocol::Answer;
use crate::core::rules;

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
    let tags: BTreeMap<u32, String> = answers.iter().filter_map(tag).collect();
    let (mut starts, mut ids) = (BTreeMap::new(), BTreeSet::new());
    for job in jobs(answers) {
        // The daemon does not look at it either.
        if !ids.insert(job.id) {
            findings.push(finding(job, Severity::Error, there_twice(job.id)));
            continue;
        }
        let mut remarks = rules::command(job, &vars);
        if remarks.is_empty()
            && let Some(first) = starts.insert(rules::start_of(job), job.id)
        {
            remarks.push(rules::same_start(first));
        }
        remarks.extend(rules::program(job, &vars));
        remarks.extend(rules::characters(job));
        remarks.extend(rules::placeholders(job, &vars));
        remarks.extend(rules::outputs(job, files));
        remarks.extend(rules::tag(job, &tags));
        remarks.extend(rules::limit(job));
        remarks.extend(rules::pause(job));
        findings.extend(remarks.into_iter().map(|it| finding(job, it.severity, it.text)));
    }
    findings.sort_by_key(|finding| finding.job_id);
    findings
}

/// Checks the cron expressions and time zones, as the daemon in this dialect reads them. Who comes
/// from the PHP program (`moved`) is told of those that the other dialect would read differently.
pub fn check_crons(answers: &[Answer], dialect: Dialect, moved: bool) -> Vec<Finding> {
    let said = |job| rules::schedule(job, dialect, moved).into_iter().chain(rules::timezone(job));
    let told = |job| said(job).map(move |it| finding(job, it.severity, it.text));
    jobs(answers).flat_map(told).collect()
}

/// Tells of schedules that can be read and will not come again: under the original's dialect a year
/// that is past, or a date that there is not.
pub fn check_future(answers: &[Answer], dialect: Dialect, now_ms: i64) -> Vec<Finding> {
    let told = |job| {
        let over = rules::over(job, dialect, now_ms);
        over.into_iter().map(move |it| finding(job, it.severity, it.text))
    };
    jobs(answers).flat_map(told).collect()
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
        Answer::Var { name, value, .. } => Some((name.clone(), value.clone())),
        _ => None,
    };
    answers.iter().filter_map(var).collect()
}

fn tag(answer: &Answer) -> Option<(u32, String)> {
    match answer {
        Answer::Tag { id, name } => Some((*id, name.clone())),
        _ => None,
    }
}

/// What is to be known of rows whose server has no section in the configuration: nothing is started
/// for them by it. `rows` are all servers with their number of rows.
pub fn rows_of_others(rows: &[(u32, u64)], is_here: impl Fn(u32) -> bool) -> Option<String> {
    const MAX_TOLD: usize = 10;
    let others: Vec<_> = rows.iter().filter(|(id, _)| !is_here(*id)).collect();
    let told = |(id, count): &&(u32, u64)| format!("{} of server {id}", counted(*count, "row"));
    let first: Vec<String> = others.iter().take(MAX_TOLD).map(told).collect();
    let more = if others.len() > MAX_TOLD { ", …" } else { "" };
    (!first.is_empty()).then(|| {
        format!(
            "scheduler_jobs has {}{more}, for which this configuration has no section: nothing is \
             started for them by it",
            first.join(", ")
        )
    })
}

fn finding(job: &JobRow, severity: Severity, text: String) -> Finding {
    Finding { severity, job_id: job.id, name: job.name.clone(), text }
}

/// Rows that are no jobs, and an exchange that failed.
fn unusable(answers: &[Answer]) -> Vec<Finding> {
    let told = |answer: &Answer| match answer {
        Answer::BadRow { id, why, .. } => Some((*id, why.clone())),
        Answer::Error { message, .. } => Some((0, message.clone())),
        _ => None,
    };
    let finding =
        |(job_id, text)| Finding { severity: Severity::Error, job_id, name: String::new(), text };
    answers.iter().filter_map(told).map(finding).collect()
}
