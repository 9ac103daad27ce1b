//! What clients make the daemon do, and what it refuses.

use crate::web_common;
use crate::web_common::{Bench, row};
use schedule::core::event::Signal;
use schedule::core::launch::LaunchError;
use schedule::core::protocol::JobRow;
use schedule::core::refusal::Refusal;
use std::time::Instant;

const NEVER: &str = "0 0 1 1 *";

fn bench() -> Bench {
    let mut none = row(2, NEVER, "true");
    none.max_concurrence = 0;
    let mut two = row(3, NEVER, "sleep 9");
    two.max_concurrence = 2;
    two.output = "/var/log/three".into();
    Bench::with(&[row(1, NEVER, "sleep 9"), none, two])
}

#[test]
fn a_start_is_answered_with_the_process_and_a_second_one_with_the_reason() {
    let mut bench = bench();
    let started = bench.post("/api/v1/jobs/1/start").is(200).json();
    assert_eq!((&started["job_id"], &started["pid"]), (&1.into(), &4_711.into()));
    assert_eq!(started["state"], "running");
    let run = started["run_id"].as_str().unwrap();
    assert_eq!(bench.core.web.last_message(), "start 1 at 2026-11-22 13:42:07 result:1");
    assert_eq!(bench.get("/api/v1/jobs/1").json()["live"][0]["run_id"], run);
    let refused = bench.post("/api/v1/jobs/1/start").is(409).json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("limit of 1 run: 1 alive") && detail.contains(run), "{detail}");
    bench.end_all(0);
    bench.post("/api/v1/jobs/1/start").is(200);
}

#[test]
fn reasons_not_to_start() {
    let mut bench = bench();
    let detail = |reply: web_common::Reply| reply.json()["detail"].as_str().unwrap().to_owned();
    let refused = bench.post("/api/v1/jobs/2/start");
    assert!(detail(refused.is(409).clone()).contains("max_concurrence = 0"));
    bench.post("/api/v1/jobs/77/start").is(404);
    bench.post("/api/v1/jobs/x/start").is(400);
    bench.post("/api/v1/jobs/1/start").is(200);
    let changed = row(1, NEVER, "sleep 8");
    bench.set_rows(&[changed, row(3, NEVER, "sleep 9")]);
    bench.post("/api/v1/jobs/3/start").is(200);
    bench.post("/api/v1/sync").is(200);
    let refused = bench.post("/api/v1/jobs/1/start");
    assert!(detail(refused.is(409).clone()).contains("old definition"));
    bench.core.handle(bench.now, schedule::core::event::Event::Drain);
    let refused = bench.post("/api/v1/jobs/3/start");
    assert!(detail(refused.is(409).clone()).contains("ending"));
}

#[test]
fn a_launch_that_fails_is_answered_with_its_reason() {
    let mut bench = bench();
    let error = |retryable| LaunchError { errno: 2, retryable, text: "/x: no such file".into() };
    bench.launch_error = Some(error(false));
    let failed = bench.post("/api/v1/jobs/1/start").is(500).json();
    assert!(failed["detail"].as_str().unwrap().contains("/x: no such file"));
    assert!(bench.core.web.last_message().starts_with("start 1 at 2026-11-22 13:42:07 result:0 ("));
    bench.launch_error = Some(error(true));
    let waits = bench.post("/api/v1/jobs/1/start").is(200).json();
    assert_eq!((&waits["state"], &waits["pid"]), (&"backoff".into(), &serde_json::Value::Null));
    let stopped = bench.post("/api/v1/jobs/1/stop").is(200).json();
    assert_eq!(stopped["runs"][0]["did"], "cancelled");
}

#[test]
fn a_stop_reaches_all_runs_and_says_which() {
    let mut bench = bench();
    bench.post("/api/v1/jobs/3/stop").is(409);
    bench.post("/api/v1/jobs/3/start").is(200);
    let run = bench.post("/api/v1/jobs/3/start").json()["run_id"].as_str().unwrap().to_owned();
    let one = bench.post(&format!("/api/v1/runs/{run}/stop")).is(200).json();
    assert_eq!(one["runs"][0]["did"], "terminated");
    let both = bench.post("/api/v1/jobs/3/stop").is(200).json();
    assert_eq!(both["runs"].as_array().unwrap().len(), 2);
    assert_eq!(both["runs"][1]["did"], "already_stopping");
    assert_eq!(bench.signals.len(), 2);
    assert!(bench.signals.iter().all(|(_, signal)| *signal == Signal::Term));
    // A job that drains can be stopped, too.
    bench.set_rows(&[]);
    bench.post("/api/v1/sync").is(200);
    bench.post("/api/v1/jobs/3/stop").is(200);
    bench.end_all(0);
    bench.post("/api/v1/jobs/3/stop").is(404);
    bench.post(&format!("/api/v1/runs/{run}/stop")).is(404);
}

