//! What is said with a start, and what is shown of a run beside how it ended.

use crate::web_common::{Bench, row};
use schedule::core::event::{Ended, Event};
use schedule::core::ids::RunId;
use schedule::core::outcome::{Exit, Outcome};
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
