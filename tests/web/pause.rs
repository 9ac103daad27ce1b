//! Slots are skipped for a while, because somebody wanted that.

use crate::web_common::{Bench, Reply, row};
use schedule::core::protocol::JobRow;
use serde_json::{Value, json};

const OFTEN: &str = "* * * * * *";
const NEVER: &str = "0 0 1 1 *";
const BROWSER: &str = "Accept: text/html\r\n";

fn send(bench: &mut Bench, verb: &str, body: &Value) -> Reply {
    bench.ask("POST", &format!("/api/v1/{verb}"), "", &body.to_string())
}

fn tagged(id: u32, cron: &str, tag_id: u32) -> JobRow {
    // Nothing ends here by itself.
    JobRow { tag_id, max_concurrence: 100, ..row(id, cron, "true") }
}

/// Jobs 1 and 3 are due each second; the latter has a tag.
fn bench() -> Bench {
    let rows = [tagged(1, OFTEN, 0), row(2, NEVER, "true"), tagged(3, OFTEN, 2)];
    Bench::that_asks_seldom(&rows)
}

fn skipped(bench: &mut Bench, id: u32) -> u64 {
    let job = bench.get(&format!("/api/v1/jobs/{id}")).is(200).json();
    job["skipped"]["paused"].as_u64().unwrap_or(0)
}

fn ids(bench: &mut Bench, query: &str) -> Vec<u64> {
    let list = bench.get(&format!("/api/v1/jobs{query}")).is(200).json();
    list["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_u64().unwrap()).collect()
}

fn launched(bench: &Bench) -> u64 {
    bench.core.scheduler.counters().launched
}

#[test]
fn all_jobs_are_paused_until_somebody_resumes_them() {
    let mut bench = bench();
    bench.pass(1_000);
    let before = launched(&bench);
    assert_eq!(before, 2);
    let told = send(&mut bench, "pause", &json!({"all": true, "note": "new disks"}));
    let told = told.is(200).json();
    assert_eq!(told["changed"], true);
    let pause = &told["pauses"][0];
    let end = (&pause["of"], &pause["until"], &pause["note"], &pause["tag_id"]);
    assert_eq!(end, (&"all".into(), &Value::Null, &"new disks".into(), &Value::Null));
    bench.pass(3_000);
    assert_eq!(launched(&bench), before, "paused, and started");
    assert_eq!((skipped(&mut bench, 1), skipped(&mut bench, 3)), (3, 3));
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["paused"], &job["pauses"]), (&true.into(), &told["pauses"]));
    assert_eq!((&job["next_due"], &job["next_dues"]), (&Value::Null, &json!([])));
    assert_eq!(job["skips"][0]["reason"], "paused");
    assert_eq!(bench.get("/api/v1/status").json()["pauses"], told["pauses"]);
    // A start by hand works.
    bench.post("/api/v1/jobs/1/start").is(200);
    assert_eq!(launched(&bench), before + 1);
    assert_eq!(ids(&mut bench, "?state=paused"), [1, 2, 3]);
    let metrics = bench.get("/metrics").body;
    assert!(metrics.contains("schedule_skipped_slots_total{reason=\"paused\"} 6\n"), "{metrics}");
    let told = send(&mut bench, "resume", &json!({"all": true})).is(200).json();
    assert_eq!(told, json!({"changed": true, "pauses": []}));
    bench.pass(2_000);
    assert_eq!(launched(&bench), before + 1 + 2 * 2);
    assert_eq!((skipped(&mut bench, 3), ids(&mut bench, "?state=paused").len()), (3, 0));
    let told = send(&mut bench, "resume", &json!({"all": true})).is(200).json();
    assert_eq!(told["changed"], false, "nothing is paused");
    let audit = bench.get("/api/v1/audit").json()["entries"].clone();
    let acts: Vec<_> = audit.as_array().unwrap().iter().map(|it| it["action"].clone()).collect();
    assert_eq!(acts, ["resume", "start", "pause"]);
    assert_eq!(audit[2]["what"], json!({"all": [null, true], "note": [null, "new disks"]}));
    assert_eq!((&audit[2]["who"], &audit[2]["from"]), (&"loopback".into(), &"api ::".into()));
}