fn refusal(leader: bool) -> Refusal {
    let (pids, of) = if leader { (vec![4711], 1) } else { (vec![4712, 4713], 3) };
    Refusal { group: 4711, pids, user: "root".into(), of, leader, killable: false }
}

/// Where the kernel says that the process is another user's nothing was done, and it is said.
#[test]
fn a_run_that_takes_no_signal_goes_on_and_it_is_said_whose_it_is() {
    let mut bench = bench();
    let run = bench.post("/api/v1/jobs/3/start").json()["run_id"].as_str().unwrap().to_owned();
    bench.refusal = Some(refusal(true));
    let why = "not permitted: process 4711 belongs to user 'root': stop it as that user (kill \
               -TERM -4711 as root)";
    for path in [format!("/api/v1/runs/{run}/stop"), "/api/v1/jobs/3/stop".to_owned()] {
        let refused = bench.post(&path).is(403).json();
        assert_eq!(refused["detail"], why, "{path}");
        let job = bench.get("/api/v1/jobs/3").json();
        assert_eq!(
            (&job["state"], &job["live"][0]["outcome"]),
            (&"running".into(), &"running".into())
        );
        assert_eq!(job["live"][0]["detail"], why);
    }
    let status = bench.get("/api/v1/status").json();
    assert_eq!(status["stops_refused"][0]["reason"], why);
    assert_eq!(status["stops_refused"][0]["run_id"], *run);
    assert!(bench.core.web.last_message().contains("result:0 (not permitted: process 4711"));
    assert!(bench.get("/jobs/3").body.contains("kill -TERM -4711 as root"));
    assert!(bench.get("/jobs/3?lang=zh").body.contains("进程 4711 属于用户“root”"));
    assert!(bench.get("/?lang=zh").body.contains("未能停止的运行:1"));
    // The grace time is no matter: it was not killed, and can be stopped when that helps.
    bench.pass(600_000);
    assert_eq!(bench.signals.len(), 2);
    bench.refusal = None;
    let stopped = bench.post("/api/v1/jobs/3/stop").is(200).json();
    assert_eq!(stopped["runs"][0]["did"], "terminated");
    assert_eq!(bench.get("/api/v1/status").json()["stops_refused"].as_array().unwrap().len(), 0);
    assert_eq!(bench.get("/api/v1/jobs/3").json()["live"][0]["outcome"], "stopping");
}

#[test]
fn of_a_run_that_takes_a_signal_in_part_it_is_said_how_many_do_not() {
    let mut bench = bench();
    bench.post("/api/v1/jobs/3/start").is(200);
    bench.refusal = Some(refusal(false));
    let stopped = bench.post("/api/v1/jobs/3/stop").is(200).json();
    assert_eq!(stopped["runs"][0]["did"], "terminated");
    let why = stopped["runs"][0]["reason"].as_str().unwrap();
    assert!(why.contains("2 of its 3 processes, 4712, 4713, belong to user 'root'"), "{why}");
    let job = bench.get("/api/v1/jobs/3").json();
    assert_eq!(
        (&job["live"][0]["outcome"], &job["live"][0]["detail"]),
        (&"stopping".into(), &why.into())
    );
    // It is stopping, and killed all the same: it is none of those that could not be stopped.
    let listed = |bench: &mut Bench| bench.get("/api/v1/status").json()["stops_refused"].clone();
    assert_eq!(listed(&mut bench).as_array().unwrap().len(), 0);
    assert!(!bench.get("/").body.contains("could not be stopped"));
    bench.pass(60_000);
    assert!(bench.signals.iter().any(|(_, signal)| *signal == Signal::Kill));
    bench.end_all(0);
    assert_eq!(bench.get("/api/v1/status").json()["stops_refused"].as_array().unwrap().len(), 0);
}

