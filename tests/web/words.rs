//! Variables and tags, as a client sees and changes them.

use crate::web_common::{Bench, Reply, row};
use schedule::core::protocol::{Answer, JobRow};
use serde_json::{Value, json};

const NEVER: &str = "0 0 1 1 *";

fn bench() -> Bench {
    let rows = [
        row(1, NEVER, "cp {DIR} {DIR}/a {DIR}/b {HOST}"),
        JobRow { tag_id: 2, ..row(2, NEVER, "ls {DIR}") },
        row(3, NEVER, "echo DIR ${DIR} {DIRS}"),
    ];
    let mut bench = Bench::that_asks_seldom(&rows);
    let mut lines = bench.table.clone();
    lines.pop();
    let var =
        |id, name: &str, value: &str| Answer::Var { id, name: name.into(), value: value.into() };
    lines.splice(0..0, [var(7, "DIR", "/数据"), var(9, "HOST", "h")]);
    bench.set_answers(lines);
    bench.post("/api/v1/sync").is(200);
    bench
}

fn send(bench: &mut Bench, method: &str, path: &str, headers: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    bench.ask(method, &format!("/api/v1/{path}"), headers, &body)
}

fn if_match(of: &Value) -> String {
    format!("If-Match: \"{}\"\r\n", of["version"].as_str().unwrap())
}

#[test]
fn variables_and_tags_tell_which_jobs_they_touch() {
    let mut bench = bench();
    let vars = bench.get("/api/v1/vars").is(200).json()["vars"].clone();
    let job = |id: u32| json!({"id": id, "name": format!("job {id}")});
    let told: Vec<Value> = vars
        .as_array()
        .unwrap()
        .iter()
        .map(|it| json!([it["id"], it["name"], it["value"], it["jobs"], it["jobs_total"]]))
        .collect();
    // `${DIR}` is filled as well: that is how placeholders are.
    let all = json!([job(1), job(2), job(3)]);
    assert_eq!(told[0], json!([7, "DIR", "/数据", all, 3]));
    assert_eq!(told[1], json!([9, "HOST", "h", [job(1)], 1]));
    assert_eq!(told.len(), 2);
    let tags = bench.get("/api/v1/tags").is(200).json();
    let version = tags["tags"][0]["version"].clone();
    let tag =
        json!({"id": 2, "name": "备份", "version": version, "jobs": [job(2)], "jobs_total": 1});
    assert_eq!(tags, json!({ "tags": [tag] }));
}

/// The same key and body make no job of what was a tag.
#[test]
fn a_key_is_of_what_it_has_made() {
    let mut bench = bench();
    let (key, body) = ("Idempotency-Key: k7\r\n", json!({"name": "x"}));
    send(&mut bench, "POST", "tags", key, &body).is(201);
    for path in ["jobs", "vars"] {
        let told = send(&mut bench, "POST", path, key, &body).is(422).json();
        assert_eq!(told["errors"][0]["column"], "Idempotency-Key", "{path}: {told}");
    }
    send(&mut bench, "POST", "tags", key, &body).is(201);
}

#[test]
fn a_variable_is_made_changed_and_deleted() {
    let mut bench = bench();
    let key = "Idempotency-Key: k1\r\n";
    let new = json!({"name": "DIRS", "value": "a b"});
    for _ in 0..2 {
        let reply = send(&mut bench, "POST", "vars", key, &new);
        assert_eq!(reply.header("location"), Some("vars/10"));
        let made = reply.is(201).json();
        assert_eq!((&made["id"], &made["jobs"][0]["id"]), (&10.into(), &3.into()));
    }
    assert_eq!(bench.get("/api/v1/jobs/3").json()["command"], "echo DIR $/数据 a b");
    let seen = bench.get("/api/v1/vars").json()["vars"][2].clone();
    let body = json!({"value": "c"});
    let edited = send(&mut bench, "PATCH", "vars/10", &if_match(&seen), &body).is(200).json();
    assert_eq!((&edited["name"], &edited["value"]), (&"DIRS".into(), &"c".into()));
    assert_eq!(bench.get("/api/v1/jobs/3").json()["command"], "echo DIR $/数据 c");
    let told = send(&mut bench, "PATCH", "vars/10", &if_match(&seen), &json!({"value": "d"}));
    let differs = json!([{"column": "value", "present": "c", "wanted": "d"}]);
    assert_eq!(told.is(412).json()["differs"], differs);
    // A job needs it.
    let told = send(&mut bench, "DELETE", "vars/10", "", &Value::Null).is(409).json();
    assert_eq!(told["jobs"], json!([{"id": 3, "name": "job 3"}]));
    assert!(told["detail"].as_str().unwrap().contains("3 (job 3)"), "{told}");
    send(&mut bench, "PATCH", "vars/10", "", &json!({"name": "OTHER"})).is(409);
    send(&mut bench, "DELETE", "vars/10?force=2", "", &Value::Null).is(400);
    send(&mut bench, "DELETE", "vars/10?force=1", &if_match(&seen), &Value::Null).is(412);
    send(&mut bench, "DELETE", "vars/10?force=1", &if_match(&edited), &Value::Null).is(204);
    send(&mut bench, "DELETE", "vars/10?force=1", "", &Value::Null).is(404);
    assert_eq!(bench.get("/api/v1/jobs/3").json()["command"], "echo DIR $/数据 {DIRS}");
    let entries = bench.get("/api/v1/audit").json()["entries"].clone();
    let told: Vec<Value> = entries
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["result"] == "done" && it["action"] != "sync")
        .map(|it| json!([it["action"], it["job_id"], it["what"]]))
        .collect();
    let name = json!(["DIRS", "DIRS"]);
    assert_eq!(
        told,
        [
            json!(["delete_variable", null,
                {"id": [10, null], "name": ["DIRS", null], "value": ["c", null]}]),
            json!(["edit_variable", null, {"id": [10, 10], "name": name, "value": ["a b", "c"]}]),
            json!(["create_variable", null,
                {"id": [null, 10], "name": [null, "DIRS"], "value": [null, "a b"]}]),
        ]
    );
}

