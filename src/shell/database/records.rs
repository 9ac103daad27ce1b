//! Prepares records for writing: cut and clamped to what the columns hold, put in order.
//!
//! A batch is written whole or not at all, and is sent again until it was written. So no record
//! may be able to make a database refuse it: that would be refused for ever, with all behind it.

use crate::core::last_line;
use crate::core::limits::RECORDED_COMMAND_CHARS;
use crate::core::outcome::is_lost;
use crate::core::protocol::{ActRecord, Record, RunRecord, SkipRecord};
use crate::core::run_kind::RunKind;
use jiff::civil::DateTime;
use std::collections::{BTreeMap, BTreeSet};

/// Columns of `scheduler_logs` that the original has, but for `end_time`: while a run is alive
/// that stays at its default, which is a zero date with the original and 1970 with ours.
pub const RUN_COLUMNS: [&str; 9] = [
    "uniq_id",
    "command_id",
    "server_id",
    "command",
    "create_time",
    "running_time",
    "start_time",
    "pid",
    "concurrent",
];

/// Columns of `scheduler_logs` that are filled where they exist.
pub const OPTIONAL_RUN_COLUMNS: [&str; 14] = [
    "slot",
    "cause",
    "outcome",
    "duration_ms",
    "user_ms",
    "system_ms",
    "max_rss_bytes",
    KIND,
    "attempt",
    "who",
    "stopped_by",
    "note",
    "parameters",
    "last_line",
];

/// The one that says how a run stands.
pub const KIND: &str = "kind";

/// The index of a job's runs, and that of the group's, in the order of pages of history.
pub const OF_JOB: &str = "history_job";
pub const OF_GROUP: &str = "history_group";

/// Characters of a run's id.
pub const ID_CHARS: usize = 20;

/// What stands for a time that is none.
const NEVER: &str = "1970-01-01 00:00:00";

/// Whether a row of `scheduler_logs` is that of a run that has ended; NULL is no end.
pub const HAS_ENDED: &str = "end_time > '1970-01-02 00:00:00'";

/// A batch, ready to be written.
#[derive(Debug, Default)]
pub struct Batch {
    /// How many records there are.
    pub count: u64,
    /// Runs that have not ended: written only where their row does not exist yet.
    pub starts: Vec<RunRecord>,
    /// Runs that ended: they fill the row of their start, or make it.
    pub ends: Vec<RunRecord>,
    /// Skipped slots.
    pub skips: Vec<SkipRecord>,
    /// What somebody did.
    pub acts: Vec<ActRecord>,
    /// The latest start of each job.
    pub last_runs: BTreeMap<u32, String>,
    /// The groups and days of runs that ended, by when they began.
    pub days: BTreeSet<(u32, String)>,
}

/// A value on its way into a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field<'a> {
    /// Text.
    Text(&'a str),
    /// A number.
    Number(i64),
}

impl Batch {
    /// Prepares records for writing.
    pub fn new(records: Vec<Record>) -> Batch {
        let mut batch = Batch { count: records.len() as u64, ..Batch::default() };
        for record in records {
            match record {
                Record::Run(run) => batch.add_run(*run),
                Record::Skip(skip) => batch.skips.push(fitting_skip(*skip)),
                Record::Act(act) => batch.acts.push(fitting_act(*act)),
            }
        }
        batch
    }

    fn add_run(&mut self, run: RunRecord) {
        let ended = !run.end_time.is_empty();
        let run = fitting_run(run);
        if run.start_time != NEVER {
            let last = self.last_runs.entry(run.job_id).or_default();
            if *last < run.start_time {
                last.clone_from(&run.start_time);
            }
        }
        if ended {
            let day = run.start_time.get(..10).unwrap_or_default();
            self.days.insert((run.server_id, day.to_owned()));
        }
        if ended { self.ends.push(run) } else { self.starts.push(run) }
    }
}

fn fitting_run(mut run: RunRecord) -> RunRecord {
    keep_chars(&mut run.uniq_id, ID_CHARS);
    keep_chars(&mut run.command, RECORDED_COMMAND_CHARS);
    keep_chars(&mut run.slot, 40);
    keep_chars(&mut run.cause, 20);
    keep_chars(&mut run.outcome, 200);
    keep_chars(&mut run.who, 100);
    keep_chars(&mut run.stopped_by, 100);
    keep_chars(&mut run.note, 200);
    keep_chars(&mut run.parameters, 1_000);
    keep_chars(&mut run.last_line, last_line::MAX_CHARS);
    fitting_time(&mut run.start_time);
    fitting_time(&mut run.end_time);
    run
}

fn fitting_skip(mut skip: SkipRecord) -> SkipRecord {
    keep_chars(&mut skip.reason, 40);
    keep_chars(&mut skip.first_slot, 40);
    keep_chars(&mut skip.last_slot, 40);
    skip
}

/// What an act says, as it fits into its columns.
pub fn fitting_act(mut act: ActRecord) -> ActRecord {
    keep_chars(&mut act.who, 100);
    keep_chars(&mut act.origin, 100);
    keep_chars(&mut act.action, 20);
    keep_chars(&mut act.result, 200);
    act
}

