//! `GET /api/v1/runs` and `…/jobs/ID/runs`, as a client sees them: what the daemon knows and what
//! the database has are one list.

use crate::web_common::{Bench, Reply, START, row};
use schedule::core::event::Event;
use schedule::core::ids::{ConnId, JobId, RunId};
use schedule::core::places::Peer;
use schedule::core::protocol::{Answer, JobRow, Purpose, RunRecord, RunsEnd};
use schedule::core::run_kind::RunKind;
use serde_json::{Value, json};

const NEVER: &str = "0 0 1 1 *";

/// A run of the past that only the database knows: so many seconds before the daemon began.
fn past(job_id: u32, seconds: i64, outcome: &str) -> RunRecord {
    let wall_ms = START.wall_ms - seconds * 1_000;
    let zone = schedule::core::cron::zone("Asia/Shanghai").unwrap();
    let at = |ms| schedule::core::time::datetime(ms, &zone);
    RunRecord {
        uniq_id: RunId::next(1, 3, 0, wall_ms).to_string(),
        job_id,
        server_id: 1,
        command: format!("echo {outcome} of {job_id}"),
        start_time: at(wall_ms),
        end_time: at(wall_ms + 1_000),
        running_time_s: 1,
        pid: 99,
        concurrent: 1,
        cause: "due".into(),
        outcome: outcome.into(),
        duration_ms: 1_234,
        ..RunRecord::default()
    }
}

fn ids(page: &Value) -> Vec<String> {
    let runs = page["runs"].as_array().unwrap();
    runs.iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect()
}

/// Walks through all pages, and returns the ids of each.
fn walk(bench: &mut Bench, target: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut before = String::new();
    loop {
        let page = bench.get(&format!("{target}{before}")).is(200).json();
        assert_eq!(page["complete"], true, "{page}");
        pages.push(ids(&page));
        let Some(next) = page["next"].as_str() else { return pages };
        assert_eq!(Some(next), pages.last().unwrap().last().map(String::as_str));
        before = format!("&before={next}");
        assert!(pages.len() < 100, "no end");
    }
}

/// Three runs of each of two jobs that the daemon knows, 30 and 5 that the database has besides.
fn bench() -> (Bench, Vec<String>) {
    let mut bench = Bench::with(&[
        row(1, NEVER, "sleep 9"),
        JobRow { tag_id: 2, ..row(2, NEVER, "Sleep 'Z'") },
    ]);
    for _ in 0..3 {
        bench.post("/api/v1/jobs/1/start").is(200);
        bench.post("/api/v1/jobs/2/start").is(200);
        bench.pass(2_000);
        bench.end_all(0);
        bench.pass(1_000);
    }
    bench.post("/api/v1/jobs/2/start").is(200);
    let mut known: Vec<String> = walk(&mut bench, "/api/v1/runs?limit=5").concat();
    bench.past = (0..30).map(|n| past(1, 60 + 7 * n, "exit 0")).collect();
    bench.past.extend((0..5).map(|n| past(2, 104 + 30 * n, "exit 1")));
    // One that is alive is there as well, since it began.
    let live = RunRecord { outcome: "running".into(), end_time: String::new(), ..past(2, 0, "") };
    let start_time = "2026-11-22 13:42:16".into();
    bench.past.push(RunRecord { uniq_id: known[0].clone(), start_time, ..live });
    let mut rows: Vec<RunRecord> = bench.past[..35].to_vec();
    rows.sort_by_key(|row| std::cmp::Reverse((row.start_time.clone(), row.uniq_id.clone())));
    known.extend(rows.into_iter().map(|row| row.uniq_id));
    (bench, known)
}

