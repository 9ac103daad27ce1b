//! The head of a request: where it ends, what is refused, how its body is framed.
//!
//! [`Scanner`] walks the bytes once as they arrive and refuses on a prefix what no continuation can
//! save: a line end that is not CRLF, a control character, a folded line, a line or a head that is
//! too long. Only a complete head is parsed. Line ends are strict (RFC 9112 §2.2 permits a bare LF
//! and leaves it to others to disagree about it: that is how requests are smuggled).

use std::mem::MaybeUninit;
use std::ops::Range;

use super::request::{Field, Method, Request};
use super::target::{self, Target};
use super::{Limits, Response, cookies};
use crate::core::places::Peer;

/// Why a request is not served: an answer, and the end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub detail: &'static str,
}

impl Refusal {
    pub(super) fn response(self) -> Response {
        Response::problem(self.status, self.detail)
    }
}

pub(super) const fn refuse(status: u16, detail: &'static str) -> Refusal {
    Refusal { status, detail }
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// The head is not complete.
    Partial,
    /// The head lies at this range, its final empty line included.
    Complete(Range<usize>),
    /// It will never be a request.
    Refused(Refusal),
}

/// How far the bytes of a head have been looked at. Positions count from the first byte given.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    at: usize,
    start: usize,
    line_start: usize,
    headers_start: usize,
    count: usize,
    /// Bytes of complete lines of cookies.
    cookies: usize,
}

impl Scanner {
    /// Continues with the bytes of the head so far; always call it with the same bytes in front.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Scan {
        while let Some(&byte) = bytes.get(self.at) {
            let step = match byte {
                b'\n' => self.line_end(bytes, limits),
                _ => self.inside(byte, bytes, limits).map(|()| None),
            };
            self.at += 1;
            match step {
                Err(refusal) => return Scan::Refused(refusal),
                Ok(Some(end)) => return Scan::Complete(self.start..end),
                Ok(None) => {}
            }
        }
        Scan::Partial
    }

    /// Whether the request line is complete.
    fn in_headers(&self) -> bool {
        self.headers_start != 0
    }

    /// A byte that ends no line.
    fn inside(&self, byte: u8, bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
        let length = self.at - self.line_start;
        if self.at > self.line_start && bytes[self.at - 1] == b'\r' {
            return Err(refuse(400, "A carriage return must be followed by a line feed."));
        }
        match byte {
            b'\r' => {}
            b' ' | b'\t' if length == 0 => {
                return Err(refuse(
                    400,
                    "A line of the head starts with a blank; don't fold lines.",
                ));
            }
            0x16 if self.at == 0 => return Err(TLS),
            b'\t' if self.in_headers() => {}
            0..0x20 | 0x7f => {
                return Err(refuse(400, "A control character in the head of the request."));
            }
            _ => {}
        }
        if !self.in_headers() && length >= limits.request_line_bytes && byte != b'\r' {
            return Err(refuse(414, "The request line is too long; send long data in a body."));
        }
        let others = |cookies| self.at + 1 - self.headers_start - cookies;
        if self.in_headers() && others(self.cookies) > limits.header_bytes + 2 {
            // Most heads never come here, so the line is looked at this late.
            let cookies = self.cookies + self.cookies_of_line(bytes);
            if cookies > limits.cookie_bytes || others(cookies) > limits.header_bytes + 2 {
                let why = "The header lines together are too long; send fewer cookies.";
                return Err(refuse(431, why));
            }
        }
        Ok(())
    }

    /// Bytes of the line so far, if it has cookies.
    fn cookies_of_line(&self, bytes: &[u8]) -> usize {
        let line = &bytes[self.line_start..=self.at];
        if self.in_headers() && cookies::is_line(line) { line.len() } else { 0 }
    }

    /// A line feed: `Some(end)` if it ends the head.
    fn line_end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        if self.at == self.line_start || bytes[self.at - 1] != b'\r' {
            return Err(refuse(400, "Lines must end in CRLF, not in a bare line feed."));
        }
        let next = self.at + 1;
        let empty = next - self.line_start == 2;
        self.cookies += self.cookies_of_line(bytes);
        self.line_start = next;
        match (empty, self.in_headers()) {
            (true, true) => return Ok(Some(next)),
            // RFC 9112 §2.2: an empty line before the request line is ignored; one, not a flood.
            (true, false) if self.start == 0 => self.start = next,
            (true, false) => return Err(refuse(400, "More than one empty line before a request.")),
            (false, false) => self.headers_start = next,
            (false, true) if self.count == limits.header_count => return Err(TOO_MANY),
            (false, true) => self.count += 1,
        }
        Ok(None)
    }
}

