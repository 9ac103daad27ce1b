//! Every answer is what `docs/openapi.json` says, and everything in there was asked.

use crate::web_common::{Bench, Reply, row};
use jsonschema::Validator;
use schedule::core::journal::{Cause, SkipReason};
use schedule::core::launch::LaunchError;
use schedule::core::outcome::{Exit, Outcome, OutcomeKind};
use schedule::core::protocol::{DayTold, RunRecord, Statistics, Uncounted};
use schedule::core::state_label::StateLabel;
use schedule::core::statistics::{Summary, Told};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const NEVER: &str = "0 0 1 1 *";

/// The description and what was found of it.
struct Description {
    doc: Value,
    seen: BTreeSet<(String, String)>,
}

impl Description {
    fn new() -> Description {
        let text = include_str!("../../docs/openapi.json");
        Description { doc: serde_json::from_str(text).unwrap(), seen: BTreeSet::new() }
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = schema.clone();
        whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        whole["components"] = self.doc["components"].clone();
        jsonschema::options().should_validate_formats(true).build(&whole).unwrap()
    }

    /// The template of a path: the one with as many segments, each the same or a parameter.
    fn template(&self, target: &str) -> String {
        let path: Vec<&str> = target.split('?').next().unwrap().split('/').collect();
        let fits = |template: &&String| {
            let parts: Vec<&str> = template.split('/').collect();
            let same = |(a, b): (&&str, &&str)| a.starts_with('{') || a == b;
            parts.len() == path.len() && parts.iter().zip(&path).all(same)
        };
        let mut paths = self.doc["paths"].as_object().unwrap().keys();
        paths.find(fits).unwrap_or_else(|| panic!("{target} is not described")).clone()
    }

    /// Demands that an answer is described.
    #[track_caller]
    fn demand(&mut self, method: &str, target: &str, reply: &Reply) {
        let template = self.template(target);
        let operation = &self.doc["paths"][&template][method.to_lowercase()];
        let responses = operation["responses"].as_object();
        let status = reply.status.to_string();
        // 405 comes where the method has no description of its own.
        let described = match responses {
            Some(responses) => responses.get(&status).unwrap_or(&responses["default"]),
            None => &json!({ "content": { "application/problem+json":
                { "schema": { "$ref": "#/components/schemas/Problem" } } } }),
        };
        if reply.status == 204 {
            assert!(described.is_object() && described["content"].is_null(), "{method} {target}");
            self.seen.insert((template, format!("{} {status}", method.to_lowercase())));
            return;
        }
        let kind = reply.header("content-type").unwrap().split(';').next().unwrap();
        let schema = &described["content"][kind]["schema"];
        assert!(!schema.is_null(), "{method} {target}: {status} {kind} is not described");
        let value = match kind.ends_with("json") {
            true => reply.json(),
            false => Value::from(reply.body.clone()),
        };
        let errors: Vec<String> = (self.validator(schema).iter_errors(&value))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{method} {target}: {errors:#?} in {value:#}");
        self.seen.insert((template, format!("{} {status}", method.to_lowercase())));
    }
}

struct Tour {
    bench: Bench,
    description: Description,
}

impl Tour {
    fn ask(&mut self, method: &str, target: &str, status: u16) -> Reply {
        self.send(method, target, "", "", status)
    }

    fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
        status: u16,
    ) -> Reply {
        let reply = self.bench.ask(method, target, headers, body);
        assert_eq!(reply.status, status, "{method} {target}: {reply:?}");
        self.description.demand(method, target, &reply);
        reply
    }

    fn get(&mut self, target: &str, status: u16) -> Reply {
        self.ask("GET", target, status)
    }

    fn post(&mut self, target: &str, status: u16) -> Reply {
        self.ask("POST", target, status)
    }

    /// What is asked of each state of a job.
    fn look(&mut self) {
        self.get("/api/v1/status", 200);
        self.get("/api/v1/jobs", 200);
        for id in [1, 2, 3] {
            self.get(&format!("/api/v1/jobs/{id}"), 200);
            self.get(&format!("/api/v1/jobs/{id}/runs"), 200);
        }
    }
}

fn tour() -> Tour {
    let mut often = row(2, "* * * * * *", "sleep 9");
    often.output = "/o".into();
    often.tag_id = 2;
    let bad = row(3, "99 * * * *", "{X} \"quoted\" 备份");
    let bench = Bench::with(&[row(1, NEVER, "sleep 9"), often, bad]);
    Tour { bench, description: Description::new() }
}

