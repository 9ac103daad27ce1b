//! What a client may cost: a limit on everything, each with its name and its answer.

/// The limits of a connection and of the table of connections. All times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether a connection may serve more than one request (`[base] keepalive`).
    pub keep_alive: bool,
    /// Request line without its CRLF, bytes; beyond: 414 (RFC 9112 §3).
    pub request_line_bytes: usize,
    /// All header lines of a request together but for cookies, bytes; trailers alike; beyond: 431.
    pub header_bytes: usize,
    /// Cookies of a request, bytes; beyond: 431. A browser sends those of all programs on a host,
    /// Chromium up to 180 of 4 kB; what is not ours is not kept.
    pub cookie_bytes: usize,
    /// Header lines of a request, at most [`Limits::MAX_HEADERS`]; beyond: 431.
    pub header_count: usize,
    /// Body of a request after decoding, bytes; beyond: 413.
    pub body_bytes: usize,
    /// Paths whose bodies may be larger, with how many bytes they may have; beyond: 413. One that
    /// ends in `/` stands for all below it.
    pub larger_bodies: &'static [(&'static str, usize)],
    /// Answers that may wait for their reader; beyond, no further request is taken up.
    pub pipelined: usize,
    /// Bytes received and not yet interpreted; beyond, the socket is not read.
    pub input_bytes: usize,
    /// Bytes queued for the client; beyond, no further request is taken up.
    pub output_bytes: usize,
    /// What all connections may hold together, bytes: input, bodies and what is queued. Beyond, the
    /// one that keeps the daemon waiting longest is closed; new bodies: 503.
    pub held_bytes: usize,
    /// Bytes queued for the reader of a stream; beyond, chunks are not taken.
    pub stream_bytes: usize,
    /// Time between two requests, and from connecting to the first byte; beyond: closed.
    pub idle_ms: u64,
    /// Time from the first byte of a request to the end of its head; beyond: 408.
    pub header_ms: u64,
    /// Time from the end of the head to the end of the body; beyond: 408.
    pub body_ms: u64,
    /// Time for the daemon to answer a complete request; beyond: 503, or 504 if it has taken it.
    pub answer_ms: u64,
    /// Time for a reader to take [`Limits::WRITE_STEP_BYTES`] or all there is; beyond: closed.
    pub write_ms: u64,
    /// Time for a client to close after the last answer; beyond: closed (RFC 9112 §9.6).
    pub linger_ms: u64,
    /// Bytes read and thrown away after the last answer; beyond: closed.
    pub linger_bytes: usize,
    /// Connections at a time; beyond, the one that waits longest without a request gives way.
    pub connections: usize,
    /// Streams at a time, so that they can't take every place; beyond: 503.
    pub streams: usize,
}

impl Limits {
    /// The most header lines a request can have whatever [`Limits::header_count`] says.
    pub const MAX_HEADERS: usize = 100;

    /// Bytes that the body of a request to a path may have.
    pub(super) fn body_bytes_at(&self, path: &str) -> usize {
        let is_it = |(its, _): &&(&str, usize)| {
            path == *its || (its.ends_with('/') && path.starts_with(its))
        };
        self.larger_bodies.iter().find(is_it).map_or(self.body_bytes, |(_, bytes)| *bytes)
    }

    /// A reader that takes this many bytes has earned another [`Limits::write_ms`].
    pub const WRITE_STEP_BYTES: usize = 65_536;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            keep_alive: true,
            request_line_bytes: 8_192,
            header_bytes: 65_536,
            cookie_bytes: 1_048_576,
            header_count: Limits::MAX_HEADERS,
            body_bytes: 65_536,
            larger_bodies: &[],
            pipelined: 64,
            input_bytes: 32_768,
            output_bytes: 1_048_576,
            held_bytes: 268_435_456,
            stream_bytes: 65_536,
            idle_ms: 60_000,
            header_ms: 10_000,
            body_ms: 30_000,
            answer_ms: 60_000,
            write_ms: 30_000,
            linger_ms: 5_000,
            linger_bytes: 16_777_216,
            connections: 10_000,
            streams: 7_500,
        }
    }
}