#[test]
fn a_tag_is_paused_until_an_instant_whose_slot_is_launched() {
    let mut bench = bench();
    // 13:42:07.5 now.
    let until = "2026-11-22T13:42:10+08:00";
    let told = send(&mut bench, "pause", &json!({"tag": "备份", "until": until})).is(200).json();
    let pause = &told["pauses"][0];
    let of = (&pause["of"], &pause["tag_id"], &pause["tag"], &pause["until"]);
    assert_eq!(of, (&"tag".into(), &2.into(), &"备份".into(), &until.into()));
    let job = bench.get("/api/v1/jobs/3").json();
    assert_eq!((&job["paused"], &job["next_due"]), (&true.into(), &until.into()));
    assert_eq!(bench.get("/api/v1/jobs/1").json()["paused"], false);
    assert_eq!(ids(&mut bench, "?sort=next"), [1, 3, 2]);
    bench.pass(1_000);
    bench.pass(1_000);
    assert_eq!((skipped(&mut bench, 3), skipped(&mut bench, 1)), (2, 0));
    let before = launched(&bench);
    // It ends by itself, and pages are told.
    let etag = bench.get("/api/v1/jobs").header("etag").unwrap().to_owned();
    bench.pass(1_000);
    assert_eq!((launched(&bench), skipped(&mut bench, 3)), (before + 2, 2));
    let job = bench.get("/api/v1/jobs/3").json();
    assert_eq!((&job["paused"], &job["pauses"]), (&false.into(), &json!([])));
    assert_ne!(bench.get("/api/v1/jobs").header("etag"), Some(&*etag));
    assert_eq!(bench.get("/api/v1/status").json()["pauses"], json!([]));
}

/// That of one job is a change of its row.
#[test]
fn a_job_is_paused_by_its_row() {
    let mut bench = bench();
    let order = json!({"job": 1, "until": "2026-11-22T05:42:10Z", "note": "x"});
    let job = send(&mut bench, "pause", &order).is(200).json();
    assert_eq!(job["paused_until"], "2026-11-22T13:42:10+08:00");
    let pauses = json!([{"of": "job", "until": "2026-11-22T13:42:10+08:00"}]);
    assert_eq!((&job["pauses"], &job["id"]), (&pauses, &1.into()));
    assert_eq!(ids(&mut bench, "?state=paused"), [1]);
    bench.pass(1_000);
    assert_eq!((skipped(&mut bench, 1), skipped(&mut bench, 3)), (1, 0));
    let audit = bench.get("/api/v1/audit?job=1").json()["entries"][0].clone();
    let what = json!({"note": [null, "x"], "paused_until": ["", "2026-11-22T13:42:10+08:00"]});
    assert_eq!((&audit["action"], &audit["what"]), (&"pause".into(), &what));
    let job = send(&mut bench, "pause", &json!({"job": 1})).is(200).json();
    assert_eq!((&job["pauses"][0]["until"], &job["next_due"]), (&Value::Null, &Value::Null));
    assert_eq!(job["paused_until"], "9999-01-01T00:00:00Z");
    bench.pass(5_000);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["skips"][0]["count"], 6);
    // All the others are resumed, not this one.
    send(&mut bench, "resume", &json!({"all": true})).is(200);
    assert_eq!(ids(&mut bench, "?state=paused"), [1]);
    let job = send(&mut bench, "resume", &json!({"job": 1})).is(200).json();
    assert_eq!((&job["paused"], &job["paused_until"]), (&false.into(), &"".into()));
    assert_eq!(bench.get("/api/v1/audit?job=1").json()["entries"][0]["action"], "resume");
    send(&mut bench, "pause", &json!({"job": 99})).is(404);
}

/// The job's own page has a form for it, and needs no scripts.
#[test]
fn a_form_pauses_a_job_and_resumes_it() {
    let mut bench = bench();
    let page = bench.ask("GET", "/jobs/1", BROWSER, "").body;
    assert!(page.contains("action=\"../jobs/1/pause\""), "{page}");
    let bad = bench.ask("POST", "/jobs/1/pause", BROWSER, "until=tomorrow");
    assert!(bad.is(400).body.contains("is not an instant"), "{bad:?}");
    let until = "until=2031-01-01T00%3A00%3A00Z&note=disks";
    let led = bench.ask("POST", "/jobs/1/pause", BROWSER, until);
    assert_eq!(led.is(303).header("location"), Some("../../jobs/1"));
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!(job["paused_until"], "2031-01-01T00:00:00Z");
    let audit = bench.get("/api/v1/audit?job=1").json()["entries"][0].clone();
    let told = (&audit["action"], &audit["what"]["note"], &audit["from"]);
    assert_eq!(told, (&"pause".into(), &json!([null, "disks"]), &"page ::".into()));
    let page = bench.ask("GET", "/jobs/1", BROWSER, "").body;
    assert!(page.contains("action=\"../jobs/1/resume\""), "{page}");
    assert!(page.contains("It is paused") && page.contains("2031-01-01 08:00:00"), "{page}");
    bench.ask("POST", "/jobs/1/resume", BROWSER, "").is(303);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["paused"], false);
}

