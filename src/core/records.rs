//! From the journal to the database: entries become records.

use crate::core::cron::Zone;
use crate::core::ids::{JobId, RunId};
use crate::core::journal::{ActEntry, Entry, RunEntry, decode, whole_lines};
use crate::core::protocol::{ActRecord, Record, RunRecord, SkipRecord};
use crate::core::run_kind::RunKind;
use crate::core::time::{datetime, rfc3339};
use serde_json::Value;
use std::collections::BTreeMap;

/// What a record tells of: the last word on it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A run.
    Run(RunId),
    /// Skipped slots of a job, by the first of them, and the database that it is of.
    Skip(JobId, i64, u32),
    /// What somebody did.
    Act(RunId),
}

/// What an entry tells the database of; nothing if that is no news to it.
pub fn key(entry: &Entry<'_>) -> Option<Key> {
    match entry {
        // An intent is no news: either a start or an end follows.
        Entry::Run(run) if run.pid == 0 && run.end.is_none() => None,
        Entry::Run(run) => Some(Key::Run(run.run)),
        Entry::Skip(skip) => Some(Key::Skip(skip.job, skip.first_ms, skip.home)),
        Entry::Act(act) => Some(Key::Act(act.id)),
        Entry::Checkpoint
        | Entry::Boot(_)
        | Entry::Home(_)
        | Entry::Keeper(_)
        | Entry::Carried(_)
        | Entry::Asked(_)
        | Entry::Pauses(_)
        | Entry::Decided(_)
        | Entry::Slot { .. }
        | Entry::Anew(_)
        | Entry::Sequence(_)
        | Entry::Recorded(_)
        | Entry::Dropped(_)
        | Entry::Held { .. }
        | Entry::SetAside(_)
        | Entry::Unwritten { .. }
        | Entry::Written { .. }
        | Entry::Living(_)
        | Entry::Said(_)
        | Entry::Table(_) => None,
    }
}

/// The news in lines of the journal, one entry for each run and each range of skipped slots, as
/// they stand at the end of the lines: a run that began and ended in between is one entry. In the
/// order of the first line that tells of each. Lines that can't be read are left out, and of ranges
/// that begin with the same slot the longest counts.
pub fn news(lines: &[u8]) -> Vec<Entry<'_>> {
    let mut places = BTreeMap::new();
    let mut news: Vec<Entry<'_>> = Vec::new();
    // One without its line end is torn, and the next daemon cuts it off: it never was.
    for line in whole_lines(lines).0 {
        if let Some(entry) = decode(line)
            && let Some(key) = key(&entry)
        {
            let place = *places.entry(key).or_insert(news.len());
            match news.get_mut(place) {
                None => news.push(entry),
                // After the clock was set back another range may begin with the same slot.
                Some(before) if says_more(before, &entry) => {}
                Some(before) => *before = entry,
            }
        }
    }
    news
}

/// Whether `one` says more than `other` of the same run, or of slots skipped from the same one on.
/// What says more is not replaced: the database has the same rule.
pub fn says_more(one: &Entry<'_>, other: &Entry<'_>) -> bool {
    match (one, other) {
        (Entry::Run(one), Entry::Run(other)) => one.end.is_some() && other.end.is_none(),
        (Entry::Skip(one), Entry::Skip(other)) => one.count > other.count,
        _ => false,
    }
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
        (_, Entry::Act(act)) => Some(Record::Act(Box::new(act_record(act, server_id, zone)))),
        _ => None,
    }
}

/// What an act says in `scheduler_audit`.
pub fn act_record(act: &ActEntry, server_id: u32, zone: &Zone) -> ActRecord {
    ActRecord {
        server_id,
        uniq_id: act.id.to_string(),
        at: rfc3339(act.at_ms, zone),
        who: act.who.to_string(),
        origin: act.origin.to_string(),
        action: act.action.to_string(),
        job_id: act.job.map_or(0, |job| job.0),
        run_id: act.run.map(|run| run.to_string()).unwrap_or_default(),
        version: act.version.map(|version| version.to_string()).unwrap_or_default(),
        request_key: act.request_key.to_string(),
        request_body: act.request_body.to_string(),
        what: Value::Object(act.what.clone()).to_string(),
        result: act.result.to_string(),
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
        kind: RunKind::Running,
        attempt: run.attempt,
        ..RunRecord::default()
    };
    if let Some(remarks) = &run.remarks {
        record.who = remarks.who.to_string();
        record.stopped_by = remarks.stopped_by.to_string();
        record.note = remarks.note.to_string();
        record.parameters = remarks.parameters.to_string();
        record.last_line = remarks.last_line.to_string();
    }
    if let Some(end) = &run.end {
        record.end_time = datetime(end.at_ms, zone);
        record.running_time_s = u32::try_from(end.duration_ms / 1000).unwrap_or(u32::MAX);
        record.outcome = end.outcome.to_string();
        record.kind = end.outcome.kind(end.stopped).into();
        record.duration_ms = end.duration_ms;
        record.user_ms = end.usage.user_ms;
        record.system_ms = end.usage.system_ms;
        record.max_rss_bytes = end.usage.max_rss_bytes;
    }
    record
}

#[cfg(test)]
mod tests {
    use super::news;
    use crate::core::ids::JobId;
    use crate::core::journal::{Entry, SkipEntry, SkipReason, encode};

    #[test]
    fn of_ranges_that_begin_alike_the_longest_is_news() {
        let range = |reason, last_ms, count| {
            let (job, home) = (JobId(1), 0);
            Entry::Skip(SkipEntry { job, reason, first_ms: 1_000, last_ms, count, home })
        };
        let longest = range(SkipReason::Misfire, 5_000, 5);
        // It grows; the clock is set back, and another begins where it began.
        let told = [
            range(SkipReason::Misfire, 4_000, 4),
            longest.clone(),
            range(SkipReason::Overlap, 1_000, 1),
            range(SkipReason::Overlap, 2_000, 2),
        ];
        let mut lines = Vec::new();
        told.iter().for_each(|entry| encode(&mut lines, entry));
        assert_eq!(news(&lines), [longest]);
    }
}
