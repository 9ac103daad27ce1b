//! `GET /api/v1/timeline`, as a client sees it: what the database has, what the daemon knows that
//! is newer, and what is due, in one picture.

use crate::web_common::{Bench, START, row};
use schedule::core::protocol::{JobRow, RunRecord};
use schedule::core::time::{datetime, rfc3339};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/timeline";
const HOUR_MS: i64 = 3_600_000;

/// A run that only the database has.
fn past(number: u32, job_id: u32, at_ms: i64, outcome: &str) -> RunRecord {
    let zone = schedule::core::cron::zone("Asia/Shanghai").unwrap();
    let start_time = datetime(at_ms, &zone);
    RunRecord {
        uniq_id: format!("5f3a{number:04x}"),
        job_id,
        server_id: 1,
        end_time: start_time.clone(),
        start_time,
        outcome: outcome.into(),
        duration_ms: u64::from(number) * 1_000,
        ..RunRecord::default()
    }
}

fn at(ms: i64) -> String {
    rfc3339(ms, &schedule::core::cron::zone("UTC").unwrap()).replace("+00:00", "Z")
}

/// The sum of a field over all bins of a lane.
fn sum(lane: &Value, field: &str) -> u64 {
    lane["cells"].as_array().unwrap().iter().map(|cell| cell[field].as_u64().unwrap()).sum()
}

fn lane(reply: &Value, job: u32) -> Value {
    let lanes = reply["lanes"].as_array().unwrap();
    lanes.iter().find(|lane| lane["job_id"] == job).unwrap().clone()
}

#[test]
fn past_present_and_future_are_one_picture() {
    let mut bench = Bench::with(&[row(1, "0 * * * *", "sleep 9"), row(2, "0 0 1 1 *", "x")]);
    let now_ms = bench.now.wall_ms;
    bench.past = vec![
        past(1, 1, now_ms - 2 * HOUR_MS, "exit 0"),
        past(2, 1, now_ms - 2 * HOUR_MS, "exit 3"),
        past(9, 2, now_ms - 3 * HOUR_MS, "signal 9"),
        past(4, 2, now_ms - 13 * HOUR_MS, "exit 0"),
        past(5, 77, now_ms - HOUR_MS, "exit 0"),
    ];
    bench.post("/api/v1/jobs/2/start").is(200);
    bench.pass(1_000);
    bench.end_all(0);
    bench.post("/api/v1/jobs/2/start").is(200);
    bench.pass(2_000);
    let reply = bench.get(PATH).is(200).json();
    assert_eq!((&reply["complete"], &reply["bin_ms"]), (&json!(true), &json!(600_000)), "{reply}");
    assert_eq!(reply["bins"], 144);
    let (one, two) = (lane(&reply, 1), lane(&reply, 2));
    assert_eq!((sum(&one, "ok"), sum(&one, "failed"), sum(&one, "planned")), (1, 1, 12), "{one}");
    // What has ended lately is known, and told once, whether the database has it or not.
    assert_eq!((sum(&two, "ok"), sum(&two, "failed"), sum(&two, "running")), (1, 1, 1), "{two}");
    let cell = &one["cells"][0];
    assert_eq!((&cell["bin"], &cell["longest_ms"]), (&json!(60), &json!(2_000)), "{one}");
    assert_eq!((&two["name"], &two["jobs"]), (&json!("job 2"), &json!(1)));
}

#[test]
fn many_jobs_have_a_lane_for_each_tag() {
    let rows = (1..=60).map(|id| JobRow { tag_id: id % 3, ..row(id, "*/10 * * * *", "x") });
    let mut bench = Bench::with(&rows.collect::<Vec<_>>());
    let now_ms = bench.now.wall_ms;
    bench.past = (1..=60).map(|id| past(id, id, now_ms - HOUR_MS, "exit 0")).collect();
    let (from, to) = (at(now_ms - 2 * HOUR_MS), at(now_ms + 2 * HOUR_MS));
    let reply = bench.get(&format!("{PATH}?from={from}&to={to}")).is(200).json();
    let lanes = reply["lanes"].as_array().unwrap();
    assert_eq!(lanes.len(), 3, "{reply}");
    for lane in lanes {
        let counts = (sum(lane, "ok"), sum(lane, "planned"), &lane["jobs"]);
        assert_eq!(counts, (20, 20 * 12, &json!(20)), "{lane}");
    }
    // The jobs of a tag are few enough.
    let reply = bench.get(&format!("{PATH}?tag=2&from={from}&to={to}")).is(200).json();
    assert_eq!(reply["lanes"].as_array().unwrap().len(), 20);
}

#[test]
fn without_the_database_it_is_what_the_daemon_knows() {
    let mut bench = Bench::with(&[row(1, "0 * * * *", "x")]);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(1_000);
    bench.end_all(1);
    bench.pass(HOUR_MS.unsigned_abs() / 2);
    bench.database_error = Some("gone".into());
    let reply = bench.get(PATH).is(200).json();
    assert_eq!(reply["complete"], false);
    assert!(reply["why"].as_str().unwrap().contains("gone"), "{reply}");
    let one = lane(&reply, 1);
    assert!(sum(&one, "failed") >= 1 && sum(&one, "planned") == 12, "{one}");
    // What is to come nobody is asked for.
    let from = at(bench.now.wall_ms + 1_000);
    let reply = bench.get(&format!("{PATH}?from={from}")).is(200).json();
    assert_eq!((&reply["complete"], sum(&lane(&reply, 1), "planned")), (&json!(true), 24));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut bench = Bench::with(&[row(1, "0 * * * *", "x")]);
    let now_ms = START.wall_ms;
    for query in [
        "from=x".to_owned(),
        format!("from={}&to={}", at(now_ms), at(now_ms)),
        format!("from={}&to={}", at(now_ms), at(now_ms + 32 * 24 * HOUR_MS)),
        "tag=nobody".to_owned(),
        "limit=3".to_owned(),
    ] {
        bench.get(&format!("{PATH}?{query}")).is(400);
    }
}
