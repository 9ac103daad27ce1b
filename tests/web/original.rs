//! The original's URLs, and tables for terminals.

use crate::web_common::{Bench, row};
use schedule::core::definition::original_key;

const NEVER: &str = "0 0 1 1 *";

fn key(id: u32) -> String {
    let row = row(id, NEVER, "sleep 9");
    schedule::core::definition::hex(&original_key(&row, &row.command))
}

#[test]
fn actions_by_key_and_by_id_go_back_with_their_filters() {
    let rows: Vec<_> = (1..=300).map(|id| row(id, NEVER, "sleep 9")).collect();
    let mut bench = Bench::with(&rows);
    let target = format!("/index.html?action=start&md5={}&id=&tagid=2", key(77));
    let moved = bench.get(&target);
    assert_eq!(moved.is(301).header("location"), Some("index.php?tagid=2"));
    assert_eq!(moved.header("cache-control"), Some("no-store"), "or browsers start it only once");
    assert_eq!(bench.core.web.last_message(), "start 77 at 2026-11-22 13:42:07 result:1");
    bench.get(&format!("/anything?action=stop&md5={}", key(77).to_uppercase())).is(301);
    assert_eq!(bench.signals.len(), 1);
    bench.get("/index.html?action=start&id=3").is(301);
    assert_eq!(bench.core.web.last_message(), "start 3 at 2026-11-22 13:42:07 result:1");
    let evil = bench.get("/index.html?tagid=%0d%0aSet-Cookie:a=b%22%3E&q=//x");
    let location = evil.is(301).header("location").unwrap();
    assert_eq!(location, "index.php?tagid=%0D%0ASet-Cookie%3Aa%3Db%22%3E&q=%2F%2Fx");
}

/// Below the path of a proxy, which the daemon does not know, an address that begins with a slash
/// would leave it. PHP's own client leaves dots in an address, so there are none without need.
#[test]
fn nobody_is_led_to_the_root_of_the_host() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    let browser = "User-Agent: Mozilla/5.0\r\nAccept: text/html\r\n";
    for (target, headers, expected) in [
        ("/index.html", "", "index.php"),
        ("/index.html?tagid=2", "", "index.php?tagid=2"),
        ("/index.html?tagid=2", browser, "./?tagid=2"),
        ("/stderr.html?id=1&type=2", "", "stderr.php?id=1&type=2"),
        ("/stderr.html?id=1&type=2", browser, "./stderr.php?id=1&type=2"),
        ("/?action=flush", "", "index.php"),
        ("/?action=start&id=1&state=running", "", "index.php?id=1&state=running"),
        ("/tail.php?action=clear&size=3", "", "tail.php?size=3"),
        ("/jobs/1?action=flush", "", "../index.php"),
        ("/a/b/?action=flush", "", "../../index.php"),
    ] {
        for method in ["HEAD", "GET"] {
            let reply = bench.ask(method, target, headers, "");
            let to = reply.is(301).header("location");
            assert_eq!(to, Some(expected), "{method} {target} {headers}");
        }
    }
}

/// The original ended when it was asked for a key that no job has.
#[test]
fn what_ended_the_original_is_answered() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 9")]);
    bench.get("/index.html?action=start&md5=nonsense").is(404);
    bench.get(&format!("/index.html?action=start&md5={}", key(2))).is(404);
    bench.get("/index.html?action=start&md5[]=1").is(400);
    bench.get("/index.html?action=start").is(400);
    bench.get("/index.html?action=explode").is(400);
    bench.get("/stderr.php?md5=%00").is(404);
    bench.get("/stderr.php?id=1&size=0").is(400);
    let head = bench.ask("HEAD", "/index.html?action=start&id=1", "", "");
    head.is(301);
    assert!(bench.core.scheduler.runs().is_empty(), "HEAD changes nothing");
}

