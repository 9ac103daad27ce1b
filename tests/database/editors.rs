//! Many editors at the same jobs, and helpers that are killed meanwhile.

use crate::change::{if_match, send};
use crate::common::database::{Kind, TestDatabase};
use crate::daemon::held::helpers;
use crate::daemon::{Daemon, Site};
use rustix::process::{Signal, kill_process};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

const JOBS: u32 = 5;
const EDITORS: u32 = 20;

/// Changes that each makes.
const CHANGES: u32 = 3;

fn begin(kind: Kind) -> (Site, TestDatabase, Daemon) {
    let (site, mut database) = Site::on(kind);
    for id in 1..=JOBS {
        database.sql(&format!(
            "INSERT INTO scheduler_jobs (id, name, owner, command, cron, server_id, status)
             VALUES ({id}, '0', '0', 'true {id}', '0 3 * * *', 1, 1)"
        ));
    }
    let daemon = site.start();
    daemon.wait_jobs(JOBS.into());
    (site, database, daemon)
}

/// Each counts on from what it has seen. A change that is lost is a number that is missing.
#[test]
fn no_editor_loses_what_another_has_changed() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let seconds = AtomicU64::new(0);
        scope(|threads| {
            for editor in 0..EDITORS {
                let (daemon, seconds) = (&daemon, &seconds);
                threads.spawn(move || {
                    for change in 0..CHANGES {
                        let id = 1 + (editor + change) % JOBS;
                        seconds.fetch_add(count_on(daemon, id), Ordering::Relaxed);
                    }
                });
            }
        });
        let sum = database.value("SELECT SUM(max_concurrence) FROM scheduler_jobs");
        assert_eq!(sum, (JOBS + EDITORS * CHANGES).to_string(), "{kind:?}");
        assert!(seconds.into_inner() > 0, "{kind:?}: nobody was second");
    }
}

/// Counts a job on by one. Returns how often somebody was first.
fn count_on(daemon: &Daemon, id: u32) -> u64 {
    let mut job = daemon.job(id).unwrap();
    for second in 0.. {
        let next = json!({"max_concurrence": job["max_concurrence"].as_u64().unwrap() + 1});
        let reply = send(daemon, "PATCH", &format!("/{id}"), &if_match(&job), &next);
        match reply.status {
            200 => return second,
            412 => job = daemon.job(id).unwrap(),
            // Too many before it: nothing was changed.
            503 => assert!(reply.body.contains("nothing was changed"), "{reply:?}"),
            _ => panic!("{reply:?}"),
        }
    }
    unreachable!()
}

/// What one editor was told, and what is there.
fn change(daemon: &Daemon, id: u32, number: u32) -> Option<bool> {
    let both = json!({"name": number.to_string(), "owner": number.to_string()});
    match send(daemon, "PATCH", &format!("/{id}"), "", &both).status {
        200 | 202 => Some(true),
        503 => Some(false),
        504 => None,
        status => panic!("{status}"),
    }
}

/// Each change is whole or not there; what was called done is there, what was called not done is
/// not.
#[test]
fn a_helper_that_is_killed_leaves_no_half_and_no_lie() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = begin(kind);
        let over = AtomicBool::new(false);
        let mut told = Vec::new();
        let mut killed = 0;
        scope(|threads| {
            let (daemon, over) = (&daemon, &over);
            let killer = threads.spawn(move || {
                let mut killed = 0;
                // A change takes some ten to a hundred milliseconds.
                for pause_ms in (0..).map(|n: u64| n * 37 % 211) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    sleep(Duration::from_millis(pause_ms));
                    for pid in helpers(daemon) {
                        // It may be gone by now.
                        killed += u32::from(kill_process(pid, Signal::KILL).is_ok());
                    }
                }
                killed
            });
            for number in 1..=60 {
                let answer = change(daemon, 1, number);
                let row = database.query("SELECT name, owner FROM scheduler_jobs WHERE id = 1");
                assert_eq!(row[0][0], row[0][1], "{kind:?}: half a change");
                let is_there = row[0][0] == number.to_string();
                if answer.is_some_and(|done| done != is_there) {
                    over.store(true, Ordering::Relaxed);
                    panic!("{kind:?}: told {answer:?}, and it is there: {is_there}");
                }
                told.push(answer);
            }
            over.store(true, Ordering::Relaxed);
            killed = killer.join().unwrap();
        });
        let count = |what| told.iter().filter(|it| **it == what).count();
        let (done, not_done, unknown) = (count(Some(true)), count(Some(false)), count(None));
        eprintln!("{kind:?}: {killed} killed; {done} done, {not_done} not done, {unknown} unknown");
        assert!(
            killed > 0 && done > 0 && done < told.len(),
            "{kind:?}: {killed} killed, {done} done"
        );
    }
}
