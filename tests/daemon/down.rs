//! What happened while there was no daemon: what is made up for, what is not, and that nobody is
//! told of a delay or of a limit where there was only no daemon.

use crate::daemon::facts::{self, stamps};
use crate::daemon::rows::{Due, Row};
use crate::daemon::{SOON, Site, now_ns, wait_for};
use schedule::core::database::Driver;
use serde_json::Value;
use std::thread::sleep;
use std::time::Duration;

fn second() -> i64 {
    now_ns() / 1_000_000_000
}

/// Whether a job has a run in each second from `first` to `last`.
fn ran_in_all(site: &Site, job: u32, first: i64, last: i64) -> bool {
    let slots: Vec<i64> =
        stamps(site).iter().filter(|stamp| stamp.job == job).map(|stamp| stamp.slot).collect();
    (first..=last).all(|second| slots.contains(&second))
}

#[test]
fn rows_that_come_or_change_meanwhile_have_no_slots_before_that() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let file = site.file(facts::STAMPS);
    let often = |id| Row::stamping(id, Due::Step(1), &file, "").limit(100);
    let seldom = Row::stamping(3, Due::Never("0 0 1 1 *"), &file, "").limit(100);
    let rows = [often(1), often(2), seldom];
    database.sql(&rows.iter().map(Row::insert).collect::<String>());
    database.sql("UPDATE scheduler_jobs SET status = 0 WHERE id = 2;");
    let daemon = site.start();
    daemon.wait_job(1, "a run", |job| job["last_run"]["outcome"] == "exit 0");
    daemon.stop();
    let down = second();
    sleep(Duration::from_secs(4));
    // Inserted, enabled, given another schedule.
    database.sql(&often(4).insert());
    database.sql("UPDATE scheduler_jobs SET status = 1 WHERE id = 2;");
    database.sql("UPDATE scheduler_jobs SET cron = '* * * * * *' WHERE id = 3;");
    let (changed, daemon) = (second(), site.start());
    let up = second();
    wait_for("runs of all after that", SOON, || {
        (1..=4).all(|job| ran_in_all(&site, job, up + 3, up + 4)).then_some(())
    });
    assert!(ran_in_all(&site, 1, down + 1, changed), "what was there before is made up for");
    for stamp in stamps(&site).iter().filter(|stamp| stamp.job != 1) {
        assert!(stamp.slot > changed, "{stamp:?} is before its row");
    }
    // Four seconds down are no delay of this daemon.
    let status = daemon.status();
    assert!(status["worst_lateness_ms"].as_u64().unwrap() < 2_500, "{status}");
    let sum = daemon.get("/metrics").body;
    let beyond = |le: &str| {
        let name = format!("schedule_launch_lateness_seconds_bucket{{le=\"{le}\"}} ");
        let line = sum.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        line.parse::<u64>().unwrap()
    };
    assert_eq!(beyond("5.0"), beyond("+Inf"));
    // And a new start knows them: nothing is in doubt.
    daemon.stop();
}

#[test]
fn time_without_a_daemon_is_no_overlap() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(1), "true").insert());
    let daemon = site.start();
    daemon.wait_job(1, "a run", |job| job["last_run"]["outcome"] == "exit 0");
    daemon.stop();
    sleep(Duration::from_secs(4));
    let daemon = site.start();
    let job = daemon.wait_job(1, "slots that were missed", |job| {
        job["skipped"]["misfire"].as_u64().is_some_and(|count| count >= 2)
    });
    assert_eq!((&job["overtime"], &job["skipped"]["overlap"]), (&Value::from(0), &Value::from(0)));
}

/// A run that was alive all the time was in the way, daemon or not.
#[test]
fn a_run_that_goes_on_is_an_overlap() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    database.sql(&Row::new(1, Due::Step(1), "sleep 600").insert());
    let daemon = site.start();
    daemon.wait_job(1, "a run", |job| job["running"] == 1);
    daemon.stop();
    sleep(Duration::from_secs(3));
    let daemon = site.start();
    let job = daemon.wait_job(1, "slots that were skipped", |job| {
        job["overtime"].as_u64().is_some_and(|count| count >= 3)
    });
    assert_eq!(job["skipped"]["misfire"], 0, "{job}");
    daemon.request("POST", "/api/v1/jobs/1/stop");
}

/// It ended with a failure, which is not to be hidden behind an older success.
#[test]
fn a_run_that_ended_meanwhile_is_the_latest() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let [go, ended] = ["go", "ended"].map(|name| site.file(name));
    let command = format!(
        "[ -e '{go}' ] || exit 0; while [ -e '{go}' ]; do sleep 0.05; done; echo x >'{ended}'; \
         exit 3"
    );
    database.sql(&Row::new(1, Due::Never("0 0 29 2 *"), &command).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(1);
    daemon.wait_job(1, "a good run", |job| job["last_run"]["outcome"] == "exit 0");
    std::fs::write(&go, "").unwrap();
    daemon.start_job(1);
    daemon.wait_running(1);
    assert!(daemon.stop().success());
    std::fs::remove_file(&go).unwrap();
    wait_for("its end", SOON, || (!site.read("ended").is_empty()).then_some(()));
    let daemon = site.start();
    daemon.wait_job(1, "the bad run", |job| {
        job["last_run"]["outcome"] == "exit 3" && job["state"] == "exited"
    });
    let sql = "SELECT COUNT(*) FROM scheduler_logs WHERE outcome = 'exit 3'";
    wait_for("its record", SOON, || (database.value(sql) == "1").then_some(()));
}
