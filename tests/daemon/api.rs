//! The read-only API of a real daemon, asked over real connections.

use crate::common;
use crate::daemon::rows::{Due, Row, insert};
use crate::daemon::{Daemon, SERVER_ID, SOON, Site, wait_for};
use schedule::core::database::Driver;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// A daemon with jobs of every state.
fn start() -> (Site, common::database::TestDatabase, Daemon) {
    let (site, mut database) = Site::on(Driver::Sqlite);
    let never = || Due::Never("0 0 1 1 *");
    let rows = [
        Row::new(1, Due::Step(1), "sleep 60").named("Long 任务").tag(1),
        Row::new(2, Due::Step(1), "exit 3").named("fails").tag(2),
        Row::new(3, Due::Step(1), "/no/such/program").named("missing").tag(2),
        Row::new(4, Due::Step(1), "kill -KILL $$").named("signalled"),
        Row::new(5, Due::Step(1), "echo {WORD} 你好").named("speaks"),
        Row::new(6, Due::Never("61 * * * *"), "true").named("refused"),
        Row::new(7, Due::Step(1), "true").named("limit 0").limit(0),
        Row::new(8, never(), "true").named("<b>\"quoted\"</b>"),
    ];
    let fillers: Vec<Row> = (9..=30).map(|id| Row::new(id, never(), "true")).collect();
    database.sql("INSERT INTO scheduler_tags (id, name) VALUES (1, '备份'), (2, 'trouble');");
    database.sql("INSERT INTO scheduler_vars (name, value, server_id) VALUES ('WORD', 'hi', 7);");
    database.sql(&(insert(&rows) + &insert(&fillers)));
    let daemon = site.start();
    daemon.wait_jobs(30);
    for (id, state) in [(1, "running"), (2, "exited"), (3, "fatal"), (4, "exited"), (5, "stopped")]
    {
        daemon.wait_job(id, state, |job| job["state"] == state);
    }
    (site, database, daemon)
}

fn ids(list: &Value) -> Vec<u64> {
    list["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_u64().unwrap()).collect()
}

fn is_instant(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.ends_with("+08:00") && text.contains('T'))
}

#[test]
fn what_the_daemon_says_of_itself() {
    let (_site, _database, daemon) = start();
    let health = daemon.get("/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let status = daemon.status();
    assert_eq!(status["server_id"], SERVER_ID);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["database"], &status["database_error"]), (&"up".into(), &Value::Null));
    assert_eq!((&status["jobs"], &status["draining"]), (&30.into(), &false.into()));
    assert!(is_instant(&status["started_at"]) && is_instant(&status["now"]), "{status}");
    assert!(status["launched"].as_u64().unwrap() >= 5, "{status}");
    assert!(status["failed"].as_u64().unwrap() >= 3, "{status}");
    assert_eq!(status["jobs_off"], serde_json::json!([7]));
    wait_for("a skip", SOON, || (daemon.status()["skipped"] != 0).then_some(()));
    assert!(status["sync_age_ms"].as_u64().unwrap() < 10_000, "{status}");
    let bad = status["bad_rows"].as_array().unwrap();
    assert_eq!((bad.len(), &bad[0]["id"], &bad[0]["what"]), (1, &6.into(), &"schedule".into()));
}

#[test]
fn the_list_is_narrowed_and_paged() {
    let (_site, _database, daemon) = start();
    let list = |query: &str| daemon.json(&format!("/api/v1/jobs{query}"));
    let all = list("");
    assert_eq!((ids(&all), &all["total"]), ((1..=30).collect(), &30.into()));
    for (query, expected) in [
        ("?tag=2", vec![2, 3]),
        ("?tag=trouble", vec![2, 3]),
        ("?tag=%E5%A4%87%E4%BB%BD", vec![1]),
        ("?state=running", vec![1]),
        ("?state=exited", vec![2, 4]),
        ("?state=fatal", vec![3]),
        ("?state=invalid", vec![6]),
        ("?q=LONG", vec![1]),
        ("?q=%E4%BD%A0%E5%A5%BD", vec![5]),
        ("?q=no%2Fsuch", vec![3]),
        ("?tag=2&state=exited", vec![2]),
        ("?q=none+of+them", vec![]),
    ] {
        let list = list(query);
        assert_eq!(ids(&list), expected, "{query}");
        assert_eq!(list["total"], expected.len(), "{query}");
    }
    let mut seen = BTreeSet::new();
    for page in 1..=5 {
        let list = list(&format!("?per_page=7&page={page}"));
        assert_eq!(list["total"], 30);
        assert_eq!(ids(&list).len(), if page == 5 { 2 } else { 7 });
        seen.extend(ids(&list));
    }
    assert_eq!(seen.len(), 30);
    assert_eq!(ids(&list("?per_page=7&page=6")), Vec::<u64>::new());
    assert_eq!(ids(&list("?page=18446744073709551615")), Vec::<u64>::new());
    for bad in ["?page=0", "?per_page=0", "?page=x", "?page=-1", "?per_page="] {
        let reply = daemon.get(&format!("/api/v1/jobs{bad}"));
        assert_eq!((reply.status, reply.header("content-type")), (400, PROBLEM), "{bad}");
    }
}

const PROBLEM: Option<&str> = Some("application/problem+json");

