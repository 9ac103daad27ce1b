//! Percent-encoding: paths, query strings and forms (RFC 3986 §2.1, WHATWG URL §5.1).

use std::borrow::Cow;

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
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, hex_pair(tail)) {
            (b'%', Some(value)) => {
                out.push(value);
                rest = &tail[2..];
            }
            (b'+', _) if plus => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out
}

/// The value of the two hexadecimal digits at the start of `text`.
pub(super) fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| (*text.get(at)? as char).to_digit(16);
    Some((digit(0)? * 16 + digit(1)?) as u8)
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
