//! A job is paused by its row, over the API and by plain SQL, on each database.

use crate::common::database::{Kind, TestDatabase};
use crate::daemon::{Daemon, Site};
use schedule::core::database::Database;
use schedule::shell::database::migrate;
use serde_json::{Value, json};

fn order(daemon: &Daemon, verb: &str, body: &Value, status: u16) -> Value {
    let reply = daemon.send("POST", &format!("/api/v1/{verb}"), "", &body.to_string());
    assert_eq!(reply.status, status, "{reply:?}");
    reply.json()
}

#[test]
fn a_job_is_paused_by_its_row() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        database.sql(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
            VALUES (7, 'a', 'true', '* * * * * *', 1, 1)",
        );
        let daemon = site.start();
        daemon.wait_job(7, "a run", |job| job["last_run"]["outcome"] == "exit 0");
        let until = "2031-01-01T00:00:00+08:00";
        let job = order(&daemon, "pause", &json!({"job": 7, "until": until, "note": "é"}), 200);
        assert_eq!((&job["paused"], &job["next_due"]), (&true.into(), &until.into()));
        let stands = "SELECT paused_until FROM scheduler_jobs";
        assert_eq!(database.value(stands), until, "{kind:?}");
        let told = database.query("SELECT action, who, what FROM scheduler_audit WHERE job_id = 7");
        assert_eq!((&*told[0][0], &*told[0][1]), ("pause", "loopback"), "{kind:?}");
        let what: Value = serde_json::from_str(&told[0][2]).unwrap();
        assert_eq!(what, json!({"paused_until": ["", until], "note": [null, "é"]}), "{kind:?}");
        daemon.wait_job(7, "a slot skipped", |job| job["skipped"]["paused"] != 0);
        // Plain SQL does the same.
        database.sql("UPDATE scheduler_jobs SET paused_until = ''");
        daemon.wait_job(7, "resumed", |job| job["paused"] == false);
        database.sql("UPDATE scheduler_jobs SET paused_until = 'soon'");
        let job = daemon.wait_job(7, "told", |job| job["state"] == "invalid");
        assert!(job["error"].as_str().unwrap().contains("paused_until"), "{job}");
        order(&daemon, "resume", &json!({"job": 7}), 200);
        let audit = daemon.json("/api/v1/audit?job=7")["entries"].clone();
        let acts: Vec<_> = audit.as_array().unwrap().iter().collect();
        let told: Vec<_> = acts.iter().map(|it| (&it["action"], &it["who"])).collect();
        let (by_us, by_sql) = (Value::from("loopback"), Value::from("database"));
        let [pause, resume] = ["pause", "resume"].map(Value::from);
        let expected = [(&resume, &by_us), (&pause, &by_sql), (&resume, &by_sql), (&pause, &by_us)];
        assert_eq!(told, expected, "{kind:?}");
    }
}

/// The column came later than what is numbered behind it: a database that has all of that gets it.
#[test]
fn a_database_that_has_what_came_later_gets_the_column() {
    for kind in Kind::all() {
        let mut database = TestDatabase::empty(kind);
        migrate::init(&database.config).unwrap();
        database.sql(
            "ALTER TABLE scheduler_jobs DROP COLUMN paused_until;
            DELETE FROM scheduler_schema WHERE version = 6",
        );
        let numbers = |config: &Database| -> Vec<String> {
            let applied = migrate::status(config).unwrap().applied;
            applied.iter().map(|text| text[..3].to_owned()).collect()
        };
        let before = numbers(&database.config);
        let is_gap = !before.contains(&"006".to_owned()) && before.contains(&"008".to_owned());
        assert!(is_gap, "{kind:?}: {before:?}");
        let column = "column paused_until of scheduler_jobs";
        assert_eq!(migrate::status(&database.config).unwrap().optional, [column], "{kind:?}");
        assert_eq!(migrate::migrate(&database.config).unwrap(), [column], "{kind:?}");
        assert!(numbers(&database.config).contains(&"006".to_owned()), "{kind:?}");
        assert_eq!(migrate::migrate(&database.config).unwrap(), [""; 0], "{kind:?}");
    }
}

/// A database that was not migrated has no column for it: nothing is changed, and it is told.
#[test]
fn without_its_column_a_job_is_not_paused_and_all_are() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        database.sql("ALTER TABLE scheduler_jobs DROP COLUMN paused_until");
        database.sql(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
            VALUES (7, 'a', 'true', '0 3 * * *', 1, 1)",
        );
        let daemon = site.start();
        daemon.wait_jobs(1);
        let told = order(&daemon, "pause", &json!({"job": 7}), 422);
        let why = told["errors"][0]["why"].as_str().unwrap();
        assert!(why.contains("`schedule db migrate` adds it"), "{kind:?}: {told}");
        order(&daemon, "resume", &json!({"job": 7}), 200);
        order(&daemon, "pause", &json!({"all": true}), 200);
        assert_eq!(daemon.job(7).unwrap()["paused"], true, "{kind:?}");
    }
}
