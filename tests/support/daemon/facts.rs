//! What is known of the runs from outside: stamps of the jobs, rows of the database.

use super::Site;
use super::log::second;
use crate::common::database::TestDatabase;

/// A line that a job left: it ran.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub job: u32,
    /// Unix seconds.
    pub slot: i64,
    pub run: String,
    pub pid: u32,
    /// Unix nanoseconds.
    pub at_ns: i64,
}

/// A row of `scheduler_logs`.
#[derive(Clone, Debug)]
pub struct Logged {
    pub run: String,
    pub job: u32,
    /// Unix seconds; none for a run without a slot.
    pub slot: Option<i64>,
    pub outcome: String,
    pub pid: u32,
    /// Unix seconds.
    pub start: i64,
}

/// A row of `scheduler_skips`.
#[derive(Clone, Debug)]
pub struct Skipped {
    pub job: u32,
    pub reason: String,
    /// Unix seconds.
    pub first: i64,
    /// Unix seconds.
    pub last: i64,
    pub count: u64,
}

/// The name of the file with the stamps.
pub const STAMPS: &str = "stamps";

/// All stamps of a site.
pub fn stamps(site: &Site) -> Vec<Stamp> {
    let text = site.read(STAMPS);
    let stamp = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        assert_eq!(words.len(), 5, "a stamp like no other: {line:?}");
        Stamp {
            job: words[0].parse().unwrap(),
            slot: second(words[1]),
            run: words[2].to_owned(),
            pid: words[3].parse().unwrap(),
            at_ns: words[4].parse().unwrap(),
        }
    };
    // The last one may be on its way: a write that crosses a page is seen in two steps.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(stamp).collect()
}

/// All recorded runs.
pub fn logged(database: &mut TestDatabase) -> Vec<Logged> {
    let sql = "SELECT uniq_id, command_id, slot, outcome, pid, start_time FROM scheduler_logs";
    let row = |row: Vec<String>| Logged {
        run: row[0].clone(),
        job: row[1].parse().unwrap(),
        slot: (!row[2].is_empty()).then(|| second(&row[2])),
        outcome: row[3].clone(),
        pid: row[4].parse().unwrap(),
        // The configured zone, which has had no changes for a long time.
        start: second(&format!("{}+08:00", row[5].replace(' ', "T"))),
    };
    database.query(sql).into_iter().map(row).collect()
}

/// All recorded ranges of skipped slots.
pub fn skipped(database: &mut TestDatabase) -> Vec<Skipped> {
    let sql = "SELECT job_id, reason, first_slot, last_slot, skipped FROM scheduler_skips";
    let row = |row: Vec<String>| Skipped {
        job: row[0].parse().unwrap(),
        reason: row[1].clone(),
        first: second(&row[2]),
        last: second(&row[3]),
        count: row[4].parse().unwrap(),
    };
    database.query(sql).into_iter().map(row).collect()
}
