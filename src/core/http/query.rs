//! Percent-encoding: paths, query strings and forms (RFC 3986 §2.1, WHATWG URL §5.1).

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const UNPRINTABLE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Decodes `%XX`, and `+` as a space where `plus` is set (queries and forms, never paths). A `%`
/// without two hexadecimal digits stays as it is; bytes that are not UTF-8 become U+FFFD.
pub fn decode(text: &str, plus: bool) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Cow::Borrowed(text);
    }
    match String::from_utf8_lossy(&decode_bytes(text.as_bytes(), plus)) {
        Cow::Borrowed(valid) => Cow::Owned(valid.to_owned()),
        Cow::Owned(replaced) => Cow::Owned(replaced),
    }
}

/// Like [`decode`], to the bytes that were meant.
pub(super) fn decode_bytes(text: &[u8], plus: bool) -> Vec<u8> {
    let blank = |byte: &u8| if plus && *byte == b'+' { b' ' } else { *byte };
    let text: Vec<u8> = text.iter().map(blank).collect();
    percent_encoding::percent_decode(&text).collect()
}

/// A value for a query string (RFC 3986 §2.3: everything but unreserved characters is encoded).
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// A URL for a header: whatever is not printable ASCII, and what HTML or headers could take for
/// their own, is percent-encoded.
pub(super) fn url(text: &str) -> String {
    utf8_percent_encode(text, UNPRINTABLE).to_string()
}

/// The pairs of a query string or of an `application/x-www-form-urlencoded` body, decoded and in
/// their order. A name without `=` has an empty value; `a[]` is a name like any other, so a value
/// is never anything but text.
pub fn pairs(raw: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true), decode(value, true))
    })
}

/// The value of the last pair of this name: of `?id=1&id=2` the original saw 2.
pub(super) fn last<'a>(raw: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(raw).filter(|(key, _)| key == name).last().map(|(_, value)| value)
}
