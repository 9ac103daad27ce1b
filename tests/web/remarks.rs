//! What is said with a start, and what is shown of a run beside how it ended.

use crate::web_common::{Bench, row};
use schedule::core::event::{Ended, Event};
use schedule::core::ids::RunId;
use schedule::core::outcome::{Exit, Outcome};
use schedule::core::protocol::Answer;
use serde_json::Value;

const NEVER: &str = "0 0 1 1 *";

fn bench() -> Bench {
    Bench::with(&[row(1, NEVER, "backup")])
}

/// The run that is alive ends with this status, and this is what it wrote last.
fn end(bench: &mut Bench, code: u8, last_line: &str) {
    let run: RunId = *bench.core.scheduler.runs().keys().next().unwrap();
    let outcome = Outcome::Ended(Exit::Code(code));
    let ended = Ended { last_line: last_line.into(), ..Ended::unseen(run, bench.now, outcome) };
    bench.core.handle(bench.now, Event::Ended(Box::new(ended)));
    bench.turn();
}

#[test]
fn a_note_goes_with_a_start() {
    let mut bench = bench();
    let headers = "Content-Type: application/json\r\n";
    let mut start = |body: &str| bench.ask("POST", "/api/v1/jobs/1/start", headers, body);
    for (body, why) in [
        (r#"{"note": 5}"#, "note: it is a text"),
        (r#"{"note": "x""#, "the body is no JSON"),
        (r#"{"notes": "x"}"#, "`notes`"),
        (&format!(r#"{{"note": "{}"}}"#, "x".repeat(201)), "201 characters, and 200 are kept"),
    ] {
        let detail = start(body).is(400).json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(why), "{detail}");
    }
    start("{\"note\": \"once more\\u0007 <b>\\u202e\"}").is(200);
    let live = bench.get("/api/v1/jobs/1").json()["live"][0].clone();
    assert_eq!((&live["note"], &live["attempt"]), (&"once more? <b>?".into(), &1.into()));
    let page = bench.get("/jobs/1").body;
    assert!(page.contains(">once more? &#60;b&#62;?</bdi>"), "{page}");
    end(&mut bench, 0, "not of a good one");
    let past = bench.get("/api/v1/jobs/1/runs").json()["runs"][0].clone();
    assert_eq!((&past["note"], &past["last_line"]), (&live["note"], &Value::Null), "{past}");
    // What was sent before there were notes, and what a form says.
    for body in ["", "null", "x=y"] {
        bench.ask("POST", "/api/v1/jobs/1/start", headers, body).is(200);
        end(&mut bench, 0, "");
    }
    bench.form("action=start&job=1&note=by+hand").is(303);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["live"][0]["note"], "by hand");
}

#[test]
fn the_last_line_of_a_failed_run_is_shown() {
    let mut bench = bench();
    bench.post("/api/v1/jobs/1/start").is(200);
    end(&mut bench, 3, "no room: <tmp>");
    let job = bench.get("/api/v1/jobs/1").json();
    let run = job["last_run"]["run_id"].as_str().unwrap();
    assert_eq!(job["last_run"]["last_line"], "no room: <tmp>");
    let one = bench.get(&format!("/api/v1/runs/{run}")).json();
    assert_eq!((&one["last_line"], &one["who"]), (&"no room: <tmp>".into(), &"loopback".into()));
    assert!(bench.get("/jobs/1").body.contains(">no room: &#60;tmp&#62;</bdi>"));
    // One that was told to end did not fail.
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.post("/api/v1/jobs/1/stop").is(200);
    end(&mut bench, 3, "told to end");
    let last = bench.get("/api/v1/jobs/1").json()["last_run"].clone();
    assert_eq!((&last["stopped_by"], &last["last_line"]), (&"loopback".into(), &Value::Null));
}

/// Why it ended so is told with that.
#[test]
fn why_a_run_ended_says_who_stopped_it() {
    let mut bench = Bench::with(&[row(1, "* * * * *", "backup")]);
    bench.pass(60_000);
    bench.post("/api/v1/jobs/1/stop").is(200);
    end(&mut bench, 3, "");
    let why = bench.get("/api/v1/jobs/1/why").json()["answer"].clone();
    assert!(why.as_str().unwrap().ends_with(" ended with exit 3, stopped by loopback."), "{why}");
    let why = bench.get("/api/v1/jobs/1/why?lang=zh").json()["answer"].clone();
    assert!(why.as_str().unwrap().ends_with("结果为 exit 3,由 loopback 停止。"), "{why}");
}

#[test]
fn a_job_that_was_taken_over_shows_when_it_ran() {
    let mut bench = bench();
    assert_eq!(bench.get("/api/v1/jobs/1").json()["last_run_time"], Value::Null);
    // It is asked for once, so another daemon hears of it.
    let rows = [row(1, NEVER, "backup"), row(2, NEVER, "never")];
    let mut bench = Bench::asleep(bench.now, 0, None);
    bench.set_rows(&rows);
    bench.table.insert(0, Answer::LastRun { id: 1, at: "2026-11-20 13:42:07".into() });
    bench.table.insert(0, Answer::LastRun { id: 2, at: "0000-00-00 00:00:00".into() });
    bench.turn();
    let told = |bench: &mut Bench, job: u32| {
        bench.get(&format!("/api/v1/jobs/{job}")).json()["last_run_time"].clone()
    };
    assert_eq!(told(&mut bench, 1), "2026-11-20T13:42:07+08:00");
    assert_eq!(told(&mut bench, 2), Value::Null);
    assert!(bench.get("/jobs/1").is(200).body.contains("as its row says"));
    let text = bench.ask("GET", "/", "Accept: text/plain\r\n", "").body;
    assert!(text.contains("2d 0h ago"), "{text}");
    bench.post("/api/v1/jobs/1/start").is(200);
    end(&mut bench, 0, "");
    assert_eq!(told(&mut bench, 1), Value::Null, "a run is known by now");
}