#[test]
fn some_runs_are_stopped_and_others_refused() {
    let mut bench = bench();
    bench.post("/api/v1/jobs/3/start").is(200);
    bench.refusal = Some(refusal(true));
    bench.post("/api/v1/jobs/3/stop").is(403);
    bench.launch_error =
        Some(LaunchError { errno: 11, retryable: true, text: "no processes".into() });
    bench.post("/api/v1/jobs/3/start").is(200);
    let both = bench.post("/api/v1/jobs/3/stop").is(200).json();
    let did = |n: usize| both["runs"][n]["did"].as_str().unwrap();
    assert_eq!([did(0), did(1)], ["refused", "cancelled"]);
    assert!(both["runs"][0]["reason"].as_str().unwrap().starts_with("not permitted: "));
}

#[test]
fn a_run_that_ended_is_known_and_not_stopped() {
    let mut bench = bench();
    let run = bench.post("/api/v1/jobs/1/start").json()["run_id"].as_str().unwrap().to_owned();
    bench.end_all(0);
    bench.post(&format!("/api/v1/runs/{run}/stop")).is(409);
    bench.post("/api/v1/runs/nonsense/stop").is(400);
}

#[test]
fn a_sync_is_answered_when_its_result_is_in_force() {
    let mut bench = bench();
    let rows: Vec<_> = (1..=1_200).map(|id| row(id, NEVER, "true")).collect();
    bench.set_rows(&rows);
    let done = bench.post("/api/v1/sync").is(200).json();
    assert_eq!(done["jobs"], 1_200);
    assert_eq!(bench.core.web.last_message(), "flush at 2026-11-22 13:42:07 result:1");
    bench.database_error = Some("connection refused: start it".into());
    let failed = bench.post("/api/v1/sync").is(503).json();
    assert!(failed["detail"].as_str().unwrap().contains("connection refused"));
}

#[test]
fn forms_come_back_with_their_filters_and_a_message() {
    let mut bench = bench();
    let back = bench.form("action=start&job=1&job=2&job=3&back=%2F%3Ftag%3D2%26q%3Da");
    assert_eq!(back.is(303).header("location"), Some("./?tag=2&q=a"));
    let message = bench.core.web.last_message();
    assert!(message.starts_with("start 1 3 at 2026-11-22 13:42:07 result:1; start 2"), "{message}");
    assert!(message.contains("result:0 (job 2 has max_concurrence = 0"), "{message}");
    for elsewhere in ["//evil.example/", "/\\evil.example", "http://evil.example/", "", "x"] {
        let reply = bench.form(&format!("action=stop&job=1&back={elsewhere}"));
        assert_eq!(reply.is(303).header("location"), Some("./"), "{elsewhere}");
    }
    let split = bench.form("action=stop&job=1&back=/a%0D%0ASet-Cookie:x=1");
    assert_eq!(split.is(303).header("location"), Some("./"));
    assert_eq!(split.header("set-cookie"), None);
    bench.form("action=explode").is(400);
    bench.form("action=start&job=one").is(400);
    bench.get("/actions").is(405);
}

#[test]
fn files_are_cleared() {
    let mut bench = bench();
    bench.files.insert("log".into(), b"old".to_vec());
    bench.files.insert("/var/log/three".into(), b"old".to_vec());
    bench.post("/api/v1/log/clear").is(200);
    assert_eq!(bench.files["log"], b"");
    bench.form("action=clear_output&job=3&back=/jobs/3").is(303);
    assert_eq!(bench.files["/var/log/three"], b"");
    bench.post("/api/v1/jobs/3/output/clear?stream=stderr").is(404);
    bench.post("/api/v1/jobs/3/output/clear?stream=stdin").is(400);
}