/// A run that is alive goes on, and no definition waits for it.
#[test]
fn what_runs_is_left_alone() {
    let mut bench = Bench::that_asks_seldom(&[row(1, OFTEN, "sleep 9")]);
    bench.pass(1_000);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["running"], 1);
    let job = send(&mut bench, "pause", &json!({"job": 1})).is(200).json();
    assert_eq!((&job["state"], &job["running"]), (&"running".into(), &1.into()));
    send(&mut bench, "pause", &json!({"all": true})).is(200);
    bench.pass(1_000);
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["state"], &job["paused"]), (&"running".into(), &true.into()));
    // At its limit as well, and that is not why.
    assert_eq!((&job["overtime"], &job["skipped"]["paused"]), (&0.into(), &1.into()));
    assert!(bench.signals.is_empty());
    assert_eq!(
        (ids(&mut bench, "?state=running"), ids(&mut bench, "?state=paused")),
        (vec![1], vec![1])
    );
}

#[test]
fn what_makes_no_sense_is_refused_and_pauses_nothing() {
    let mut bench = bench();
    for (body, why) in [
        (json!({}), "name one of"),
        (json!({"all": false}), "name one of"),
        (json!({"all": true, "tag": 2}), "name one of"),
        (json!({"job": "x"}), "job: the id"),
        (json!({"tag": 7}), "tag: `7` is no tag"),
        (json!({"tag": "x"}), "tag: `x` is no tag"),
        (json!({"tag": [1]}), "tag: its id or its name"),
        (json!({"all": true, "until": "tomorrow"}), "is not an instant"),
        (json!({"all": true, "until": 5}), "is not an instant"),
        (json!({"all": true, "until": "2026-11-22T13:42:07+08:00"}), "it is past"),
        (json!({"all": true, "note": "x".repeat(201)}), "200 characters"),
        (json!({"all": true, "untill": null}), "did you mean `until`?"),
    ] {
        let reply = send(&mut bench, "pause", &body);
        assert!(reply.is(400).body.contains(why), "{body}: {reply:?}");
    }
    let late = json!({"all": true, "until": "2026-12-01T07:00:00Z"});
    assert!(send(&mut bench, "resume", &late).is(400).body.contains("at once"));
    let headers = "Origin: http://evil.example\r\n";
    bench.ask("POST", "/api/v1/pause", headers, "{\"all\":true}").is(403);
    assert_eq!(ids(&mut bench, "?state=paused"), [0; 0]);
    for id in 1..=23 {
        let mut rows: Vec<JobRow> = (1..=24).map(|it| tagged(it, NEVER, it + 10)).collect();
        rows.push(tagged(25, NEVER, 35));
        if id == 1 {
            bench.set_rows(&rows);
            bench.post("/api/v1/sync").is(200);
        }
        send(&mut bench, "pause", &json!({ "tag": id + 10 })).is(200);
    }
    let reply = send(&mut bench, "pause", &json!({"tag": 35}));
    assert!(reply.is(409).body.contains("pause all jobs"), "{reply:?}");
    send(&mut bench, "pause", &json!({"tag": 33, "note": "again"})).is(200);
    // That is what was advised.
    send(&mut bench, "pause", &json!({"all": true})).is(200);
}

/// What is no instant in a row starts nothing, and is told.
#[test]
fn a_row_whose_pause_is_no_instant_is_invalid() {
    let bad = JobRow { paused_until: "tomorrow".into(), ..row(1, OFTEN, "true") };
    let mut bench = Bench::that_asks_seldom(&[bad, row(2, NEVER, "true")]);
    bench.pass(2_000);
    assert_eq!(launched(&bench), 0);
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["state"], &job["blocked"]), (&"invalid".into(), &"pause".into()));
    assert!(
        job["error"].as_str().unwrap().starts_with("paused_until: \"tomorrow\" is not"),
        "{job}"
    );
    let why = bench.get("/api/v1/jobs/1/why?at=2027-01-01T00:00:00Z").is(200).json();
    assert_eq!(why["verdict"], "never_due", "{why:#}");
    let told = bench.ask("PATCH", "/api/v1/jobs/2", "", "{\"paused_until\": \"x\"}");
    assert_eq!(told.is(422).json()["errors"][0]["column"], "paused_until");
    send(&mut bench, "resume", &json!({"job": 1})).is(200);
    bench.pass(1_000);
    assert_eq!(launched(&bench), 1);
}

