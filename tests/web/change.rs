//! Jobs are changed over the API.

use crate::web_common::{Bench, Reply, row};
use schedule::core::change::Of;
use schedule::core::database::ErrorKind;
use schedule::core::event::Event;
use schedule::core::ids::ConnId;
use schedule::core::protocol::{Answer, Purpose};
use schedule::core::state_label::StateLabel;
use serde_json::{Value, json};

const NEVER: &str = "0 0 1 1 *";

fn bench() -> Bench {
    Bench::that_asks_seldom(&[row(1, NEVER, "sleep 9"), row(2, NEVER, "true")])
}

fn send(bench: &mut Bench, method: &str, path: &str, headers: &str, body: &Value) -> Reply {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    bench.ask(method, &format!("/api/v1/jobs{path}"), headers, &body)
}

fn if_match(version: &Value) -> String {
    format!("If-Match: \"{}\"\r\n", version.as_str().unwrap())
}

/// The answer comes when the job is in force: the next look at it shows it.
#[test]
fn a_job_is_made_changed_disabled_enabled_and_deleted() {
    let mut bench = bench();
    let new = json!({"name": "备份", "command": "/bin/true", "cron": "0 3 * * *", "tag_id": 2});
    let reply = send(&mut bench, "POST", "", "", &new);
    let made = reply.is(201).json();
    assert_eq!(reply.header("location"), Some("jobs/3"));
    assert_eq!(
        (&made["id"], &made["enabled"], &made["tag"]),
        (&3.into(), &true.into(), &"备份".into())
    );
    assert_eq!(made["warnings"], json!([]));
    let shown = bench.get("/api/v1/jobs/3").is(200).json();
    assert_eq!(shown["version"], made["version"]);
    assert_eq!(bench.core.web.last_message(), "create 3 at 2026-11-22 13:42:07 result:1");
    let edit = json!({"cron": "5 3 * * *", "tag_id": null, "owner": "ann"});
    let edited = send(&mut bench, "PATCH", "/3", &if_match(&made["version"]), &edit);
    let edited = edited.is(200).json();
    assert_ne!(edited["version"], made["version"]);
    assert_eq!((&edited["cron"], &edited["owner"]), (&"5 3 * * *".into(), &"ann".into()));
    for (path, state) in [("/3/disable", "disabled"), ("/3/enable", "")] {
        let switched = send(&mut bench, "POST", path, "", &Value::Null).is(200).json();
        assert_eq!(switched["state"], state, "{path}");
        // Once more is nothing new.
        let again = send(&mut bench, "POST", path, "", &Value::Null).is(200).json();
        assert_eq!(again["version"], switched["version"]);
    }
    let back = bench.get("/api/v1/jobs/3").json();
    assert_eq!(back["version"], edited["version"]);
    send(&mut bench, "DELETE", "/3", &if_match(&back["version"]), &Value::Null).is(204);
    bench.get("/api/v1/jobs/3").is(404);
    send(&mut bench, "DELETE", "/3", "", &Value::Null).is(404);
    assert_eq!(StateLabel::Disabled.original(), "disabled");
}

