//! Drives one connection without sockets, and the corpus of what clients send.
#![allow(dead_code)]

pub mod corpus;

use std::rc::Rc;

use schedule::core::http::{Connection, Limits, Method, Request, Response};
use schedule::core::time::Now;

/// 2026-11-22T13:42:07Z, monotonic zero.
pub const NOW: Now = Now { wall_ms: 1_795_354_927_000, mono_ms: 0 };

/// The same wall clock, so many milliseconds later on the monotonic one.
pub fn after(ms: u64) -> Now {
    Now { mono_ms: ms, ..NOW }
}

/// What came of feeding bytes to a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Each request as the router saw it.
    pub requests: Vec<String>,
    /// All bytes sent to the client.
    pub output: Vec<u8>,
    /// The server's side was closed after the last answer.
    pub closed: bool,
}

impl Outcome {
    /// The statuses of the answers in order, 1xx included.
    pub fn statuses(&self) -> Vec<u16> {
        answers(&self.output, &self.requests).into_iter().map(|answer| answer.status).collect()
    }
}

/// An answer taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Takes a client's view of the bytes apart by its own means: framing by Content-Length, and no
/// body for 1xx, 204, 304 and where the n-th request was HEAD. Panics on anything left over.
pub fn answers(mut bytes: &[u8], requests: &[String]) -> Vec<Answer> {
    let mut found: Vec<Answer> = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a complete head") + 4;
        let head = std::str::from_utf8(&bytes[..end]).expect("ASCII head");
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().expect("a status line");
        assert!(status_line.starts_with("HTTP/1.1 "), "{status_line:?}");
        let status: u16 = status_line[9..12].parse().expect("a status");
        let split = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header line");
            assert!(!value.contains(['\r', '\n']), "{line:?}");
            (name.to_owned(), value.to_owned())
        };
        let headers: Vec<(String, String)> = lines.map(split).collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        // `OPTIONS *` is answered 204 without the router, which never answers that here.
        let routed = |answer: &&Answer| answer.status >= 200 && answer.status != 204;
        let asked_head = requests
            .get(found.iter().filter(routed).count())
            .is_some_and(|request| request.starts_with("Head "));
        let bodiless = status < 200 || status == 204 || status == 304;
        let length = answer.header("content-length").map(|text| text.parse::<usize>());
        assert_eq!(length.is_none(), bodiless, "{head}");
        assert_eq!(answer.header("date").is_none(), status < 200, "{head}");
        let length = length.map_or(0, |length| length.expect("a number"));
        bytes = &bytes[end..];
        // A refused HEAD has no body either; it is the last answer, so nothing follows its head.
        let skip = asked_head || (bytes.is_empty() && status >= 400);
        if !bodiless && !skip {
            answer.body = bytes[..length].to_vec();
            bytes = &bytes[length..];
        }
        found.push(answer);
    }
    found
}

/// The pages of the tests: an answer that tells what was asked.
pub fn page(request: &Request) -> Response {
    match (request.method, request.segments().as_slice()) {
        (Method::Get | Method::Head | Method::Post, ["close"]) => Response::text(200, "c").close(),
        (Method::Get | Method::Head, ["tagged"]) => Response::text(200, "tagged").etag("t1"),
        (Method::Delete, _) => Response::method_not_allowed("GET, HEAD, POST"),
        _ => Response::text(200, describe(request)),
    }
}

/// All that a router can see of a request.
pub fn describe(request: &Request) -> String {
    let headers: Vec<String> = request
        .all_headers()
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
        .collect();
    let body = String::from_utf8_lossy(&request.body);
    let (path, query) = (request.path(), request.raw_query());
    let (method, minor, host) = (request.method, request.minor, request.host());
    format!("{method:?} {path} ?{query} 1.{minor} @{host} {headers:?} {body:?}")
}

/// Answers what is there and takes the output, until nothing moves.
pub fn settle(connection: &mut Connection, now: Now, outcome: &mut Outcome) {
    loop {
        let mut moved = false;
        while let Some(request) = connection.next_request() {
            outcome.requests.push(describe(&request));
            connection.respond(now, page(&request));
            moved = true;
        }
        while connection.output_bytes() > 0 {
            let piece = connection.output().to_vec();
            assert!(!piece.is_empty(), "bytes wait but none is given");
            outcome.output.extend_from_slice(&piece);
            connection.sent(now, piece.len());
            moved = true;
        }
        outcome.closed |= connection.take_half_close() || connection.should_close();
        if !moved {
            return;
        }
    }
}

/// Feeds the pieces to a new connection, then the end of the input if `eof`.
pub fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, eof: bool, limits: Limits) -> Outcome {
    let mut connection = Connection::new(&Rc::new(limits), NOW);
    let mut outcome = Outcome { requests: Vec::new(), output: Vec::new(), closed: false };
    for piece in pieces {
        connection.receive(NOW, piece);
        settle(&mut connection, NOW, &mut outcome);
    }
    if eof {
        connection.received_eof(NOW);
        settle(&mut connection, NOW, &mut outcome);
    }
    outcome
}

/// Feeds bytes at once, with the usual limits.
pub fn whole(bytes: &[u8]) -> Outcome {
    feed([bytes], false, Limits::default())
}

/// A small generator of random numbers (xorshift64*), so that a seed is all a failure needs.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