#[test]
fn every_answer_is_described_and_every_description_is_answered() {
    let mut tour = tour();
    tour.look();
    tour.get("/healthz", 200);
    tour.get("/metrics", 200);
    tour.get("/api/v1/openapi.json", 200);
    tour.get("/api/v1/forecast", 200);
    tour.get("/api/v1/export", 200);
    tour.get("/api/v1/export?format=crontab", 200);
    tour.get("/api/v1/audit?since=x", 400);
    for (target, status) in [("2/why", 200), ("2/why?at=x", 400), ("01/why", 404)] {
        tour.get(&format!("/api/v1/jobs/{target}"), status);
    }
    tour.bench.files.insert("/o".into(), b"a\nb\n".to_vec());
    tour.bench.files.insert("log".into(), b"a\nb\n".to_vec());
    commands(&mut tour);
    errors(&mut tour);
    tour.get("/api/v1/runs", 200);
    tour.get("/api/v1/runs/1-1", 503);
    tour.get("/api/v1/jobs/1/statistics", 503);
    tour.bench.database_error = None;
    past(&mut tour);
    changes(&mut tour);
    pauses(&mut tour);
    vars_and_tags(&mut tour);
    applied(&mut tour);
    tour.get("/api/v1/audit?limit=1000", 200);
    let asked: BTreeSet<_> = tour.description.seen.clone();
    let mut missed = Vec::new();
    for (path, operations) in tour.description.doc["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                let is_seen = asked.contains(&(path.clone(), format!("{method} {status}")));
                // Files that can't be used, and full queues, are other tests' business.
                let elsewhere = ["default", "202", "503", "504", "409"].contains(&status.as_str())
                    || path.ends_with("events")
                    // A table without the column is a real database's.
                    || (path.ends_with("/pause") && status == "422");
                if !is_seen && !elsewhere {
                    missed.push(format!("{method} {path} {status}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "described and never seen: {missed:#?}");
}

/// One of each kind, but for what takes somebody's hand.
fn outcomes() -> [Outcome; 5] {
    let number = 11;
    [
        Outcome::Ended(Exit::Code(3)),
        Outcome::Ended(Exit::Signal { number, core_dumped: true }),
        Outcome::LeftBehind(Exit::Code(0), "pid 7 (sleep)".into()),
        Outcome::SpawnFailed("no such directory".into()),
        Outcome::Lost("nobody saw it".into()),
    ]
}

fn commands(tour: &mut Tour) {
    let run = tour.post("/api/v1/jobs/1/start", 200).json()["run_id"].as_str().unwrap().to_owned();
    tour.bench.files.insert(format!("1/{run}.out"), b"a\nb\n".to_vec());
    tour.get(&format!("/api/v1/runs/{run}/output"), 200);
    tour.get("/api/v1/jobs/2/output", 200);
    tour.get("/api/v1/log", 200);
    tour.bench.pass(4_000);
    tour.look();
    tour.post("/api/v1/jobs/1/start", 409);
    tour.post(&format!("/api/v1/runs/{run}/output/clear"), 200);
    tour.post("/api/v1/jobs/2/output/clear", 200);
    tour.post("/api/v1/log/clear", 200);
    tour.post(&format!("/api/v1/runs/{run}/stop"), 200);
    tour.post("/api/v1/jobs/1/stop", 200);
    tour.look();
    // A changed row waits for the run of the old one.
    let rows = [row(1, NEVER, "sleep 8"), row(2, NEVER, "true"), row(3, "99 * * * *", "x")];
    tour.bench.set_rows(&rows);
    tour.post("/api/v1/sync", 200);
    tour.look();
    tour.bench.end_all(255);
    tour.look();
    let kinds: BTreeSet<_> = outcomes().iter().map(|outcome| outcome.kind(false)).collect();
    let by_hand = BTreeSet::from([OutcomeKind::Stopped]);
    assert_eq!(&kinds | &by_hand, BTreeSet::from(OutcomeKind::ALL), "one of each kind");
    for outcome in outcomes() {
        tour.post("/api/v1/jobs/1/start", 200);
        tour.bench.end_all_as(&outcome);
        tour.look();
    }
    tour.post(&format!("/api/v1/runs/{run}/stop"), 409);
    tour.post("/api/v1/jobs/1/stop", 409);
    let error = |retryable| LaunchError { errno: 11, retryable, text: "no processes".into() };
    tour.bench.launch_error = Some(error(true));
    tour.post("/api/v1/jobs/2/start", 200);
    tour.look();
    tour.post("/api/v1/jobs/2/stop", 200);
    tour.bench.launch_error = Some(error(false));
    tour.post("/api/v1/jobs/3/start", 500);
    tour.look();
    tour.bench.database_error = Some("access denied: set [db1] password".into());
    tour.post("/api/v1/sync", 503);
    tour.look();
}

/// What was.
fn past(tour: &mut Tour) {
    let original = RunRecord {
        uniq_id: "5f3a0c81d2e4b".into(),
        job_id: 77,
        server_id: 1,
        start_time: "2020-01-01 00:00:00".into(),
        end_time: "2020-01-01 00:00:09".into(),
        ..RunRecord::default()
    };
    tour.bench.past = vec![original];
    let page = tour.get("/api/v1/runs?skips=1", 200).json();
    for run in page["runs"].as_array().unwrap() {
        tour.get(&format!("/api/v1/runs/{}", run["run_id"].as_str().unwrap()), 200);
    }
    tour.get("/api/v1/jobs/77/runs", 200);
    tour.get("/api/v1/runs/1-1", 404);
    tour.get("/api/v1/runs/%27", 400);
    tour.get("/api/v1/runs?limit=0", 400);
    let summary = Summary { runs: 1, mean: 7, p50: 7, p95: 7, max: 7 };
    let told = Told { runs: 1, ok: 1, duration_ms: Some(summary), ..Told::default() };
    tour.bench.counted.found = Statistics {
        windows: vec![Told::default(), told.clone(), told.clone()],
        days: vec![DayTold { day: "2026-11-20".into(), told }],
        from: "2026-11-01".into(),
        uncounted: Some(Uncounted::NotYet),
    };
    tour.get("/api/v1/jobs/1/statistics", 200);
    tour.get("/api/v1/timeline", 200);
}

/// Jobs are changed.
fn changes(tour: &mut Tour) {
    let good = r#"{"name": "n", "command": "/bin/true", "cron": "0 3 * * *"}"#;
    let list = "/api/v1/jobs";
    let made = tour.send("POST", list, "", good, 201).json();
    let preview = "/api/v1/jobs/preview";
    tour.send("POST", preview, "", good, 200);
    tour.send("POST", preview, "", "[]", 400);
    tour.send("POST", preview, "", r#"{"id": 77}"#, 404);
    tour.send("POST", preview, "", r#"{"id": 1, "cron": "x"}"#, 422);
    tour.send("POST", preview, "If-Match: \"0123456789abcdef\"\r\n", r#"{"id": 1}"#, 412);
    tour.send("POST", list, "", r#"{"command": "", "nonsense": 1}"#, 422);
    tour.send("POST", list, "", "[]", 400);
    let job = format!("/api/v1/jobs/{}", made["id"]);
    let wrong = "If-Match: \"0123456789abcdef\"\r\n";
    for path in ["", "/enable", "/disable"] {
        let (method, body) =
            if path.is_empty() { ("PATCH", r#"{"name": "m"}"#) } else { ("POST", "") };
        tour.send(method, &format!("{job}{path}"), "", body, 200);
        tour.send(method, &format!("{job}{path}"), wrong, body, 412);
        tour.send(method, &format!("{job}{path}"), "If-Match: x\r\n", body, 400);
        tour.send(method, &format!("/api/v1/jobs/77{path}"), "", body, 404);
    }
    tour.send("PATCH", &job, "", r#"{"cron": "x"}"#, 422);
    // Disabled, and its row would not start.
    tour.send("PATCH", &job, "Origin: http://evil.example\r\n", "{}", 403);
    tour.bench.spoil(made["id"].as_u64().unwrap() as u32);
    tour.send("POST", &format!("{job}/enable"), "", "", 422);
    tour.send("DELETE", &job, wrong, "", 412);
    tour.send("DELETE", &job, "If-Match: x\r\n", "", 400);
    tour.send("DELETE", &job, "Origin: http://evil.example\r\n", "", 403);
    tour.send("DELETE", &job, "", "", 204);
    tour.send("DELETE", &job, "", "", 404);
}

/// Slots are skipped for a while.
fn pauses(tour: &mut Tour) {
    let until = "2031-01-01T00:00:00Z";
    let of = |whose: &str| format!("{{{whose}, \"until\": \"{until}\", \"note\": \"x\"}}");
    for whose in ["\"all\": true", "\"tag\": 2", "\"job\": 1"] {
        tour.send("POST", "/api/v1/pause", "", &of(whose), 200);
        tour.look();
    }
    for verb in ["pause", "resume"] {
        let path = format!("/api/v1/{verb}");
        tour.send("POST", &path, "", "{}", 400);
        tour.send("POST", &path, "", "{\"job\": 77}", 404);
        tour.send("POST", &path, "Origin: http://evil.example\r\n", "{\"all\": true}", 403);
    }
    for whose in ["\"all\": true", "\"tag\": \"备份\"", "\"job\": 1"] {
        tour.send("POST", "/api/v1/pause", "", &format!("{{{whose}}}"), 200);
        tour.look();
        tour.send("POST", "/api/v1/resume", "", &format!("{{{whose}}}"), 200);
    }
}

/// The group is made as a file says.
fn applied(tour: &mut Tour) {
    let good = r#"{"name": "n", "command": "/bin/true", "cron": "0 3 * * *"}"#;
    let file = format!(r#"{{"format": 1, "jobs": [{good}]}}"#);
    let planned = tour.send("POST", "/api/v1/apply?dry_run&prune", "", &file, 200).json();
    let expected = format!("If-Match: \"{}\"\r\n", planned["version"].as_str().unwrap());
    let done = tour.send("POST", "/api/v1/apply?prune=true", &expected, &file, 200).json();
    let id = done["changes"][0]["key"].as_str().unwrap();
    tour.get(&format!("/api/v1/jobs/{id}"), 200);
    tour.get("/api/v1/jobs/1", 404);
    tour.send("POST", "/api/v1/apply?prune=true", &expected, &file, 412);
    tour.send("POST", "/api/v1/apply", "", &file.replace("0 3", "0 33"), 422);
    tour.send("POST", "/api/v1/apply", "", "no json", 422);
    tour.send("POST", "/api/v1/apply?prune=perhaps", "", &file, 400);
    let warned = file.replace("/bin/true", "{NO} x").replace("\"n\"", "\"m\"");
    let warned = tour.send("POST", "/api/v1/apply", "", &warned, 200).json();
    assert!(!warned["warnings"].as_array().unwrap().is_empty(), "{warned}");
}

/// Variables and tags are changed.
fn vars_and_tags(tour: &mut Tour) {
    let wrong = "If-Match: \"0123456789abcdef\"\r\n";
    for (list, used) in [("/api/v1/vars", "{N}"), ("/api/v1/tags", "")] {
        let made = tour.send("POST", list, "", r#"{"name": "N"}"#, 201).json();
        tour.send("POST", list, "", r#"{"name": "N"}"#, 422);
        tour.send("POST", list, "", "[]", 400);
        let one = format!("{list}/{}", made["id"]);
        let job = json!({"command": format!("true {used}"), "cron": NEVER, "tag_id": made["id"]});
        tour.send("POST", "/api/v1/jobs", "", &job.to_string(), 201);
        tour.get(list, 200);
        tour.send("PATCH", &one, "", r#"{"name": "N"}"#, 200);
        tour.send("PATCH", &one, "", r#"{"name": ""}"#, 422);
        tour.send("PATCH", &one, "Origin: http://evil.example\r\n", "{}", 403);
        tour.send("DELETE", &one, "Origin: http://evil.example\r\n", "", 403);
        tour.send("DELETE", &one, "", "", 409);
        for (method, body) in [("PATCH", r#"{"name": "M"}"#), ("DELETE", "")] {
            tour.send(method, &one, wrong, body, 412);
            tour.send(method, &one, "If-Match: x\r\n", body, 400);
            tour.send(method, &format!("{list}/77"), "", body, 404);
        }
        tour.send("DELETE", &format!("{one}?force=1"), "", "", 204);
    }
}

fn errors(tour: &mut Tour) {
    for path in ["", "/runs", "/output", "/statistics"] {
        let path = format!("/api/v1/jobs/x{path}");
        let path = path.as_str();
        tour.get(path, 400);
        tour.get(&path.replace('x', "9"), 404);
    }
    for path in ["jobs/x/start", "jobs/x/stop", "jobs/x/output/clear"] {
        tour.post(&format!("/api/v1/{path}"), 400);
        tour.post(&format!("/api/v1/{}", path.replace('x', "9")), 404);
    }
    for path in ["runs/x/stop", "runs/x/output/clear"] {
        tour.post(&format!("/api/v1/{path}"), 400);
        tour.post(&format!("/api/v1/{}", path.replace('x', "1-1")), 404);
    }
    tour.get("/api/v1/runs/x/output", 400);
    tour.get("/api/v1/runs/1-1/output", 404);
    tour.get("/api/v1/log?level=loud", 400);
    tour.get("/api/v1/jobs?page=0", 400);
    tour.get("/api/v1/forecast?to=2026-11-01T00:00:00Z", 400);
    tour.get("/api/v1/timeline?from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z", 400);
    tour.get("/api/v1/export?format=yaml", 400);
    tour.get("/api/v1/events?page=x", 400);
    tour.bench.files.clear();
    tour.get("/api/v1/log", 404);
    tour.post("/api/v1/log/clear", 404);
    let paths: Vec<String> =
        tour.description.doc["paths"].as_object().unwrap().keys().cloned().collect();
    for path in paths {
        let target = path.replace("{id}", "1").replace("{run}", "1-1");
        tour.ask("PUT", &target, 405);
        if tour.description.doc["paths"][&path]["post"].is_object() {
            let foreign = tour.bench.ask("POST", &target, "Origin: http://evil.example\r\n", "");
            assert_eq!(foreign.status, 403);
            tour.description.demand("POST", &target, &foreign);
        }
    }
}

/// The words that a value may have, wherever there is one of this name: of a field, or a parameter.
fn words(node: &Value, name: &str, found: &mut Vec<Vec<String>>) {
    let text = |word: &Value| word.as_str().map(str::to_owned);
    let listed = |of: &Value| of["enum"].as_array().map(|of| of.iter().filter_map(text).collect());
    let parameter = (node["name"] == name).then(|| &node["schema"]);
    found.extend(
        [Some(&node["properties"][name]), parameter].into_iter().flatten().flat_map(listed),
    );
    match node {
        Value::Array(nodes) => nodes.iter().for_each(|node| words(node, name, found)),
        Value::Object(nodes) => nodes.values().for_each(|node| words(node, name, found)),
        _ => {}
    }
}

/// The lists are described whole, and each word of them.
#[test]
fn lists_are_described_whole() {
    let doc = Description::new().doc;
    let described = |name: &str| {
        let mut found = Vec::new();
        words(&doc, name, &mut found);
        found
    };
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let causes = owned(&Cause::ALL.map(Cause::label));
    assert_eq!(described("cause"), [causes.clone(), causes]);
    let reasons = owned(&SkipReason::ALL.map(SkipReason::label));
    // Other reasons are free text.
    assert_eq!(described("reason"), std::slice::from_ref(&reasons));
    let skipped = doc.pointer("/components/schemas/Job/properties/skipped/properties").unwrap();
    let skipped: BTreeSet<&String> = skipped.as_object().unwrap().keys().collect();
    assert_eq!(skipped, reasons.iter().collect());
    // That of a start is one of a few of them.
    let states = BTreeSet::from(StateLabel::ALL.map(StateLabel::original));
    let (of_jobs, of_starts): (Vec<_>, Vec<_>) =
        described("state").into_iter().partition(|words| words.iter().any(String::is_empty));
    assert_eq!((of_jobs.len(), of_starts.len()), (3, 1));
    for words in of_jobs {
        assert_eq!(words.iter().map(String::as_str).collect::<BTreeSet<_>>(), states);
    }
    assert!(of_starts[0].iter().all(|word| states.contains(word.as_str())), "{of_starts:?}");
    // What is refused tells what there is.
    let mut bench = Bench::with(&[row(1, NEVER, "true")]);
    let why = bench.get("/api/v1/jobs?sort=x").is(400).json();
    for words in described("sort") {
        assert_eq!(why["detail"], format!("sort: `x` is none of {}", words.join(", ")));
    }
    let why = bench.get("/api/v1/jobs?state=x").is(400).json();
    let words = StateLabel::ALL.map(StateLabel::label).join(", ");
    assert_eq!(why["detail"], format!("state: `x` is none of {words}, all"));
}

/// The check itself can fail.
#[test]
fn an_answer_that_is_not_described_is_found() {
    let description = Description::new();
    let problem = description.validator(&json!({ "$ref": "#/components/schemas/Problem" }));
    let good =
        json!({ "type": "about:blank", "title": "x", "status": 404, "detail": "long enough" });
    assert!(problem.is_valid(&good));
    for (name, value) in [("status", json!("404")), ("more", json!(1)), ("detail", json!(""))] {
        let mut bad = good.clone();
        bad[name] = value;
        assert!(!problem.is_valid(&bad), "{bad}");
    }
    let skip = description.validator(&json!({ "$ref": "#/components/schemas/Skip" }));
    let time = "2026-11-22T13:42:07+08:00";
    let good = json!({"reason": "overlap", "first_slot": time, "last_slot": time, "count": 1});
    assert!(skip.is_valid(&good));
    let mut bad = good;
    bad["last_slot"] = "2026-11-22 13:42:07".into();
    assert!(!skip.is_valid(&bad), "formats count");
}
