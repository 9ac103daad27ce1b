//! A pause outlives its daemon, whichever way that ends, and needs no database.

use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use schedule::core::database::Driver;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::Duration;

fn order(daemon: &Daemon, verb: &str, body: &Value) -> Value {
    let reply = daemon.send("POST", &format!("/api/v1/{verb}"), "", &body.to_string());
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()
}

fn paused(daemon: &Daemon, id: u32) -> u64 {
    daemon.job(id).map_or(0, |job| job["skipped"]["paused"].as_u64().unwrap_or(0))
}

/// Waits until a slot more was skipped for the pause. Returns the runs since the start.
fn skips_one_more(daemon: &Daemon, id: u32) -> u64 {
    let before = paused(daemon, id);
    wait_for("a slot that is skipped", SOON, || (paused(daemon, id) > before).then_some(()));
    daemon.status()["launched"].as_u64().unwrap()
}

#[test]
fn a_pause_outlives_kill_reload_and_the_database() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let rows = [Row::new(1, Due::Step(1), "true"), Row::new(2, Due::Step(1), "true").tag(5)];
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_job(1, "a run", |job| job["last_run"]["outcome"] == "exit 0");
    daemon.wait_job(2, "a run", |job| job["last_run"]["outcome"] == "exit 0");
    // The tables are away: maintenance is just then.
    database.sql("ALTER TABLE scheduler_jobs RENAME TO away");
    wait_for("the database is down", SOON, || {
        (daemon.status()["database"] == "down").then_some(())
    });
    order(&daemon, "pause", &json!({"all": true, "note": "new disks"}));
    let pauses = daemon.status()["pauses"].clone();
    assert_eq!(pauses[0]["note"], "new disks");
    daemon.kill();
    let daemon = site.start();
    assert_eq!(daemon.status()["pauses"], pauses);
    assert_eq!(skips_one_more(&daemon, 1), 0, "nothing is started");
    assert_eq!(skips_one_more(&daemon, 2), 0, "nothing is started");
    // Another program in its place knows it, too.
    let begun = site.logged("begin: ").len();
    daemon.signal(Signal::HUP);
    wait_for("a reload", SOON, || (site.logged("begin: ").len() > begun).then_some(()));
    assert_eq!(daemon.status()["pauses"], pauses);
    skips_one_more(&daemon, 1);
    order(&daemon, "pause", &json!({"tag": 5}));
    order(&daemon, "resume", &json!({"all": true}));
    daemon.kill();
    let daemon = site.start();
    database.sql("ALTER TABLE away RENAME TO scheduler_jobs");
    daemon.wait_job(1, "a run", |job| job["last_run"]["slot"].is_string());
    wait_for("a run of job 1 by this daemon", SOON, || {
        (daemon.status()["launched"].as_u64().unwrap() > 0).then_some(())
    });
    skips_one_more(&daemon, 2);
    assert_eq!(daemon.job(2).unwrap()["pauses"][0]["tag_id"], 5);
    // It is recorded as other skips are.
    wait_for("records", SOON, || {
        let told = database.query("SELECT DISTINCT reason FROM scheduler_skips WHERE job_id = 2");
        told.iter().any(|row| row[0] == "paused").then_some(())
    });
    let acts = database.query(
        "SELECT action FROM scheduler_audit WHERE action IN ('pause', 'resume') ORDER BY id",
    );
    assert_eq!(acts, [["pause"], ["pause"], ["resume"]]);
}

/// What falls into a pause that ends while there is no daemon stays skipped; what comes behind is
/// made up for as usual.
#[test]
fn a_pause_ends_without_a_daemon() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(1), "true").limit(100).insert());
    let daemon = site.start();
    daemon.wait_job(1, "a run", |job| job["last_run"]["outcome"] == "exit 0");
    let until = schedule::core::time::rfc3339(
        crate::daemon::now_ns() / 1_000_000 + 3_000,
        &schedule::core::cron::zone("UTC").unwrap(),
    );
    order(&daemon, "pause", &json!({"all": true, "until": until}));
    daemon.kill();
    sleep(Duration::from_secs(5));
    let daemon = site.start();
    let job = daemon.wait_job(1, "a run after it", |job| {
        let slot = job["last_run"]["slot"].as_str().unwrap_or_default();
        schedule::core::time::instant(slot)
            .is_ok_and(|at| at >= schedule::core::time::instant(&until).unwrap())
    });
    assert!(job["skipped"]["paused"].as_u64().unwrap() >= 2, "{job}");
    assert_eq!(job["skipped"]["misfire"], 0, "{job}");
    let (skip, slots) = (&job["skips"][0], daemon.runs(1));
    let last = schedule::core::time::instant(skip["last_slot"].as_str().unwrap()).unwrap();
    assert!(last < schedule::core::time::instant(&until).unwrap(), "{skip}");
    let first = schedule::core::time::instant(skip["first_slot"].as_str().unwrap()).unwrap();
    for run in slots {
        let slot = schedule::core::time::instant(run["slot"].as_str().unwrap()).unwrap();
        assert!(slot < first || slot > last, "{run} was skipped: {skip}");
    }
}
