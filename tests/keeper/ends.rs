//! How a run ended is known, whatever becomes of the daemon: its keeper saw it.

use crate::daemon;
use crate::daemon::keeper::{millis, signal};
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, now_ns, wait_for};
use rustix::fs::{Mode, OFlags};
use rustix::process::Signal;
use schedule::core::database::Driver;
use std::time::{Duration, Instant};

/// Never by itself.
const NEVER: Due = Due::Never("0 0 1 1 *");

/// A row whose runs wait until the gate is opened, note when they end, and do that so.
fn gated(site: &Site, id: u32, end: &str, outcome: &'static str) -> Row {
    let (gate, noted) = (site.file("gate"), site.file(&format!("end-{id}")));
    let command = format!(": <'{gate}'; date +%s%N >'{noted}'; {end}");
    Row::new(id, NEVER, &command).ends(outcome)
}

/// Runs block in the opening of a pipe that nobody writes to: that costs no processor.
fn close_gate(site: &Site) {
    let mode = Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, site.file("gate"), mode).unwrap();
}

/// Lets all of them go on for as long as the result is kept.
fn open_gate(site: &Site) -> rustix::fd::OwnedFd {
    rustix::fs::open(site.file("gate"), OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Fifty runs that end each in its own way while there is no daemon.
fn rows(site: &Site) -> Vec<Row> {
    let mut rows: Vec<Row> =
        (0..44).map(|code| gated(site, code + 1, &format!("exit {}", code * 5), "exit")).collect();
    let signals = ["KILL", "TERM", "SEGV", "HUP", "USR2"];
    for (id, name) in (45..).zip(signals) {
        rows.push(gated(site, id, &format!("kill -{name} $$"), "signal"));
    }
    let burn = "head -c 40000000 /dev/zero | tail -c 30000000 | cksum";
    let noted = site.file("end-50");
    let command = format!(": <'{}'; {burn}; date +%s%N >'{noted}'; exit 50", site.file("gate"));
    rows.push(Row::new(50, NEVER, &command).ends("exit"));
    rows
}

fn expected(id: u32) -> String {
    match id {
        1..=44 => format!("exit {}", (id - 1) * 5),
        45..=49 => format!("signal {}", [9, 15, 11, 1, 12][id as usize - 45]),
        _ => "exit 50".to_owned(),
    }
}

/// `keeper_stays`: a run that does not end keeps it; else it goes, and leaves on disk what it saw.
fn ends_without_a_daemon(keeper_stays: bool) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    close_gate(&site);
    let mut rows = rows(&site);
    rows.push(Row::new(51, NEVER, "sleep 600"));
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(51);
    let ids: Vec<u32> = (1..=if keeper_stays { 51 } else { 50 }).collect();
    ids.iter().for_each(|id| daemon.start_job(*id));
    daemon.wait_running(ids.len() as u64);
    let keeper = site.keeper();
    daemon.kill();
    // None of them is meant for it.
    for which in [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR1, Signal::USR2]
    {
        signal(keeper, which);
    }
    let _open = open_gate(&site);
    match keeper_stays {
        true => wait_for("all but one to end", SOON, || {
            let left = site.processes();
            (left.len() == 2 && left.contains(&keeper)).then_some(())
        }),
        false => site.wait_empty(),
    }
    assert_eq!(site.file_exists("state.1/keeper.ends"), !keeper_stays);
    let daemon = site.start();
    assert_eq!(site.keeper() == keeper, keeper_stays);
    daemon.wait_running(u64::from(keeper_stays));
    let mut worst_ms = 0;
    for id in 1..=50 {
        let run = daemon.wait_end(id);
        assert_eq!(run["outcome"], expected(id), "job {id}: {run}");
        let noted_ms = site.read(&format!("end-{id}")).trim().parse::<i64>().unwrap() / 1_000_000;
        let ended_ms = millis(&run["ended_at"]);
        worst_ms = worst_ms.max((ended_ms - noted_ms).abs());
        let lasted_ms = ended_ms - millis(&run["started_at"]);
        let duration_ms = run["duration_ms"].as_i64().unwrap();
        assert!((duration_ms - lasted_ms).abs() <= 20, "job {id}: {run}");
        assert!(run["max_rss_bytes"].as_u64().unwrap() > 500_000, "job {id}: {run}");
    }
    println!("50 ends, the time of the end at most {worst_ms} ms from what the job noted");
    // The job notes before its end; on a busy machine the end takes its time.
    assert!(worst_ms < 500, "{worst_ms} ms");
    let burnt = daemon.wait_end(50);
    assert!(burnt["max_rss_bytes"].as_u64().unwrap() > 20 << 20, "{burnt}");
    assert!(burnt["user_ms"].as_u64().unwrap() + burnt["system_ms"].as_u64().unwrap() > 10);
    let record = "SELECT COUNT(*) FROM scheduler_logs WHERE outcome = 'running'";
    wait_for("the ends in the database", SOON, || {
        (database.value(record) == u32::from(keeper_stays).to_string()).then_some(())
    });
}

#[test]
fn a_keeper_that_stays_tells_the_next_daemon() {
    ends_without_a_daemon(true);
}

#[test]
fn a_keeper_that_had_nothing_left_to_keep_leaves_word() {
    ends_without_a_daemon(false);
}

#[test]
fn word_is_passed_on_by_keepers_that_no_daemon_noted() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&insert(&[Row::new(1, NEVER, "sleep 0.3; exit 7")]));
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(1);
    daemon.kill();
    site.wait_empty();
    for _ in 0..3 {
        // Killed in the middle of its start, at some point after its keeper was there.
        let mut child = site.command().stdout(std::process::Stdio::null()).spawn().unwrap();
        wait_for("a keeper", SOON, || (!site.keepers().is_empty()).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
        site.wait_empty();
    }
    // The history on the page may have been lost with that many segments, the record may not.
    let daemon = site.start();
    wait_for("the record of the run", SOON, || {
        let outcomes = database.query("SELECT outcome FROM scheduler_logs");
        (outcomes == [["exit 7"]]).then_some(())
    });
    daemon.stop();
    site.wait_empty();
}

