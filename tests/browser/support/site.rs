//! A daemon with jobs for people to look at.

use crate::common::database::TestDatabase;
use crate::daemon::rows::{Due, Row};
use crate::daemon::{Daemon, Site};
use schedule::core::database::Driver;

/// Due on the 29th of February.
pub const NEVER: Due = Due::Never("0 0 29 2 *");

/// Runs until it is stopped.
pub const LONG: u32 = 1;
/// Writes `line 1`, `line 2`, … until it is stopped.
pub const WRITES: u32 = 2;
/// Ends with 3 and a word on stderr.
pub const FAILS: u32 = 3;
/// Has a Chinese name.
pub const CHINESE: u32 = 4;
/// Runs each second.
pub const TICKS: u32 = 5;

/// Three tags and a handful of jobs.
pub fn sample() -> (Site, TestDatabase, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql("INSERT INTO scheduler_tags (id, name) VALUES (1, 'nightly'), (2, '网站')");
    let writes = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done";
    let rows = [
        Row::new(LONG, NEVER, "sleep 600").named("Backup of the photos").tag(1),
        Row::new(WRITES, NEVER, writes).named("Writes lines").tag(1),
        Row::new(FAILS, NEVER, "echo broken pipes >&2; exit 3").named("Fails").tag(2),
        Row::new(CHINESE, Due::Minute, "echo 备份完成").named("中文任务:备份数据").tag(2),
        Row::new(TICKS, Due::Step(1), "true").named("Ticks"),
    ];
    let daemon = with(&site, &mut database, &rows);
    (site, database, daemon)
}

/// A daemon that has these jobs in force.
pub fn with(site: &Site, database: &mut TestDatabase, rows: &[Row]) -> Daemon {
    database.sql(&format!("BEGIN;{}COMMIT;", crate::daemon::rows::insert(rows)));
    let daemon = site.start();
    daemon.wait_jobs(rows.len() as u64);
    daemon
}
