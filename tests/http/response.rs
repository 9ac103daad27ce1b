//! How answers look on the wire.

use std::io::Read;
use std::rc::Rc;

use crate::http_common::{Answer, NOW, after, answers};
use schedule::core::http::{
    Body, Connection, Limits, Response, Shared, etag_of, http_date, percent_decode, reason,
};

/// Sends a request with these header lines and answers it.
fn exchange(method: &str, headers: &str, response: Response) -> Vec<u8> {
    let mut connection = Connection::new(&Rc::new(Limits::default()), NOW);
    let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
    connection.receive(NOW, head.as_bytes());
    connection.next_request().expect("a request");
    assert!(connection.respond(NOW, response));
    let mut all = Vec::new();
    while connection.output_bytes() > 0 {
        all.extend_from_slice(connection.output());
        connection.sent(NOW, connection.output().len());
    }
    all
}

fn answer(method: &str, headers: &str, response: Response) -> Answer {
    let method_debug = if method == "HEAD" { "Head " } else { "" };
    let mut all = answers(&exchange(method, headers, response), &[method_debug.to_owned()]);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn text(length: usize) -> String {
    "a line that repeats itself\n".repeat(length / 27)
}

fn unpack(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn a_small_answer_byte_for_byte() {
    let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 13:42:07 GMT\r\n\
                    Cross-Origin-Opener-Policy: same-origin\r\n\
                    Cross-Origin-Resource-Policy: same-origin\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nVary: Accept-Encoding\r\n\
                    X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\
                    Content-Length: 3\r\n\r\nhi\n";
    let bytes = exchange("GET", "", Response::text(200, "hi\n"));
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn dates() {
    let date = http_date;
    // RFC 9110 §5.6.7 gives the first one.
    assert_eq!(date(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(date(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    assert_eq!(date(951_782_400_999), "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(date(4_107_542_399_000), "Sun, 28 Feb 2100 23:59:59 GMT");
    assert_eq!(date(4_107_542_400_000), "Mon, 01 Mar 2100 00:00:00 GMT");
    assert_eq!(date(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    assert_eq!(date(i64::MIN), "Sat, 01 Jan 0000 00:00:00 GMT");
    // Every day of four centuries against a second opinion.
    for day in (0..146_097).step_by(13) {
        let stamp = jiff::Timestamp::from_second(day * 86_400 + 3_661).expect("in range");
        let expected = stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        assert_eq!(date((day * 86_400 + 3_661) * 1_000), expected);
    }
}

#[test]
fn head_has_the_headers_of_get() {
    let pages = || {
        let shared = Shared::new(text(9_000).into_bytes());
        let page = Response::new(200, "text/html", Body::Shared(shared)).etag("1");
        [Response::text(200, text(3_000)), Response::problem(404, "no"), page]
    };
    for headers in ["", "Accept-Encoding: gzip\r\n"] {
        for (got, asked) in pages().into_iter().zip(pages()) {
            let got = exchange("GET", headers, got);
            let asked = exchange("HEAD", headers, asked);
            let end = got.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
            assert_eq!(String::from_utf8_lossy(&got[..end]), String::from_utf8_lossy(&asked));
        }
    }
}

#[test]
fn gzip_where_it_is_liked_and_pays() {
    let page = || Response::text(200, text(5_000));
    for (accepted, packed) in [
        ("", false),
        ("Accept-Encoding: gzip\r\n", true),
        ("Accept-Encoding: GZIP;Q=0.001\r\n", true),
        ("Accept-Encoding: deflate, gzip;q=1.0, *;q=0\r\n", true),
        ("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n", true),
        ("Accept-Encoding: *\r\n", true),
        ("Accept-Encoding: gzip;q=0\r\n", false),
        ("Accept-Encoding: gzip; q=0.0, *\r\n", false),
        ("Accept-Encoding: gzip;q=nan\r\n", false),
        ("Accept-Encoding: gzip;q=0.5, identity;q=0.8\r\n", false),
        ("Accept-Encoding: identity, *;q=0\r\n", false),
        ("Accept-Encoding: br, deflate\r\n", false),
        ("Accept-Encoding: gzipped\r\n", false),
    ] {
        let found = answer("GET", accepted, page());
        assert_eq!(found.header("content-encoding").is_some(), packed, "{accepted}");
        assert_eq!(found.header("vary"), Some("Accept-Encoding"), "{accepted}");
        let body = if packed { unpack(&found.body) } else { text(5_000) };
        assert_eq!(body, text(5_000), "{accepted}");
    }
    let yes = "Accept-Encoding: gzip\r\n";
    let noise: Vec<u8> = (0..5_000_u64).map(|n| ((n * n * 0x9e37_79b9) >> 7) as u8).collect();
    let small = answer("GET", yes, Response::text(200, text(500)));
    let image =
        answer("GET", yes, Response::new(200, "image/png", Body::Bytes(text(5_000).into())));
    let dense = answer("GET", yes, Response::new(200, "text/plain", Body::Bytes(noise)));
    for other in [small, image, dense] {
        assert_eq!(other.header("content-encoding"), None, "{other:?}");
    }
}

#[test]
fn shared_bodies_of_all_sizes_arrive_whole() {
    for length in [0, 1, 1_023, 4_095, 4_096, 4_097, 70_000, 1_000_000] {
        let body = text(length);
        let shared = Shared::new(body.clone().into_bytes());
        let page = || Response::new(200, "text/html", Body::Shared(Rc::clone(&shared)));
        assert_eq!(answer("GET", "", page()).body, body.as_bytes());
        let packed = answer("GET", "Accept-Encoding: gzip\r\n", page());
        match packed.header("content-encoding") {
            Some(_) => assert_eq!(unpack(&packed.body), body),
            None => assert!(packed.body == body.as_bytes() && length < 1_100),
        }
    }
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let page = || Response::text(200, "page").etag("a\"1\r\n");
    let fresh = answer("GET", "", page());
    assert_eq!(fresh.header("etag"), Some("W/\"a1\""), "no quote or line end gets in");
    for (list, status) in [
        ("\"a1\"", 304),
        ("W/\"a1\"", 304),
        ("\"x\", W/\"a1\" , \"y\"", 304),
        ("*", 304),
        ("a1", 200),
        ("\"a1", 200),
        ("\"A1\"", 200),
        ("", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let found = answer(method, &format!("If-None-Match: {list}\r\n"), page());
            assert_eq!(found.status, status, "{method} {list}");
            assert_eq!(found.header("etag"), Some("W/\"a1\""));
        }
        let posted = answer("POST", &format!("If-None-Match: {list}\r\n"), page());
        assert_eq!(posted.status, 200, "a condition on POST is not for this");
    }
    let missing = Response::problem(404, "none").etag("a1");
    assert_eq!(answer("GET", "If-None-Match: *\r\n", missing).status, 404);
    assert_ne!(etag_of(b"a"), etag_of(b"b"));
}

#[test]
fn nothing_gets_into_the_head() {
    let evil = "/x\r\nSet-Cookie: a=1\r\n\r\n<script>\u{85}\0";
    let response = Response::redirect(303, evil)
        .header("X-Note", evil)
        .header("X: y\r\nZ", "1")
        .header("Content-Length", "7")
        .header("transfer-encoding", "chunked")
        .header("Connection", "x")
        .header("Date", "never");
    let found = answer("GET", "", response);
    let names: Vec<&str> = found.headers.iter().map(|(name, _)| name.as_str()).collect();
    let of_ours = ["Date", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"];
    let given = ["Content-Type", "Vary", "Location", "X-Note"];
    let last = ["X-Content-Type-Options", "Cache-Control", "Content-Length"];
    assert_eq!(names, [&of_ours[..], &given, &last].concat());
    let location = found.header("location").expect("a location");
    assert_eq!(location, "/x%0D%0ASet-Cookie:%20a=1%0D%0A%0D%0A%3Cscript%3E%C2%85%00");
    assert_eq!(percent_decode(location, false), evil);
}

#[test]
fn errors_are_problem_json() {
    let found = answer("GET", "", Response::problem(409, "\"7\" is at its limit\n"));
    assert_eq!(found.header("content-type"), Some("application/problem+json"));
    let json: serde_json::Value = serde_json::from_slice(&found.body).expect("JSON");
    assert_eq!(json["status"], 409);
    assert_eq!(json["title"], reason(409));
    assert_eq!(json["detail"], "\"7\" is at its limit\n");
    let found = answer("PUT", "", Response::method_not_allowed("GET, HEAD"));
    assert_eq!((found.status, found.header("allow")), (405, Some("GET, HEAD")));
}

fn stream(version: &str) -> Connection {
    let limits = Limits { stream_bytes: 400, ..Limits::default() };
    let mut connection = Connection::new(&Rc::new(limits), NOW);
    connection.receive(NOW, format!("GET / HTTP/1.{version}\r\nHost: a\r\n\r\n").as_bytes());
    connection.next_request().expect("a request");
    assert!(connection.respond(NOW, Response::event_stream()));
    connection
}

#[test]
fn a_stream_is_chunked_and_the_connection_goes_on() {
    let mut connection = stream("1");
    let head = String::from_utf8_lossy(connection.output()).into_owned();
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("Content-Length"), "{head}");
    connection.sent(NOW, head.len());
    assert_eq!(connection.deadline_ms(), None, "a stream may be silent");
    assert!(connection.push(NOW, b"data: 1\n\n"));
    assert!(connection.push(NOW, b""), "an empty piece must not end the stream");
    assert!(connection.push(NOW, &[b'x'; 26]));
    connection.finish(NOW);
    let expected = format!("9\r\ndata: 1\n\n\r\n1a\r\n{}\r\n0\r\n\r\n", "x".repeat(26));
    assert_eq!(String::from_utf8_lossy(connection.output()), expected);
    connection.sent(NOW, expected.len());
    connection.receive(NOW, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(connection.next_request().expect("a request").path(), "/2");
}

#[test]
fn a_stream_to_http_1_0_ends_with_the_connection() {
    let mut connection = stream("0");
    connection.push(NOW, b"abc");
    connection.finish(NOW);
    let all = String::from_utf8_lossy(connection.output()).into_owned();
    assert!(all.contains("Connection: close\r\n") && all.ends_with("\r\n\r\nabc"), "{all}");
    connection.sent(NOW, all.len());
    assert!(connection.take_half_close());
}

#[test]
fn a_slow_reader_of_a_stream_costs_no_more_than_its_queue() {
    let mut connection = stream("1");
    let taken = (0..100).filter(|_| connection.push(NOW, &[b'x'; 50])).count();
    assert!(taken > 0 && taken < 6, "{taken}");
    assert!(connection.output_bytes() < 400);
    connection.sent(NOW, connection.output().len());
    assert!(connection.push(NOW, b"all of it"), "it has caught up");
    connection.timed_out(after(30_000));
    assert!(connection.should_close(), "it takes nothing for ever");
}

#[test]
fn a_reader_of_a_stream_that_closes_is_gone() {
    let mut connection = stream("1");
    connection.received_eof(NOW);
    assert!(connection.should_close());
    assert!(!connection.push(NOW, b"x"));
}
