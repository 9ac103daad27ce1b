//! Who did what is in the table of acts, on each database.

use crate::change::{if_match, send};
use crate::common::database::{Kind, TestDatabase};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use serde_json::{Value, json};

const ACTS: &str = "SELECT action, job_id, who, result FROM scheduler_audit ORDER BY uniq_id";

fn wait_acts(database: &mut TestDatabase, what: &str, count: usize) -> Vec<Vec<String>> {
    wait_for(what, SOON, || {
        let found = database.query(ACTS);
        (found.len() >= count).then_some(found)
    })
}

fn post(daemon: &Daemon, key: &str, body: &Value) -> (u16, Value) {
    let reply = send(daemon, "POST", "", &format!("Idempotency-Key: {key}\r\n"), body);
    (reply.status, reply.json())
}

/// A change has its row when it is answered; what was refused or done otherwise gets there as the
/// records of runs do.
#[test]
fn each_change_and_each_action_has_a_row() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        site.base = "sync_interval = 60\n".to_owned();
        let daemon = site.start();
        daemon.wait_jobs(0);
        let new = json!({"name": "备份 😀", "command": "true", "cron": "0 3 * * *"});
        let made = send(&daemon, "POST", "", "", &new).json();
        let row = ["create", "1", "loopback", "done"].map(str::to_owned).to_vec();
        assert_eq!(database.query(ACTS), [row], "{kind:?}");
        let what = database.value("SELECT what FROM scheduler_audit");
        let what: Value = serde_json::from_str(&what).unwrap();
        assert_eq!(what["name"], json!([null, "备份 😀"]), "{kind:?}");
        let version = database.value("SELECT version FROM scheduler_audit");
        assert_eq!(made["version"], *version, "{kind:?}");
        send(&daemon, "PATCH", "/1", &if_match(&made), &json!({"cron": "x"}));
        daemon.request("POST", "/api/v1/jobs/1/start");
        database.sql("UPDATE scheduler_jobs SET max_concurrence = 3 WHERE id = 1");
        daemon.request("POST", "/api/v1/sync");
        let all = wait_acts(&mut database, "what was done", 5);
        let verbs: Vec<&str> = all.iter().map(|it| it[0].as_str()).collect();
        assert_eq!(verbs, ["create", "edit", "start", "edit", "sync"], "{kind:?}");
        assert!(all[1][3].starts_with("cron: "), "{all:?}");
        assert_eq!((&*all[3][2], &*all[3][3]), ("database", "done"), "{kind:?}");
        let told = daemon.json("/api/v1/audit?who=database");
        assert_eq!(told["entries"][0]["what"], json!({"max_concurrence": [1, 3]}), "{told}");
    }
}

/// The first one may have been answered by a daemon that is gone.
#[test]
fn a_key_is_known_over_a_restart() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        let daemon = site.start();
        daemon.wait_jobs(0);
        let new = json!({"name": "n", "command": "true", "cron": "0 3 * * *"});
        let (status, made) = post(&daemon, "k 1", &new);
        assert_eq!(status, 201, "{made}");
        daemon.kill();
        let daemon = site.start();
        daemon.wait_jobs(1);
        let (status, again) = post(&daemon, "k 1", &new);
        assert_eq!((status, &again["id"]), (201, &made["id"]), "{kind:?}");
        let (status, other) = post(&daemon, "k 1", &json!({"name": "m", "command": "true"}));
        assert_eq!((status, &other["errors"][0]["column"]), (422, &"Idempotency-Key".into()));
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "1", "{kind:?}");
        let (status, second) = post(&daemon, "k 2", &new);
        assert!(status == 201 && second["id"] != made["id"], "{kind:?}: {second}");
        daemon.kill();
        // A day later it is another request.
        database.sql("UPDATE scheduler_audit SET at = '2020-01-01T00:00:00+00:00'");
        let daemon = site.start();
        daemon.wait_jobs(2);
        assert_eq!(post(&daemon, "k 1", &new).0, 201);
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "3", "{kind:?}");
    }
}

/// All works without the table, and nothing that is to be kept waits for it.
#[test]
fn without_the_table_all_is_as_before() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        database.sql("DROP TABLE scheduler_audit");
        let daemon = site.start();
        daemon.wait_jobs(0);
        let new = json!({"name": "n", "command": "true", "cron": "0 3 * * *"});
        let (status, made) = post(&daemon, "k", &new);
        assert_eq!((status, &post(&daemon, "k", &new).1["id"]), (201, &made["id"]), "{kind:?}");
        daemon.request("POST", "/api/v1/jobs/1/start");
        wait_for("the run's record", SOON, || {
            (database.value("SELECT COUNT(*) FROM scheduler_logs") == "1").then_some(())
        });
        wait_for("that nothing waits", SOON, || {
            (daemon.status()["records_waiting_bytes"] == 0).then_some(())
        });
        assert!(!site.logged("no table scheduler_audit").is_empty(), "{kind:?}");
        assert_eq!(daemon.json("/api/v1/audit")["entries"].as_array().unwrap().len(), 2);
    }
}