/// Cuts after `max` characters; columns count characters, not bytes.
fn keep_chars(text: &mut String, max: usize) {
    if let Some((end, _)) = text.char_indices().nth(max) {
        text.truncate(end);
    }
}

fn fitting_time(text: &mut String) {
    let real =
        text.len() == NEVER.len() && DateTime::strptime("%Y-%m-%d %H:%M:%S", text.as_str()).is_ok();
    if !real {
        NEVER.clone_into(text);
    }
}

/// A number as the signed 64 bits that both databases hold; more is the most.
fn whole(number: u64) -> Field<'static> {
    Field::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A number for an `INT` column of the original.
fn int(number: u32) -> Field<'static> {
    Field::Number(number.min(i32::MAX.unsigned_abs()).into())
}

/// Whether the row of a run is to be changed. That nobody saw its end is no news where the database
/// knows the end: the journal that says so is older, put back from a copy.
pub fn changes_row(run: &RunRecord, has_ended: bool) -> bool {
    !(has_ended && is_lost(&run.outcome))
}

/// What a run has for a column of `scheduler_logs`.
pub fn run_field<'a>(run: &'a RunRecord, column: &str) -> Field<'a> {
    match column {
        "uniq_id" => Field::Text(&run.uniq_id),
        "command_id" => Field::Number(run.job_id.into()),
        "server_id" => Field::Number(run.server_id.into()),
        "command" => Field::Text(&run.command),
        "create_time" | "start_time" => Field::Text(&run.start_time),
        "end_time" => Field::Text(&run.end_time),
        "running_time" => int(run.running_time_s),
        "pid" => int(run.pid),
        "concurrent" => int(run.concurrent),
        "slot" => Field::Text(&run.slot),
        "cause" => Field::Text(&run.cause),
        "outcome" => Field::Text(&run.outcome),
        "duration_ms" => whole(run.duration_ms),
        "user_ms" => whole(run.user_ms),
        "system_ms" => whole(run.system_ms),
        "max_rss_bytes" => whole(run.max_rss_bytes),
        // Filled with its end: a daemon that does not know the column leaves no run alive for ever.
        KIND if run.kind == RunKind::Running => Field::Number(RunKind::Unfilled.code()),
        KIND => Field::Number(run.kind.code()),
        "attempt" => Field::Number(run.attempt.max(1).into()),
        "who" => Field::Text(&run.who),
        "stopped_by" => Field::Text(&run.stopped_by),
        "note" => Field::Text(&run.note),
        "parameters" => Field::Text(&run.parameters),
        "last_line" => Field::Text(&run.last_line),
        _ => Field::Text(""),
    }
}

/// What a skip has for the columns of [`SKIP_COLUMNS`], in their order.
pub fn skip_fields(skip: &SkipRecord) -> [Field<'_>; 6] {
    [
        Field::Number(skip.server_id.into()),
        Field::Number(skip.job_id.into()),
        Field::Text(&skip.first_slot),
        Field::Text(&skip.last_slot),
        Field::Text(&skip.reason),
        whole(skip.count),
    ]
}

/// Columns of the optional table `scheduler_skips`.
pub const SKIP_COLUMNS: [&str; 6] =
    ["server_id", "job_id", "first_slot", "last_slot", "reason", "skipped"];

/// Columns of the optional table `scheduler_audit`.
pub const ACT_COLUMNS: [&str; 13] = [
    "server_id",
    "uniq_id",
    "at",
    "who",
    "origin",
    "action",
    "job_id",
    "run_id",
    "version",
    "request_key",
    "request_body",
    "what",
    "result",
];

/// Columns of the optional table `scheduler_statistics`.
pub const STATISTICS_COLUMNS: [&str; 11] = [
    "server_id",
    "day",
    "job_id",
    "changed",
    "runs",
    "ok",
    "failed",
    "stopped",
    "took",
    "cpu",
    "memory",
];

/// What an act has for the columns of [`ACT_COLUMNS`], in their order.
pub fn act_fields(act: &ActRecord) -> [Field<'_>; 13] {
    [
        Field::Number(act.server_id.into()),
        Field::Text(&act.uniq_id),
        Field::Text(&act.at),
        Field::Text(&act.who),
        Field::Text(&act.origin),
        Field::Text(&act.action),
        Field::Number(act.job_id.into()),
        Field::Text(&act.run_id),
        Field::Text(&act.version),
        Field::Text(&act.request_key),
        Field::Text(&act.request_body),
        Field::Text(&act.what),
        Field::Text(&act.result),
    ]
}

/// The columns of `scheduler_logs` to write, given those that exist.
pub fn run_columns(existing: &[String], ended: bool) -> Vec<&'static str> {
    let mut columns = RUN_COLUMNS.to_vec();
    if ended {
        columns.push("end_time");
    }
    let there = |column: &&str| existing.iter().any(|name| name.eq_ignore_ascii_case(column));
    columns.extend(OPTIONAL_RUN_COLUMNS.into_iter().filter(there));
    columns
}