#[test]
fn what_can_t_be_a_variable_or_a_tag_is_refused() {
    let mut bench = bench();
    let said = [
        ("vars", json!({"name": "", "value": "x"}), "name"),
        ("vars", json!({"value": "x"}), "name"),
        ("vars", json!({"name": "A}B"}), "name"),
        ("vars", json!({"name": "a\nb"}), "name"),
        ("vars", json!({"name": "DIR", "value": "x"}), "name"),
        ("vars", json!({"name": "x".repeat(51)}), "name"),
        ("vars", json!({"name": "A", "value": 5}), "value"),
        ("vars", json!({"name": "A", "value": "a\0"}), "value"),
        ("vars", json!({"name": "A", "id": 5}), "id"),
        ("tags", json!({"name": " "}), "name"),
        ("tags", json!({"name": "备份"}), "name"),
        ("tags", json!({"name": "A", "value": "a"}), "value"),
    ];
    for (path, body, column) in said {
        let told = send(&mut bench, "POST", path, "", &body).is(422).json();
        assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told}");
        assert_eq!(told["errors"][0]["column"], column, "{body}");
    }
    // What a job could not be run with any more.
    let long = json!({ "value": "x".repeat(60_000) });
    let told = send(&mut bench, "PATCH", "vars/7", "", &long).is(422).json();
    assert!(told["detail"].as_str().unwrap().contains("bytes"), "{told}");
    for path in ["vars/0", "vars/x", "tags/-1"] {
        send(&mut bench, "PATCH", path, "", &json!({"name": "n"})).is(400);
    }
    send(&mut bench, "PATCH", "tags/77", "", &json!({"name": "n"})).is(404);
    let evil = "Origin: http://evil.example\r\n";
    send(&mut bench, "POST", "vars", evil, &json!({"name": "n"})).is(403);
}

#[test]
fn a_tag_is_made_renamed_and_deleted() {
    let mut bench = bench();
    let reply = send(&mut bench, "POST", "tags", "", &json!({"name": "夜间"}));
    assert_eq!(reply.header("location"), Some("tags/3"));
    let made = reply.is(201).json();
    // A job has its tag by the id: another name is no loss.
    let renamed =
        send(&mut bench, "PATCH", "tags/2", "", &json!({"name": "backup"})).is(200).json();
    assert_eq!(renamed["jobs_total"], 1);
    assert_eq!(bench.get("/api/v1/jobs/2").json()["tag"], "backup");
    send(&mut bench, "DELETE", "tags/2", "", &Value::Null).is(409);
    send(&mut bench, "DELETE", "tags/3", &if_match(&made), &Value::Null).is(204);
    send(&mut bench, "DELETE", "tags/2?force=1", "", &Value::Null).is(204);
    assert_eq!(bench.get("/api/v1/jobs/2").json()["tag"], "");
    assert_eq!(bench.get("/api/v1/tags").json()["tags"], json!([]));
    bench.database_error = Some("gone".into());
    let body = json!({"name": "n"});
    assert!(send(&mut bench, "POST", "tags", "", &body).is(503).body.contains("nothing was"));
}

/// More rows than are looked at in one turn.
#[test]
fn all_jobs_count_where_they_are_many() {
    let rows: Vec<JobRow> =
        (1..=1_200).map(|id| JobRow { tag_id: 2, ..row(id, NEVER, "true") }).collect();
    let mut bench = Bench::with(&rows);
    let tag = bench.get("/api/v1/tags").json()["tags"][0].clone();
    assert_eq!((&tag["jobs_total"], tag["jobs"].as_array().unwrap().len()), (&1_200.into(), 100));
}
