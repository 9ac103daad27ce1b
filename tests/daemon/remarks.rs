//! What is worth knowing of a run beside how it ended: what it wrote last, who started and stopped
//! it, what they said.

use crate::common::database::TestDatabase;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::database::Driver;
use serde_json::Value;
use std::fs;

const NEVER: Due = Due::Never("0 0 1 1 *");

/// Starts a run of a job by hand, and returns what is told of it when it has ended.
fn ended(daemon: &Daemon, job: u32) -> Value {
    daemon.start_job(job);
    daemon.wait_end(job)
}

/// What the database has of the newest run of a job, once it has ended there.
fn recorded(database: &mut TestDatabase, run: &Value, column: &str) -> String {
    let run = run["run_id"].as_str().unwrap();
    let is = format!("uniq_id = '{run}' AND outcome <> 'running'");
    wait_for("the record of a run", SOON, || {
        let found = format!("SELECT {column} FROM scheduler_logs WHERE {is}");
        database.query(&found).first().map(|row| row[0].clone())
    })
}

#[test]
fn a_failed_run_tells_what_it_wrote_last() {
    for mut database in TestDatabase::each() {
        let site = Site::new(&database.config);
        let (shared, out) = (site.file("shared.log"), site.file("out.log"));
        let stale = "of a run before\n".repeat(9);
        fs::write(&shared, &stale).unwrap();
        fs::write(&out, &stale).unwrap();
        let both = |id, command| {
            let mut row = Row::new(id, NEVER, command).output(&shared);
            row.stderr.clone_from(&shared);
            row
        };
        let words = "echo '\u{1b}[31mfatal\u{1b}[0m: no room' >&2; echo >&2; echo later; exit 3";
        let rows = [
            Row::new(1, NEVER, words),
            Row::new(2, NEVER, "echo only out; exit 1"),
            Row::new(3, NEVER, "echo well >&2"),
            Row::new(4, NEVER, "exit 4"),
            both(5, "echo mine; exit 5"),
            both(6, "exit 6"),
            Row::new(7, NEVER, "kill -9 $$").output(&out),
            both(8, &format!("mv {shared} {shared}.1; echo 'of another' >{shared}; exit 8")),
            Row::new(9, NEVER, "no-such-program"),
        ];
        database.sql(&insert(&rows));
        let daemon = site.start();
        daemon.wait_jobs(9);
        let expected = [
            (1, "fatal: no room"),
            (2, "only out"),
            (3, ""),
            (4, ""),
            (5, "mine"),
            (6, ""),
            (7, ""),
            (8, ""),
        ];
        for (job, line) in expected {
            let run = ended(&daemon, job);
            let told = run["last_line"].as_str().unwrap_or("");
            assert_eq!(told, line, "{run}");
            assert_eq!(recorded(&mut database, &run, "last_line"), line, "{run}");
        }
        let run = ended(&daemon, 9);
        assert!(run["last_line"].as_str().unwrap().contains("no-such-program"), "{run}");
        let page = daemon.get("/jobs/1").body;
        assert!(page.contains(">fatal: no room</bdi>"), "{page}");
        let one = daemon.json(&format!("/api/v1/runs/{}", run["run_id"].as_str().unwrap()));
        assert_eq!(one["last_line"], run["last_line"]);
        daemon.stop();
    }
}

/// The keeper has the end, and what was written last, until a daemon has noted both.
#[test]
fn what_was_written_last_outlives_the_daemon() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let command = format!("echo begun; {}; echo no more >&2; exit 7", site.waits());
    database.sql(&Row::new(1, NEVER, &command).insert());
    let daemon = site.start();
    daemon.wait_jobs(1);
    daemon.start_job(1);
    daemon.kill();
    site.go();
    let daemon = site.start();
    let run = daemon.wait_end(1);
    assert_eq!(
        (&run["outcome"], &run["last_line"]),
        (&"exit 7".into(), &"no more".into()),
        "{run}"
    );
    // The journal tells it to the next one.
    daemon.kill();
    let daemon = site.start();
    let again = wait_for("the past", SOON, || daemon.runs(1).first().cloned());
    assert_eq!(again["last_line"], "no more", "{again}");
    assert_eq!(recorded(&mut database, &run, "last_line"), "no more");
    daemon.stop();
}

#[test]
fn who_started_and_stopped_a_run_is_recorded() {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let command = "trap 'echo told to end >&2; exit 1' TERM; echo up; while :; do sleep 0.1; done";
    let rows = [Row::new(1, NEVER, command), Row::new(2, Due::Step(1), "true")];
    database.sql(&insert(&rows));
    let daemon = site.start();
    daemon.wait_jobs(2);
    let note = r#"{"note": " after the <outage> "}"#;
    let reply = daemon.send("POST", "/api/v1/jobs/1/start", "", note);
    assert_eq!(reply.status, 200, "{reply:?}");
    let live = daemon.runs(1)[0].clone();
    assert_eq!((&live["who"], &live["note"]), (&"loopback".into(), &"after the <outage>".into()));
    assert_eq!(live["stopped_by"], Value::Null);
    // Before it has its trap, TERM would end it.
    let run = live["run_id"].as_str().unwrap().to_owned();
    let output = format!("/api/v1/runs/{run}/output");
    wait_for("a trap", SOON, || daemon.get(&output).body.contains("up").then_some(()));
    assert_eq!(daemon.request("POST", "/api/v1/jobs/1/stop").status, 200);
    let run = daemon.wait_end(1);
    assert_eq!((&run["stopped_by"], &run["stopped"]), (&"loopback".into(), &true.into()), "{run}");
    // It was to end.
    assert_eq!(run["last_line"], Value::Null);
    let words = "who || '/' || stopped_by || '/' || note || '/' || last_line || '/' || attempt";
    let said = "loopback/loopback/after the <outage>//1";
    assert_eq!(recorded(&mut database, &run, words), said);
    let due = daemon.wait_end(2);
    assert_eq!((&due["who"], &due["attempt"]), (&Value::Null, &1.into()), "{due}");
    daemon.stop();
}