/// Each page has a banner, in both languages, and the table of text has it, too.
#[test]
fn pages_tell_of_maintenance() {
    let mut bench = bench();
    let body = json!({"all": true, "until": "2026-12-01T07:00:00+08:00", "note": "<b>disks</b>"});
    send(&mut bench, "pause", &body).is(200);
    send(&mut bench, "pause", &json!({"tag": 2})).is(200);
    for path in ["/", "/jobs/1", "/log", "/jobs/new", "/nothing"] {
        let page = bench.ask("GET", path, BROWSER, "").body;
        assert!(page.contains("Maintenance: all jobs are paused."), "{path}: {page}");
        assert!(
            page.contains("2026-12-01 07:00:00") && page.contains("&#60;b&#62;disks"),
            "{page}"
        );
        assert!(page.contains("The jobs with tag"), "{page}");
    }
    let page = bench.ask("GET", "/?lang=zh", BROWSER, "").body;
    assert!(page.contains("维护中:所有任务已暂停"), "{page}");
    let text = bench.ask("GET", "/", "User-Agent: curl/8\r\n", "").body;
    assert!(text.contains("\n! Maintenance: all jobs are paused."), "{text}");
    assert!(text.contains("paused, 8d"), "{text}");
    send(&mut bench, "resume", &json!({"all": true})).is(200);
    let page = bench.ask("GET", "/", BROWSER, "").body;
    assert!(!page.contains("Maintenance") && page.contains("The jobs with tag"), "{page}");
}

/// The page has a form for it, and its banner a button that ends it: no scripts are needed.
#[test]
fn many_are_paused_and_resumed_by_forms() {
    let mut bench = bench();
    let send = |bench: &mut Bench, body: &str| bench.ask("POST", "/actions", BROWSER, body);
    let page = |bench: &mut Bench| bench.ask("GET", "/", BROWSER, "").is(200).body.clone();
    assert!(page(&mut bench).contains("<details class=\"pausing\">"));
    let back = "back=%2F%3Fstate%3Dpaused";
    let reply = send(&mut bench, &format!("action=pause&tag=&until=&note=new+disks&{back}"));
    assert_eq!(reply.is(303).header("Location"), Some("./?state=paused"));
    send(&mut bench, "action=pause&tag=2&until=2031-01-01T00:00:00%2B08:00&back=/").is(303);
    let pauses = bench.get("/api/v1/status").json()["pauses"].clone();
    let of = |nth: usize| (&pauses[nth]["of"], &pauses[nth]["tag_id"], &pauses[nth]["until"]);
    assert_eq!(of(0), (&"all".into(), &Value::Null, &Value::Null), "{pauses}");
    let until = "2031-01-01T00:00:00+08:00".into();
    assert_eq!(of(1), (&"tag".into(), &2.into(), &until), "{pauses}");
    assert_eq!(pauses[0]["note"], "new disks");
    let text = page(&mut bench);
    assert_eq!(text.matches("<button name=\"action\" value=\"resume\">").count(), 2, "{text}");
    assert!(text.contains("name=\"tag\" value=\"2\""), "{text}");
    for bad in ["tag=x", "until=soon", "until=2001-01-01T00:00:00Z"] {
        send(&mut bench, &format!("action=pause&{bad}")).is(400);
    }
    send(&mut bench, "action=resume&tag=&back=/").is(303);
    send(&mut bench, "action=resume&tag=2&back=/").is(303);
    assert_eq!(bench.get("/api/v1/status").json()["pauses"], json!([]));
    assert!(!page(&mut bench).contains("value=\"resume\""));
}

/// A form that names a job pauses neither that nor all jobs: it is told how to.
#[test]
fn a_form_of_a_job_pauses_not_all() {
    let mut bench = Bench::that_asks_seldom(&[tagged(1, NEVER, 2), tagged(2, NEVER, 5)]);
    let posted = |bench: &mut Bench, body: &str| bench.form(body).status;
    for body in ["action=pause&job=1", "action=pause", "action=pause&tags=2", "action=resume&job=1"]
    {
        assert_eq!(posted(&mut bench, body), 400, "{body}");
    }
    assert_eq!(bench.get("/api/v1/status").json()["pauses"], json!([]));
    assert_eq!(posted(&mut bench, "action=pause&tag="), 303);
    assert_eq!(bench.get("/api/v1/status").json()["pauses"][0]["of"], "all");
}
