//! What is written to the database of runs, skipped slots and acts, and read from there again.

use crate::core::run_kind::RunKind;
use serde::{Deserialize, Serialize};

/// What is written to the database. Every time is text `YYYY-MM-DD HH:MM:SS` in the configured
/// zone, as the original wrote them, and written as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// A run, started or ended: a row of `scheduler_logs`, keyed by `uniq_id`, and the
    /// `last_run_time` of its job.
    Run(Box<RunRecord>),
    /// Consecutive slots that were skipped for one reason: a row of the optional table
    /// `scheduler_skips`, keyed by (server_id, job_id, first_slot). Ignored without that table.
    Skip(Box<SkipRecord>),
    /// What somebody did: a row of the optional table `scheduler_audit`, keyed by `uniq_id`. A row
    /// that is there stays. Ignored without that table.
    Act(Box<ActRecord>),
}

/// A run, as it is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Key; at most 20 characters.
    pub uniq_id: String,
    /// The job (`command_id` in the table).
    pub job_id: u32,
    /// The group.
    pub server_id: u32,
    /// The command with its placeholders filled in, whole; the helper cuts it at the column's
    /// 200 characters.
    pub command: String,
    /// When it was launched.
    pub start_time: String,
    /// When it ended; empty while it runs.
    pub end_time: String,
    /// Whole seconds it ran (`running_time`); 0 while it runs.
    pub running_time_s: u32,
    /// Process id; 0 where none could be had.
    pub pid: u32,
    /// Live runs of the job, this one included, when it was launched (`concurrent`).
    pub concurrent: u32,
    /// The due instant, RFC 3339; empty for a run started by hand. Optional column `slot`.
    pub slot: String,
    /// `due`, `manual`, … Optional column `cause`.
    pub cause: String,
    /// `running`, `exit 0`, `signal 9`, `spawn failed: …`, `lost`. Optional column `outcome`.
    pub outcome: String,
    /// The same in a word, and whether somebody told it to end. Optional column `kind`.
    #[serde(default)]
    pub kind: RunKind,
    /// Milliseconds it ran. Optional column.
    pub duration_ms: u64,
    /// CPU time in user mode, milliseconds. Optional column.
    pub user_ms: u64,
    /// CPU time in the kernel, milliseconds. Optional column.
    pub system_ms: u64,
    /// Peak resident memory in bytes. Optional column.
    pub max_rss_bytes: u64,
    /// Which attempt at its slot it is; the first is 1. Optional column.
    #[serde(default)]
    pub attempt: u32,
    /// Who started it; empty: its schedule. Optional column.
    #[serde(default)]
    pub who: String,
    /// Who told it to end. Optional column.
    #[serde(default)]
    pub stopped_by: String,
    /// What was said when it was started. Optional column.
    #[serde(default)]
    pub note: String,
    /// What it was started with that others are not. Optional column.
    #[serde(default)]
    pub parameters: String,
    /// What a failed run wrote last. Optional column.
    #[serde(default)]
    pub last_line: String,
}

/// Consecutive slots of a job that were skipped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipRecord {
    /// The job.
    pub job_id: u32,
    /// The group.
    pub server_id: u32,
    /// `overlap`, `draining`, `waiting`, `misfire`.
    pub reason: String,
    /// First slot, RFC 3339.
    pub first_slot: String,
    /// Last slot, RFC 3339.
    pub last_slot: String,
    /// How many.
    pub count: u64,
}

/// What somebody did, as it is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActRecord {
    /// The group.
    pub server_id: u32,
    /// Key; at most 20 characters.
    pub uniq_id: String,
    /// When, RFC 3339 with milliseconds.
    pub at: String,
    /// Who.
    pub who: String,
    /// Through what, and from where.
    pub origin: String,
    /// `create`, `start`, …
    pub action: String,
    /// The job; 0: none.
    pub job_id: u32,
    /// The run; empty: none.
    pub run_id: String,
    /// The version of the row afterwards; empty: none.
    pub version: String,
    /// MD5 of the key by which the request may come again; empty: none.
    pub request_key: String,
    /// MD5 of the body of such a request.
    pub request_body: String,
    /// What was changed: JSON, `{"cron": [old, new]}`.
    pub what: String,
    /// `done`, or why not.
    pub result: String,
}
