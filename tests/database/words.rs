//! Variables and tags are changed over the API of a real daemon, on each database.

use crate::common::database::Kind;
use crate::daemon::http::Reply;
use crate::daemon::{Daemon, Site};
use serde_json::{Value, json};

const VARS: &str = "SELECT id, name, value, server_id FROM scheduler_vars ORDER BY id";

fn send(daemon: &Daemon, method: &str, path: &str, headers: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    daemon.send(method, &format!("/api/v1/{path}"), headers, &body)
}

#[track_caller]
fn is(status: u16, reply: &Reply) -> Value {
    assert_eq!(reply.status, status, "{reply:?}");
    if reply.body.is_empty() { Value::Null } else { reply.json() }
}

fn if_match(of: &Value) -> String {
    format!("If-Match: \"{}\"\r\n", of["version"].as_str().unwrap())
}

fn row(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Each answer comes when it is in force, and when the database has it.
#[test]
fn variables_and_tags_are_changed_and_noted() {
    for kind in Kind::all() {
        let (mut site, mut database) = Site::on(kind);
        site.base = "sync_interval = 60\n".to_owned();
        database.sql(
            "INSERT INTO scheduler_jobs (id, name, command, cron, server_id, status, tag_id)
            VALUES (7, 'a', 'echo {DIR}', '0 3 1 1 *', 1, 1, 1)",
        );
        database.sql("INSERT INTO scheduler_tags (id, name) VALUES (1, 't')");
        let daemon = site.start();
        daemon.wait_jobs(1);
        let made =
            is(201, &send(&daemon, "POST", "vars", "", &json!({"name": "DIR", "value": "/数据"})));
        let id = made["id"].to_string();
        assert_eq!(made["jobs"], json!([{"id": 7, "name": "a"}]), "{kind:?}");
        assert_eq!(daemon.job(7).unwrap()["command"], "echo /数据");
        assert_eq!(database.query(VARS), [row(&[&id, "DIR", "/数据", "7"])], "{kind:?}");
        let twin = is(422, &send(&daemon, "POST", "vars", "", &json!({"name": "DIR"})));
        assert_eq!(twin["errors"][0]["column"], "name", "{kind:?}");
        let path = format!("vars/{id}");
        // What somebody changed by SQL since is seen.
        database.sql("UPDATE scheduler_vars SET value = 'b'");
        let told =
            is(412, &send(&daemon, "PATCH", &path, &if_match(&made), &json!({"value": "c"})));
        assert_eq!(told["differs"][0]["present"], "b", "{kind:?}");
        let edited =
            is(200, &send(&daemon, "PATCH", &path, &if_match(&told), &json!({"value": "c"})));
        assert_eq!(daemon.job(7).unwrap()["command"], "echo c");
        let refused = is(409, &send(&daemon, "DELETE", &path, "", &Value::Null));
        assert_eq!(refused["jobs"][0]["id"], 7, "{kind:?}");
        assert_eq!(database.query(VARS).len(), 1);
        let forced = format!("{path}?force=1");
        is(204, &send(&daemon, "DELETE", &forced, &if_match(&edited), &Value::Null));
        assert!(database.query(VARS).is_empty(), "{kind:?}");
        let renamed = is(200, &send(&daemon, "PATCH", "tags/1", "", &json!({"name": "夜间"})));
        assert_eq!((&renamed["name"], &renamed["jobs_total"]), (&"夜间".into(), &1.into()));
        assert_eq!(database.value("SELECT name FROM scheduler_tags"), "夜间");
        is(409, &send(&daemon, "DELETE", "tags/1", "", &Value::Null));
        is(204, &send(&daemon, "DELETE", "tags/1?force=1", "", &Value::Null));
        let tag = is(201, &send(&daemon, "POST", "tags", "", &json!({"name": "t2"})));
        is(204, &send(&daemon, "DELETE", &format!("tags/{}", tag["id"]), "", &Value::Null));
        let acts = database.query("SELECT action, job_id, result FROM scheduler_audit ORDER BY id");
        let done: Vec<&str> =
            acts.iter().filter(|act| act[2] == "done").map(|act| &*act[0]).collect();
        let expected = [
            "create_variable",
            "edit_variable",
            "delete_variable",
            "edit_tag",
            "delete_tag",
            "create_tag",
            "delete_tag",
        ];
        assert_eq!(done, expected, "{kind:?}: {acts:?}");
        assert!(acts.iter().all(|act| act[1] == "0"), "{kind:?}: {acts:?}");
    }
}

/// A key is known for longer than the daemon: the second request makes nothing.
#[test]
fn a_variable_is_made_once_over_a_restart() {
    for kind in Kind::all() {
        let (site, mut database) = Site::on(kind);
        let key = "Idempotency-Key: k1\r\n";
        let new = json!({"name": "DIR", "value": "x"});
        let daemon = site.start();
        let made = is(201, &send(&daemon, "POST", "vars", key, &new));
        drop(daemon);
        let daemon = site.start();
        let again = is(201, &send(&daemon, "POST", "vars", key, &new));
        assert_eq!(again["id"], made["id"], "{kind:?}");
        assert_eq!(database.query(VARS).len(), 1, "{kind:?}");
    }
}

/// What does not fit is refused, and not cut.
#[test]
fn what_does_not_fit_is_refused() {
    for kind in Kind::servers() {
        let (site, mut database) = Site::on(kind);
        let daemon = site.start();
        let new = json!({"name": "n".repeat(51), "value": "v".repeat(201)});
        let told = is(422, &send(&daemon, "POST", "vars", "", &new));
        let columns: Vec<&Value> =
            told["errors"].as_array().unwrap().iter().map(|it| &it["column"]).collect();
        assert_eq!(columns, ["name", "value"], "{kind:?}");
        assert!(database.query(VARS).is_empty());
    }
}