#[test]
fn the_pages_have_each_run_once_and_newest_first() {
    let (mut bench, all) = bench();
    assert_eq!(all.len(), 42);
    for limit in [1, 2, 5, 7, 41, 42, 43, 1_000] {
        let pages = walk(&mut bench, &format!("/api/v1/runs?limit={limit}"));
        assert_eq!(pages.concat(), all, "{limit}");
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit));
    }
    let of_two = walk(&mut bench, "/api/v1/jobs/2/runs?limit=4").concat();
    assert_eq!(of_two.len(), 9);
    assert_eq!(walk(&mut bench, "/api/v1/runs?limit=3&tag=2").concat(), of_two);
    let page = bench.get("/api/v1/jobs/2/runs").json();
    assert_eq!(ids(&page), of_two);
    let runs = page["runs"].as_array().unwrap();
    assert_eq!((&runs[0]["outcome"], &runs[0]["kind"]), (&json!("running"), &json!("running")));
    assert_eq!((&runs[1]["job_id"], &runs[1]["name"]), (&json!(2), &json!("job 2")));
    let old = runs.last().unwrap();
    assert_eq!(
        *old,
        json!({
            "run_id": of_two[8], "job_id": 2, "name": "job 2", "command": "echo exit 1 of 2",
            "attempt": 1,
            "cause": "due", "slot": null, "started_at": "2026-11-22T13:38:23+08:00",
            "ended_at": "2026-11-22T13:38:24+08:00", "duration_ms": 1_234, "pid": 99,
            "outcome": "exit 1", "kind": "failure", "exit_code": 1, "signal": null,
            "stopped": false, "user_ms": 0, "system_ms": 0, "max_rss_bytes": 0,
        })
    );
}

#[test]
fn a_page_is_narrowed_by_outcome_time_and_words() {
    let (mut bench, all) = bench();
    let mut count = |query: &str| walk(&mut bench, &format!("/api/v1/runs?{query}")).concat().len();
    assert_eq!(count("outcome=ok&limit=9"), 36);
    assert_eq!(count("outcome=failed&limit=2"), 5);
    assert_eq!(count("outcome=failure,success"), 41);
    assert_eq!(count("outcome=running"), 1);
    assert_eq!(count("outcome=stopped"), 0);
    assert_eq!(count("q=EXIT+of"), 35);
    assert_eq!(count("q=sleep"), 7);
    assert_eq!(count("q=sleep+z&outcome=ok"), 3);
    // From 13:38:23 on.
    assert_eq!(count("since=2026-11-22T13:42:00%2B08:00"), 7);
    assert_eq!(count("until=2026-11-22T13:42:00%2B08:00"), 35);
    let both = "since=2026-11-22T13:38:23%2B08:00&until=2026-11-22T05:38:25Z";
    assert_eq!(count(&format!("{both}&tag=2")), 1);
    assert_eq!(all.len(), 42);
    for (query, why) in [
        ("limit=0", "1 to 1000"),
        ("limit=1001", "1 to 1000"),
        ("outcome=well", "none of ok, failed, running"),
        ("before=x'y", "before: the id of a run"),
        ("before=unknown", "before: the id of a run"),
        ("since=yesterday", "is not an instant"),
        ("tag=x", "is no tag"),
        ("skips=yes", "none of 0, 1"),
        ("outcomes=ok", "did you mean `outcome`"),
        ("q=1+2+3+4+5+6+7+8+9", "at most 8 words"),
    ] {
        let reply = bench.get(&format!("/api/v1/runs?{query}"));
        assert!(reply.is(400).body.contains(why), "{query}: {}", reply.body);
    }
}

/// What the daemon knows of a run counts, whatever the database has of it.
#[test]
fn of_a_run_that_both_know_the_daemon_knows_more() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let started = bench.post("/api/v1/jobs/1/start").is(200).json();
    let run = started["run_id"].as_str().unwrap().to_owned();
    let live = RunRecord { uniq_id: run, ..past(1, 0, "running") };
    bench.past = vec![RunRecord { end_time: String::new(), ..live }];
    bench.pass(1_000);
    bench.end_all(3);
    let page = bench.get("/api/v1/runs").json();
    assert_eq!(page["runs"][0]["outcome"], "exit 3", "{page}");
    assert_eq!(bench.get("/api/v1/runs?outcome=running").json()["runs"], json!([]));
    assert_eq!(bench.get("/api/v1/runs?outcome=failed").json()["runs"][0]["exit_code"], 3);
    // One that has no end there, and of which the daemon knows nothing, is not alive.
    bench.past = vec![RunRecord { end_time: String::new(), ..past(1, 99, "running") }];
    let page = bench.get("/api/v1/runs?outcome=unknown").json();
    assert_eq!(page["runs"][0]["outcome"], "unknown", "{page}");
    assert_eq!(bench.get("/api/v1/runs?outcome=running").json()["runs"], json!([]));
}

