//! The end of a test that keeps an account: how a daemon is ended, what it left in the journal
//! brought to the database, and everything that is known collected.

use super::facts::{self, Stamp};
use super::ledger::Account;
use super::rows::Row;
use super::{Daemon, Site, log, middle_of_a_second, now_ns, wait_for};
use crate::common::database::TestDatabase;
use std::time::Duration;

/// Waits until the daemon has gone over to what is due from now on; `job` is due each second.
pub fn catch_up(site: &Site, job: u32) {
    let now = now_ns() / 1_000_000_000;
    wait_for("what is due later", Duration::from_secs(60), || {
        let late = |stamp: &Stamp| stamp.job == job && stamp.slot > now + 1;
        facts::stamps(site).iter().any(late).then_some(())
    });
}

/// Ends the daemon in the middle of a second and says which: no slot after it may be launched.
pub fn end(daemon: Daemon) -> i64 {
    let last = middle_of_a_second();
    assert_eq!(daemon.stop().code(), Some(0));
    last
}

/// The records of the last second wait in the journal, and runs went on without a daemon: the
/// next one brings it all to the database. Its own table is empty.
pub fn carry_over(site: &Site, database: &mut TestDatabase) {
    database.sql("UPDATE scheduler_jobs SET status = 0;");
    let daemon = site.start();
    wait_for("the last runs to end and to be recorded", Duration::from_secs(90), || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3] && status["database"] == "up").then_some(())
    });
    daemon.stop();
    let open = "SELECT COUNT(*) FROM scheduler_logs WHERE outcome = 'running'";
    assert_eq!(database.value(open), "0", "runs that never ended in the database");
}

/// All that is known of what was due in `window`.
pub fn account<'a>(
    site: &Site,
    database: &mut TestDatabase,
    rows: &'a [Row],
    window: (i64, i64),
) -> Account<'a> {
    let log = site.log();
    Account {
        rows,
        window,
        stamps: facts::stamps(site),
        logged: facts::logged(database),
        skipped: facts::skipped(database),
        starts: log::starts(&log),
        skip_lines: log::skips(&log),
        killed: false,
    }
}
