//! Limits and time-outs: at the limit it is served, one past it is refused, and nothing waits for
//! ever.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::http_common::{Answer, NOW, Outcome, after, answers, corpus, feed, settle, whole};
use schedule::core::http::{Connection, Limits, Response};

fn statuses(bytes: &[u8], limits: Limits) -> Vec<u16> {
    let split = feed(bytes.chunks(1), false, limits.clone());
    let whole = feed([bytes], false, limits);
    assert_eq!(split, whole, "the cut matters: {}", String::from_utf8_lossy(bytes));
    whole.statuses()
}

#[test]
fn request_line() {
    let limits = Limits { request_line_bytes: 30, ..Limits::default() };
    let request = |length: usize| {
        let target = "/".repeat(length - "GET  HTTP/1.1".len());
        format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
    };
    assert_eq!(statuses(&request(30), limits.clone()), [200]);
    assert_eq!(statuses(&request(31), limits.clone()), [414]);
    assert_eq!(statuses(&[b'G'; 31], limits), [414], "decided without waiting for its end");
}

#[test]
fn header_bytes() {
    let limits = Limits { header_bytes: 40, ..Limits::default() };
    let request = |length: usize| {
        let value = "x".repeat(length - "Host: a\r\nX: \r\n".len());
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n").into_bytes()
    };
    assert_eq!(statuses(&request(40), limits.clone()), [200]);
    assert_eq!(statuses(&request(44), limits), [431]);
}

/// A browser sends the cookies of all programs on this host: the console's own are kept.
#[test]
fn cookies_of_others_lock_nobody_out() {
    // As many as Chromium keeps of a host.
    let foreign: String = (0..180).map(|n| format!("other_{n}={}; ", "x".repeat(4_080))).collect();
    let head = format!("Cookie: {foreign} theme=dark;lang=zh; themes=1\r\nX: y\r\ncookie: a=b");
    let bytes = format!("GET / HTTP/1.1\r\n{head}\r\nHost: a\r\n\r\n").into_bytes();
    assert!(bytes.len() > 700_000);
    let mut connection = connect(Limits::default());
    bytes.chunks(16_384).for_each(|piece| connection.receive(NOW, piece));
    assert!(connection.held_bytes() < 1_000, "{} bytes are kept", connection.held_bytes());
    let request = connection.next_request().expect("a request");
    assert_eq!(request.header("cookie"), Some("theme=dark; lang=zh"));
    assert_eq!((request.header("x"), request.host()), (Some("y"), "a"));
}

/// They don't count among the other lines, wherever they are, and have a bound of their own.
#[test]
fn cookie_bytes() {
    let limits = Limits { header_bytes: 40, cookie_bytes: 100, ..Limits::default() };
    let request = |cookies: usize, rest: usize| {
        let first = "x".repeat(cookies / 2 - "Cookie: \r\n".len());
        let second = "x".repeat(cookies - cookies / 2 - "Cookie: \r\n".len());
        let value = "x".repeat(rest - "Host: a\r\nX: \r\n".len());
        let lines = format!("Cookie: {first}\r\nX: {value}\r\ncookie: {second}\r\nHost: a\r\n");
        format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes()
    };
    assert_eq!(statuses(&request(99, 40), limits.clone()), [200]);
    assert_eq!(statuses(&request(60, 44), limits.clone()), [431]);
    assert_eq!(statuses(&request(104, 40), limits.clone()), [431]);
    // A request line is none of them.
    assert_eq!(statuses(b"cookie: / HTTP/1.1\r\nHost: a\r\n\r\n", limits), [400]);
}

#[test]
fn header_count() {
    let request = |count: usize| {
        let lines = "X: y\r\n".repeat(count - 1);
        format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
    };
    let few = Limits { header_count: 5, ..Limits::default() };
    assert_eq!(statuses(&request(5), few.clone()), [200]);
    assert_eq!(statuses(&request(6), few), [431]);
    let many = Limits { header_count: 1_000, ..Limits::default() };
    assert_eq!(statuses(&request(Limits::MAX_HEADERS), many.clone()), [200]);
    assert_eq!(statuses(&request(Limits::MAX_HEADERS + 1), many), [431]);
}

#[test]
fn body_bytes() {
    let limits = Limits { body_bytes: 10, ..Limits::default() };
    let sized = |length: usize| {
        let body = "b".repeat(length);
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    assert_eq!(statuses(&sized(10), limits.clone()), [200]);
    assert_eq!(statuses(&sized(11), limits.clone()), [413]);
    let chunked = |chunks: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
            .into_bytes()
    };
    assert_eq!(statuses(&chunked("8\r\n12345678\r\n2\r\n12\r\n0\r\n\r\n"), limits.clone()), [200]);
    assert_eq!(statuses(&chunked("8\r\n12345678\r\n3\r\n"), limits.clone()), [413]);
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(1_025));
    assert_eq!(statuses(&chunked(&long), limits.clone()), [400], "a chunk extension too long");
    let trailer = format!("0\r\nX: {}\r\n\r\n", "t".repeat(70_000));
    assert_eq!(statuses(&chunked(&trailer), limits.clone()), [431]);
    let trailers = format!("0\r\n{}\r\n", "X:\r\n".repeat(101));
    assert_eq!(statuses(&chunked(&trailers), limits), [431]);
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn connect(limits: Limits) -> Connection {
    Connection::new(&Rc::new(limits), NOW)
}

