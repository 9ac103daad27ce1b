//! Jobs are changed over the API of a real daemon, on each database.

use crate::common::database::{Kind, Parts, TestDatabase, over_tcp};
use crate::common::helper::{Standing, request, start};
use crate::daemon::http::Reply;
use crate::daemon::steps::{Cut, Steps};
use crate::daemon::{Daemon, SOON, Site, wait_for};
use schedule::core::change::{Change, Refused};
use schedule::core::cron::Dialect;
use schedule::core::database::Database;
use schedule::core::ids::{JobId, RunId};
use schedule::core::journal::ActEntry;
use schedule::core::protocol::{Answer, Ask, ChangeAsk, Find, Mark};
use serde_json::{Value, json};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

const ORIGINAL: &str = include_str!("../support/common/original.sql");

const ROW: &str = "SELECT name, command, cron, max_concurrence, tag_id, status, command_md5
    FROM scheduler_jobs WHERE server_id = 1 ORDER BY id";

pub fn send(daemon: &Daemon, method: &str, path: &str, headers: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    daemon.send(method, &format!("/api/v1/jobs{path}"), headers, &body)
}

pub fn if_match(job: &Value) -> String {
    format!("If-Match: \"{}\"\r\n", job["version"].as_str().unwrap())
}

#[track_caller]
fn is(status: u16, reply: &Reply) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    if reply.body.is_empty() { Value::Null } else { reply.json() }
}

/// Each answer comes when the job is in force, and when the database has it.
#[test]
fn a_job_is_made_changed_disabled_enabled_and_deleted() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        // What is in force is not so by the next look anyway.
        site.base = "sync_interval = 60\n".to_owned();
        let daemon = site.start();
        daemon.wait_jobs(0);
        let new = json!({"name": "备份 😀", "command": "echo 'a'; true", "cron": "0 3 * * *",
            "owner": "ann"});
        let reply = send(&daemon, "POST", "", "", &new);
        let made = is(201, &reply);
        let id = made["id"].as_u64().unwrap();
        assert_eq!(reply.header("location"), Some(&*format!("jobs/{id}")));
        assert_eq!(daemon.job(1).unwrap()["version"], made["version"], "{kind:?}");
        // printf %s "echo 'a'; true" | md5sum
        let md5 = "f894fc2800d52439d97b4ab7a63a380c";
        let row = |name: &str, cron: &str, limit: &str, status: &str| {
            let row = [name, "echo 'a'; true", cron, limit, "0", status, md5];
            vec![row.map(str::to_owned).to_vec()]
        };
        assert_eq!(database.query(ROW), row("备份 😀", "0 3 * * *", "1", "1"), "{kind:?}");
        let edit = json!({"cron": "5 3 * * *", "max_concurrence": 2, "name": null});
        let edited = is(200, &send(&daemon, "PATCH", "/1", &if_match(&made), &edit));
        assert_eq!((&edited["cron"], &edited["owner"]), (&"5 3 * * *".into(), &"ann".into()));
        assert_eq!(database.query(ROW), row("", "5 3 * * *", "2", "1"), "{kind:?}");
        is(200, &send(&daemon, "POST", "/1/disable", "", &Value::Null));
        assert_eq!(database.query(ROW), row("", "5 3 * * *", "2", "0"), "{kind:?}");
        assert_eq!(daemon.job(1).unwrap()["enabled"], false);
        let enabled = is(200, &send(&daemon, "POST", "/1/enable", "", &Value::Null));
        assert_eq!(enabled["version"], edited["version"]);
        let told = is(412, &send(&daemon, "DELETE", "/1", &if_match(&made), &Value::Null));
        assert_eq!(told["version"], edited["version"]);
        is(204, &send(&daemon, "DELETE", "/1", &if_match(&edited), &Value::Null));
        assert!(daemon.job(1).is_none() && database.query(ROW).is_empty(), "{kind:?}");
        is(404, &send(&daemon, "DELETE", "/1", "", &Value::Null));
        let never = database.value(
            "SELECT COUNT(*) FROM scheduler_jobs WHERE update_time < \
                                    '2020-01-01'",
        );
        assert_eq!(never, "0");
    }
}

