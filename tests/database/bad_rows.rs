//! Rows that can't be jobs, variables or tags stay as they are, whatever is done beside them. Only
//! SQLite takes such values.

use crate::apply::{apply, is};
use crate::change::send as send_job;
use crate::common::database::{Kind, TestDatabase};
use crate::common::our_program;
use crate::daemon::http::Reply;
use crate::daemon::{Daemon, SOON, Site, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, DirEntry};
use std::io;
use std::process::{Output, Stdio};

fn begin(rows: &str) -> (Site, TestDatabase, Daemon) {
    let (mut site, mut database) = Site::on(Kind::Sqlite);
    site.base = "sync_interval = 60\n".to_owned();
    database.sql(rows);
    let daemon = site.start();
    wait_for("the table", SOON, || (daemon.get("/api/v1/export").status == 200).then_some(()));
    (site, database, daemon)
}

fn export(daemon: &Daemon) -> Value {
    is(200, &daemon.get("/api/v1/export"))
}

fn sync(daemon: &Daemon) {
    is(200, &daemon.request("POST", "/api/v1/sync"));
}

fn word(daemon: &Daemon, method: &str, path: &str, body: &Value) -> Reply {
    daemon.send(method, &format!("/api/v1/{path}"), "", &body.to_string())
}

/// What was written down once all before has been: a change that is noted comes last.
fn acts(daemon: &Daemon, database: &mut TestDatabase, action: &str) -> String {
    word(daemon, "POST", "tags", &json!({"name": format!("last {action}")}));
    let last = "SELECT COUNT(*) FROM scheduler_audit WHERE action = 'create_tag'";
    wait_for("the record", SOON, || (database.value(last) != "0").then_some(()));
    database.value(&format!("SELECT COUNT(*) FROM scheduler_audit WHERE action = '{action}'"))
}

/// However many there are: of all of them it is known that they are there.
#[test]
fn all_bad_rows_are_known() {
    let rows = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 250)
        INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
        SELECT n, 'n' || n, 'true', '0 0 1 1 *', 1, 1 FROM n";
    let (_site, mut database, daemon) = begin(rows);
    daemon.wait_jobs(250);
    database.sql("UPDATE scheduler_jobs SET max_concurrence = 'x' WHERE id > 1");
    sync(&daemon);
    assert_eq!(daemon.status()["bad_rows"].as_array().unwrap().len(), 100);
    for id in [2, 250] {
        let told = is(404, &daemon.get(&format!("/api/v1/jobs/{id}")));
        assert!(told["detail"].as_str().unwrap().contains("can't be one: "), "{told}");
    }
    assert_eq!(acts(&daemon, &mut database, "delete"), "0");
    let file = export(&daemon);
    assert_eq!(file["left_out"].as_object().unwrap().len(), 249);
    is(200, &apply(&daemon, "?prune", "", &file.to_string()));
    assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs"), "250");
}

/// A variable, a tag and rows without a number for an id are left out each under its own name.
#[test]
fn an_export_beside_bad_words_can_be_applied() {
    let rows = "INSERT INTO scheduler_vars (id, name, value, server_id)
            VALUES (1, 'GOOD', 'a', 7), (2, 'BAD', CAST(x'ff' AS TEXT), 7),
            (3, CAST(x'fe' AS TEXT), 'b', 7);
        INSERT INTO scheduler_tags (id, name) VALUES (1, CAST(x'ff' AS TEXT)), (2, 'good');
        INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status, tag_id)
            VALUES (1, 'a', 'true', '0 0 1 1 *', 1, 1, 1),
            (5000000000, 'far', 'true', '@daily', 1, 1, 0),
            (6000000000, 'farther', 'true', '@daily', 1, 1, 0)";
    let (_site, mut database, daemon) = begin(rows);
    let file = export(&daemon);
    let names: Vec<&String> = file["left_out"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["no id", "tag 1", "variable 2", "variable 3"]);
    assert!(!daemon.get("/api/v1/jobs/0/runs").body.contains("can't be one"));
    let all = |database: &mut TestDatabase| {
        let tables =
            ["jobs", "vars", "tags"].map(|it| format!("SELECT COUNT(*) FROM scheduler_{it}"));
        tables.map(|sql| database.value(&sql))
    };
    is(200, &apply(&daemon, "?prune", "", &file.to_string()));
    assert_eq!(all(&mut database), ["3", "3", "2"]);
    // What was left out stays, though it could be told by now.
    database.sql("UPDATE scheduler_vars SET value = 'c' WHERE id = 2");
    is(200, &apply(&daemon, "?prune", "", &file.to_string()));
    assert_eq!(all(&mut database), ["3", "3", "2"]);
    for name in ["0", "variable 0", "variable  1", "job 1", "x"] {
        let mut other = file.clone();
        other["left_out"][name] = "why".into();
        let told = is(422, &apply(&daemon, "?dry_run", "", &other.to_string()));
        assert!(told["errors"][0]["column"].as_str().unwrap().starts_with("left_out."), "{told}");
    }
}

