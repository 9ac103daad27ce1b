//! What runs have written, and the log: the last lines, and what is appended.

use crate::web_common::{Bench, events, row};
use schedule::core::event::Event;

const NEVER: &str = "0 0 1 1 *";

fn lines(from: u32, to: u32) -> Vec<u8> {
    (from..=to).map(|line| format!("line {line}\n")).collect::<String>().into_bytes()
}

fn appended(bench: &mut Bench, conn: schedule::core::ids::ConnId) -> Vec<(String, String)> {
    let found = events(&bench.received(conn)).into_iter();
    found.map(|(event, data)| (event, data.as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_run_s_own_file_goes_before_the_job_s() {
    let mut job = row(1, NEVER, "sleep 9");
    job.stderr = "/e".into();
    let mut bench = Bench::with(&[job, row(2, NEVER, "true")]);
    bench.get("/api/v1/jobs/1/output").is(404);
    let run = bench.post("/api/v1/jobs/1/start").json()["run_id"].as_str().unwrap().to_owned();
    bench.files.insert(format!("1/{run}.out"), lines(1, 500));
    bench.files.insert("/e".into(), b"no end".to_vec());
    let target = format!("/api/v1/runs/{run}/output");
    let whole = bench.get(&format!("{target}?tail=1000")).is(200).clone();
    assert_eq!(whole.body.as_bytes(), lines(1, 500));
    assert_eq!(whole.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(bench.get(&format!("{target}?tail=2")).body, "line 499\nline 500\n");
    assert_eq!(bench.get(&target).body.lines().count(), 100);
    assert_eq!(bench.get(&format!("{target}?stream=stderr&tail=1")).body, "no end");
    assert_eq!(bench.get("/api/v1/jobs/1/output?tail=1").body, "line 500\n");
    bench.end_all(0);
    assert_eq!(bench.get(&format!("{target}?tail=1")).body, "line 500\n");
    let kept = bench.get(&format!("{target}?download=1")).is(200).clone();
    let name = format!("attachment; filename=\"run-{run}-stdout.txt\"");
    assert_eq!(kept.header("content-disposition"), Some(name.as_str()));
    for bad in ["tail=0", "tail=x", "stream=stdin", "tail=-1"] {
        bench.get(&format!("{target}?{bad}")).is(400);
    }
    bench.get("/api/v1/runs/1-zzzz/output").is(404);
    bench.get("/api/v1/jobs/3/output").is(404);
}

#[test]
fn the_log_is_narrowed_to_a_level() {
    let mut bench = Bench::with(&[]);
    let log = "2026-11-22 13:42:07 [INFO] a\n2026-11-22 13:42:07 [WARN] b\n\
               2026-11-22 13:42:08 [ERROR] c\n2026-11-22 13:42:08 [INFO] d\n";
    bench.files.insert("log".into(), log.into());
    let shown = |bench: &mut Bench, query: &str| {
        let body = bench.get(&format!("/api/v1/log?{query}")).is(200).body.clone();
        body.lines().map(|line| line[line.len() - 1..].to_owned()).collect::<String>()
    };
    assert_eq!(shown(&mut bench, ""), "abcd");
    assert_eq!(shown(&mut bench, "level=warn"), "bc");
    assert_eq!(shown(&mut bench, "level=ERROR"), "c");
    assert_eq!(shown(&mut bench, "level=warn&tail=1"), "c");
    bench.get("/api/v1/log?level=loud").is(400);
    let conn = bench.stream("/api/v1/log?level=warn&follow=1&tail=1");
    // How much of the file is before it, and the line.
    let first = appended(&mut bench, conn);
    assert_eq!(
        (first[0].1.as_str(), first[1].1.as_str()),
        ("58", "2026-11-22 13:42:08 [ERROR] c\n")
    );
    let more = "2026-11-22 13:42:09 [INFO] e\n2026-11-22 13:42:09 [WARN] f\n2026-11-22 13";
    bench.files.get_mut("log").unwrap().extend_from_slice(more.as_bytes());
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn)[0].1, "2026-11-22 13:42:09 [WARN] f\n");
    bench.files.get_mut("log").unwrap().extend_from_slice(b":42:09 [ERROR] g\n");
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn)[0].1, "2026-11-22 13:42:09 [ERROR] g\n");
}

#[test]
fn a_follower_hears_what_is_appended_once() {
    let mut job = row(1, NEVER, "sleep 9");
    job.output = "/o".into();
    let mut bench = Bench::with(&[job]);
    let conn = bench.stream("/api/v1/jobs/1/output?follow=1&tail=3");
    assert_eq!(appended(&mut bench, conn), [("append".into(), String::new())]);
    // A character that is cut is told when it is whole.
    let text = "备份".as_bytes();
    bench.files.insert("/o".into(), text[..4].to_vec());
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn), [("append".into(), "备".into())]);
    bench.files.insert("/o".into(), text.to_vec());
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn), [("append".into(), "份".into())]);
    bench.files.insert("/o".into(), b"new\r\nevent: x\n".to_vec());
    // Longer than before by chance: only a shorter file is seen to be cleared.
    bench.files.insert("/o".into(), b"n".to_vec());
    bench.pass(1_000);
    let begun = [("reset".into(), "cleared".into()), ("append".into(), "n".into())];
    assert_eq!(appended(&mut bench, conn), begun);
    bench.pass(5_000);
    assert_eq!(appended(&mut bench, conn), []);
}