const TLS: Refusal = refuse(
    400,
    "This port speaks plain HTTP and was asked for TLS; use http:// or put a TLS proxy in front.",
);
const TOO_MANY: Refusal = refuse(431, "Too many header lines in the request.");

/// How the body of a request is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// What the answer to a request depends on, besides the router.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// HTTP/1.0: no chunked answers, keep-alive must be said.
    pub old: bool,
    /// The client wants to go on afterwards.
    pub keep_alive: bool,
    /// gzip is acceptable and preferred to nothing.
    pub gzip: bool,
    /// `If-None-Match` of a GET or HEAD.
    pub if_none_match: Option<Box<str>>,
}

impl Exchange {
    /// What can be told of a request that is not understood: the answer to HEAD has no body even
    /// if the request is bad.
    pub(super) fn of_part(bytes: &[u8]) -> Exchange {
        Exchange { head_only: bytes.starts_with(b"HEAD "), ..Exchange::default() }
    }
}

/// A complete head, understood.
#[derive(Debug)]
pub(super) struct Head {
    pub request: Request,
    pub framing: Framing,
    /// Bytes that its body may have.
    pub body_bytes: usize,
    pub exchange: Exchange,
    /// The client waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// `OPTIONS *`: a question to the server itself.
    pub asterisk: bool,
}

/// Parses the complete head in `bytes`, which [`Scanner`] found sound.
///
/// # Errors
/// The answer that the client gets instead of its page.
pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Head, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; Limits::MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(refuse(400, "The request is cut short.")),
        Err(error) => return Err(head_error(error, bytes)),
    }
    let (method_name, target_text) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
    let minor = parsed.version.unwrap_or(0);
    let Some(method) = Method::parse(method_name) else {
        return Err(refuse(501, "This method is not known here (RFC 9110 section 9)."));
    };
    let target = target::parse(target_text).map_err(|detail| refuse(400, detail))?;
    let seen = collect(parsed.headers, minor, method)?;
    // Positions fit into u32: the limits of a head are far below.
    let position = |part: &[u8]| (part.as_ptr() as usize - bytes.as_ptr() as usize) as u32;
    let span = |part: &[u8]| position(part)..position(part) + part.len() as u32;
    let at = position(target_text.as_bytes());
    let inside = |range: Range<usize>| at + range.start as u32..at + range.end as u32;
    let host = seen.host.map_or(0..0, |value| span(value.as_bytes()));
    let (path, query, host, asterisk) = match target {
        Target::Asterisk if method == Method::Options => ("*".to_owned(), 0..0, host, true),
        Target::Asterisk => return Err(refuse(400, "The target * is for OPTIONS only.")),
        Target::Path { path, query, authority } => {
            (path, inside(query), authority.map_or(host, inside), false)
        }
    };
    let field = |header: &httparse::Header<'_>| Field {
        name: span(header.name.as_bytes()),
        value: span(header.value),
    };
    let fields = parsed.headers.iter().map(field).collect();
    let body_bytes = limits.body_bytes_at(&path);
    let framing = framing(&seen, minor, body_bytes)?;
    let expects_continue = expectation(&seen, minor, framing)?;
    Ok(Head {
        framing,
        body_bytes,
        expects_continue,
        asterisk,
        exchange: Exchange {
            head_only: method == Method::Head,
            old: minor == 0,
            keep_alive: !seen.close && (minor == 1 || seen.keep_alive),
            gzip: seen.encodings.gzip_preferred(),
            if_none_match: seen.if_none_match.map(Box::from),
        },
        request: Request {
            method,
            minor,
            body: Vec::new(),
            peer: Peer::default(),
            path,
            query,
            host,
            head: bytes.into(),
            fields,
        },
    })
}

