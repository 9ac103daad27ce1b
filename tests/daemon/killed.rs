//! `kill -9` of the daemon, with runs alive and in the middle of launches: the next daemon adopts
//! what lives, keeps the limits, launches nothing twice and loses nothing without a reason.

use crate::daemon::account::{account, carry_over, end};
use crate::daemon::facts::STAMPS;
use crate::daemon::ledger::Account;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Site, now_ns};
use schedule::core::database::Driver;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

/// Quick ones that are launched in one go, so that a kill can hit in between, and long ones that
/// outlive several daemons.
fn rows(site: &Site) -> Vec<Row> {
    let stamps = site.file(STAMPS);
    let ends = |id: u32| {
        let words = "$SCHEDULE_JOB_ID $SCHEDULE_SLOT $SCHEDULE_RUN_ID $$ %s%N";
        let file = site.file(&format!("ends-{id}"));
        format!("date \"+{words}\" >>'{file}'")
    };
    let mut rows: Vec<Row> =
        (1..=40).map(|id| Row::stamping(id, Due::Step(2), &stamps, "")).collect();
    for (id, seconds, limit) in [(41, 3, 1), (42, 7, 2), (43, 5, 3)] {
        let rest = format!("sleep {seconds}; {}", ends(id));
        rows.push(Row::stamping(id, Due::Step(1), &stamps, &rest).limit(limit));
    }
    rows
}

/// Waits until so many milliseconds after the next even second: most rows are due there.
fn wait_after_even_second(ms: i64) {
    let period = 2_000_000_000;
    let to_go = period - (now_ns() - ms * 1_000_000).rem_euclid(period);
    sleep(Duration::from_nanos(to_go.unsigned_abs()));
}

#[test]
fn nothing_is_launched_twice_or_lost_over_kills() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = rows(&site);
    database.sql(&insert(&rows));
    let first = site.start();
    first.wait_jobs(rows.len() as u64);
    let begin = now_ns() / 1_000_000_000 + 1;
    first.kill();
    // From before the launches to long after them, the middle of them more often.
    for ms in [-3, 1, 4, 8, 13, 19, 26, 34, 43, 60, 90, 700] {
        let daemon = site.start();
        wait_after_even_second(ms);
        daemon.kill();
    }
    let daemon = site.start();
    daemon.wait_jobs(rows.len() as u64);
    let last = end(daemon);
    carry_over(&site, &mut database);
    let account = Account { killed: true, ..account(&site, &mut database, &rows, (begin, last)) };
    println!("{}", account.settle());
    for row in rows.iter().filter(|row| row.id > 40) {
        check_limit(&site, &account, row);
    }
}

/// At no time were more runs of a job alive than its limit.
fn check_limit(site: &Site, account: &Account, row: &Row) {
    let ends = site.read(&format!("ends-{}", row.id));
    let ends: BTreeMap<&str, i64> = (ends.lines())
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .map(|words| (words[2], words[4].parse().unwrap()))
        .collect();
    let mut changes = Vec::new();
    for stamp in account.stamps.iter().filter(|stamp| stamp.job == row.id) {
        changes.push((stamp.at_ns, 1));
        changes.push((ends[stamp.run.as_str()], -1));
    }
    changes.sort_unstable();
    let mut alive = 0;
    for (at, change) in changes {
        alive += change;
        assert!(alive <= i64::from(row.limit), "job {}: {alive} alive at {at}", row.id);
    }
}