/// The next daemon, after this one was ended so, and how long the quickest of three took to tell of
/// that many runs: what else the machine does makes one slower, and none quicker.
fn quickest(site: &Site, end: impl Fn(Daemon), daemon: Daemon, runs: u64) -> (Daemon, Duration) {
    let (mut daemon, mut quickest) = (daemon, Duration::MAX);
    for _ in 0..3 {
        end(daemon);
        let began = Instant::now();
        daemon = site.start();
        let status = daemon.status();
        quickest = quickest.min(began.elapsed());
        assert_eq!(status["running"], runs, "{status}");
    }
    (daemon, quickest)
}

#[test]
fn five_hundred_runs_are_adopted_at_once() {
    let _alone = daemon::alone();
    let (site, mut database) = Site::on(Driver::Sqlite);
    close_gate(&site);
    let rows: Vec<Row> =
        (1..=500).map(|id| gated(&site, id, &format!("exit {}", id % 251), "exit")).collect();
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(500);
    (1..=500).for_each(|id| daemon.start_job(id));
    daemon.wait_running(500);
    let (daemon, took) = quickest(&site, Daemon::kill, daemon, 500);
    let seen = now_ns();
    let _open = open_gate(&site);
    wait_for("all to end", Duration::from_secs(60), || {
        (daemon.status()["running"] == 0).then_some(())
    });
    let released = Duration::from_nanos((now_ns() - seen).unsigned_abs());
    for id in 1..=500 {
        assert_eq!(daemon.runs(id)[0]["exit_code"], id % 251, "job {id}");
    }
    let end = |daemon: Daemon| {
        daemon.stop();
        site.wait_empty();
    };
    let (_daemon, bare) = quickest(&site, end, daemon, 0);
    println!(
        "500 live runs: the next daemon serves them all after {took:?}, one without any after \
         {bare:?}; all ended {released:?} after they were let go"
    );
    assert!(took < bare * 2 + Duration::from_millis(200), "{took:?}; without runs {bare:?}");
}