/// What httparse refused, in the words of the client's problem.
fn head_error(error: httparse::Error, bytes: &[u8]) -> Refusal {
    use httparse::Error::{HeaderName, HeaderValue, TooManyHeaders, Version};
    match error {
        HeaderName => refuse(400, "A header name is not a token, or no colon follows it at once."),
        HeaderValue => refuse(400, "A header value has a byte that is not allowed."),
        TooManyHeaders => TOO_MANY,
        Version | httparse::Error::Token | httparse::Error::NewLine => version_error(bytes),
        httparse::Error::Status => refuse(400, "The request line is malformed."),
    }
}

/// 505 for another version of HTTP, 400 for what is not HTTP (RFC 9110 §15.6.6).
fn version_error(bytes: &[u8]) -> Refusal {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or(bytes);
    let version = line.rsplit(|&byte| byte == b' ').next().unwrap_or(line);
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() && !matches!(major, b'1') =>
        {
            refuse(505, "This server speaks HTTP/1.1 and HTTP/1.0 only.")
        }
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if (b'2'..=b'9').contains(minor) => {
            refuse(505, "This server speaks HTTP/1.1 and HTTP/1.0 only.")
        }
        _ => refuse(400, "The request line must be: METHOD SP TARGET SP HTTP/1.1"),
    }
}

/// What was found in the header lines that concerns the connection itself.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a str>,
    length: Option<&'a [u8]>,
    lengths: usize,
    chunked: Option<bool>,
    codings: usize,
    close: bool,
    keep_alive: bool,
    expect: Option<bool>,
    if_none_match: Option<&'a str>,
    encodings: Encodings,
}

fn collect<'a>(
    headers: &[httparse::Header<'a>],
    minor: u8,
    method: Method,
) -> Result<Seen<'a>, Refusal> {
    let mut seen = Seen::default();
    for header in headers {
        // The length of a name decides first: most headers are none of these.
        match header.name.len() {
            4 if named(header, "host") => host(&mut seen, header.value)?,
            6 if named(header, "expect") => {
                let good = header.value.eq_ignore_ascii_case(b"100-continue");
                seen.expect = Some(good && seen.expect.unwrap_or(true));
            }
            10 if named(header, "connection") => {
                seen.close |= lists(header.value, b"close");
                seen.keep_alive |= lists(header.value, b"keep-alive");
            }
            13 if named(header, "if-none-match") && method.is_read() => {
                seen.if_none_match = std::str::from_utf8(header.value).ok();
            }
            14 if named(header, "content-length") => {
                seen.lengths += 1;
                seen.length = Some(header.value);
            }
            15 if named(header, "accept-encoding") => seen.encodings.read(header.value),
            17 if named(header, "transfer-encoding") => {
                seen.codings += 1;
                seen.chunked = Some(header.value.eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }
    if seen.host.is_none() && minor == 1 {
        return Err(refuse(400, "HTTP/1.1 needs a Host header (RFC 9112 section 3.2)."));
    }
    Ok(seen)
}

fn named(header: &httparse::Header<'_>, name: &str) -> bool {
    header.name.eq_ignore_ascii_case(name)
}

fn lists(value: &[u8], token: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token))
}