#[test]
fn what_the_daemon_knows_itself_needs_no_database() {
    let (mut bench, all) = bench();
    bench.pasts_asked = 0;
    let page = bench.get("/api/v1/jobs/2/runs?limit=2").is(200).json();
    assert_eq!((page["complete"].as_bool(), ids(&page).len()), (Some(true), 2));
    let next = page["next"].as_str().unwrap();
    bench.get(&format!("/api/v1/jobs/2/runs?limit=1&before={next}")).is(200);
    bench.get(&format!("/api/v1/runs/{}", all[0])).is(200);
    assert_eq!(bench.pasts_asked, 0);
    // The one that is remembered longest may have others before it that are not.
    let page = bench.get("/api/v1/jobs/2/runs?limit=4").is(200).json();
    assert_eq!((ids(&page).len(), bench.pasts_asked), (4, 1));
}

#[test]
fn without_the_database_what_is_known_is_told_and_that_it_is_not_all() {
    let (mut bench, all) = bench();
    bench.database_error = Some("it is away".into());
    let page = bench.get("/api/v1/runs").is(200).json();
    assert_eq!((&page["complete"], ids(&page)), (&json!(false), all[..7].to_vec()));
    assert!(page["why"].as_str().unwrap().contains("it is away"), "{page}");
    let page = bench.get("/api/v1/runs?limit=3").is(200).json();
    assert_eq!((ids(&page), page["next"].as_str()), (all[..3].to_vec(), Some(&*all[2])));
    // Behind one that only the database knows: its id says when it was.
    let page = bench.get(&format!("/api/v1/runs?before={}", all[9])).is(200).json();
    assert_eq!((&page["runs"], &page["complete"]), (&json!([]), &json!(false)));
    let reply = bench.get(&format!("/api/v1/runs/{}", all[9]));
    assert!(reply.is(503).header("retry-after").is_some(), "{reply:?}");
    bench.get(&format!("/api/v1/runs/{}", all[0])).is(200);
}

#[test]
fn one_run_is_found_for_ever_also_of_a_job_that_is_gone() {
    let (mut bench, all) = bench();
    let run = bench.get(&format!("/api/v1/runs/{}", all[41])).is(200).json();
    assert_eq!((&run["run_id"], &run["outcome"]), (&json!(all[41]), &json!("exit 0")));
    let reply = bench.get("/api/v1/runs/1-0u93ojk0c8w1ma5kz2");
    assert!(reply.is(404).body.contains("there is no run"), "{reply:?}");
    bench.get("/api/v1/runs/x%27y").is(400);
    // An id of the original.
    bench.past.push(RunRecord { uniq_id: "5f3a0c81d2e4b".into(), ..past(77, 9_999, "") });
    let run = bench.get("/api/v1/runs/5f3a0c81d2e4b").is(200).json();
    assert_eq!((&run["outcome"], &run["name"]), (&json!("unknown"), &Value::Null));
    let page = bench.get("/api/v1/jobs/77/runs").is(200).json();
    assert_eq!(ids(&page), ["5f3a0c81d2e4b"]);
    bench.get("/api/v1/jobs/78/runs").is(404);
}

#[test]
fn skipped_slots_are_told_where_they_are_wanted() {
    let mut bench = Bench::with(&[row(1, "* * * * *", "sleep 99")]);
    bench.pass(60_000);
    bench.pass(60_000);
    bench.pass(60_000);
    let page = bench.get("/api/v1/runs").is(200).json();
    assert_eq!((ids(&page).len(), page.get("skips")), (1, None));
    for target in ["/api/v1/runs?skips=1", "/api/v1/jobs/1/runs?skips=1"] {
        let page = bench.get(target).is(200).json();
        assert_eq!(
            page["skips"],
            json!([{
                "job_id": 1, "reason": "overlap", "first_slot": "2026-11-22T13:44:00+08:00",
                "last_slot": "2026-11-22T13:45:00+08:00", "count": 2,
            }])
        );
    }
    // They go on at that instant.
    let page = bench.get("/api/v1/runs?skips=1&since=2026-11-22T05:44:30Z").json();
    assert_eq!(page["skips"][0]["count"], 2, "{page:#}");
    assert_eq!(
        bench.get("/api/v1/runs?skips=1&until=2026-11-22T05:44:00Z").json()["skips"],
        json!([])
    );
}

