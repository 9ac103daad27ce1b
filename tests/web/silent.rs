//! A database that owes an answer: it is told long before the question is given up, and not of one
//! that is at it.

use crate::web_common::{Bench, events, row};
use schedule::core::event::Event;
use schedule::core::protocol::{Answer, Purpose};
use serde_json::Value;

const NEVER: &str = "0 0 1 1 *";

/// A daemon that was answered, and asks again without an answer from now on.
fn asking() -> Bench {
    let mut bench = Bench::with(&[row(1, NEVER, "true")]);
    bench.pass(9_000);
    assert_eq!(status(&mut bench)["database"], "up");
    bench.silent = true;
    bench.pass(1_000);
    assert!(bench.core.scheduler.asked(Purpose::Sync).is_some());
    bench
}

fn status(bench: &mut Bench) -> Value {
    bench.get("/api/v1/status").is(200).json()
}

/// What the status says of the database, and whether all else says the same.
#[track_caller]
fn is_up(bench: &mut Bench) -> bool {
    let status = status(bench);
    let up = status["database"] == "up";
    assert_eq!(status["database_error"].is_null(), up, "{status}");
    let metrics = bench.get("/metrics").body;
    assert!(metrics.contains(&format!("\nschedule_database_up {}\n", u8::from(up))), "{metrics}");
    let page = bench.ask("GET", "/", "Accept: text/html\r\n", "").body;
    assert_eq!(page.contains("The database does not answer"), !up, "{page}");
    up
}

/// The helper says a line of its answer.
fn say(bench: &mut Bench, purpose: Purpose, answer: &Answer) {
    let line = serde_json::to_vec(answer).unwrap();
    bench.core.handle(bench.now, Event::AnswerLine(purpose, &line));
}

#[test]
fn a_question_without_an_answer_is_told_after_five_seconds() {
    let mut bench = asking();
    let stream = bench.stream("/api/v1/events");
    bench.received(stream);
    bench.pass(4_990);
    assert!(is_up(&mut bench));
    bench.pass(10);
    assert!(!is_up(&mut bench));
    let told = status(&mut bench)["database_error"].as_str().unwrap().to_owned();
    assert!(told.contains("no answer for 5 s"), "{told}");
    // Who listens hears it, once.
    let mut daemons = Vec::new();
    for _ in 0..8 {
        bench.pass(1_000);
        let heard = events(&bench.received(stream)).into_iter();
        daemons.extend(heard.filter(|(event, _)| event == "daemon").map(|(_, data)| data));
    }
    let of: Vec<_> = daemons.iter().map(|data| data["database"].as_str().unwrap()).collect();
    assert_eq!(of, ["down"], "{daemons:?}");
    // It was only slow.
    let id = bench.core.scheduler.asked(Purpose::Sync).unwrap();
    say(&mut bench, Purpose::Sync, &Answer::To(id));
    say(&mut bench, Purpose::Sync, &Answer::Works);
    assert!(is_up(&mut bench));
    bench.pass(4_000);
    for answer in bench.table.clone() {
        say(&mut bench, Purpose::Sync, &answer);
    }
    say(&mut bench, Purpose::Sync, &Answer::Done(id));
    assert!(is_up(&mut bench));
}

/// As long as rows come, or the helper says that the database is at it.
#[test]
fn a_table_that_takes_long_is_not_without_an_answer() {
    let mut bench = asking();
    let id = bench.core.scheduler.asked(Purpose::Sync).unwrap();
    say(&mut bench, Purpose::Sync, &Answer::To(id));
    let signs = [Answer::Works, Answer::Job(Box::new(row(1, NEVER, "true")))];
    for sign in signs.iter().cycle().take(6) {
        bench.pass(4_500);
        assert!(is_up(&mut bench), "{sign:?}");
        say(&mut bench, Purpose::Sync, sign);
    }
}

/// Whatever it was asked for.
#[test]
fn records_without_an_answer_are_told_as_well() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    bench.silent = true;
    bench.post("/api/v1/jobs/1/start").is(200);
    bench.end_all(0);
    bench.pass(2_000);
    let since = bench.now.mono_ms;
    assert!(bench.core.scheduler.asked(Purpose::Record).is_some());
    assert!(bench.core.scheduler.asked(Purpose::Sync).is_none());
    while is_up(&mut bench) {
        bench.pass(500);
        assert!(bench.now.mono_ms < since + 7_000, "it is still said to be up");
    }
    assert!(bench.now.mono_ms > since + 2_000);
    // The question is given up: it was tried, and failed.
    bench.pass(30_000);
    let told = status(&mut bench);
    assert_eq!(told["database"], "down", "{told}");
    bench.silent = false;
    // What is under way has no answer.
    (0..70).for_each(|_| bench.pass(1_000));
    assert!(is_up(&mut bench));
}

/// Before the first answer nobody knows how the database is, until it owes that for long.
#[test]
fn the_first_answer_is_waited_for_no_longer() {
    let mut bench = Bench::asleep(crate::web_common::START, 0, None);
    bench.silent = true;
    bench.turn();
    bench.pass(4_000);
    assert_eq!(status(&mut bench)["database"], "unknown");
    bench.pass(1_000);
    let told = status(&mut bench);
    assert_eq!((&told["database"], &told["table_read"]), (&"down".into(), &false.into()));
    let id = bench.core.scheduler.asked(Purpose::Sync).unwrap();
    say(&mut bench, Purpose::Sync, &Answer::To(id));
    say(&mut bench, Purpose::Sync, &Answer::Works);
    assert_eq!(status(&mut bench)["database"], "unknown");
}

/// As long as a table is taken up, figures of jobs are of a part of it: that is told, and of the
/// first one none are counted before it is whole.
#[test]
fn a_table_that_is_taken_up_is_told_as_that() {
    let mut bench = Bench::asleep(crate::web_common::START, 0, None);
    bench.silent = true;
    bench.turn();
    for rows in [1_200, 2_500] {
        let jobs: Vec<_> = (1..=rows).map(|id| row(id, NEVER, "true")).collect();
        bench.set_rows(&jobs);
        let id = bench.core.scheduler.asked(Purpose::Sync).unwrap();
        say(&mut bench, Purpose::Sync, &Answer::To(id));
        for answer in bench.table.clone() {
            say(&mut bench, Purpose::Sync, &answer);
        }
        say(&mut bench, Purpose::Sync, &Answer::Done(id));
        let mut slices = 0;
        loop {
            let told: Value = serde_json::from_str(&bench.glance("/api/v1/status")).unwrap();
            if told["table_changing"] == false {
                break;
            }
            slices += 1;
            let metrics = bench.glance("/metrics");
            assert!(metrics.contains("\nschedule_table_changing 1\n"), "{metrics}");
            let is_first = rows == 1_200;
            assert_eq!(told["table_read"], !is_first, "{told}");
            for figure in ["schedule_jobs{", "schedule_bad_rows", "schedule_blocked_jobs"] {
                assert_eq!(metrics.contains(&format!("\n{figure}")), !is_first, "{metrics}");
            }
            bench.core.handle(bench.now, Event::Tick);
        }
        assert!(slices > 2, "{slices}");
        assert_eq!(status(&mut bench)["jobs"], rows);
        let metrics = bench.get("/metrics").body;
        assert!(metrics.contains("\nschedule_table_changing 0\n"), "{metrics}");
        assert!(metrics.contains("\nschedule_table_read 1\n"), "{metrics}");
        assert!(metrics.contains(&format!("\nschedule_jobs{{state=\"never\"}} {rows}\n")));
        bench.pass(10_000);
    }
}