#[test]
fn who_comes_second_is_told_what_is_otherwise() {
    let mut bench = bench();
    let seen = bench.get("/api/v1/jobs/1").json()["version"].clone();
    let first = json!({"cron": "1 1 * * *"});
    let first = send(&mut bench, "PATCH", "/1", &if_match(&seen), &first).is(200).json();
    let second = json!({"cron": "2 2 * * *", "name": "job 1"});
    let reply = send(&mut bench, "PATCH", "/1", &if_match(&seen), &second);
    let told = reply.is(412).json();
    assert_eq!(told["version"], first["version"]);
    let differs = json!([{"column": "cron", "present": "1 1 * * *", "wanted": "2 2 * * *"}]);
    assert_eq!(told["differs"], differs);
    assert!(told["detail"].as_str().unwrap().contains("somebody was first"), "{told}");
    send(&mut bench, "DELETE", "/1", &if_match(&seen), &Value::Null).is(412);
    // Who names no version changes what is named, and nothing else.
    let third = send(&mut bench, "PATCH", "/1", "", &json!({"name": "x"})).is(200).json();
    assert_eq!((&third["cron"], &third["name"]), (&"1 1 * * *".into(), &"x".into()));
    send(&mut bench, "PATCH", "/1", "If-Match: *\r\n", &json!({"name": "y"})).is(200);
    let etag = bench.get("/api/v1/jobs/1").header("etag").unwrap().to_owned();
    for bad in [etag.as_str(), "x", "\"12\"", "\"0123456789abcdef\", \"0123456789abcdef\""] {
        let reply = send(&mut bench, "PATCH", "/1", &format!("If-Match: {bad}\r\n"), &json!({}));
        assert!(reply.is(400).body.contains("If-Match"), "{reply:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_by_column() {
    let mut bench = bench();
    let bad = json!({"comand": "x", "cron": "61 * * * *", "max_concurrence": "1",
        "name": "n".repeat(51), "command": " "});
    let told = send(&mut bench, "POST", "", "", &bad).is(422).json();
    let mut columns: Vec<&str> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["column"].as_str().unwrap())
        .collect();
    columns.sort_unstable();
    assert_eq!(columns, ["comand", "command", "cron", "max_concurrence", "name"]);
    assert!(told["errors"][0]["why"].as_str().is_some_and(|why| why.len() > 10), "{told}");
    assert_eq!(bench.get("/api/v1/jobs").json()["total"], 2);
    for body in ["", "[]", "{", "\"x\"", "{\"a\":}"] {
        let reply = bench.ask("POST", "/api/v1/jobs", "", body);
        assert!(reply.is(400).body.contains("no JSON object"), "{reply:?}");
    }
    let warned = json!({"command": "{PHP} x", "cron": "0 3 1 * 1", "max_concurrence": 0});
    let made = send(&mut bench, "POST", "", "", &warned).is(201).json();
    assert_eq!(made["warnings"].as_array().unwrap().len(), 3, "{made}");
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let mut bench = bench();
    let evil = "Origin: http://evil.example\r\n";
    for (method, path) in [("POST", ""), ("PATCH", "/1"), ("DELETE", "/1"), ("POST", "/1/disable")]
    {
        send(&mut bench, method, path, evil, &json!({"name": "x"})).is(403);
    }
    assert_eq!(bench.get("/api/v1/jobs/1").json()["name"], "job 1");
}

#[test]
fn a_request_that_is_sent_again_makes_one_job() {
    let mut bench = bench();
    let key = "Idempotency-Key: \"8e03978e-40d5\"\r\n";
    let new = json!({"name": "n", "command": "/bin/true", "cron": "0 3 * * *"});
    let first = send(&mut bench, "POST", "", key, &new).is(201).json();
    for _ in 0..2 {
        let again = send(&mut bench, "POST", "", key, &new);
        assert_eq!(again.header("location"), Some("jobs/3"));
        assert_eq!(again.is(201).json()["id"], first["id"]);
    }
    assert_eq!(bench.get("/api/v1/jobs").json()["total"], 3);
    let other = send(&mut bench, "POST", "", key, &json!({"command": "x", "cron": NEVER}));
    assert!(other.is(422).body.contains("another body"), "{other:?}");
    // What was refused may be sent again.
    let key = "Idempotency-Key: k2\r\n";
    send(&mut bench, "POST", "", key, &json!({"command": ""})).is(422);
    bench.database_error = Some("gone".into());
    send(&mut bench, "POST", "", key, &json!({"command": ""})).is(503);
    bench.database_error = None;
    send(&mut bench, "POST", "", key, &json!({"command": ""})).is(422);
    send(&mut bench, "POST", "", "Idempotency-Key: \r\n", &new).is(400);
    bench.silent = true;
    let text = new.to_string();
    bench.send(&format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k3\r\nContent-Length: \
         {}\r\n\r\n{text}",
        text.len()
    ));
    send(&mut bench, "POST", "", "Idempotency-Key: k3\r\n", &new).is(409);
}