#[test]
fn a_follower_hears_that_the_file_was_removed_and_replaced() {
    let mut job = row(1, NEVER, "sleep 9");
    job.output = "/o".into();
    let mut bench = Bench::with(&[job]);
    bench.files.insert("/o".into(), b"old\n".to_vec());
    let conn = bench.stream("/api/v1/jobs/1/output?follow=1&tail=3");
    assert_eq!(appended(&mut bench, conn), [("append".into(), "old\n".into())]);
    // A client that has no room is told when it has.
    bench.files.remove("/o");
    bench.stuffed.push(conn);
    bench.pass(1_000);
    bench.stuffed.clear();
    bench.pass(1_000);
    let told = appended(&mut bench, conn);
    assert!(told.len() == 1 && told[0].0 == "removed", "{told:?}");
    assert!(told[0].1.starts_with("2026-11-2"), "by the daemon's clock: {told:?}");
    bench.pass(5_000);
    assert_eq!(appended(&mut bench, conn), [], "told once");
    // The new one may have the number of the old one, and be as long.
    bench.files.insert("/o".into(), b"old\nnew\n".to_vec());
    bench.pass(1_000);
    let begun = [("reset".into(), "replaced".into()), ("append".into(), "old\nnew\n".into())];
    assert_eq!(appended(&mut bench, conn), begun);
}

/// A minute after the end of its run a long file is made shorter: that loses nothing of what was
/// told, and is no new file.
#[test]
fn a_follower_is_not_told_that_a_file_was_cleared_when_its_middle_is_left_out() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let run = bench.post("/api/v1/jobs/1/start").json()["run_id"].as_str().unwrap().to_owned();
    let name = format!("1/{run}.out");
    let long = |bytes: usize| [vec![b'x'; bytes].as_slice(), b"\nthe end\n"].concat();
    bench.files.insert(name.clone(), long(70 << 20));
    let conn = bench.stream(&format!("/api/v1/runs/{run}/output?follow=1&tail=1"));
    assert_eq!(appended(&mut bench, conn)[1], ("append".into(), "the end\n".into()));
    bench.end_all(0);
    bench.files.insert(name.clone(), long(64 << 20));
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn), [("cut".into(), (6 << 20).to_string())]);
    // What somebody adds is told, and that it is cleared as well.
    bench.files.get_mut(&name).unwrap().extend_from_slice(b"more\n");
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn), [("append".into(), "more\n".into())]);
    bench.files.insert(name, b"new\n".to_vec());
    bench.pass(1_000);
    let begun = [("reset".into(), "cleared".into()), ("append".into(), "new\n".into())];
    assert_eq!(appended(&mut bench, conn), begun);
}

#[test]
fn a_follower_that_does_not_read_gets_it_later() {
    let mut job = row(1, NEVER, "sleep 9");
    job.output = "/o".into();
    let mut bench = Bench::with(&[job]);
    bench.files.insert("/o".into(), lines(1, 10));
    let conn = bench.stream("/api/v1/jobs/1/output?follow=1&tail=1");
    bench.received(conn);
    bench.stuffed.push(conn);
    bench.files.insert("/o".into(), lines(1, 11));
    bench.pass(1_000);
    bench.pass(1_000);
    bench.stuffed.clear();
    bench.files.insert("/o".into(), lines(1, 12));
    bench.pass(1_000);
    assert_eq!(appended(&mut bench, conn), [("append".into(), "line 11\nline 12\n".into())]);
}

#[test]
fn a_follower_that_left_costs_nothing() {
    let mut job = row(1, NEVER, "sleep 9");
    job.output = "/o".into();
    let mut bench = Bench::with(&[job]);
    let many: Vec<_> = (0..200).map(|_| bench.stream("/api/v1/jobs/1/output?follow=1")).collect();
    many.into_iter().for_each(|conn| bench.leave(conn));
    let reads = bench.reads;
    for _ in 0..20 {
        bench.pass(1_000);
    }
    assert_eq!(bench.reads, reads, "files are looked at for nobody");
}

/// An output that gave way on a full disk was there: it is not said to come only.
#[test]
fn an_output_that_may_have_given_way_is_told_so() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let run = bench.post("/api/v1/jobs/1/start").json()["run_id"].as_str().unwrap().to_owned();
    let paths = [format!("/api/v1/runs/{run}/output"), "/api/v1/jobs/1/output".to_owned()];
    let told = |bench: &mut Bench, path: &str| {
        bench.get(path).is(404).json()["detail"].as_str().unwrap().to_owned()
    };
    for path in &paths {
        assert_eq!(told(&mut bench, path), "no such file");
    }
    let why = "no room".to_owned();
    bench.core.handle(bench.now, Event::NoOutput(run.parse().unwrap(), why));
    for path in &paths {
        let why = "it may have given way on a full disk, as 1 output did";
        assert!(told(&mut bench, path).contains(why), "{path}");
    }
    assert!(!told(&mut bench, "/api/v1/log").contains("full disk"));
}
