//! HTTP/1.1 as a state machine: bytes and a clock reading in, requests out; answers in, bytes out.
//!
//! [`Connection`] is one client. It holds no socket and reads no clock, so that every way in which
//! bytes can be cut and every time-out is a test of a few lines. Reading order: [`Limits`] (what a
//! client may cost), `head` and `body` (what is accepted and what is refused), [`Request`],
//! [`Response`], `headers` (what each of them says), `encode` (how an answer looks on the wire),
//! [`Connection`] (who waits for whom).
//!
//! Sources of the rules are cited as sections of RFC 9110 (semantics) and RFC 9112 (HTTP/1.1).
//!
//! Invariants:
//! - What a connection answers depends on the bytes, never on how they were cut: each refusal is
//!   decided on a prefix of the stream, at the first byte that makes it inevitable.
//! - One request of a connection is out at a time, so answers are in the order of the requests.
//! - After a refusal nothing more of that client is interpreted, and its answer still reaches it.
//! - An idle connection owns no buffer.

mod body;
mod connection;
mod cookies;
mod date;
mod encode;
mod head;
mod headers;
mod ledger;
mod limits;
mod output;
mod query;
mod request;
mod response;
mod shared;
mod target;

pub use connection::Connection;
pub use date::http_date;
pub use ledger::Ledger;
pub use limits::Limits;
pub use query::{decode as percent_decode, encode as percent_encode, pairs as query_pairs};
pub use request::{Method, Request};
pub use response::{Body, Response, etag_of, reason};
pub use shared::Shared;