#[test]
fn the_key_of_a_changed_row_is_known_at_once() {
    let mut bench = Bench::with(&[row(1, NEVER, "sleep 8")]);
    bench.get(&format!("/?action=stop&md5={}", key(1))).is(404);
    bench.set_rows(&[row(1, NEVER, "sleep 9")]);
    bench.get("/?action=flush").is(301);
    bench.get(&format!("/?action=start&md5={}", key(1))).is(301);
    assert_eq!(bench.core.scheduler.runs().len(), 1);
}

#[test]
fn file_pages_show_the_end_of_a_file_as_text() {
    let mut job = row(5, NEVER, "sleep 9");
    job.name = "<script>alert('1')</script>".into();
    job.output = "/o".into();
    job.stderr = "/e".into();
    let mut bench = Bench::with(&[job]);
    let lines: String = (1..=300).map(|line| format!("<b>{line}</b>\n")).collect();
    bench.files.insert("/o".into(), lines.clone().into_bytes());
    bench.files.insert("log".into(), lines.into_bytes());
    let page = bench.get("/stderr.php?id=5&type=1").is(200).clone();
    assert_eq!(page.body.matches("&lt;b&gt;").count(), 100);
    assert!(page.body.contains("&lt;b&gt;300&lt;/b&gt;") && !page.body.contains("<b>"));
    assert!(!page.body.contains("<script>"));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let log = bench.get("/tail.php?size=7").is(200).clone();
    assert_eq!(log.body.matches("&lt;b&gt;").count(), 7);
    assert!(bench.get("/stderr.php?id=5&type=2").is(200).body.contains("no such file"));
    let cleared = bench.get("/stderr.html?id=5&type=1&action=clear_1");
    assert_eq!(cleared.is(301).header("location"), Some("stderr.php?id=5&type=1"));
    assert_eq!(bench.files["/o"], b"");
}

#[test]
fn tables_are_aligned_also_with_wide_characters_and_harmless_to_terminals() {
    let mut wide = row(1, NEVER, "true");
    wide.name = "备份数据".into();
    let mut hostile = row(2, NEVER, "echo \u{1b}]0;owned\u{7}");
    hostile.name = "a\u{202e}b\nc".into();
    let mut bench = Bench::with(&[wide, hostile]);
    let curl = "User-Agent: curl/8.5.0\r\nAccept: */*\r\n";
    let table = bench.ask("GET", "/", curl, "").is(200).clone();
    assert!(table.header("content-type").unwrap().starts_with("text/plain"));
    let lines: Vec<&str> = table.body.lines().collect();
    // Counted by hand: four wide characters take eight columns, two more than "a?b?c" and the gap.
    assert!(lines[0].starts_with("STATE  ID  NAME      CRON       RUNS"), "{}", lines[0]);
    assert!(lines[1].starts_with("-      1   备份数据  0 0 1 1 *  0/1"), "{}", lines[1]);
    assert!(lines[2].starts_with("-      2   a?b?c     0 0 1 1 *  0/1"), "{}", lines[2]);
    assert!(lines[2].ends_with("echo ?]0;owned?"), "{}", lines[2]);
    assert_eq!(lines[3], "2 of 2 jobs");
    let plain = bench.ask("GET", "/api/v1/jobs?q=%E5%A4%87", "Accept: text/plain\r\n", "");
    assert!(plain.is(200).body.ends_with("1 of 1 job\n"));
    let json = bench.ask("GET", "/api/v1/jobs", curl, "");
    assert_eq!(json.is(200).json()["total"], 2);
}

/// The carriage return of a text area would be a part of the last word. The key is of the row as
/// it is: tools have it from the original.
#[test]
fn a_line_end_after_a_command_is_not_run() {
    let row = row(1, NEVER, "cat /etc/hostname\r\n");
    let key = schedule::core::definition::hex(&original_key(&row, &row.command));
    let mut bench = Bench::with(&[row]);
    let job = bench.get("/api/v1/jobs/1").json();
    assert_eq!((&job["command"], &job["md5"]), (&"cat /etc/hostname".into(), &key.into()));
}
