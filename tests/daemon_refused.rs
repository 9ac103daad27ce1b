//! `kill -9` of the daemon and of its helper while records are being set aside, and while they are
//! tried again: nothing is lost, nothing is there twice.
#![allow(clippy::unwrap_used)]

mod common;
mod daemon;

use common::database::{Kind, TestDatabase};
use daemon::facts::{STAMPS, stamps};
use daemon::rows::{Due, Row, insert};
use daemon::{Daemon, SOON, Site, now_ns, setting, wait_for};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Of three jobs the records of one are refused by an error that blames them, of one by an error
/// that blames nobody.
const JOBS: u32 = 30;

fn guards(kind: Kind) -> &'static str {
    match kind {
        Kind::Sqlite => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs WHEN NEW.command_id % 3 = 1
             BEGIN SELECT RAISE(ABORT, 'not this one'); END;
             CREATE TRIGGER other BEFORE INSERT ON scheduler_logs WHEN NEW.command_id % 3 = 2
             BEGIN SELECT json_extract('no', '$.team'); END"
        }
        Kind::Mariadb | Kind::Mysql => {
            "CREATE TRIGGER guard BEFORE INSERT ON scheduler_logs FOR EACH ROW
             IF NEW.command_id % 3 = 1 THEN SIGNAL SQLSTATE '45000'; END IF;
             CREATE TRIGGER other AFTER INSERT ON scheduler_logs FOR EACH ROW
             IF NEW.command_id % 3 = 2 THEN
               SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 30001; END IF"
        }
    }
}

/// Helpers that are killed again and again have the daemon pause.
const PATIENCE: Duration = Duration::from_secs(60);

const MEND: &str = "DROP TRIGGER guard; DROP TRIGGER other";

/// The helper of a daemon.
fn helper(daemon: &Daemon) -> Option<Pid> {
    let pid = daemon.pid().as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let is_helper = |child: &&str| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|word| word == b"exchange")
    };
    children.split_whitespace().find(is_helper)?.parse().ok().and_then(Pid::from_raw)
}

/// What the file of refused records looks like.
fn look(site: &Site) -> u64 {
    fs::metadata(site.file("state.1/refused")).map_or(0, |file| file.len())
}

/// Asks now and then for what is set aside to be tried again: a daemon whose helper was killed may
/// not know of it yet.
fn try_again(daemon: &Daemon, asked: &mut u32) {
    if asked.is_multiple_of(50) {
        assert_eq!(daemon.request("POST", "/api/v1/sync").status, 200);
    }
    *asked += 1;
}

/// Lets some instant come that chance chooses, most of them around the file's change, and kills
/// helper, daemon or both. Returns whether the daemon lives.
fn kill_some_time(site: &Site, daemon: &Daemon, database: &mut TestDatabase, chance: u64) -> bool {
    let what = chance % 5;
    let mut before = look(site);
    if what < 2 {
        // All that is set aside is taken, and the file is written anew.
        let there = || Some(look(site)).filter(|bytes| *bytes > 0);
        before = wait_for("what is set aside", PATIENCE, there);
        database.sql(MEND);
    }
    let mut asked = 0;
    let at = match what {
        // The file has just changed: the daemon was not told yet.
        0..=2 => wait_for("a change of what is set aside", PATIENCE, || {
            if what < 2 {
                try_again(daemon, &mut asked);
            }
            (look(site) != before).then(|| helper(daemon))
        }),
        _ => Some(wait_for("a helper", PATIENCE, || helper(daemon))),
    };
    if what == 4 {
        sleep(Duration::from_micros(chance / 8 % 40_000));
    }
    let at = at.or_else(|| helper(daemon));
    let whom = chance / 16 % 3;
    // It may have ended by itself.
    if let Some(pid) = at.filter(|_| whom != 0) {
        let _ = kill_process(pid, Signal::KILL);
    }
    if whom != 1 {
        kill_process(daemon.pid(), Signal::KILL).unwrap();
    }
    if what < 2 {
        database.sql(guards(database.kind));
    }
    whom == 1
}

fn settle(site: &Site, daemon: &Daemon, database: &mut TestDatabase) {
    database.sql(MEND);
    database.sql("UPDATE scheduler_jobs SET status = 0");
    wait_for("the last runs to be recorded", PATIENCE, || {
        let status = daemon.status();
        let done = ["jobs", "running", "records_waiting_bytes"].map(|name| status[name] == 0);
        (done == [true; 3]).then_some(())
    });
    let mut asked = 0;
    wait_for("what was set aside to be taken", PATIENCE, || {
        try_again(daemon, &mut asked);
        (daemon.status()["records_refused"] == 0).then_some(())
    });
    assert_eq!(look(site), 0, "the file is to go");
    assert_eq!(daemon.status()["records_dropped"], 0);
}

fn kills(kind: Kind) {
    let (site, mut database) = Site::on(kind);
    let file = site.file(STAMPS);
    let rows: Vec<Row> = (1..=JOBS).map(|id| Row::stamping(id, Due::Step(1), &file, "")).collect();
    database.sql(guards(kind));
    database.sql(&insert(&rows));
    let mut daemon = site.start();
    wait_for("records to be set aside", SOON, || (look(&site) > 0).then_some(()));
    let began = Instant::now();
    let mut chance = now_ns().unsigned_abs();
    for _ in 0..setting("SCHEDULE_REFUSED_KILLS", 14) {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1) >> 1;
        if !kill_some_time(&site, &daemon, &mut database, chance >> 8) {
            drop(daemon);
            daemon = site.start();
        }
    }
    settle(&site, &daemon, &mut database);
    let stamps = stamps(&site);
    let slots: BTreeSet<_> = stamps.iter().map(|stamp| (stamp.job, stamp.slot)).collect();
    assert_eq!(slots.len(), stamps.len(), "a slot was started twice");
    let ran: BTreeSet<String> = stamps.into_iter().map(|stamp| stamp.run).collect();
    let rows = database.query("SELECT uniq_id FROM scheduler_logs WHERE outcome = 'exit 0'");
    let recorded: BTreeSet<String> = rows.iter().flatten().cloned().collect();
    assert_eq!(recorded.len(), rows.len(), "a run is there twice");
    let lost: Vec<_> = ran.difference(&recorded).collect();
    assert!(lost.is_empty(), "{:?} on {kind:?} are lost of {}", lost, ran.len());
    println!("{kind:?}: {} runs in {:?}", ran.len(), began.elapsed());
}

#[test]
fn kills_lose_nothing_of_what_is_set_aside() {
    Kind::all().into_iter().for_each(kills);
}
