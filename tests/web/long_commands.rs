//! Commands as long as they may be: lists show the beginning, a job's own page all of it, and no
//! turn of the loop takes long for them.

use crate::web_common::{Bench, row};
use schedule::core::limits::{LISTED_COMMAND_CHARS, LISTED_JSON_COMMAND_CHARS, MAX_COMMAND_BYTES};
use std::time::{Duration, Instant};

fn bench(jobs: u32) -> Bench {
    let rows: Vec<_> = (1..=jobs)
        .map(|id| {
            let mut command = format!("true {id} ");
            command.push_str(&"x".repeat(MAX_COMMAND_BYTES - command.len()));
            row(id, "0 0 1 1 *", &command)
        })
        .collect();
    Bench::with(&rows)
}

#[test]
fn lists_have_the_beginning_and_a_job_has_all() {
    let mut bench = bench(150);
    for (target, limit) in [
        ("/", 600_000),
        ("/?q=true", 600_000),
        ("/api/v1/jobs?per_page=1000", 400_000),
        ("/api/v1/jobs?q=true", 400_000),
    ] {
        let began = Instant::now();
        let reply = bench.get(target);
        let took = began.elapsed();
        assert!(reply.is(200).body.len() < limit, "{target}: {} bytes", reply.body.len());
        // Some 30 ms without optimization; with all of the commands it was seconds.
        assert!(took < Duration::from_secs(1), "{target}: {took:?}");
    }
    let list = bench.get("/api/v1/jobs").json();
    let listed = list["jobs"][0]["command"].as_str().unwrap();
    assert_eq!(listed.chars().count(), LISTED_JSON_COMMAND_CHARS + 1);
    assert!(listed.ends_with('…'));
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!(job["command"].as_str().unwrap().len(), MAX_COMMAND_BYTES);
    let page = bench.get("/jobs/1");
    assert!(page.body.len() > MAX_COMMAND_BYTES);
    let text = bench.ask("GET", "/", "Accept: text/plain\r\nUser-Agent: curl/8\r\n", "");
    assert!(text.body.len() < 150 * (LISTED_COMMAND_CHARS + 200), "{}", text.body.len());
}

#[test]
fn a_short_command_is_whole_everywhere() {
    let command = "y".repeat(LISTED_COMMAND_CHARS);
    let mut bench = Bench::with(&[row(1, "0 0 1 1 *", &command)]);
    let list = bench.get("/api/v1/jobs").json();
    assert_eq!(list["jobs"][0]["command"], command);
    for target in ["/", "/jobs/1"] {
        let page = bench.get(target);
        assert!(page.body.contains(&command) && !page.body.contains("y…"), "{target}");
    }
}

#[test]
fn a_command_too_long_with_its_placeholders_is_never_due_and_says_so() {
    let long = format!("{}{}", "x".repeat(MAX_COMMAND_BYTES), "{A}");
    let mut bench = Bench::with(&[row(1, "* * * * *", &long)]);
    let job = bench.get("/api/v1/jobs/1").json();
    let why = job["error"].as_str().unwrap();
    assert!(why.contains("131071 bytes with its placeholders"), "{why}");
    assert_eq!(job["next_due"], serde_json::Value::Null);
}