#[test]
fn a_job_shows_all_that_is_promised() {
    let (_site, _database, daemon) = start();
    let list = daemon.json("/api/v1/jobs");
    for name in [
        "id",
        "name",
        "command",
        "cron",
        "tag",
        "state",
        "running",
        "max_concurrence",
        "overtime",
        "next_due",
        "last_run",
        "md5",
    ] {
        for job in list["jobs"].as_array().unwrap() {
            assert!(job.get(name).is_some(), "{name} is not in {job}");
        }
    }
    let job = daemon.job(5).unwrap();
    assert_eq!(
        (&job["command"], &job["raw_command"]),
        (&"echo hi 你好".into(), &"echo {WORD} 你好".into())
    );
    assert!(is_instant(&job["next_due"]));
    let dues: Vec<_> = job["next_dues"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert!(dues.len() == 10 && dues.is_sorted(), "{dues:?}");
    assert_eq!(daemon.job(1).unwrap()["tag"], "备份");
    let refused = daemon.job(6).unwrap();
    assert!(refused["error"].as_str().unwrap().contains("minute"), "{refused}");
    let never = daemon.job(7).unwrap();
    let skipped = &never["skipped"]["overlap"];
    assert!(never["blocked"] == "limit" && skipped.as_u64().unwrap_or(0) == 0, "{never}");
    let busy = daemon.wait_job(1, "skipped", |job| job["skipped"]["overlap"].as_u64() > Some(0));
    assert_eq!(busy["skips"][0]["reason"], "overlap");
    assert!(busy["overtime"].as_u64().unwrap() > 0, "{busy}");
    assert_eq!(daemon.job(8).unwrap()["name"], "<b>\"quoted\"</b>");
}

#[test]
fn the_runs_of_a_job_are_listed_newest_first() {
    let (_site, _database, daemon) = start();
    daemon.wait_job(2, "run three times", |_| daemon.runs(2).len() >= 3);
    let runs = daemon.runs(2);
    let slots: Vec<_> = runs.iter().map(|run| run["slot"].to_string()).collect();
    assert!(slots.iter().rev().is_sorted(), "{slots:?}");
    let run = &runs[1];
    assert_eq!((&run["cause"], &run["outcome"]), (&"due".into(), &"exit 3".into()));
    assert_eq!((&run["exit_code"], &run["signal"]), (&3.into(), &Value::Null));
    assert!(is_instant(&run["started_at"]) && is_instant(&run["ended_at"]), "{run}");
    for name in ["duration_ms", "pid", "user_ms", "system_ms", "max_rss_bytes"] {
        assert!(run[name].is_u64(), "{name}: {run}");
    }
    let killed = daemon.wait_job(4, "killed", |job| job["last_run"]["signal"] == 9);
    assert_eq!(killed["last_run"]["outcome"], "signal 9");
    let live = daemon.runs(1);
    assert_eq!((live.len(), &live[0]["ended_at"]), (1, &Value::Null));
    let pid = live[0]["pid"].as_u64().unwrap();
    let environ = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let id = live[0]["run_id"].as_str().unwrap();
    assert!(environ.split('\0').any(|entry| entry == format!("SCHEDULE_RUN_ID={id}")));
}

#[test]
fn what_is_not_there_and_what_is_not_allowed() {
    let (_site, _database, daemon) = start();
    for (target, status) in [
        ("/api/v1/jobs/31", 404),
        ("/api/v1/jobs/31/runs", 404),
        ("/api/v1/jobs/x", 400),
        ("/api/v1/jobs/-1", 400),
        ("/api/v1/jobs/99999999999", 400),
        ("/api/v1/nothing", 404),
        ("/healthz/x", 404),
        ("/..%2f..%2fetc/passwd", 400),
    ] {
        let reply = daemon.get(target);
        assert_eq!((reply.status, reply.header("content-type")), (status, PROBLEM), "{target}");
        let problem = reply.json();
        assert_eq!(problem["status"], status, "{target}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.len() > 10), "{problem}");
    }
    for target in ["/healthz", "/api/v1/status", "/api/v1/jobs", "/api/v1/jobs/1"] {
        let is_job = target == "/api/v1/jobs/1";
        for method in ["PUT", if is_job { "POST" } else { "DELETE" }] {
            let reply = daemon.request(method, target);
            assert_eq!(reply.status, 405, "{method} {target}");
            assert!(reply.header("allow").unwrap().contains("GET"), "{reply:?}");
        }
        let full = daemon.get(target);
        let head = daemon.request("HEAD", target);
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{target}");
        assert_eq!(head.header("content-type"), full.header("content-type"));
        assert!(head.header("content-length").is_some());
    }
    assert_eq!(daemon.request("HEAD", "/api/v1/jobs/31").status, 404);
}

/// One client that nobody here wrote.
#[test]
fn curl_understands_it() {
    let (_site, _database, daemon) = start();
    let url = |path: &str| format!("http://{}{path}", daemon.address);
    let curl = |args: &[&str]| {
        let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(args).output();
        let output = output.expect("curl is needed for this test: apt-get install curl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Two over one connection.
    let code = "%{http_code} %{num_connects}\n";
    let both = curl(&["-w", code, &url("/healthz"), &url("/healthz")]);
    assert_eq!(both, "ok\n200 1\nok\n200 0\n");
    let status: Value =
        serde_json::from_str(&curl(&["--compressed", &url("/api/v1/jobs")])).unwrap();
    assert_eq!(status["total"], 30);
    let gone = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("/api/v1/jobs/31")]);
    assert_eq!(gone, "404");
    let head = curl(&["-I", &url("/api/v1/jobs")]);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let post = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-d", "x=1", &url("/healthz")]);
    assert_eq!(post, "405");
}

#[test]
fn a_state_that_never_is_is_no_empty_list() {
    let (_site, _database, daemon) = start();
    let refused = daemon.get("/api/v1/jobs?state=runing");
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.body.contains("`runing` is none of invalid, fatal, "), "{refused:?}");
    assert_eq!(ids(&daemon.json("/api/v1/jobs?state=")).len(), 30);
}