/// What a page of another site, or one that made its name point here, can send.
#[test]
fn other_sites_change_nothing() {
    let mut bench = bench();
    let foreign = [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://127.0.0.1:3402\r\n",
        "Host: evil.example:3401\r\n",
        "Host: 127.0.0.1.evil.example\r\n",
        "Host: 10.0.0.1\r\n",
        "Sec-Purpose: prefetch\r\n",
    ];
    let targets = ["/index.html?action=start&id=1", "/?action=flush", "/x?action=clear"];
    for headers in foreign {
        for target in targets {
            bench.ask("GET", target, headers, "").is(403);
        }
        bench.ask("POST", "/api/v1/jobs/1/start", headers, "").is(403);
        bench.ask("POST", "/actions", headers, "action=start&job=1").is(403);
    }
    assert!(bench.core.scheduler.runs().is_empty());
    let own = [
        "",
        "Sec-Fetch-Site: same-origin\r\nOrigin: http://127.0.0.1:3401\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Host: localhost:9999\r\n",
        "Host: [::1]:3401\r\nOrigin: http://[::1]:3401\r\n",
        "Host: localhost\r\nOrigin: http://localhost:80\r\n",
    ];
    for headers in own {
        bench.ask("POST", "/api/v1/jobs/1/start", headers, "").is(200);
        bench.end_all(0);
    }
}

/// A page that made its own name point here reads nothing: not a list, a figure, a file, a stream,
/// and no page around the refusal. Probes ask under any name.
#[test]
fn another_host_is_refused_before_every_route() {
    let mut bench = bench();
    let paths = [
        "/",
        "/jobs/1",
        "/log",
        "/assets/x",
        "/favicon.ico",
        "/api/v1/jobs",
        "/api/v1/jobs/1",
        "/api/v1/jobs/1/runs",
        "/api/v1/jobs/1/output",
        "/api/v1/log",
        "/api/v1/status",
        "/api/v1/events",
        "/api/v1/log?follow=1",
        "/api/v1/openapi.json",
        "/metrics",
        "/tail.php",
        "/stderr.php?id=1",
        "/index.html",
        "/nowhere",
    ];
    let own = ["127.0.0.1:3401", "127.1.2.3", "LOCALHOST", "a.localhost.", "[::1]:3401"];
    let other = [
        "evil.example:3401",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "localhost,evil",
        "[127.0.0.1]",
    ];
    bench.core.web.listens_on(vec!["Jobs.Corp".to_owned()], true);
    for path in paths {
        for host in other {
            let headers = format!("Host: {host}\r\nAccept: text/html\r\n");
            let refused = bench.ask("GET", path, &headers, "").clone();
            assert_eq!(refused.status, 403, "{host} {path}");
            assert!(refused.body.contains("names") && !refused.body.contains("<html"));
        }
        for host in own.into_iter().chain(["jobs.corp:80", "jobs.corp."]) {
            let asked = bench.ask("HEAD", path, &format!("Host: {host}\r\n"), "");
            assert_ne!(asked.status, 403, "{host} {path}");
        }
    }
    // On an address that others can reach, each address will do; names are still to be known.
    bench.core.web.listens_on(vec!["jobs.corp".to_owned()], false);
    for host in ["10.0.0.1:3401", "[fe80::1]", "jobs.corp", "127.0.0.1"] {
        bench.ask("GET", "/api/v1/jobs", &format!("Host: {host}\r\n"), "").is(200);
    }
    for host in ["evil.example", "10.0.0.1.evil.example"] {
        let headers = format!("Host: {host}\r\n");
        bench.ask("GET", "/api/v1/jobs", &headers, "").is(403);
        bench.ask("POST", "/api/v1/jobs/1/start", &headers, "").is(403);
    }
}

/// Probes ask under any name, so nothing is done there and nothing told, however it is asked.
#[test]
fn the_path_of_probes_does_nothing_else() {
    let mut bench = bench();
    bench.files.insert("log".into(), b"old".to_vec());
    bench.files.insert("/var/log/three".into(), b"old".to_vec());
    let actions = ["start&id=3", "stop&id=3", "flush", "clear", "clear_1&id=3", "clear_2&id=3"];
    for host in ["evil.example", "127.0.0.1"] {
        let headers = format!("Host: {host}\r\nUser-Agent: x\r\nAccept: text/html\r\n");
        for action in actions {
            let target = format!("/healthz?action={action}");
            let told = bench.ask("GET", &target, &headers, "").is(200).clone();
            assert_eq!(told.body, "ok\n");
        }
        let refused = bench.ask("POST", "/healthz", &headers, "action=start&job=3").is(405).clone();
        assert!(!refused.body.contains("<html"), "{}", refused.body);
        bench.ask("OPTIONS", "/healthz?action=start&id=3", &headers, "");
    }
    assert!(bench.core.scheduler.runs().is_empty());
    assert_eq!(
        (&bench.files["log"][..], &bench.files["/var/log/three"][..]),
        (&b"old"[..], &b"old"[..])
    );
}