/// A daemon that looks at its table seldom, and has job 7.
pub fn with_job_7(kind: Kind) -> (Site, TestDatabase, Daemon) {
    let (mut site, mut database) = Site::on(kind);
    site.base = "sync_interval = 60\n".to_owned();
    database.sql(
        "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
        VALUES (7, 'a', 'true', '0 3 * * *', 1, 1)",
    );
    let daemon = site.start();
    daemon.wait_jobs(1);
    (site, database, daemon)
}

/// What somebody changed by SQL since is seen, however the row was changed.
#[test]
fn who_comes_second_is_told_what_is_otherwise() {
    for kind in Kind::all() {
        let (_site, mut database, daemon) = with_job_7(kind);
        let seen = daemon.job(7).unwrap();
        database.sql("UPDATE scheduler_jobs SET cron = '1 1 * * *' WHERE id = 7");
        let edit = json!({"cron": "2 2 * * *"});
        let told = is(412, &send(&daemon, "PATCH", "/7", &if_match(&seen), &edit));
        let differs = json!([{"column": "cron", "present": "1 1 * * *", "wanted": "2 2 * * *"}]);
        assert_eq!(told["differs"], differs, "{kind:?}");
        let expected = json!({ "version": told["version"] });
        is(200, &send(&daemon, "PATCH", "/7", &if_match(&expected), &edit));
        assert_eq!(database.value("SELECT cron FROM scheduler_jobs"), "2 2 * * *");
    }
}

/// Tables of the original: three bytes a character, no optional column, and its unique key.
#[test]
fn the_tables_of_the_original_are_changed_as_they_are() {
    for kind in Kind::servers() {
        let mut database = TestDatabase::empty_with(kind, "CHARACTER SET utf8mb3");
        database.sql(ORIGINAL);
        let site = Site::new(&database.config);
        let daemon = site.start();
        daemon.wait_jobs(1);
        let new = |name: &str| json!({"name": name, "command": "/bin/a", "cron": "0 3 * * *"});
        let column = |reply: &Reply| {
            let told = is(422, reply);
            let errors = told["errors"].as_array().unwrap().clone();
            assert_eq!(errors.len(), 1, "{told}");
            (errors[0]["column"].clone(), errors[0]["why"].as_str().unwrap().to_owned())
        };
        let (name, why) = column(&send(&daemon, "POST", "", "", &new("备份 😀")));
        assert!(name == "name" && why.contains("'😀'"), "{why}");
        let (name, why) = column(&send(&daemon, "POST", "", "", &new(&"备".repeat(51))));
        assert!(name == "name" && why.contains("51 characters, and 50 fit"), "{why}");
        let mut zoned = new("n");
        zoned["timezone"] = "Asia/Tokyo".into();
        let (name, why) = column(&send(&daemon, "POST", "", "", &zoned));
        assert!(name == "timezone" && why.contains("`schedule db migrate`"), "{why}");
        let made = is(201, &send(&daemon, "POST", "", "", &new(&"备".repeat(50))));
        let id = &made["id"];
        let told = is(409, &send(&daemon, "POST", "", "", &new("again")));
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("job {id} has this command")), "{detail}");
        let (path, twin) = ("/1", json!({"command": "/bin/a"}));
        let told = is(409, &send(&daemon, "PATCH", path, "", &twin));
        assert!(told["detail"].as_str().unwrap().contains(&format!("job {id}")), "{told}");
        // A key of the operator's own stays, and permits what MD5 does not.
        database.sql("UPDATE scheduler_jobs SET command_md5 = 'mine' WHERE id = 1");
        is(200, &send(&daemon, "PATCH", path, "", &twin));
        let key = "SELECT command_md5 FROM scheduler_jobs WHERE id = 1";
        assert_eq!(database.value(key), "mine");
        let wide = json!({"max_concurrence": 3_000_000_000_u32});
        let (name, why) = column(&send(&daemon, "PATCH", path, "", &wide));
        assert!(name == "max_concurrence" && why.contains("2147483647"), "{why}");
        assert_eq!(database.value("SELECT max_concurrence FROM scheduler_jobs WHERE id = 1"), "1");
    }
}

