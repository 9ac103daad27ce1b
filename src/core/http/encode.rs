//! An answer on the wire.

use std::io::Write;
use std::rc::Rc;

use super::Ledger;
use super::date;
use super::head::Exchange;
use super::output::Output;
use super::response::{Body, Response, reason};
use super::shared::gzip;

/// Larger bodies made for one answer are not compressed: at about 100 MB/s that would hold the
/// loop for more than 2 ms. Shared ones are compressed once, whatever their size.
const MAX_GZIP_BYTES: usize = 262_144;

/// Pages of others neither embed an answer, whatever it is, nor keep a window that they opened on
/// one. It ends the line before.
const OWN_ORIGIN: &[u8] = b"\r\nCross-Origin-Opener-Policy: same-origin\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n";

/// What the connection decides about an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The connection goes on after this answer.
    pub keep_alive: bool,
    /// The wall clock, milliseconds since the epoch.
    pub wall_ms: i64,
}

/// Queues an answer. A body is left out where the method or the status has none, a page that the
/// client has becomes 304, text is compressed where the client likes that and it pays.
pub(super) fn answer(
    (out, ledger): (&mut Output, &Rc<Ledger>),
    response: Response,
    exchange: &Exchange,
    terms: Terms,
) {
    let textual = is_textual(response.content_type);
    if is_unmodified(&response, exchange) {
        return bodiless(out, 304, &response, textual, exchange, terms);
    }
    if matches!(response.status, 100..200 | 204 | 304) {
        return bodiless(out, response.status, &response, textual, exchange, terms);
    }
    let mut head = start(response.status, &response, textual, exchange, terms);
    if let Body::Stream = response.body {
        if !exchange.old {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        head.extend_from_slice(b"\r\n");
        return out.bytes(head);
    }
    let compressed = match &response.body {
        Body::Shared(shared) if textual && exchange.gzip => shared.gzip().is_some(),
        _ => false,
    };
    let body = match response.body {
        Body::Bytes(bytes) if textual && exchange.gzip && bytes.len() <= MAX_GZIP_BYTES => {
            gzip(&bytes, 1).map_or(Body::Bytes(bytes), |packed| {
                head.extend_from_slice(b"Content-Encoding: gzip\r\n");
                Body::Bytes(packed)
            })
        }
        body => body,
    };
    let length = match &body {
        Body::Shared(shared) if compressed => shared.gzip().map_or(0, <[u8]>::len),
        Body::Begun(_, length) => usize::try_from(*length).unwrap_or(usize::MAX),
        body => body.bytes().len(),
    };
    if compressed {
        head.extend_from_slice(b"Content-Encoding: gzip\r\n");
    }
    head.extend_from_slice(b"Content-Length: ");
    decimal(&mut head, length);
    head.extend_from_slice(b"\r\n\r\n");
    match body {
        _ if exchange.head_only => out.bytes(head),
        Body::Shared(shared) => out.shared(head, shared, compressed, ledger),
        Body::Bytes(bytes) | Body::Begun(bytes, _) => out.owned(head, bytes),
        Body::Empty | Body::Stream => out.bytes(head),
    }
}

/// RFC 9110 §8.6: no Content-Length in 1xx, 204 and 304.
fn bodiless(
    out: &mut Output,
    status: u16,
    response: &Response,
    textual: bool,
    exchange: &Exchange,
    terms: Terms,
) {
    let mut head = start(status, response, textual, exchange, terms);
    head.extend_from_slice(b"\r\n");
    out.bytes(head);
}

/// The head up to the headers that tell of the body.
fn start(
    status: u16,
    response: &Response,
    textual: bool,
    exchange: &Exchange,
    terms: Terms,
) -> Vec<u8> {
    let small = if exchange.head_only { 0 } else { response.body.bytes().len() };
    let small = if small <= super::output::COPY_BYTES { small } else { 0 };
    let mut head = Vec::with_capacity(420 + small);
    head.extend_from_slice(b"HTTP/1.1 ");
    decimal(&mut head, usize::from(status));
    head.push(b' ');
    head.extend_from_slice(reason(status).as_bytes());
    head.extend_from_slice(b"\r\nDate: ");
    head.extend_from_slice(date::http_date(terms.wall_ms).as_bytes());
    head.extend_from_slice(OWN_ORIGIN);
    if !terms.keep_alive {
        head.extend_from_slice(b"Connection: close\r\n");
    } else if exchange.old {
        head.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    if !response.content_type.is_empty() && status != 304 {
        line(&mut head, "Content-Type", response.content_type.as_bytes());
    }
    if let Some(tag) = &response.etag {
        head.extend_from_slice(b"ETag: W/\"");
        head.extend_from_slice(tag.as_bytes());
        head.extend_from_slice(b"\"\r\n");
    }
    if textual {
        head.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    for (name, value) in &response.headers {
        line(&mut head, name, value.as_bytes());
    }
    head
}

fn line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

/// A number without the machinery of `fmt`, which costs more than the rest of a small head.
fn decimal(out: &mut Vec<u8>, mut value: usize) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// RFC 9110 §13.1.2: weak comparison with each tag of `If-None-Match`, or `*`.
fn is_unmodified(response: &Response, exchange: &Exchange) -> bool {
    let (Some(tag), Some(list)) = (&response.etag, &exchange.if_none_match) else { return false };
    let matches = |item: &str| {
        let item = item.trim();
        let opaque = item.strip_prefix("W/").unwrap_or(item);
        item == "*" || opaque.strip_prefix('"').and_then(|t| t.strip_suffix('"')) == Some(tag)
    };
    response.status == 200 && list.split(',').any(matches)
}

/// Whether a type is text, which compression shrinks.
fn is_textual(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("");
    match essence {
        "text/event-stream" => false,
        "application/json" | "application/javascript" | "image/svg+xml" => true,
        "application/openmetrics-text" => true,
        other => other.starts_with("text/"),
    }
}

/// One chunk of a stream (RFC 9112 §7.1), or the bytes alone for HTTP/1.0.
pub(super) fn chunk(bytes: &[u8], exchange: &Exchange) -> Vec<u8> {
    if exchange.old {
        return bytes.to_vec();
    }
    let mut out = Vec::with_capacity(bytes.len() + 12);
    // Writing into memory can't fail.
    let _ = write!(out, "{:x}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}
