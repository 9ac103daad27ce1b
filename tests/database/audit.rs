//! Who did what is in the table of acts, on each database.

use crate::change::{if_match, send};
use crate::common::database::{Kind, TestDatabase};
use crate::common::helper::{Standing, recorded};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use crate::past::brute::act_answers;
use schedule::core::database::{Database, Sqlite};
use schedule::core::ids::RunId;
use schedule::core::protocol::{ActRecord, ActsAsk, Answer, Ask, Record};
use schedule::core::time::rfc3339;
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

/// Acts of two groups and three jobs; in some the clock was set back.
fn acts() -> Vec<ActRecord> {
    let zone = schedule::core::cron::zone("Europe/Berlin").unwrap();
    let act = |n: u32| {
        let server_id = if n % 7 == 3 { 36 } else { 1 };
        // Over the hour that comes twice.
        let ms = 1_792_885_000_000 + i64::from(n) * 90_000;
        let at_ms = if n % 10 == 9 { ms - 200_000 } else { ms };
        ActRecord {
            server_id,
            uniq_id: RunId::next(server_id, u64::from(n), 0, ms).to_string(),
            at: rfc3339(at_ms, &zone),
            who: ["ann", "Ann", "o'x", "database"][n as usize % 4].into(),
            origin: "api 127.0.0.1".into(),
            action: ["edit", "start", "edit_variable"][n as usize % 3].into(),
            job_id: n % 3,
            what: json!({"cron": ["备份 😀", n]}).to_string(),
            result: "done".into(),
            ..ActRecord::default()
        }
    };
    (0..130).map(act).collect()
}

/// Each page is what a look at all rows comes to.
#[test]
fn each_page_of_acts_has_what_a_look_at_all_rows_comes_to() {
    let all = acts();
    let records: Vec<Record> = all.iter().map(|act| Record::Act(Box::new(act.clone()))).collect();
    let group = ActsAsk { server_id: 1, limit: 7, ..ActsAsk::default() };
    let since_ms = Some(1_792_885_000_000 + 70 * 90_000);
    let from = all[60].uniq_id.clone();
    let asks = [
        group.clone(),
        ActsAsk { limit: 1, ..group.clone() },
        ActsAsk { limit: 1_000, ..group.clone() },
        ActsAsk { job: Some(2), ..group.clone() },
        ActsAsk { job: Some(99), ..group.clone() },
        ActsAsk { who: "ann".into(), limit: 3, ..group.clone() },
        ActsAsk { who: "o'x".into(), job: Some(1), ..group.clone() },
        ActsAsk { actions: vec!["start".into(), "edit".into()], ..group.clone() },
        ActsAsk { since_ms, from: from.clone(), ..group.clone() },
        ActsAsk { job: Some(1), from, ..group.clone() },
        ActsAsk { server_id: 36, ..group },
    ];
    for kind in Kind::all() {
        let database = TestDatabase::new(kind);
        recorded(&database.config, &records);
        let mut helper = Standing::start();
        for mut ask in asks.clone() {
            loop {
                let told = helper.ask(&database.config, Ask::Acts(Box::new(ask.clone())));
                assert_eq!(told, act_answers(&all, &ask), "{kind:?}: {ask:?}");
                let Some(Answer::Acts(end)) = told.last() else { panic!("{told:?}") };
                let Some(down_to) = &end.down_to else { break };
                ask.before.clone_from(down_to);
            }
        }
    }
}

/// What was changed while there was no daemon is told once, and the past is there after restarts.
#[test]
fn what_the_table_was_changed_to_without_a_daemon_is_told_once() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        site.base = "sync_interval = 60\n".to_owned();
        let daemon = site.start();
        daemon.wait_jobs(0);
        for name in ["one", "two", "three"] {
            let new = json!({"name": name, "command": format!("echo {name}"), "cron": "0 3 * * *"});
            assert_eq!(send(&daemon, "POST", "", "", &new).status, 201);
        }
        assert!(daemon.stop().success());
        database.sql("DELETE FROM scheduler_jobs WHERE id = 1");
        database.sql("UPDATE scheduler_jobs SET cron = '7 7 * * *' WHERE id = 2");
        database.sql("UPDATE scheduler_jobs SET status = 0 WHERE id = 3");
        let right = [
            json!(["delete", 1, "echo one", null]),
            json!(["edit", 2, "0 3 * * *", "7 7 * * *"]),
            json!(["disable", 3, true, false]),
        ];
        let column = ["command", "cron", "enabled"];
        for nth in 0..3 {
            let daemon = site.start();
            daemon.wait_jobs(1);
            daemon.request("POST", "/api/v1/sync");
            let by_sql = |it: &Value| it["who"] == "database";
            let told = wait_for("what was changed", SOON, || {
                let told = daemon.json("/api/v1/audit?limit=1000");
                let told = told["entries"].as_array().unwrap().clone();
                (told.iter().filter(|it| by_sql(it)).count() >= 3).then_some(told)
            });
            let mut found: Vec<&Value> = told.iter().filter(|it| by_sql(it)).collect();
            found.sort_by_key(|it| it["job_id"].as_u64());
            let short = |(it, column): (&&Value, &&str)| {
                let pair = &it["what"][column];
                json!([it["action"], it["job_id"], pair[0], pair[1]])
            };
            let found: Vec<Value> = found.iter().zip(&column).map(short).collect();
            assert_eq!(found, right, "{kind:?}, start {nth}");
            let made = told.iter().filter(|it| it["action"] == "create").count();
            assert_eq!(made, 3, "{kind:?}, start {nth}: {told:#?}");
            assert!(daemon.stop().success());
        }
    }
}

/// A database that is away costs five seconds at the most, and only where it is needed.
#[test]
fn without_the_database_what_is_remembered_is_told() {
    let (mut site, database) = Site::on(Kind::Sqlite);
    let Database::Sqlite(Sqlite { path }) = &database.config else { panic!("another") };
    site.base = "sync_interval = 60\n".to_owned();
    let daemon = site.start();
    daemon.wait_jobs(0);
    let new = json!({"name": "n", "command": "true", "cron": "0 3 * * *"});
    assert_eq!(send(&daemon, "POST", "", "", &new).status, 201);
    std::fs::rename(path, site.file("away")).unwrap();
    let told = daemon.json("/api/v1/audit?limit=1");
    assert_eq!(told["entries"][0]["action"], "create", "{told}");
    let begin = std::time::Instant::now();
    let refused = daemon.request("GET", "/api/v1/audit");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(begin.elapsed().as_secs() < 6, "{:?}", begin.elapsed());
}