/// A trigger that alters what is written is no silent change; one that refuses says why.
#[test]
fn what_a_trigger_does_is_seen() {
    for kind in Kind::servers() {
        let (site, mut database) = Site::on(kind);
        database.sql(
            "CREATE TRIGGER lower BEFORE INSERT ON scheduler_jobs FOR EACH ROW
            IF NEW.name = 'no' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one';
            ELSE SET NEW.name = LOWER(NEW.name); END IF",
        );
        let daemon = site.start();
        let new = |name: &str| json!({"name": name, "command": "/bin/a", "cron": "0 3 * * *"});
        is(201, &send(&daemon, "POST", "", "", &new("small")));
        let told = is(422, &send(&daemon, "POST", "", "", &new("LARGE")));
        assert_eq!(told["errors"][0]["column"], "name", "{told}");
        let told = is(409, &send(&daemon, "POST", "", "", &new("no")));
        assert!(told["detail"].as_str().unwrap().contains("not this one"), "{told}");
        assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "1");
    }
}

/// Who waits is told within some five seconds, and nothing is changed.
#[test]
fn a_row_that_somebody_has_locked_is_not_waited_for() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        database.sql(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
            VALUES (7, 'a', 'true', '0 3 * * *', 1, 1)",
        );
        let daemon = site.start();
        daemon.wait_jobs(1);
        let lock = match kind {
            Kind::Sqlite => "BEGIN IMMEDIATE",
            Kind::Mariadb | Kind::Mysql => "BEGIN; SELECT id FROM scheduler_jobs FOR UPDATE",
        };
        database.sql(lock);
        let began = Instant::now();
        let reply = send(&daemon, "PATCH", "/7", "", &json!({"name": "b"}));
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        assert!(is(503, &reply)["detail"].as_str().unwrap().contains("nothing was changed"));
        assert_eq!(reply.header("retry-after"), Some("5"));
        assert_eq!(daemon.status()["database"], "up", "{kind:?}");
        database.sql("ROLLBACK");
        assert_eq!(database.value("SELECT name FROM scheduler_jobs"), "a");
        is(200, &send(&daemon, "PATCH", "/7", "", &json!({"name": "b"})));
    }
}

/// As a daemon notes who wants it.
pub fn act(sequence: u64) -> ActEntry {
    let id = RunId::next(1, 7, sequence, 1_795_326_127_500);
    serde_json::from_value(json!({"id": id, "at_ms": 1_795_326_127_500_i64, "who": "ann",
        "origin": "api 10.0.0.1", "action": "edit", "job": 7}))
    .unwrap()
}

fn ask(find: Option<Find>) -> Ask {
    let columns = json!({"name": "new"}).as_object().unwrap().clone();
    let change = Change::Edit { id: JobId(7), columns, expected: None };
    let (timezone, act, dialect) = (String::new(), Box::new(act(0)), Dialect::Crontab);
    let ask = ChangeAsk { server_id: 1, vars_server: 7, dialect, timezone, change, act, find };
    Ask::Change(Box::new(ask))
}

/// What a helper said that was killed at its COMMIT, and what the next one finds.
fn lost_at(
    database: &mut TestDatabase,
    cut: Cut,
    goes_on: bool,
    knows: bool,
) -> (Option<Mark>, Answer) {
    let is_commit = |statement: &[u8]| statement == b"\x03COMMIT";
    let steps = Steps::start(database.config.server().port, cut, is_commit);
    let mut config: Database = over_tcp(database.config.clone());
    config.server_mut().port = steps.port;
    let mut first = start(&request(&config, ask(None)));
    wait_for("the COMMIT", SOON, || steps.has_arrived().then_some(()));
    first.kill().unwrap();
    let said = first.wait_with_output().unwrap().stdout;
    let said = String::from_utf8(said).unwrap();
    let mark = said.lines().find_map(|line| match serde_json::from_str(line).unwrap() {
        Answer::Changing(mark) => Some(mark),
        _ => None,
    });
    let config = database.config.clone();
    let find = Find { mark: mark.filter(|_| knows) };
    let finds = spawn(move || Standing::start().ask(&config, ask(Some(find))).pop().unwrap());
    if goes_on {
        // It waits for the row.
        sleep(Duration::from_millis(300));
        steps.go_on();
    }
    if cut == Cut::Before && !goes_on {
        drop(steps);
    }
    (mark, finds.join().unwrap())
}