/// Only what a request names is written: what could not be read of the rest stays.
#[test]
fn a_value_that_cannot_be_read_is_not_erased() {
    let rows = "INSERT INTO scheduler_vars (id, name, value, server_id)
        VALUES (4, 'HUGE', printf('%.*c', 200000, 'y'), 7), (5, 'ODD', CAST(x'ff61' AS TEXT), 7)";
    let (_site, mut database, daemon) = begin(rows);
    for (id, hex) in [(4, "79".repeat(200_000)), (5, "FF61".to_owned())] {
        let told =
            word(&daemon, "PATCH", &format!("vars/{id}"), &json!({"name": format!("N{id}")}));
        assert!(is(202, &told)["detail"].as_str().unwrap().contains("can't be one: "), "{told:?}");
        let row =
            database.query(&format!("SELECT name, hex(value) FROM scheduler_vars WHERE id = {id}"));
        assert!(row == [vec![format!("N{id}"), hex]], "{id}: {:.40}", row[0][1]);
        // It goes where that is said.
        let emptied = word(&daemon, "PATCH", &format!("vars/{id}"), &json!({"value": ""}));
        assert_eq!(is(200, &emptied)["value"], "");
        let length = format!("SELECT length(value) FROM scheduler_vars WHERE id = {id}");
        assert_eq!(database.value(&length), "0");
    }
}