/// Words are looked for in what was run, not in what would be run now.
#[test]
fn a_run_is_found_by_the_command_that_it_had() {
    let mut bench = Bench::that_asks_seldom(&[row(1, NEVER, "echo AAAA")]);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(1_000);
    bench.end_all(0);
    bench.pass(1_000);
    bench.carry_all();
    bench.ask("PATCH", "/api/v1/jobs/1", "", r#"{"command": "echo BBBB"}"#).is(200);
    bench.pass(1_000);
    let count = |bench: &mut Bench, word: &str| {
        ids(&bench.get(&format!("/api/v1/runs?q={word}")).is(200).json()).len()
    };
    assert_eq!((count(&mut bench, "AAAA"), count(&mut bench, "BBBB")), (1, 0));
}

fn ask(bench: &mut Bench, target: &str) -> ConnId {
    bench.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
}

fn status(bench: &mut Bench, conn: ConnId) -> Option<Reply> {
    let text = bench.received(conn);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head[9..12].parse().unwrap();
    Some(Reply { status, head: head.to_owned(), body: body.to_owned() })
}

#[test]
fn a_database_that_is_silent_is_waited_for_five_seconds() {
    let (mut bench, all) = bench();
    bench.silent = true;
    let conns = [0; 3].map(|_| ask(&mut bench, "/api/v1/runs"));
    let gone = ask(&mut bench, "/api/v1/runs");
    bench.leave(gone);
    bench.pass(4_900);
    assert!(conns.iter().all(|conn| status(&mut bench, *conn).is_none()));
    bench.pass(100);
    for conn in conns {
        let page = status(&mut bench, conn).expect("an answer").is(200).json();
        assert_eq!((&page["complete"], ids(&page)), (&json!(false), all[..7].to_vec()));
    }
}

/// A client that has left is forgotten, and an answer to it is nobody's.
#[test]
fn who_leaves_is_forgotten() {
    let (mut bench, _) = bench();
    bench.silent = true;
    let gone = ask(&mut bench, "/api/v1/runs");
    let id = bench.core.scheduler.asked(Purpose::History).unwrap();
    let other = ask(&mut bench, "/api/v1/runs?limit=1");
    bench.leave(gone);
    bench.silent = false;
    for answer in [Answer::To(id), Answer::Runs(RunsEnd::default()), Answer::Done(id)] {
        let line = serde_json::to_vec(&answer).unwrap();
        bench.core.handle(bench.now, Event::AnswerLine(Purpose::History, &line));
    }
    bench.turn();
    let page = status(&mut bench, other).expect("an answer").is(200).json();
    assert_eq!((page["complete"].as_bool(), ids(&page).len()), (Some(true), 1));
}

/// An answer that says that there are more rows than came is none.
#[test]
fn an_answer_that_lost_rows_does_not_count() {
    let (mut bench, all) = bench();
    bench.silent = true;
    let conn = ask(&mut bench, "/api/v1/runs");
    let id = bench.core.scheduler.asked(Purpose::History).unwrap();
    let end = RunsEnd { rows: 2, ..RunsEnd::default() };
    let run = Answer::Run(Box::new(RunRecord { kind: RunKind::Lost, ..past(1, 50, "lost: x") }));
    for answer in [Answer::To(id), run, Answer::Runs(end), Answer::Done(id)] {
        let line = serde_json::to_vec(&answer).unwrap();
        bench.core.handle(bench.now, Event::AnswerLine(Purpose::History, &line));
    }
    bench.turn();
    let page = status(&mut bench, conn).expect("an answer").is(200).json();
    assert_eq!((&page["complete"], ids(&page)), (&json!(false), all[..7].to_vec()));
    assert!(page["why"].as_str().unwrap().contains("1 of 2 rows"), "{page}");
}

#[test]
fn at_most_so_many_wait_and_an_address_gives_way_to_others() {
    let (mut bench, _) = bench();
    bench.silent = true;
    bench.peer = Peer::at([10, 0, 0, 1].into());
    let first: Vec<ConnId> = (0..32).map(|_| ask(&mut bench, "/api/v1/runs")).collect();
    bench.peer = Peer::at([10, 0, 0, 2].into());
    let other = ask(&mut bench, "/api/v1/runs");
    let told: Vec<bool> = first.iter().map(|conn| status(&mut bench, *conn).is_some()).collect();
    assert_eq!(told.iter().filter(|told| **told).count(), 1);
    bench.pass(5_000);
    status(&mut bench, other).expect("an answer").is(200);
    assert!(bench.core.scheduler.table().get(JobId(1)).is_some());
}