#[test]
fn a_reader_that_takes_nothing_gets_no_more_requests_read() {
    let mut connection = connect(Limits { pipelined: 3, input_bytes: 200, ..Limits::default() });
    let mut served = 0;
    let mut sent = 0;
    while connection.wants_read() {
        connection.receive(NOW, &get("/"));
        sent += 1;
        while connection.next_request().is_some() {
            connection.respond(NOW, Response::text(200, "x"));
            served += 1;
        }
        assert!(sent < 100, "no back-pressure");
    }
    assert_eq!(served, 3, "answers queued and not taken");
    // It reads again: everything it sent is answered.
    loop {
        let count = connection.output_bytes();
        connection.sent(NOW, count);
        if connection.next_request().is_none() {
            break;
        }
        connection.respond(NOW, Response::text(200, "x"));
        served += 1;
    }
    assert_eq!(served, sent);
    assert!(connection.wants_read() && connection.is_idle());
}

#[test]
fn queued_bytes_hold_requests_back() {
    let mut connection = connect(Limits { output_bytes: 1_000, ..Limits::default() });
    connection.receive(NOW, &[get("/"), get("/")].concat());
    assert!(connection.next_request().is_some());
    connection.respond(NOW, Response::text(200, "x".repeat(1_000)));
    assert!(!connection.has_request());
    connection.sent(NOW, connection.output().len());
    while connection.output_bytes() > 0 {
        connection.sent(NOW, connection.output().len());
    }
    assert!(connection.has_request());
}

#[test]
fn an_idle_client_is_closed_without_a_word() {
    let mut connection = connect(Limits::default());
    assert_eq!(connection.deadline_ms(), Some(60_000));
    connection.timed_out(after(59_999));
    assert!(!connection.should_close());
    connection.timed_out(after(60_000));
    assert!(connection.should_close());
    assert_eq!(connection.output_bytes(), 0);
}

/// Feeds at 0, then a byte a second, and returns when and how it ended.
fn trickle(start: &[u8], more: &[u8]) -> (u64, Vec<u16>) {
    let (second, outcome) = trickled(start, more);
    (second * 1_000, outcome.statuses())
}

fn trickled(start: &[u8], more: &[u8]) -> (u64, Outcome) {
    let mut connection = connect(Limits::default());
    let mut outcome = Outcome { requests: vec![], output: vec![], closed: false };
    connection.receive(NOW, start);
    for (second, byte) in (1_u64..).zip(more.iter().cycle()) {
        let now = after(second * 1_000);
        connection.timed_out(now);
        settle(&mut connection, now, &mut outcome);
        if outcome.closed {
            return (second, outcome);
        }
        connection.receive(now, &[*byte]);
    }
    unreachable!("the trickle never ends")
}

#[test]
fn a_slow_head_and_a_slow_body_are_told_408() {
    assert_eq!(trickle(b"GET / HTTP/1.1\r\nX: ", b"y"), (10_000, vec![408]));
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\n";
    assert_eq!(trickle(post, b"y"), (30_000, vec![408]));
    let chunks = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(trickle(chunks, b"1\r\nx\r\n"), (30_000, vec![408]));
}

/// Also those that no page has made.
#[test]
fn no_answer_is_kept_or_taken_for_another_kind() {
    let mut all: Vec<Answer> = Vec::new();
    let mut take = |outcome: &Outcome| all.extend(answers(&outcome.output, &outcome.requests));
    corpus::all().for_each(|(_, bytes, ..)| take(&whole(bytes)));
    take(&whole(&get(&"x".repeat(Limits::default().request_line_bytes))));
    take(&whole(format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(500)).as_bytes()));
    take(&trickled(b"GET / HTTP/1.1\r\nX: ", b"y").1);
    let full = Connection::refused(&Rc::new(Limits::default()), NOW);
    all.extend(answers(full.output(), &[]));
    let mut busy = connect(Limits::default());
    busy.receive(NOW, &get("/"));
    assert!(busy.next_request().is_some());
    busy.timed_out(after(60_000));
    all.extend(answers(busy.output(), &[]));
    // What goes on is no answer yet.
    all.retain(|answer| answer.status != 100);
    let statuses: BTreeSet<u16> = all.iter().map(|answer| answer.status).collect();
    let kinds = [200, 204, 304, 400, 405, 408, 411, 413, 414, 417, 431, 501, 503, 504, 505];
    assert_eq!(statuses, BTreeSet::from(kinds));
    let is_safe = |answer: &Answer| {
        answer.header("cache-control") == Some("no-store")
            && answer.header("x-content-type-options") == Some("nosniff")
            && answer.header("cross-origin-resource-policy") == Some("same-origin")
    };
    let bare = all.iter().filter(|answer| !is_safe(answer)).map(|answer| answer.status);
    assert_eq!(bare.collect::<BTreeSet<u16>>(), BTreeSet::new());
}

