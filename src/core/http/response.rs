//! An answer as the router makes it. Length, date, connection and compression are added on its way
//! out (`encode`), so that no page can get them wrong.

use std::rc::Rc;

use super::query;
use super::shared::Shared;

/// Seconds after which what can't be had now may be asked for again.
const RETRY_AFTER_S: &str = "5";

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Body {
    /// None.
    Empty,
    /// Made for this answer.
    Bytes(Vec<u8>),
    /// Made for many answers.
    Shared(Rc<Shared>),
    /// Follows in pieces: [`super::Connection::push`].
    Stream,
    /// The beginning of a body of so many bytes; the rest follows as the client takes it:
    /// [`super::Connection::wants_piece`].
    Begun(Vec<u8>, u64),
}

impl Body {
    /// How much follows in pieces of a body whose length is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Body::Begun(bytes, length) => Some(length.saturating_sub(bytes.len() as u64)),
            Body::Empty | Body::Bytes(_) | Body::Shared(_) | Body::Stream => None,
        }
        .filter(|left| *left > 0)
    }

    /// The uncompressed bytes that are there; none of a stream.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Body::Empty | Body::Stream => &[],
            Body::Bytes(bytes) | Body::Begun(bytes, _) => bytes,
            Body::Shared(shared) => shared.plain(),
        }
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) etag: Option<String>,
    pub(super) body: Body,
    pub(super) close: bool,
}

impl Response {
    /// An answer with this status (200..=599), type and body.
    pub fn new(status: u16, content_type: &'static str, body: Body) -> Response {
        Response { status, content_type, headers: Vec::new(), etag: None, body, close: false }
    }

    /// `text/plain`.
    pub fn text(status: u16, text: impl Into<String>) -> Response {
        let body = Body::Bytes(text.into().into_bytes());
        Response::new(status, "text/plain; charset=utf-8", body)
    }

    /// `application/json`, of text that is JSON.
    pub fn json(status: u16, json: impl Into<String>) -> Response {
        Response::new(status, "application/json", Body::Bytes(json.into().into_bytes()))
    }

    /// `text/html`.
    pub fn html(status: u16, html: impl Into<String>) -> Response {
        let body = Body::Bytes(html.into().into_bytes());
        Response::new(status, "text/html; charset=utf-8", body)
    }

    /// No body: 204.
    pub fn no_content() -> Response {
        Response::new(204, "", Body::Empty)
    }

    /// Elsewhere: 301, 302, 303, 307 or 308. Characters that could not stand in a URL are encoded,
    /// so that a location made of user input stays one location; give a relative path, with one of
    /// ours or dots in front, to stay on this server and below the path of a proxy.
    pub fn redirect(status: u16, location: &str) -> Response {
        let text = format!("See {}\n", query::url(location));
        Response::text(status, text).header("Location", query::url(location))
    }

    /// An error as `application/problem+json` (RFC 9457): what is wrong, and what to do. What can't
    /// be had now (503) can be asked for again soon.
    pub fn problem(status: u16, detail: &str) -> Response {
        Response::problem_with(status, detail, serde_json::json!({}))
    }

    /// The same with more members, those of an object (RFC 9457 §3.2).
    pub fn problem_with(status: u16, detail: &str, more: serde_json::Value) -> Response {
        let mut json = serde_json::json!({
            "type": "about:blank", "title": reason(status), "status": status, "detail": detail,
        });
        if let (Some(json), serde_json::Value::Object(mut more)) = (json.as_object_mut(), more) {
            json.append(&mut more);
        }
        let body = Body::Bytes(format!("{json}\n").into_bytes());
        let response = Response::new(status, "application/problem+json", body);
        if status == 503 { response.header("Retry-After", RETRY_AFTER_S) } else { response }
    }

    /// 405 with what is allowed: `"GET, HEAD, POST"` (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allow: &str) -> Response {
        let detail = format!("This method is not allowed here; allowed: {allow}");
        Response::problem(405, &detail).header("Allow", allow)
    }

    /// The answer to OPTIONS: 204 with what is allowed (RFC 9110 §9.3.7).
    pub fn options(allow: &str) -> Response {
        Response::no_content().header("Allow", allow)
    }

    /// `text/event-stream`, whose events are pushed later. A proxy is to hand them on as they come:
    /// that is what nginx's `X-Accel-Buffering` says.
    pub fn event_stream() -> Response {
        Response::new(200, "text/event-stream", Body::Stream).header("X-Accel-Buffering", "no")
    }

    /// Adds a header. Characters that can't stand in a value (line ends, other controls) become
    /// blanks, so a value never becomes a second header. `Content-Length`, `Transfer-Encoding`,
    /// `Connection` and `Date` belong to the connection and are left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Response {
        const OWN: [&str; 4] = ["content-length", "transfer-encoding", "connection", "date"];
        let is_token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_token && !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            let mut value = value.into();
            // Most values are plain, and every answer has some: bytes are quicker to look at.
            if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                value = value.replace(char::is_control, " ");
            }
            self.headers.push((name, value));
        }
        self
    }

    /// Names the version of the body (without quotes): the client that has it gets 304 and no
    /// body (RFC 9110 §13.1.2). The tag is sent as a weak one, as there may be a compressed form.
    #[must_use]
    pub fn etag(mut self, tag: impl Into<String>) -> Response {
        let mut tag = tag.into();
        tag.retain(|c| c.is_ascii_graphic() && c != '"');
        self.etag = Some(tag);
        self
    }

    /// Closes the connection after this answer.
    #[must_use]
    pub fn close(mut self) -> Response {
        self.close = true;
        self
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The value of a header that was added; of repeated ones the first.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let is = |(known, _): &&(&str, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().find(is).map(|(_, value)| value.as_str())
    }

    /// The type of the body.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }
}

/// A tag for [`Response::etag`] that changes with the bytes: 64 bits of FNV-1a. Not for secrets.
pub fn etag_of(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The reason phrase of a status (RFC 9110 §15, RFC 6585).
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Status",
    }
}
