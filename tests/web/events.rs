//! Server-sent events: who hears what, and what it costs.

use crate::web_common::{Bench, events, row};
use schedule::core::ids::ConnId;

const NEVER: &str = "0 0 1 1 *";

/// The names of events and the job ids in them.
fn heard(bench: &mut Bench, conn: ConnId) -> Vec<(String, u64)> {
    let found = events(&bench.received(conn)).into_iter();
    let found = found.filter(|(event, _)| event != "daemon");
    found.map(|(event, data)| (event, data["id"].as_u64().unwrap_or(0))).collect()
}

fn is(event: &str, id: u64) -> (String, u64) {
    (event.to_owned(), id)
}

#[test]
fn readers_hear_what_changes_in_their_list_and_nothing_else() {
    let mut tagged = row(2, NEVER, "sleep 9");
    tagged.tag_id = 2;
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9"), tagged.clone()]);
    let all = bench.stream("/api/v1/events");
    let some = bench.stream("/api/v1/events?tag=2");
    let running = bench.stream("/api/v1/events?state=running");
    for conn in [all, some, running] {
        let text = bench.received(conn);
        assert!(text.contains("Content-Type: text/event-stream"), "{text}");
        assert!(text.contains("retry: 2000\n"), "{text}");
        assert_eq!(events(&text)[0].0, "snapshot");
    }
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(250);
    assert_eq!(heard(&mut bench, all), [is("job", 1)]);
    assert_eq!(heard(&mut bench, some), []);
    assert_eq!(heard(&mut bench, running), [is("job", 1), is("total", 0)]);
    bench.end_all(1);
    bench.pass(250);
    assert_eq!(heard(&mut bench, all), [is("job", 1)]);
    assert_eq!(heard(&mut bench, running), [is("gone", 1), is("total", 0)]);
    // The row goes: it is gone for those who show it.
    bench.set_rows(&[tagged]);
    bench.post("/api/v1/sync").is(200);
    bench.pass(250);
    let heard_of = heard(&mut bench, all);
    assert!(heard_of.contains(&is("snapshot", 0)) || heard_of.contains(&is("gone", 1)));
}

#[test]
fn a_job_that_changes_often_is_told_once_a_round() {
    let mut bench = Bench::with(&[row(1, "* * * * * *", "sleep 9")]);
    let conn = bench.stream("/api/v1/events");
    bench.received(conn);
    for _ in 0..50 {
        bench.post("/api/v1/jobs/1/start").is(200);
        bench.end_all(0);
    }
    bench.pass(1_000);
    let jobs = heard(&mut bench, conn).into_iter().filter(|(event, _)| event == "job").count();
    assert!((1..=2).contains(&jobs), "{jobs} times");
}

#[test]
fn a_daemon_line_comes_at_most_once_a_second() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let conn = bench.stream("/api/v1/events");
    let mut daemons = 0;
    for _ in 0..30 {
        bench.post("/api/v1/jobs/1/start").is(200);
        bench.end_all(0);
        bench.pass(100);
        let found = events(&bench.received(conn));
        let last = found.iter().rfind(|(event, _)| event == "daemon");
        daemons += found.iter().filter(|(event, _)| event == "daemon").count();
        if let Some((_, data)) = last {
            assert!(data["message"].as_str().unwrap().starts_with("Job 1 was started at "));
        }
    }
    assert!((2..=4).contains(&daemons), "{daemons} in 3 seconds");
}

/// What came within a second of a daemon line is told by a further one, though nothing happens any
/// more.
#[test]
fn the_daemon_line_that_comes_last_has_it_all() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let conn = bench.stream("/api/v1/events");
    bench.pass(3_000);
    bench.received(conn);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(300);
    bench.end_all(0);
    bench.pass(3_000);
    let found = events(&bench.received(conn));
    let last = found.iter().rfind(|(event, _)| event == "daemon").unwrap();
    assert_eq!(last.1["running"], 0, "{found:?}");
    // Told once: it is silent then.
    bench.pass(3_000);
    let found = events(&bench.received(conn));
    assert!(found.iter().all(|(event, _)| event == "beat"), "{found:?}");
}

/// What a page in a browser was rendered with, and what events say of what is wrong.
fn marks(bench: &mut Bench, conn: ConnId) -> (String, Option<String>) {
    let page = bench.ask("GET", "/log", "Accept: text/html\r\nAccept-Language: zh\r\n", "");
    let mark = page.is(200).body.split_once("data-alerts=\"").unwrap().1;
    let mark = mark.split_once('"').unwrap().0.to_owned();
    let told = events(&bench.received(conn)).into_iter().rfind(|(event, _)| event == "daemon");
    (mark, told.map(|(_, data)| data["alerts"].as_str().unwrap().to_owned()))
}

