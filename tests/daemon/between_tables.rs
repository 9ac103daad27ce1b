//! What is kept of a table that has just come into force: the program that takes the daemon's place
//! finds its snapshot, however busy keeper and database are.

use crate::common::database::TestDatabase;
use crate::daemon::facts::{self, STAMPS};
use crate::daemon::held::helpers;
use crate::daemon::keeper::{signal, wait_state};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, now_ns, wait_for};
use rustix::process::{Pid, Signal};
use schedule::core::database::Driver;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

/// Jobs that are started at once: more than a keeper is asked for at a time.
const BURST: u32 = 300;

fn wait_for_snapshot(site: &Site, name: &str) {
    wait_for("a snapshot", SOON, || site.read("state.1/snapshot").contains(name).then_some(()));
}

fn stop(pid: Pid) {
    signal(pid, Signal::STOP);
    wait_state(pid, 'T');
}

/// Stops them before they are asked for the table again: what they answer then is what it is then.
fn stop_helpers(daemon: &Daemon) -> Vec<Pid> {
    wait_for("the helpers to have answered", SOON, || {
        assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
        let helpers = helpers(daemon);
        helpers.iter().for_each(|pid| stop(*pid));
        if daemon.status()["sync_age_ms"].as_u64() < Some(400) {
            return Some(helpers);
        }
        helpers.iter().for_each(|pid| signal(*pid, Signal::CONT));
        None
    })
}

/// Starts jobs 2 and following by hand, all at once. The answer comes when all have begun.
fn start_burst(daemon: &Daemon) -> TcpStream {
    let jobs: String = (2..2 + BURST).map(|id| format!("&job={id}")).collect();
    let body = format!("action=start{jobs}");
    let mut stream = TcpStream::connect(daemon.address).unwrap();
    write!(
        stream,
        "POST /actions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream
}

/// Waits until requests are taken no more: another program is about to take over.
fn wait_until_quiet(daemon: &Daemon) {
    wait_for("requests to be taken no more", SOON, || {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        stream.read(&mut [0; 16]).is_err().then_some(())
    });
}

/// A keeper that stands still has launches wait, and with them the snapshot: the journal must know
/// first what was decided by it. A reload that comes just then waits for both.
#[test]
fn a_reload_waits_for_the_snapshot_of_a_new_table() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let others = (2..2 + BURST).map(|id| Row::new(id, Due::Never("0 0 1 1 *"), "true"));
    let each_second = Row::stamping(1, Due::Step(1), &site.file(STAMPS), "").limit(100);
    let rows: Vec<Row> = [each_second.named("first")].into_iter().chain(others).collect();
    database.sql(&insert(&rows));
    let daemon = site.start();
    wait_for_snapshot(&site, "first");
    wait_for("a run", SOON, || (!facts::stamps(&site).is_empty()).then_some(()));

    // The database is asked, and its answer is to come when launches wait.
    let helpers = stop_helpers(&daemon);
    assert!(!helpers.is_empty());
    database.sql("UPDATE scheduler_jobs SET name = 'second' WHERE id = 1;");
    wait_for("the database to be asked", SOON, || {
        (daemon.status()["sync_age_ms"].as_u64() > Some(2_500)).then_some(())
    });
    let keeper = site.keeper();
    stop(keeper);
    let _waits = start_burst(&daemon);
    wait_for("all to be started", SOON, || {
        (daemon.status()["running"].as_u64() >= Some(BURST.into())).then_some(())
    });
    helpers.iter().for_each(|pid| signal(*pid, Signal::CONT));
    daemon.wait_job(1, "of the new table", |job| job["name"] == "second");
    assert!(site.read("state.1/snapshot").contains("first"), "it is kept though launches wait");

    let begun = site.logged("begin: ").len();
    daemon.signal(Signal::HUP);
    wait_until_quiet(&daemon);
    // Requests under way have a second.
    sleep(Duration::from_millis(1_200));
    let early = site.logged("begin: ").len() > begun;
    signal(keeper, Signal::CONT);
    wait_for("the next program", SOON, || (site.logged("begin: ").len() > begun).then_some(()));
    let stale = site.logged("another table was in force after it");
    assert!(!early && stale.is_empty(), "it did not wait: {stale:?}");
    assert_eq!(site.logged(&format!("snapshot: {} jobs in force", 1 + BURST)).len(), 1);
    assert!(site.read("state.1/snapshot").contains("second"));

    let now = now_ns() / 1_000_000_000;
    let last = || facts::stamps(&site).iter().map(|stamp| stamp.slot).max();
    wait_for("slots after it", SOON, || (last() > Some(now + 1)).then_some(()));
    let mut slots: Vec<i64> = facts::stamps(&site).iter().map(|stamp| stamp.slot).collect();
    slots.sort_unstable();
    let is_next = |pair: &[i64]| pair[1] == pair[0] + 1;
    // The last ones may be on their way.
    let all = slots.iter().take_while(|slot| **slot <= now).count();
    assert!(slots[..all].windows(2).all(is_next), "a slot is missing, or there twice: {slots:?}");
}

/// The next question to the database is due before the answer to this one is in force: it does not
/// take the place of the snapshot that is to be kept.
#[test]
fn a_table_that_takes_long_to_read_has_a_snapshot() {
    for mut database in TestDatabase::each_server() {
        let site = Site::new(&database.config);
        database.sql(&Row::new(1, Due::Never("0 0 1 1 *"), "true").named("first").insert());
        database.sql("RENAME TABLE scheduler_jobs TO all_jobs;");
        database
            .sql("CREATE VIEW scheduler_jobs AS SELECT * FROM all_jobs WHERE SLEEP(1.2 * id) = 0;");
        let daemon = site.start();
        wait_for_snapshot(&site, "first");
        assert!(daemon.status()["snapshot_error"].is_null());
    }
}