/// It was said before the COMMIT what it comes to: so it is found out what became of it, also where
/// the server gets to the COMMIT only after the next one has asked.
#[test]
fn a_change_whose_answer_is_lost_is_found() {
    for kind in Kind::servers() {
        for (cut, goes_on, is_done) in
            [(Cut::Behind, false, true), (Cut::Before, true, true), (Cut::Before, false, false)]
        {
            let mut database = TestDatabase::new(kind);
            database.sql(
                "INSERT INTO scheduler_jobs (id, name, command, cron, server_id)
                VALUES (7, 'a', 'true', '0 3 * * *', 1)",
            );
            for (has_audit, knows) in [(true, true), (true, false), (false, true)] {
                database.sql("UPDATE scheduler_jobs SET name = 'a'");
                if !has_audit {
                    database.sql("DROP TABLE scheduler_audit");
                } else {
                    database.sql("DELETE FROM scheduler_audit");
                }
                let (mark, found) = lost_at(&mut database, cut, goes_on, knows);
                let told = format!("{kind:?} {cut:?} {goes_on} {has_audit} {knows}");
                assert!(mark.is_some(), "{told}");
                let is_found = matches!(found, Answer::Changed(_));
                let is_not = found == Answer::NotChanged(Refused::NotDone);
                assert!(is_found || is_not, "{told}: {found:?}");
                assert_eq!(is_found, is_done, "{told}");
                let name = database.value("SELECT name FROM scheduler_jobs");
                assert_eq!(name == "new", is_done, "{told}");
                if has_audit {
                    let noted = "SELECT COUNT(*) FROM scheduler_audit WHERE result = 'done'";
                    assert_eq!(database.value(noted), u8::from(is_done).to_string(), "{told}");
                    assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_audit"), "1");
                }
            }
        }
    }
}

/// Somebody has the file locked, or reads it: it is said what to do, and that nothing was changed.
#[test]
fn a_file_that_somebody_has_locked_is_told_as_that() {
    let (mut site, mut database) = Site::on(Kind::Sqlite);
    site.base = "sync_interval = 60\n".to_owned();
    let daemon = site.start();
    daemon.wait_jobs(0);
    is(201, &send(&daemon, "POST", "", "", &json!({"command": "true", "cron": "@daily"})));
    let version = daemon.job(1).unwrap()["version"].clone();
    let locks = ["BEGIN EXCLUSIVE", "BEGIN; SELECT * FROM scheduler_jobs"];
    for lock in locks {
        database.sql(lock);
        let told = is(503, &send(&daemon, "PATCH", "/1", "", &json!({"name": "x"})));
        let detail = told["detail"].as_str().unwrap();
        for words in ["nothing was changed: ", "end the transaction of the program that holds it"] {
            assert!(detail.contains(words), "{lock}: {detail}");
        }
        database.sql("ROLLBACK");
        assert_eq!(database.value("SELECT name FROM scheduler_jobs"), "", "{lock}");
    }
    let done = is(200, &send(&daemon, "PATCH", "/1", "", &json!({"name": "x"})));
    assert_ne!(done["version"], version);
}

/// What a form takes, a program can send as well.
#[test]
fn the_longest_command_can_be_sent() {
    let (site, _database) = Site::on(Kind::Sqlite);
    let daemon = site.start();
    daemon.wait_jobs(0);
    let long = "x".repeat(131_000);
    let new = json!({"command": format!("true {long}"), "cron": "@daily"});
    is(201, &send(&daemon, "POST", "", "", &new));
    let edit = json!({"command": format!("true y{long}")});
    is(200, &send(&daemon, "PATCH", "/1", "", &edit));
    let preview = json!({"id": 1, "command": format!("true z{long}")});
    is(200, &send(&daemon, "POST", "/preview", "", &preview));
    let var = json!({"name": "LONG", "value": long}).to_string();
    is(201, &daemon.send("POST", "/api/v1/vars", "", &var));
}
