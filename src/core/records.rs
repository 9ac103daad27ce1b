//! From the journal to the database: entries become records.

use crate::core::cron::Zone;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Entry, RunEntry, SkipEntry, decode};
use crate::core::protocol::{Record, RunRecord, SkipRecord};
use crate::core::time::{datetime, rfc3339};
use std::collections::BTreeMap;

/// Reads lines of the journal and makes a record of each run and of each range of skipped slots,
/// as they stand at the end of the lines: a run that began and ended in between is one record.
/// `server_id` is the group whose journal it is. Lines that can't be read are left out.
pub fn from_journal(lines: &[u8], server_id: u32, zone: &Zone) -> Vec<Record> {
    let mut runs: BTreeMap<RunId, RunEntry<'_>> = BTreeMap::new();
    let mut skips: BTreeMap<(JobId, i64), SkipEntry> = BTreeMap::new();
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match decode(line) {
            // An intent is no news: either a start or an end follows.
            Some(Entry::Run(run)) if run.pid == 0 && run.end.is_none() => {}
            Some(Entry::Run(run)) => {
                runs.insert(run.run, run);
            }
            Some(Entry::Skip(skip)) => {
                skips.insert((skip.job, skip.first_ms), skip);
            }
            _ => {}
        }
    }
    let runs = runs.values().map(|run| Record::Run(Box::new(run_record(run, server_id, zone))));
    let skips = skips.values().map(|skip| {
        let first_slot = rfc3339(skip.first_ms, zone);
        Record::Skip(Box::new(SkipRecord {
            job_id: skip.job.0,
            server_id,
            reason: skip.reason.label().to_owned(),
            first_slot,
            last_slot: rfc3339(skip.last_ms, zone),
            count: skip.count,
        }))
    });
    runs.chain(skips).collect()
}

fn run_record(run: &RunEntry<'_>, server_id: u32, zone: &Zone) -> RunRecord {
    let mut record = RunRecord {
        uniq_id: run.run.to_string(),
        job_id: run.job.0,
        server_id,
        command: run.command.to_string(),
        start_time: datetime(run.at_ms, zone),
        pid: run.pid,
        concurrent: run.concurrent,
        slot: run.slot_ms.map(|slot| rfc3339(slot, zone)).unwrap_or_default(),
        cause: run.cause.label().to_owned(),
        outcome: "running".to_owned(),
        ..RunRecord::default()
    };
    if let Some(end) = &run.end {
        record.end_time = datetime(end.at_ms, zone);
        record.running_time_s = u32::try_from(end.duration_ms / 1000).unwrap_or(u32::MAX);
        record.outcome = end.outcome.to_string();
        record.duration_ms = end.duration_ms;
        record.user_ms = end.usage.user_ms;
        record.system_ms = end.usage.system_ms;
        record.max_rss_bytes = end.usage.max_rss_bytes;
    }
    record
}
