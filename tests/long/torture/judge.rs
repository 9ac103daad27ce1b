//! What the jobs wrote down against what the daemons recorded.

use super::daemon::Site;
use super::daemon::ledger::Account;
use super::daemon::log::second;
use super::jobs::{ENDS, STUBBORN, WRITING};
use crate::common::database::TestDatabase;
use std::collections::{BTreeMap, BTreeSet};

/// The end that a job noted.
struct Noted {
    status: u32,
    at_ns: i64,
}

fn noted(site: &Site) -> BTreeMap<String, Noted> {
    let mut ends = BTreeMap::new();
    for line in site.read(ENDS).lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [run, status, at] = words[..] else { panic!("an end like no other: {line:?}") };
        let end = Noted { status: status.parse().unwrap(), at_ns: at.parse().unwrap() };
        assert!(ends.insert(run.to_owned(), end).is_none(), "run {run} ended twice");
    }
    ends
}

/// Demands that how and when each run ended is what the job itself wrote down. Returns how many
/// were compared, how many of their times were more than a second apart, and the most seconds.
pub fn outcomes(
    site: &Site,
    database: &mut TestDatabase,
    account: &Account,
) -> (usize, usize, i64) {
    let ends = noted(site);
    let (mut wrong, mut late, mut worst_s) = (Vec::new(), 0, 0);
    let sql = "SELECT uniq_id, command_id, outcome, end_time FROM scheduler_logs WHERE pid > 0";
    let rows = database.query(sql);
    for row in &rows {
        let [run, job, outcome, end] = &row[..] else { panic!("{row:?}") };
        let stubborn = STUBBORN.contains(&job.parse().unwrap());
        match ends.get(run) {
            Some(noted) => {
                let end_s = second(&format!("{}+08:00", end.replace(' ', "T")));
                let apart_s = (end_s - noted.at_ns / 1_000_000_000).abs();
                late += usize::from(apart_s > 1);
                worst_s = worst_s.max(apart_s);
                let is = format!("exit {}", noted.status);
                // A KILL may have come between the note and the end.
                if *outcome != is && !(stubborn && outcome == "signal 9") {
                    wrong.push(format!("{row:?}: it noted {is}"));
                }
            }
            None if outcome.starts_with("signal") => {}
            None => wrong.push(format!("{row:?}: it noted no end")),
        }
    }
    assert!(wrong.is_empty(), "{} outcomes are wrong:\n{}", wrong.len(), wrong.join("\n"));
    let known: BTreeSet<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    let unknown = ends.keys().find(|run| !known.contains(run.as_str()));
    assert_eq!(unknown, None, "it ran and is not recorded");
    for row in account.rows {
        limit(account, &ends, row.id, row.limit);
    }
    (rows.len(), late, worst_s)
}

/// At no time were more runs of a job alive than its limit, as far as they noted their end.
fn limit(account: &Account, ends: &BTreeMap<String, Noted>, id: u32, limit: u32) {
    let mut changes = Vec::new();
    for stamp in account.stamps.iter().filter(|stamp| stamp.job == id) {
        let Some(end) = ends.get(&stamp.run) else { continue };
        changes.push((stamp.at_ns, 1));
        changes.push((end.at_ns, -1));
    }
    changes.sort_unstable();
    let mut alive = 0;
    for (at, change) in changes {
        alive += change;
        assert!(alive <= i64::from(limit), "job {id}: {alive} alive at {at}, its limit is {limit}");
    }
}

/// What the jobs wrote to their own files is there once.
pub fn outputs(site: &Site, account: &Account) {
    for id in WRITING {
        let text = site.read(&format!("output-{id}"));
        let lines: BTreeSet<&str> = text.lines().collect();
        assert_eq!(lines.len(), text.lines().count(), "job {id}: a line is there twice");
        let stamps = account.stamps.iter().filter(|stamp| stamp.job == id);
        let runs: BTreeSet<&str> = stamps.map(|stamp| stamp.run.as_str()).collect();
        assert_eq!(lines, runs, "job {id}: its output");
    }
}
