//! Before the first table nobody knows which jobs there are: that is said, and never "there is no
//! such job" or "there are no jobs". The core alone, over real connections.

use crate::web_common::{Bench, START, row};

const BROWSER: &str = "Accept: text/html\r\n";

/// A daemon without a snapshot whose database does not answer.
fn without_table() -> Bench {
    let mut bench = Bench::asleep(START, 0, None);
    bench.database_error = Some("connection refused".into());
    bench.turn();
    bench
}

#[test]
fn what_is_not_known_yet_can_be_asked_for_again() {
    let mut bench = without_table();
    // Also after decisions have begun without a table.
    for _ in 0..2 {
        for target in [
            "/api/v1/jobs",
            "/api/v1/jobs?state=running",
            "/api/v1/jobs/7",
            "/api/v1/jobs/7/runs",
            "/api/v1/jobs/7/output",
            "/api/v1/runs/1-1/output",
            "/stderr.php?id=7&type=1",
            "/stderr.php?md5=4a5fd74e069c81f17299f252c3965384",
            "/index.html?action=start&id=7",
            "/index.html?action=stop&md5=4a5fd74e069c81f17299f252c3965384",
        ] {
            let reply = bench.get(target).is(503).clone();
            assert_eq!(reply.header("retry-after"), Some("5"), "{target}");
            assert!(reply.body.contains("connection refused"), "{target}: {}", reply.body);
        }
        for target in [
            "/api/v1/jobs/7/start",
            "/api/v1/jobs/7/stop",
            "/api/v1/jobs/7/output/clear",
            "/api/v1/runs/1-1/stop",
            "/api/v1/runs/1-1/output/clear",
        ] {
            assert_eq!(bench.post(target).is(503).header("retry-after"), Some("5"), "{target}");
        }
        let text = bench.ask("GET", "/", "User-Agent: curl/8\r\n", "");
        assert_eq!((text.status, text.header("retry-after")), (503, Some("5")));
        let status = bench.get("/api/v1/status").is(200).json();
        assert_eq!((&status["table_read"], &status["jobs"]), (&false.into(), &0.into()));
        assert!(status["database_error"].as_str().unwrap().contains("refused"));
        bench.pass(5_000);
    }
}

#[test]
fn pages_say_that_the_jobs_were_not_read() {
    let mut bench = without_table();
    let page = bench.ask("GET", "/", BROWSER, "").is(200).clone();
    assert!(page.body.contains("The jobs were not read yet."), "{}", page.body);
    assert!(page.body.contains("no jobs were read yet: nothing is started. connection refused"));
    assert!(!page.body.contains("There are no jobs yet"));
    let chinese = bench.ask("GET", "/?lang=zh", BROWSER, "").is(200).clone();
    assert!(chinese.body.contains("任务尚未读取"));
    let job = bench.ask("GET", "/jobs/7", BROWSER, "").is(503).clone();
    assert_eq!(job.header("retry-after"), Some("5"));
    assert!(job.body.contains("was not read yet"), "{}", job.body);
}

#[test]
fn with_the_first_table_everything_is_known() {
    let mut bench = without_table();
    bench.database_error = None;
    bench.set_rows(&[row(7, "0 0 1 1 *", "true")]);
    bench.pass(5_000);
    bench.get("/api/v1/jobs/7").is(200);
    bench.get("/api/v1/jobs/8").is(404);
    bench.get("/api/v1/runs/1-1/output").is(404);
    bench.get("/index.html?action=start&id=8").is(404);
    assert_eq!(bench.get("/api/v1/jobs").is(200).json()["total"], 1);
    assert_eq!(bench.get("/api/v1/status").json()["table_read"], true);
    // What was read stays in force when the database goes.
    bench.database_error = Some("connection refused".into());
    bench.pass(60_000);
    bench.get("/api/v1/jobs/8").is(404);
    let page = bench.ask("GET", "/", BROWSER, "");
    assert!(page.body.contains("jobs go on as they were last read"), "{}", page.body);
}

#[test]
fn a_table_without_rows_was_read_too() {
    let mut bench = Bench::with(&[]);
    assert_eq!(bench.get("/api/v1/jobs").is(200).json()["total"], 0);
    bench.get("/api/v1/jobs/7").is(404);
    assert!(bench.ask("GET", "/", BROWSER, "").body.contains("There are no jobs yet"));
}

/// Which jobs and tags there are is known as soon as the database has answered for the first time:
/// who asks in the moment before that waits for it. What is wrong whatever it says is told at once.
#[test]
fn jobs_and_tags_are_judged_by_the_first_table() {
    for (tag, status) in [("x", 400), ("2", 200)] {
        let mut bench = Bench::asleep(START, 0, None);
        bench.set_rows(&[row(7, "0 0 1 1 *", "true")]);
        assert!(!bench.core.scheduler.knows_table());
        bench.get(&format!("/api/v1/jobs?tag={tag}")).is(status);
    }
    for (target, status) in [
        ("/api/v1/jobs/7", 200),
        ("/api/v1/jobs/8", 404),
        ("/api/v1/jobs/7/runs", 200),
        ("/jobs/7", 200),
        // A command is told at once: it must not be done after its client has given up.
        ("/index.html?action=start&id=7", 503),
    ] {
        let mut bench = Bench::asleep(START, 0, None);
        bench.set_rows(&[row(7, "0 0 1 1 *", "true")]);
        bench.get(target).is(status);
    }
    let mut bench = Bench::asleep(START, 0, None);
    bench.set_rows(&[row(7, "0 0 1 1 *", "true")]);
    bench.post("/api/v1/jobs/7/start").is(503);
    let mut bench = Bench::asleep(START, 0, None);
    bench.set_rows(&[row(7, "0 0 1 1 *", "true")]);
    bench.get("/api/v1/jobs?tag=2&sort=x").is(400);
    let mut bench = without_table();
    bench.get("/api/v1/jobs?tag=x").is(503);
}

/// A database that takes its time keeps nobody waiting.
#[test]
fn who_asks_early_waits_a_second_and_no_longer() {
    let mut bench = Bench::asleep(START, 0, None);
    bench.silent = true;
    let ask = |bench: &mut Bench, target: &str, accept: &str| {
        bench.send(&format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:3401\r\n{accept}\r\n"))
    };
    let program = ask(&mut bench, "/api/v1/jobs?tag=3", "");
    let terminal = ask(&mut bench, "/?tag=3", "User-Agent: curl/8\r\n");
    let job = ask(&mut bench, "/api/v1/jobs/7", "");
    let browser = ask(&mut bench, "/?tag=3", BROWSER);
    bench.pass(999);
    assert_eq!(bench.received(program), "");
    // The loop wakes for it by itself.
    let wake = bench.core.next_wake().mono_ms.unwrap();
    assert_eq!(wake, bench.now.mono_ms + 1);
    bench.pass(1);
    for conn in [program, terminal, job] {
        let reply = bench.received(conn);
        assert!(
            reply.starts_with("HTTP/1.1 503 ") && reply.contains("Retry-After: 5\r\n"),
            "{reply}"
        );
    }
    let page = bench.received(browser);
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("The jobs were not read yet."));
}

/// A form's page would not tell that nothing was done.
#[test]
fn forms_say_that_nothing_was_done() {
    let mut bench = without_table();
    for body in [
        "action=start&job=5",
        "action=stop&job=5",
        "action=stop&run=1-1",
        "action=clear_output&job=5",
    ] {
        let reply = bench.form(body).is(503).clone();
        assert_eq!(reply.header("retry-after"), Some("5"), "{body}");
    }
}