/// In whatever language, and also where it is over because a day has passed, of which no change
/// tells.
#[test]
fn a_daemon_line_says_what_is_wrong_as_pages_do() {
    let mut bench = Bench::that_asks_seldom(&[row(1, NEVER, "sleep 9")]);
    let conn = bench.stream("/api/v1/events?per_page=1&state=-");
    let (well, _) = marks(&mut bench, conn);
    let mut carried = bench.core.carry();
    carried.counters.records_dropped = 3;
    carried.counters.records_dropped_ms = bench.now.wall_ms - 24 * 3_600_000 + 15_000;
    bench.core.go_on(bench.now, &carried);
    bench.pass(10_500);
    bench.pass(1_000);
    let (ill, told) = marks(&mut bench, conn);
    assert_eq!(told.as_ref(), Some(&ill));
    assert_ne!(ill, well);
    bench.pass(10_500);
    bench.pass(1_000);
    assert_eq!(marks(&mut bench, conn), (well.clone(), Some(well)));
    // Told once.
    bench.pass(10_500);
    bench.pass(1_000);
    assert_eq!(marks(&mut bench, conn).1, None);
}

#[test]
fn silence_is_broken_by_a_heartbeat_that_finds_out_who_has_left() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    bench.pass(1_500);
    let conn = bench.stream("/api/v1/events");
    let other = bench.stream("/api/v1/events");
    bench.received(conn);
    bench.database_error = Some("keeps still".into());
    for _ in 0..16 {
        bench.pass(1_000);
    }
    assert!(bench.received(conn).contains("\n\n"));
    let before = bench.pushes;
    bench.clients.remove(&other);
    bench.clients.remove(&conn);
    for _ in 0..20 {
        bench.pass(1_000);
    }
    let found_out = bench.pushes;
    assert!(found_out > before, "a heartbeat was tried");
    for _ in 0..60 {
        bench.pass(1_000);
        bench.post("/api/v1/jobs/1/start");
        bench.end_all(0);
    }
    assert_eq!(bench.pushes, found_out, "nobody listens, nothing is said");
}

#[test]
fn a_slow_reader_is_told_to_begin_anew_and_holds_nobody_up() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9"), row(2, NEVER, "sleep 9")]);
    let slow = bench.stream("/api/v1/events");
    let quick = bench.stream("/api/v1/events");
    bench.received(slow);
    bench.received(quick);
    bench.stuffed.push(slow);
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.pass(250);
    assert_eq!(heard(&mut bench, slow), []);
    assert_eq!(heard(&mut bench, quick), [is("job", 1)]);
    bench.stuffed.clear();
    bench.post("/api/v1/jobs/2/start").is(200);
    bench.pass(250);
    assert_eq!(heard(&mut bench, slow), [is("snapshot", 0)]);
    assert_eq!(heard(&mut bench, quick), [is("job", 2)]);
    bench.end_all(0);
    bench.pass(250);
    assert_eq!(heard(&mut bench, slow), [is("job", 1), is("job", 2)]);
}

/// A list that changes as a whole is not told line by line.
#[test]
fn too_much_news_becomes_a_request_to_begin_anew() {
    let rows: Vec<_> = (1..=3_000).map(|id| row(id, "0 * * * * *", "sleep 9")).collect();
    let mut bench = Bench::with(&rows);
    let page = bench.stream("/api/v1/events?per_page=50");
    let much = bench.stream("/api/v1/events?per_page=1000");
    bench.received(page);
    bench.received(much);
    bench.pass(53_000);
    bench.pass(250);
    assert!(bench.core.scheduler.runs().len() == 3_000, "{}", bench.core.scheduler.runs().len());
    let jobs = heard(&mut bench, page);
    assert_eq!(jobs.iter().filter(|(event, _)| event == "job").count(), 50);
    let text = bench.received(much);
    assert!(text.len() < 300_000, "{} bytes", text.len());
    assert!(events(&text).iter().any(|(event, _)| event == "snapshot"));
}

#[test]
fn the_revision_grows_with_changes_only() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let before = bench.core.scheduler.revision();
    bench.get("/api/v1/jobs/1").is(200);
    bench.get("/api/v1/status").is(200);
    bench.pass(500);
    assert_eq!(bench.core.scheduler.revision(), before);
    bench.post("/api/v1/jobs/1/start").is(200);
    let started = bench.core.scheduler.revision();
    assert!(started > before);
    bench.end_all(0);
    assert!(bench.core.scheduler.revision() > started);
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9"), row(2, NEVER, "sleep 9")]);
    for target in ["/api/v1/jobs/1", "/api/v1/jobs/1/runs", "/api/v1/jobs?q=job"] {
        let first = bench.get(target).is(200).clone();
        let tag = first.header("etag").unwrap().to_owned();
        let again = format!("If-None-Match: {tag}\r\n");
        bench.ask("GET", target, &again, "").is(304);
        bench.post("/api/v1/jobs/2/start").is(200);
        let list = target.contains('?');
        bench.ask("GET", target, &again, "").is(if list { 200 } else { 304 });
        bench.post("/api/v1/jobs/1/start").is(200);
        let changed = bench.ask("GET", target, &again, "").is(200).clone();
        assert_ne!(changed.header("etag"), Some(tag.as_str()));
        assert_ne!(changed.body, first.body);
        bench.end_all(0);
    }
}
