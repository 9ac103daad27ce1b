//! A run as JSON.

use super::known::Known;
use crate::core::definition::Definition;
use crate::core::ids::{JobId, RunId};
use crate::core::protocol::RunRecord;
use crate::core::run_kind::RunKind;
use crate::core::scheduler::Scheduler;
use crate::core::time::{Now, instant_of, rfc3339};
use crate::core::web::views;
use serde::Serialize;
use serde_json::{Value, json};

/// Until then a time is none, unix ms: that of a row that says nothing else is 1970.
const NEVER_MS: i64 = 2 * 86_400_000;

/// A run as the database has it. The fields are those of the daemon's own.
#[derive(Serialize)]
pub struct Row<'a> {
    run_id: &'a str,
    job_id: u32,
    name: Option<&'a str>,
    command: &'a str,
    cause: Option<&'a str>,
    slot: Option<&'a str>,
    started_at: Option<String>,
    ended_at: Option<String>,
    duration_ms: u64,
    pid: Option<u32>,
    outcome: &'a str,
    kind: RunKind,
    exit_code: Option<u8>,
    signal: Option<u8>,
    stopped: bool,
    user_ms: u64,
    system_ms: u64,
    max_rss_bytes: u64,
    attempt: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    who: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    stopped_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    note: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    parameters: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    last_line: &'a str,
}

/// A run that the daemon knows itself.
pub fn known(scheduler: &Scheduler, now: Now, job: JobId, known: Known<'_>) -> Value {
    let Some(of) = scheduler.table().get(job) else { return Value::Null };
    let mut view = match known {
        Known::Live(run) => views::live_run(scheduler, now, &of.def, run),
        Known::Past(run) => views::past_run(scheduler, &of.def, run),
    };
    view["job_id"] = json!(job);
    view["name"] = json!(*of.def.name);
    view["kind"] = match known {
        Known::Live(_) => json!(RunKind::Running),
        Known::Past(run) => json!(RunKind::from(run.outcome.kind(run.stopped))),
    };
    view
}

/// A run that only the database knows.
pub fn row<'a>(scheduler: &'a Scheduler, row: &'a RunRecord) -> Row<'a> {
    let def = scheduler.table().get(JobId(row.job_id)).map(|job| &job.def);
    let run: Option<RunId> = row.uniq_id.parse().ok();
    // Of an hour that comes twice the id tells which one it was.
    let begun_s = run.and_then(|run| i64::try_from(run.unix_seconds()).ok());
    let zone = &scheduler.settings().zone;
    let started_ms = instant_of(&row.start_time, zone, begun_s).filter(|ms| *ms > NEVER_MS);
    let seconds = u64::from(row.running_time_s);
    let ended_s = started_ms.map(|ms| ms / 1_000 + i64::from(row.running_time_s));
    let ended_ms = instant_of(&row.end_time, zone, ended_s).filter(|ms| *ms > NEVER_MS);
    let at = |ms: Option<i64>| ms.map(|ms| time_of(scheduler, def, ms));
    let number = |before: &str| {
        let rest = row.outcome.strip_prefix(before)?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    };
    let kind = kind(row);
    Row {
        run_id: &row.uniq_id,
        job_id: row.job_id,
        name: def.map(|def| &*def.name),
        command: &row.command,
        cause: (!row.cause.is_empty()).then_some(&*row.cause),
        slot: (!row.slot.is_empty()).then_some(&*row.slot),
        started_at: at(started_ms),
        ended_at: at(ended_ms),
        duration_ms: if row.duration_ms == 0 { seconds * 1_000 } else { row.duration_ms },
        pid: (row.pid != 0).then_some(row.pid),
        outcome: match kind {
            RunKind::Unknown => RunKind::Unknown.label(),
            _ => &row.outcome,
        },
        kind,
        exit_code: number("exit "),
        signal: number("signal "),
        stopped: row.kind == RunKind::Stopped,
        user_ms: row.user_ms,
        system_ms: row.system_ms,
        max_rss_bytes: row.max_rss_bytes,
        attempt: row.attempt.max(1),
        who: &row.who,
        stopped_by: &row.stopped_by,
        note: &row.note,
        parameters: &row.parameters,
        last_line: &row.last_line,
    }
}

/// How a run stands that only the database knows. What has no end there is not alive either: the
/// daemon would know it.
pub fn kind(row: &RunRecord) -> RunKind {
    if row.kind == RunKind::Running { RunKind::Unknown } else { row.kind }
}

fn time_of(scheduler: &Scheduler, def: Option<&Definition>, ms: i64) -> String {
    match def {
        Some(def) => views::time_of(scheduler, def, ms),
        None => rfc3339(ms, &scheduler.settings().zone),
    }
}