/// RFC 9112 §3.2: more than one Host, or one that is no host, is answered 400.
fn host<'a>(seen: &mut Seen<'a>, value: &'a [u8]) -> Result<(), Refusal> {
    let text =
        std::str::from_utf8(value).ok().filter(|text| text.is_empty() || target::is_host(text));
    let Some(text) = text else {
        return Err(refuse(400, "The Host header is not a valid host."));
    };
    match seen.host.replace(text) {
        Some(_) => Err(refuse(400, "More than one Host header.")),
        None => Ok(()),
    }
}

/// RFC 9112 §6.1 and §6.3. Whatever two parsers could read in two ways is refused.
fn framing(seen: &Seen<'_>, minor: u8, body_bytes: usize) -> Result<Framing, Refusal> {
    if seen.lengths > 1 || seen.codings > 1 {
        return Err(refuse(400, "More than one Content-Length or Transfer-Encoding."));
    }
    match (seen.chunked, seen.length) {
        (Some(_), Some(_)) => {
            Err(refuse(400, "Content-Length together with Transfer-Encoding is ambiguous."))
        }
        (Some(_), None) if minor == 0 => {
            Err(refuse(400, "HTTP/1.0 has no Transfer-Encoding; send Content-Length."))
        }
        (Some(false), None) => {
            Err(refuse(501, "The only transfer coding known here is exactly: chunked"))
        }
        (Some(true), None) => Ok(Framing::Chunked),
        (None, None) => Ok(Framing::None),
        (None, Some(digits)) => length(digits, body_bytes),
    }
}

fn length(digits: &[u8], body_bytes: usize) -> Result<Framing, Refusal> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(refuse(400, "Content-Length must be one decimal number."));
    }
    // Digits alone fail to parse only where the number is too big for any body.
    let length = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<usize>().ok());
    match length {
        Some(0) => Ok(Framing::None),
        Some(length) if length <= body_bytes => Ok(Framing::Length(length)),
        _ => Err(TOO_LARGE),
    }
}

/// A body past the limit.
pub(super) const TOO_LARGE: Refusal = refuse(413, "The body is larger than this server takes.");

/// RFC 9110 §10.1.1: whether an interim answer is due before the body.
fn expectation(seen: &Seen<'_>, minor: u8, framing: Framing) -> Result<bool, Refusal> {
    match (seen.expect, framing) {
        (None, _) => Ok(false),
        (Some(_), _) if minor == 0 => Ok(false),
        (Some(false), _) => Err(refuse(417, "The only expectation known here is: 100-continue")),
        (Some(true), Framing::None) if seen.length.is_none() => {
            Err(refuse(411, "A body was announced (Expect: 100-continue) without Content-Length."))
        }
        (Some(true), framing) => Ok(framing != Framing::None),
    }
}

/// `Accept-Encoding` (RFC 9110 §12.5.3), as far as gzip is concerned: weights in thousandths.
#[derive(Default)]
struct Encodings {
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Encodings {
    fn read(&mut self, value: &[u8]) {
        for item in value.split(|&byte| byte == b',') {
            let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(weight).unwrap_or(1000);
            match name {
                b"*" => self.any = Some(weight),
                _ if name.eq_ignore_ascii_case(b"gzip") => self.gzip = Some(weight),
                _ if name.eq_ignore_ascii_case(b"x-gzip") => self.gzip = Some(weight),
                _ if name.eq_ignore_ascii_case(b"identity") => self.identity = Some(weight),
                _ => {}
            }
        }
    }

    fn gzip_preferred(&self) -> bool {
        let gzip = self.gzip.or(self.any).unwrap_or(0);
        gzip > 0 && gzip >= self.identity.unwrap_or(0)
    }
}

/// `q=0.5` in thousandths; what is not a weight counts as zero, to be on the safe side.
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f32>().ok());
    Some(number.filter(|q| (0.0..=1.0).contains(q)).map_or(0, |q| (q * 1000.0) as u16))
}
