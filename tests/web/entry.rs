//! What a person is told who changes jobs by the forms of the pages: what is saved and not in
//! force, what nobody knows, and what was sent before.

use crate::web_common::{Bench, Reply, row};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schedule::core::places::Peer;
use schedule::core::protocol::Purpose;

const HTML: &str = "Accept: text/html\r\nContent-Type: application/x-www-form-urlencoded\r\n";
const DAILY: &str = "0 3 * * *";

fn body(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = fields.iter().map(|(name, value)| format!("{name}={}", encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A request whose answer may take a while.
fn post(bench: &mut Bench, path: &str, fields: &[(&str, &str)]) -> schedule::core::ids::ConnId {
    let body = body(fields);
    let length = body.len();
    bench.hand_in(&format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{HTML}Content-Length: {length}\r\n\r\n{body}"
    ))
}

fn send(bench: &mut Bench, path: &str, fields: &[(&str, &str)]) -> Reply {
    bench.ask("POST", path, HTML, &body(fields))
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let begin = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {name}: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

fn version(bench: &mut Bench) -> String {
    bench.get("/api/v1/jobs/1").json()["version"].as_str().unwrap().to_owned()
}

#[test]
fn what_is_saved_and_not_in_force_is_told_as_that() {
    let mut bench = Bench::that_asks_seldom(&[row(1, DAILY, "true")]);
    let seen = version(&mut bench);
    bench.cut = Some(Purpose::Sync);
    let fields = [("version", &*seen), ("owner", "ann")];
    let told = send(&mut bench, "/jobs/1/edit", &fields);
    told.is(202);
    for text in ["Saved, and not in force yet", "cut", "text/html"] {
        assert!((told.head.clone() + &told.body).contains(text), "{text}: {told:?}");
    }
    bench.cut = None;
    bench.post("/api/v1/sync").is(200);
    assert_eq!(bench.get("/api/v1/jobs/1").json()["owner"], "ann");
    let seen = version(&mut bench);
    let fields = [("version", &*seen), ("owner", "bob")];
    assert_eq!(send(&mut bench, "/jobs/1/edit", &fields).header("location"), Some("../../jobs/1"));
}

#[test]
fn what_is_hardly_meant_is_told_after_it_was_saved() {
    let mut bench = Bench::that_asks_seldom(&[row(1, DAILY, "true")]);
    let seen = version(&mut bench);
    let fields = [("version", &*seen), ("command", "echo {NOBODY}")];
    send(&mut bench, "/jobs/1/edit", &fields).is(303);
    let page = bench.ask("GET", "/jobs/1", HTML, "").is(200).body.clone();
    let (_, message) = page.split_once("id=\"message\"").unwrap();
    let message = message.split("</p>").next().unwrap();
    assert!(message.contains("13:42:07; command: ") && message.contains("NOBODY"), "{message}");
}

#[test]
fn a_form_is_kept_by_nobody_and_says_so_once() {
    let mut bench = Bench::that_asks_seldom(&[row(1, DAILY, "true")]);
    for path in ["/jobs/new", "/jobs/1/edit", "/jobs/1/delete"] {
        let head = bench.ask("GET", path, HTML, "").is(200).head.clone();
        let told: Vec<&str> = head.lines().filter(|it| it.starts_with("Cache-Control")).collect();
        assert_eq!(told, ["Cache-Control: no-store"], "{path}");
    }
}

#[test]
fn what_nobody_knows_is_not_told_as_nothing() {
    let mut bench = Bench::that_asks_seldom(&[row(1, DAILY, "true")]);
    let seen = version(&mut bench);
    bench.cut = Some(Purpose::Change);
    let conn = post(&mut bench, "/jobs/1/edit", &[("version", &seen), ("owner", "ann")]);
    bench.turn();
    for _ in 0..30 {
        bench.pass(500);
    }
    let told = bench.received(conn);
    assert!(told.starts_with("HTTP/1.1 504 "), "{told}");
    assert!(told.contains("Nobody knows whether this was saved"), "{told}");
    assert!(!told.contains("Nothing was changed"), "{told}");
    assert_eq!(hidden(&told, "version"), seen);
}

#[test]
fn a_form_that_was_sent_before_comes_back_with_another_key() {
    let mut bench = Bench::that_asks_seldom(&[]);
    let page = bench.ask("GET", "/jobs/new", HTML, "").is(200).body.clone();
    let key = hidden(&page, "key");
    let fields = [("key", &*key), ("name", "a"), ("command", "true"), ("cron", DAILY)];
    send(&mut bench, "/jobs/new", &fields).is(303);
    bench.pass(1_000);
    let other = [("key", &*key), ("name", "b"), ("command", "false"), ("cron", DAILY)];
    let told = send(&mut bench, "/jobs/new", &other);
    assert!(told.is(422).body.contains("this form was sent already"), "{told:?}");
    assert!(told.body.contains("value=\"b\""), "what was written stays: {told:?}");
    let next = hidden(&told.body, "key");
    assert_ne!(next, key);
    let other = [("key", &*next), ("name", "b"), ("command", "false"), ("cron", DAILY)];
    send(&mut bench, "/jobs/new", &other).is(303);
    assert_eq!(bench.get("/api/v1/jobs").json()["total"], 2);
    // One that is under way is sent once more: all jobs are shown.
    bench.silent = true;
    let third = [("key", "k"), ("name", "c"), ("command", "pwd"), ("cron", DAILY)];
    let first = post(&mut bench, "/jobs/new", &third);
    bench.turn();
    let again = post(&mut bench, "/jobs/new", &third);
    bench.turn();
    assert_eq!(bench.received(first), "");
    let told = bench.received(again);
    assert!(told.starts_with("HTTP/1.1 303 ") && told.contains("Location: ../\r\n"), "{told}");
}

/// Nothing that somebody has written is lost because others ask as well.
#[test]
fn a_preview_that_gives_way_is_answered_with_the_form() {
    let mut bench = Bench::that_asks_seldom(&[]);
    let fields = [("do", "preview"), ("key", "k"), ("name", "mine"), ("command", "true")];
    let first = post(&mut bench, "/jobs/new", &fields);
    let others: Vec<_> = (0..15).map(|_| post(&mut bench, "/jobs/new", &fields)).collect();
    bench.peer = Peer::at([10, 0, 0, 9].into());
    post(&mut bench, "/jobs/new", &fields);
    bench.act();
    let all = std::iter::once(first).chain(others);
    let told: Vec<String> =
        all.map(|conn| bench.received(conn)).filter(|it| !it.is_empty()).collect();
    assert_eq!(told.len(), 1);
    let told = &told[0];
    assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("Retry-After: "), "{told}");
    assert!(told.contains("text/html") && told.contains("value=\"mine\""), "{told}");
}
