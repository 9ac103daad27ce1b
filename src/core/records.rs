//! From the journal to the database: entries become records.

use crate::core::cron::Zone;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{Entry, RunEntry, decode, whole_lines};
use crate::core::protocol::{Record, RunRecord, SkipRecord};
use crate::core::time::{datetime, rfc3339};
use std::collections::BTreeMap;

/// What a record tells of: the last word on it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A run.
    Run(RunId),
    /// Skipped slots of a job, by the first of them.
    Skip(JobId, i64),
}

/// What an entry tells the database of; nothing if that is no news to it.
pub fn key(entry: &Entry<'_>) -> Option<Key> {
    match entry {
        // An intent is no news: either a start or an end follows.
        Entry::Run(run) if run.pid == 0 && run.end.is_none() => None,
        Entry::Run(run) => Some(Key::Run(run.run)),
        Entry::Skip(skip) => Some(Key::Skip(skip.job, skip.first_ms)),
        Entry::Checkpoint
        | Entry::Boot(_)
        | Entry::Keeper(_)
        | Entry::Carried(_)
        | Entry::Decided(_)
        | Entry::Slot { .. }
        | Entry::Anew(_)
        | Entry::Sequence(_)
        | Entry::Recorded(_)
        | Entry::Dropped { .. }
        | Entry::Unwritten { .. }
        | Entry::Table(_) => None,
    }
}

/// The news in lines of the journal, one entry for each run and each range of skipped slots, as
/// they stand at the end of the lines: a run that began and ended in between is one entry. Lines
/// that can't be read are left out.
pub fn news(lines: &[u8]) -> Vec<Entry<'_>> {
    let mut news = BTreeMap::new();
    // One without its line end is torn, and the next daemon cuts it off: it never was.
    for line in whole_lines(lines).0 {
        if let Some(entry) = decode(line)
            && let Some(key) = key(&entry)
        {
            news.insert(key, entry);
        }
    }
    news.into_values().collect()
}

/// What is written to the database for an entry, if it is news. `server_id` is the group whose
/// journal it is from.
pub fn record(entry: &Entry<'_>, server_id: u32, zone: &Zone) -> Option<Record> {
    match (key(entry)?, entry) {
        (_, Entry::Run(run)) => Some(Record::Run(Box::new(run_record(run, server_id, zone)))),
        (_, Entry::Skip(skip)) => Some(Record::Skip(Box::new(SkipRecord {
            job_id: skip.job.0,
            server_id,
            reason: skip.reason.label().to_owned(),
            first_slot: rfc3339(skip.first_ms, zone),
            last_slot: rfc3339(skip.last_ms, zone),
            count: skip.count,
        }))),
        _ => None,
    }
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