/// A client whose change is under way.
fn ask_to_edit(bench: &mut Bench, name: &str) -> ConnId {
    bench.silent = true;
    let body = json!({ "name": name }).to_string();
    bench.send(&format!(
        "PATCH /api/v1/jobs/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn status(bench: &mut Bench, conn: ConnId) -> Option<u16> {
    let text = bench.received(conn);
    (!text.is_empty()).then(|| text[9..12].parse().unwrap())
}

fn say(bench: &mut Bench, answers: &[Answer]) {
    for answer in answers {
        let line = serde_json::to_vec(answer).unwrap();
        bench.core.handle(bench.now, Event::AnswerLine(Purpose::Change, &line));
    }
    bench.turn();
}

/// Who waits hears within five seconds that nothing was changed, and when to ask again.
#[test]
fn a_database_that_is_away_or_silent_changes_nothing() {
    let mut bench = bench();
    bench.database_error = Some("connection refused".into());
    let reply = send(&mut bench, "PATCH", "/1", "", &json!({"name": "x"}));
    assert!(reply.is(503).body.contains("nothing was changed: connection refused"), "{reply:?}");
    assert_eq!(reply.header("retry-after"), Some("5"));
    bench.database_error = None;
    let waits = [ask_to_edit(&mut bench, "a"), ask_to_edit(&mut bench, "b")];
    bench.pass(4_900);
    assert_eq!(waits.map(|conn| status(&mut bench, conn)), [None, None]);
    bench.pass(100);
    assert_eq!(waits.map(|conn| status(&mut bench, conn)), [Some(503), Some(503)]);
    bench.silent = false;
    send(&mut bench, "PATCH", "/1", "", &json!({"name": "x"})).is(200);
}

/// The helper has said what it comes to, and died: it may be committed. It is looked for, and the
/// client is told what became of it.
#[test]
fn an_answer_that_was_lost_is_found_out() {
    let mut bench = bench();
    for (is_done, expected) in [(true, 200), (false, 503)] {
        let name = format!("lost {is_done}");
        let conn = ask_to_edit(&mut bench, &name);
        let id = bench.core.scheduler.asked(Purpose::Change).unwrap();
        let before = bench.table.clone();
        let seen = bench.core.scheduler.table().version(schedule::core::ids::JobId(1));
        let version = bench.commit(1, |row| row.name.clone_from(&name));
        let mark = schedule::core::protocol::Mark {
            id: schedule::core::ids::JobId(1),
            version: Some(version),
            before: seen,
            of: Of::Job,
        };
        if !is_done {
            bench.table = before;
        }
        say(&mut bench, &[Answer::To(id), Answer::Changing(mark)]);
        bench.silent = false;
        let died = Err("the helper ended with signal 9".to_owned());
        bench.core.handle(bench.now, Event::HelperEnded(Purpose::Change, died));
        bench.turn();
        assert_eq!(status(&mut bench, conn), Some(expected), "{is_done}");
        let shown = bench.get("/api/v1/jobs/1").json()["name"] == *name;
        assert_eq!(shown, is_done);
    }
}

/// Nothing of it counts before the helper has said that it is done, and no table that was asked for
/// before.
#[test]
fn an_answer_comes_with_the_table_that_has_it() {
    let mut bench = bench();
    let conn = ask_to_edit(&mut bench, "new");
    let id = bench.core.scheduler.asked(Purpose::Change).unwrap();
    let old = bench.table.clone();
    let version = bench.commit(1, |row| row.name = "new".into());
    let mark = schedule::core::protocol::Mark {
        id: schedule::core::ids::JobId(1),
        version: Some(version),
        before: None,
        of: Of::Job,
    };
    // A sync is under way when the change is done.
    bench.core.scheduler.sync_now();
    bench.turn();
    let sync = bench.core.scheduler.asked(Purpose::Sync).unwrap();
    let changed = schedule::core::protocol::Changed::to(mark);
    say(&mut bench, &[Answer::To(id), Answer::Changing(mark), Answer::Changed(changed)]);
    assert_eq!(status(&mut bench, conn), None);
    say(&mut bench, &[Answer::Done(id)]);
    assert_eq!(status(&mut bench, conn), None);
    for answer in [Answer::To(sync)].into_iter().chain(old).chain([Answer::Done(sync)]) {
        let line = serde_json::to_vec(&answer).unwrap();
        bench.core.handle(bench.now, Event::AnswerLine(Purpose::Sync, &line));
    }
    bench.turn();
    assert_eq!(status(&mut bench, conn), None, "the table is the one of before");
    let sync = bench.core.scheduler.asked(Purpose::Sync).unwrap();
    let new = bench.table.clone();
    for answer in [Answer::To(sync)].into_iter().chain(new).chain([Answer::Done(sync)]) {
        let line = serde_json::to_vec(&answer).unwrap();
        bench.core.handle(bench.now, Event::AnswerLine(Purpose::Sync, &line));
    }
    bench.turn();
    assert_eq!(status(&mut bench, conn), Some(200));
}

/// The message line of a page, in the language of a cookie.
fn message(bench: &mut Bench, lang: &str) -> String {
    let headers = format!("Accept: text/html\r\nCookie: lang={lang}\r\n");
    let page = bench.ask("GET", "/", &headers, "").is(200).body.clone();
    let (_, line) = page.split_once("id=\"message\"").unwrap();
    line.split_once('>').unwrap().1.split("</p>").next().unwrap().to_owned()
}

/// What was changed, or not, is said by its id and in words; what only looked at it says nothing.
#[test]
fn the_message_line_names_what_was_not_changed() {
    let mut bench = bench();
    send(&mut bench, "PATCH", "/1", "", &json!({"owner": "ann"})).is(200);
    assert_eq!(message(&mut bench, "en"), "Job 1 was changed at 2026-11-22 13:42:07");
    let nothing = "{\"format\": 1, \"jobs\": []}";
    for (file, status) in [(nothing, 200), ("{}", 422)] {
        bench.ask("POST", "/api/v1/apply?dry_run", "", file).is(status);
        assert_eq!(message(&mut bench, "en"), "Job 1 was changed at 2026-11-22 13:42:07", "{file}");
    }
    send(&mut bench, "PATCH", "/1", "", &json!({"cron": "x"})).is(422);
    let line = message(&mut bench, "en");
    assert!(line.starts_with("Job 1 was not changed at 2026-11-22 13:42:07: cron: "), "{line}");
    let line = message(&mut bench, "zh");
    assert!(line.starts_with("任务 1 未更改(2026-11-22 13:42:07):cron: "), "{line}");
    let line = bench.core.web.last_message();
    assert!(line.starts_with("edit 1 at 2026-11-22 13:42:07 result:0 ("), "{line}");
    send(&mut bench, "DELETE", "/77", "", &Value::Null).is(404);
    let line = message(&mut bench, "en");
    assert!(line.starts_with("Job 77 was not deleted at 2026-11-22 13:42:07: there is"), "{line}");
    bench.ask("POST", "/api/v1/apply", "", nothing).is(200);
    let line = message(&mut bench, "en");
    assert_eq!(line, "The file of the group was applied at 2026-11-22 13:42:07");
}

/// Asks to make a job, with a key.
fn ask_to_make(bench: &mut Bench, key: &str) -> ConnId {
    let body = json!({"name": "n", "command": "/bin/true", "cron": NEVER}).to_string();
    bench.send(&format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {key}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// The change is made, and no table that has it comes. Who asks again meanwhile is told that the
/// first one is under way; the first one is told soon that it is done.
#[test]
fn a_table_that_does_not_come_is_not_waited_for_as_long_as_it_takes() {
    let mut bench = bench();
    bench.silent = true;
    let first = ask_to_make(&mut bench, "k");
    let id = bench.core.scheduler.asked(Purpose::Change).unwrap();
    let mark = schedule::core::protocol::Mark {
        id: schedule::core::ids::JobId(3),
        version: Some("0123456789abcdef".parse().unwrap()),
        before: None,
        of: Of::Job,
    };
    let changed = schedule::core::protocol::Changed::to(mark);
    say(
        &mut bench,
        &[Answer::To(id), Answer::Changing(mark), Answer::Changed(changed), Answer::Done(id)],
    );
    assert_eq!(status(&mut bench, first), None);
    let again = ask_to_make(&mut bench, "k");
    assert_eq!(status(&mut bench, again), Some(409));
    bench.pass(4_900);
    assert_eq!(status(&mut bench, first), None);
    bench.pass(200);
    assert_eq!(status(&mut bench, first), Some(202));
    let again = ask_to_make(&mut bench, "k");
    let told = bench.received(again);
    assert!(told.starts_with("HTTP/1.1 202 ") && told.contains("not yet, if the"), "{told}");
}

/// Who had to wait for others is not told that the database is overloaded.
#[test]
fn who_waited_for_others_is_told_so() {
    let mut bench = bench();
    let first = ask_to_edit(&mut bench, "a");
    let second = ask_to_edit(&mut bench, "b");
    bench.pass(4_000);
    let id = bench.core.scheduler.asked(Purpose::Change).unwrap();
    let error = Answer::Error { kind: ErrorKind::Other, message: "the row is locked".into() };
    say(&mut bench, &[Answer::To(id), error]);
    assert_eq!(status(&mut bench, first), Some(503));
    assert!(bench.core.scheduler.asked(Purpose::Change).is_some());
    bench.pass(1_000);
    let told = bench.received(second);
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("wait for others"), "{told}");
}