#[test]
fn an_answer_that_never_comes_is_replaced_and_a_late_one_dropped() {
    let mut connection = connect(Limits::default());
    connection.receive(NOW, &get("/"));
    assert!(connection.next_request().is_some());
    assert_eq!(connection.deadline_ms(), Some(60_000));
    connection.timed_out(after(60_000));
    assert!(!connection.respond(after(60_001), Response::text(200, "late")));
    let told = answers(connection.output(), &[]);
    // It may have been done: nobody is told to try again.
    assert_eq!((told[0].status, told[0].header("retry-after")), (504, None));
    assert_eq!(told.len(), 1);
    // Nobody has taken this one.
    let mut connection = connect(Limits::default());
    connection.receive(NOW, &get("/"));
    connection.timed_out(after(60_000));
    let told = answers(connection.output(), &[]);
    assert_eq!((told[0].status, told[0].header("retry-after")), (503, Some("5")));
    assert_eq!(told.len(), 1);
}

/// Before there is no daemon any more that could answer.
#[test]
fn who_still_waits_is_told_that_no_answer_comes() {
    let mut connection = connect(Limits::default());
    connection.give_up(NOW);
    connection.receive(NOW, &get("/"));
    assert!(connection.next_request().is_some());
    connection.give_up(NOW);
    connection.give_up(NOW);
    let told = answers(connection.output(), &[]);
    assert_eq!((told[0].status, told[0].header("retry-after")), (504, None));
    assert_eq!(told.len(), 1);
}

/// Nobody has acted on these: they may be sent again.
#[test]
fn who_still_sends_is_told_that_nothing_was_done() {
    let half = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    for sent in [half, get("/")] {
        let mut connection = connect(Limits::default());
        connection.receive(NOW, &sent);
        connection.give_up(NOW);
        let told = answers(connection.output(), &[]);
        assert_eq!((told[0].status, told[0].header("retry-after")), (503, Some("5")));
        assert_eq!(told.len(), 1);
        assert!(connection.next_request().is_none());
    }
}

#[test]
fn a_reader_earns_time_by_reading() {
    let mut connection = connect(Limits::default());
    connection.receive(NOW, &get("/"));
    assert!(connection.next_request().is_some());
    connection.respond(NOW, Response::text(200, "x".repeat(300_000)));
    assert_eq!(connection.deadline_ms(), Some(30_000));
    connection.sent(after(20_000), 1);
    assert_eq!(connection.deadline_ms(), Some(30_000), "a byte earns nothing");
    connection.sent(after(29_000), 70_000);
    assert_eq!(connection.deadline_ms(), Some(59_000));
    connection.timed_out(after(59_000));
    assert!(connection.should_close());
    assert_eq!(connection.output_bytes(), 0);
}

#[test]
fn after_the_last_answer_it_lingers_and_then_goes() {
    let refused = || {
        let limits = Limits { linger_bytes: 1_000, ..Limits::default() };
        let mut connection = connect(limits);
        connection.receive(NOW, b"GET / HTTP/1.1\r\n\r\n");
        assert!(!connection.take_half_close(), "not before the answer is sent");
        connection.sent(NOW, connection.output().len());
        assert!(connection.take_half_close());
        assert!(!connection.take_half_close(), "once");
        assert!(!connection.should_close() && connection.wants_read());
        connection
    };
    let mut eof = refused();
    eof.received_eof(NOW);
    assert!(eof.should_close());
    let mut talker = refused();
    talker.receive(NOW, &[b'x'; 900]);
    assert!(!talker.should_close());
    talker.receive(NOW, &[b'x'; 900]);
    assert!(talker.should_close());
    let mut silent = refused();
    assert_eq!(silent.deadline_ms(), Some(5_000));
    silent.timed_out(after(5_000));
    assert!(silent.should_close());
}

#[test]
fn there_is_no_place() {
    let mut connection = Connection::refused(&Rc::new(Limits::default()), NOW);
    assert_eq!(answers(connection.output(), &[])[0].status, 503);
    connection.receive(NOW, &get("/"));
    assert!(connection.next_request().is_none());
}

#[test]
fn draining_ends_the_idle_now_and_the_busy_after_their_answer() {
    let mut idle = connect(Limits::default());
    idle.drain(NOW);
    assert!(idle.take_half_close());
    let mut busy = connect(Limits::default());
    busy.receive(NOW, &get("/"));
    assert!(busy.next_request().is_some());
    busy.drain(NOW);
    assert!(!busy.take_half_close() && !busy.should_close());
    busy.respond(NOW, Response::text(200, "x"));
    assert_eq!(answers(busy.output(), &[])[0].header("connection"), Some("close"));
    busy.sent(NOW, busy.output().len());
    assert!(busy.take_half_close());
}

#[test]
fn an_idle_connection_is_small() {
    let size = size_of::<Connection>();
    assert!(size <= 320, "a connection takes {size} bytes");
}
