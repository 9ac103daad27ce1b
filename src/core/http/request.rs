//! A request as the router sees it.

use std::borrow::Cow;
use std::ops::Range;

use super::query;
use crate::core::places::Peer;

/// The methods this server knows (RFC 9110 §9); any other is answered 501 before routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks for a page; must change nothing.
    Get,
    /// As GET; the connection leaves the body out, the router need not care.
    Head,
    /// Changes something.
    Post,
    /// Replaces something.
    Put,
    /// Changes a part of something.
    Patch,
    /// Removes something.
    Delete,
    /// Asks what is allowed; `OPTIONS *` is answered before routing.
    Options,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 7] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
    ];

    /// The method of this name; names are case-sensitive (RFC 9110 §9.1).
    pub(super) fn parse(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }

    /// As a request line has it.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }

    /// Whether the method only reads: GET and HEAD.
    pub fn is_read(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

/// Where the name and the value of a header line are in the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub name: Range<u32>,
    pub value: Range<u32>,
}

/// A complete, well-formed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Minor version: 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    /// The body, decoded from its transfer coding; empty if there is none.
    pub body: Vec<u8>,
    /// Who asks: set by who has the socket.
    pub peer: Peer,
    pub(super) path: String,
    pub(super) query: Range<u32>,
    pub(super) host: Range<u32>,
    pub(super) head: Box<[u8]>,
    pub(super) fields: Box<[Field]>,
}

impl Request {
    /// The path, percent-decoded. It starts with `/`, holds no control character, and none of its
    /// segments is `.` or `..` or holds a `/` or `\` of its own.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the path, for a `match` on a slice: `/api/v1/jobs/7` is
    /// `["api", "v1", "jobs", "7"]`, `/` is `[""]`, `/jobs/` is `["jobs", ""]`.
    pub fn segments(&self) -> Vec<&str> {
        self.path[1..].split('/').collect()
    }

    /// The query string as it was sent, without its `?`; empty if there is none.
    pub fn raw_query(&self) -> &str {
        self.text(&self.query)
    }

    /// The decoded value of a query parameter; of repeated ones the last, as the original did.
    pub fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        query::last(self.raw_query(), name)
    }

    /// All query parameters, decoded, in their order.
    pub fn query_pairs(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        query::pairs(self.raw_query())
    }

    /// The decoded value of a field of a form body (`application/x-www-form-urlencoded`).
    pub fn form(&self, name: &str) -> Option<Cow<'_, str>> {
        query::last(std::str::from_utf8(&self.body).ok()?, name)
    }

    /// The host (and port) that was asked: of the target if it is absolute, else of `Host`
    /// (RFC 9112 §3.2.2); empty if HTTP/1.0 named none.
    pub fn host(&self) -> &str {
        self.text(&self.host)
    }

    /// The first header of this name (in any case), without surrounding blanks; `None` also if it
    /// is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| self.is_named(field, name))?;
        std::str::from_utf8(self.bytes(&field.value)).ok()
    }

    /// The values of all headers of this name (in any case), in their order.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(|field| self.is_named(field, name))
            .map(|field| self.bytes(&field.value))
    }

    /// Every header line as (name, value), in order.
    pub fn all_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| (self.text(&field.name), self.bytes(&field.value)))
    }

    /// Whether a header that is a list of tokens (`Connection`, `Accept`) names this one.
    pub fn header_lists(&self, name: &str, token: &str) -> bool {
        self.headers(name).any(|value| {
            value
                .split(|&byte| byte == b',')
                .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    /// Bytes that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.head.len() + self.body.capacity() + self.path.capacity()
    }

    fn is_named(&self, field: &Field, name: &str) -> bool {
        self.bytes(&field.name).eq_ignore_ascii_case(name.as_bytes())
    }

    fn bytes(&self, range: &Range<u32>) -> &[u8] {
        &self.head[range.start as usize..range.end as usize]
    }

    /// Ranges of text were checked when the head was parsed; a mistake there shows as emptiness.
    fn text(&self, range: &Range<u32>) -> &str {
        std::str::from_utf8(self.bytes(range)).unwrap_or("")
    }
}