/// A link in a mail is `Sec-Fetch-Site: none`, and stays it over a foreign redirection.
#[test]
fn a_browser_changes_nothing_by_a_link_and_is_asked_instead() {
    let mut bench = bench();
    bench.files.insert("log".into(), b"old".to_vec());
    bench.files.insert("/var/log/three".into(), b"old".to_vec());
    let navigation = "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\n";
    let with_page = format!("{navigation}Accept: text/html,*/*;q=0.8\r\n");
    let browsers = [
        navigation,
        &with_page,
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Dest: document\r\n",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: image/avif,*/*;q=0.8\r\n",
        "User-Agent: Mozilla/5.0\r\nReferer: http://127.0.0.1:3401/\r\n",
        // Those of a terminal are called by names of their own.
        "User-Agent: Lynx/2.8.9rel.1\r\nAccept-Language: en\r\n",
        "User-Agent: w3m/0.5.3\r\nReferer: http://evil.example/\r\n",
    ];
    let actions = ["start&id=3", "stop&id=3", "flush", "clear", "clear_1&id=3", "clear_2&id=3"];
    for headers in browsers {
        for action in actions {
            for path in ["/", "/index.html", "/stderr.html", "/tail.php", "/jobs/3", "/x/y"] {
                let target = format!("{path}?action={action}");
                bench.ask("HEAD", &target, headers, "").is(403);
                let page = bench.ask("GET", &target, headers, "").is(403).clone();
                assert!(page.body.contains("<form data-plain method=\"post\""), "{target}");
            }
        }
    }
    assert!(bench.core.scheduler.runs().is_empty());
    assert_eq!(bench.files["log"], b"old");
    assert_eq!(bench.files["/var/log/three"], b"old");
    // Its button does it, and leads where the link would have led.
    let page = bench.ask("GET", "/index.html?action=start&id=3&tagid=2", navigation, "").clone();
    for part in ["name=\"job\" value=\"3\"", "name=\"back\" value=\"/?id=3&#38;tagid=2\""] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    let pressed = bench.form("action=start&job=3&back=/?id=3%26tagid=2").is(303).clone();
    assert_eq!(pressed.header("location"), Some("./?id=3&tagid=2"));
    assert_eq!(bench.core.scheduler.runs().len(), 1);
    // Programs do as they always did, unless they say that they only look ahead.
    for early in ["X-Purpose: preview", "X-Moz: prefetch", "Purpose: Prefetch"] {
        bench.ask("GET", "/?action=stop&id=3", &format!("{early}\r\n"), "").is(403);
    }
    bench.ask("GET", "/?action=stop&id=3", "User-Agent: curl/8.5.0\r\n", "").is(301);
    assert_eq!(bench.signals.len(), 1);
}

/// Browsers before 2020 send no `Origin` with a form, and none that knows of `Sec-Fetch-Site`.
#[test]
fn a_form_without_origin_is_judged_by_the_page_it_came_from() {
    let mut bench = bench();
    let own = "http://127.0.0.1:3401";
    let foreign = [
        "http://evil.example/",
        "http://evil.example/http://127.0.0.1:3401/",
        "http://127.0.0.1:3401@evil.example/",
        "http://evil.example?http://127.0.0.1:3401/",
        "http://127.0.0.1:3402/",
        "http://127.0.0.1:3401.evil.example/",
        "about:blank",
        "",
    ];
    for user_agent in ["", "User-Agent: Mozilla/5.0\r\n"] {
        for referer in foreign {
            let headers = format!("{user_agent}Referer: {referer}\r\n");
            bench.ask("POST", "/actions", &headers, "action=start&job=3").is(403);
            bench.ask("POST", "/api/v1/jobs/3/start", &headers, "").is(403);
        }
    }
    // A page can keep the address back, but not the name of its browser.
    for browser in [
        "User-Agent: Mozilla/5.0\r\nAccept: text/html,*/*;q=0.8\r\n",
        // Not called a Mozilla, and not asking for pages.
        "User-Agent: Opera/9.80\r\nAccept: text/html, */*;q=0.1\r\nAccept-Language: en\r\n",
        "User-Agent: Mozilla/4.0 (MSIE 6.0)\r\nAccept: image/gif, */*\r\nAccept-Language: de\r\n",
    ] {
        let refused = bench.ask("POST", "/actions", browser, "action=start&job=3").is(403).clone();
        assert!(refused.body.contains("Origin: http://127.0.0.1:3401"), "{}", refused.body);
    }
    bench.ask("POST", "/api/v1/jobs/3/start", "Sec-Fetch-Site: cross-site\u{ff}\r\n", "").is(403);
    assert!(bench.core.scheduler.runs().is_empty());
    for page in ["/", "/jobs/3?x=http://evil.example/", "?q", ""] {
        let headers = format!("User-Agent: Mozilla/5.0\r\nReferer: {own}{page}\r\n");
        bench.ask("POST", "/actions", &headers, "action=sync").is(303);
    }
    let told = format!("User-Agent: Mozilla/5.0\r\nOrigin: {own}\r\nReferer: http://x/\r\n");
    bench.ask("POST", "/actions", &told, "action=start&job=3").is(303);
    assert_eq!(bench.core.scheduler.runs().len(), 1);
}