/// Of two members with one name only one could count.
#[test]
fn a_name_that_is_there_twice_is_refused() {
    let row = "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
        VALUES (1, 'a', 'true', '0 0 1 1 *', 1, 1)";
    let (_site, mut database, daemon) = begin(row);
    let file = r#"{"format":1,"jobs":[{"id":1,"command":"true","cron":"@daily"}],"jobs":[]}"#;
    let told = is(422, &apply(&daemon, "?prune", "", file));
    assert!(told["errors"][0]["why"].as_str().unwrap().contains("`jobs` is there twice"), "{told}");
    for (method, path, body) in [
        ("PATCH", "jobs/1", r#"{"name":"b","name":"c"}"#),
        ("POST", "tags", r#"{"name":"b","\u006eame":"c"}"#),
        ("POST", "jobs/1/start", r#"{"note":"b","note":"c"}"#),
    ] {
        let told = daemon.send(method, &format!("/api/v1/{path}"), "", body);
        assert!(is(400, &told)["detail"].as_str().unwrap().contains("is there twice"), "{told:?}");
    }
    assert_eq!(database.value("SELECT name FROM scheduler_jobs"), "a");
}

/// A row that could be no job is not put in force, and one that is bad can be mended.
#[test]
fn a_bad_row_is_not_put_in_force() {
    let rows = "INSERT INTO scheduler_jobs
            (id, name, command, cron, server_id, status, timezone, max_concurrence)
        VALUES (1, CAST(x'ff' AS TEXT), 'true', '0 0 1 1 *', 1, 0, '', 1),
            (2, 'b', 'true', '0 0 1 1 *', 1, 0, CAST(x'ff' AS TEXT), 1),
            (3, 'c', 'true', '0 0 1 1 *', 1, 0, '', 'abc'),
            (4, printf('%.*c', 70000, 'y'), 'true', '0 0 1 1 *', 1, 0, '', 1),
            (9, 'i', 'true', '0 0 1 1 *', 1, 1, '', 'abc')";
    let (_site, mut database, daemon) = begin(rows);
    let columns = ["name", "timezone", "max_concurrence", "name"];
    for (id, column) in (1..).zip(columns) {
        let told = is(422, &send_job(&daemon, "POST", &format!("/{id}/enable"), "", &Value::Null));
        assert_eq!(told["errors"][0]["column"], column, "{told}");
    }
    let mut file = export(&daemon);
    file["jobs"][1]["enabled"] = true.into();
    for query in ["?dry_run", ""] {
        let told = is(422, &apply(&daemon, query, "", &file.to_string()));
        assert_eq!(told["errors"][0]["column"], "timezone", "{query}: {told}");
    }
    // The column that is written is no longer bad.
    file["jobs"][1]["timezone"] = "UTC".into();
    is(200, &apply(&daemon, "?dry_run", "", &file.to_string()));
    assert_eq!(database.value("SELECT COUNT(*) FROM scheduler_jobs WHERE status = 0"), "4");
    // What is in force, and bad before and after, can be told about.
    let told = is(202, &send_job(&daemon, "PATCH", "/9", "", &json!({"owner": "o"})));
    assert!(told["detail"].as_str().unwrap().contains("its row can't be one: max_"), "{told}");
    is(200, &send_job(&daemon, "PATCH", "/3", "", &json!({"max_concurrence": 1})));
    is(200, &send_job(&daemon, "POST", "/3/enable", "", &Value::Null));
    assert_eq!(acts(&daemon, &mut database, "delete"), "0");
}

/// All that the journal has.
fn journal(site: &Site) -> String {
    let parts = fs::read_dir(site.file("state.1/journal")).unwrap();
    let read = |part: io::Result<DirEntry>| fs::read(part.unwrap().path()).unwrap_or_default();
    String::from_utf8_lossy(&parts.map(read).collect::<Vec<_>>().concat()).into_owned()
}

fn schedule(daemon: &Daemon, words: &[&str]) -> impl FnOnce() -> Output + use<> {
    let url = format!("http://{}", daemon.address);
    let mut command = our_program();
    command.args(words).args(["--url", &url]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    || child.wait_with_output().unwrap()
}

/// Nobody knows what becomes of a change while a daemon starts again, or ends: that is no success.
#[test]
fn a_change_whose_result_is_not_known_is_not_called_done() {
    let rows = "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status)
        VALUES (1, 'a', 'true', '0 0 1 1 *', 1, 1), (2, 'b', 'true', '0 0 1 1 *', 1, 1)";
    let (site, mut database, daemon) = begin(rows);
    daemon.wait_jobs(2);
    for (n, (signal, words)) in [
        (Signal::HUP, &["job", "delete", "2", "--yes"][..]),
        (Signal::HUP, &["job", "disable", "1"]),
        (Signal::TERM, &["job", "edit", "1", "--name", "c"]),
    ]
    .into_iter()
    .enumerate()
    {
        database.sql("BEGIN IMMEDIATE");
        let said = schedule(&daemon, words);
        // It is written down before it is asked for.
        let verb = format!("\"{}\"", words[1]);
        let is_asked = || journal(&site).contains(&verb).then_some(());
        wait_for("the change to be under way", SOON, is_asked);
        daemon.signal(signal);
        let said = said();
        database.sql("ROLLBACK");
        let told = String::from_utf8_lossy(&said.stderr);
        assert_eq!((said.status.code(), said.stdout.len()), (Some(1), 0), "{words:?}: {said:?}");
        assert!(told.contains("before its result is known: look what became of it"), "{told}");
        if signal == Signal::HUP {
            let begun = || (site.logged("begin: ").len() == n + 2).then_some(());
            wait_for("the other program", SOON, begun);
            // It finds out first what became of this one.
            let known =
                format!("SELECT COUNT(*) FROM scheduler_audit WHERE action = '{}'", words[1]);
            let is_known = || (database.value(&known) == "1").then_some(());
            wait_for("what became of it", SOON, is_known);
        }
    }
    assert!(daemon.ended().success());
}