/// Some programs have one thing or another in common with browsers.
#[test]
fn a_program_that_calls_itself_a_mozilla_does_what_programs_do() {
    let powershell = "User-Agent: Mozilla/5.0 (Windows NT 10.0; en-US) WindowsPowerShell/5.1\r\n";
    let win_http = "User-Agent: Mozilla/4.0 (compatible; Win32; WinHttp.WinHttpRequest.5)\r\n\
        Accept: */*\r\n";
    let server_xml_http = &format!("{win_http}Accept-Language: en-US,en;q=0.5\r\n");
    let asks_for_pages = &format!("{powershell}Accept: text/html\r\nAccept-Language: de\r\n");
    let apple = "User-Agent: Shortcuts/1 CFNetwork/1410 Darwin/22.6\r\nAccept: */*\r\n\
        Accept-Language: en-GB,en;q=0.9\r\n";
    let java = "User-Agent: Java/17\r\nAccept: text/html, image/gif, image/jpeg, *; q=.2\r\n";
    let node = "User-Agent: node\r\nAccept: */*\r\nAccept-Language: *\r\n\
        Sec-Fetch-Mode: cors\r\n";
    for headers in [powershell, win_http, server_xml_http, asks_for_pages, apple, java, node] {
        let mut bench = bench();
        bench.ask("POST", "/api/v1/jobs/3/start", headers, "").is(200);
        assert_eq!(bench.core.scheduler.runs().len(), 1, "{headers}");
        bench.ask("GET", "/?action=stop&id=3", headers, "").is(301);
        assert_eq!(bench.signals.len(), 1, "{headers}");
    }
    // One that says which page it comes from is none.
    let paged = format!("{win_http}Referer: http://127.0.0.1:3401/\r\n");
    bench().ask("GET", "/?action=start&id=3", &paged, "").is(403);
    // Nothing but the name: a picture on a page may be asked for like that.
    for accept in ["", "Accept: */*\r\n", "Accept: */*\r\nAccept-Language: *\r\n"] {
        let mut bench = bench();
        let bare = format!("User-Agent: Mozilla/5.0 (X11; Linux) Chrome/140\r\n{accept}");
        bench.ask("GET", "/?action=start&id=3", &bare, "").is(403);
        assert!(bench.core.scheduler.runs().is_empty());
    }
}

/// Thousands of runs that are stopped at once: each answer finds who waits for it.
#[test]
fn a_stop_of_eight_times_the_runs_takes_some_eight_times_as_long() {
    let took = |count: u32| {
        let many = JobRow { max_concurrence: count, ..row(1, NEVER, "sleep 9") };
        let mut bench = Bench::with(&[many]);
        for _ in 0..count {
            bench.post("/api/v1/jobs/1/start").is(200);
        }
        let began = Instant::now();
        let said = bench.post("/api/v1/jobs/1/stop").is(200).json();
        let took = began.elapsed();
        let runs = said["runs"].as_array().unwrap();
        assert_eq!(runs.len(), count as usize);
        assert!(runs.iter().all(|run| run["did"] == "terminated"));
        took
    };
    // Others use the processors, too: the best of a few times counts.
    let best = |count| (0..4).map(|_| took(count)).min().unwrap();
    let (few, many) = (best(1_000), best(8_000));
    // Some 30 times as long if each answer is compared with all that wait.
    assert!(many < few * 16, "{few:?}, {many:?}");
}
