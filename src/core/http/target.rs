//! The request target and the host (RFC 9112 §3.2).

use std::ops::Range;

use super::query;

/// A target taken apart; the ranges are positions in the text given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/path?query`, or the same with a scheme and an authority in front.
    Path { path: String, query: Range<usize>, authority: Option<Range<usize>> },
    /// `*`, for OPTIONS alone.
    Asterisk,
}

/// Takes a target apart.
///
/// # Errors
/// What is wrong with it, as a sentence for the client.
pub(super) fn parse(target: &str) -> Result<Target, &'static str> {
    if target == "*" {
        return Ok(Target::Asterisk);
    }
    if target.contains('#') {
        return Err("The request target has a fragment (#…); leave it out.");
    }
    let authority = authority(target)?;
    let path_start = authority.as_ref().map_or(0, |range| range.end);
    let rest = &target[path_start..];
    let (raw_path, query_start) = match rest.find('?') {
        Some(at) => (&rest[..at], path_start + at + 1),
        None => (rest, target.len()),
    };
    let path = match (raw_path, &authority) {
        ("", Some(_)) => "/".to_owned(),
        _ => decode_path(raw_path)?,
    };
    Ok(Target::Path { path, query: query_start..target.len(), authority })
}

/// The authority of an absolute-form target, `None` for origin-form.
fn authority(target: &str) -> Result<Option<Range<usize>>, &'static str> {
    if target.starts_with('/') {
        return Ok(None);
    }
    let scheme = ["http://", "https://"].iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let Some(scheme) = scheme else {
        return Err("The request target must start with / or http://.");
    };
    let rest = &target[scheme.len()..];
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    if length == 0 || !is_host(&rest[..length]) {
        return Err("The host in the request target is not a valid one.");
    }
    Ok(Some(scheme.len()..scheme.len() + length))
}

/// Decodes a path and refuses what could name something outside of what it seems to name.
fn decode_path(raw: &str) -> Result<String, &'static str> {
    if !raw.starts_with('/') {
        return Err("The path of the request target must start with /.");
    }
    if !raw.contains('%') {
        check_segments(raw)?;
        return Ok(raw.to_owned());
    }
    let mut path = String::with_capacity(raw.len());
    for segment in raw[1..].split('/') {
        let decoded = String::from_utf8(query::decode_bytes(segment.as_bytes(), false))
            .map_err(|_| "The path is not UTF-8 after percent-decoding.")?;
        if decoded.contains('/') {
            return Err("The path has an encoded slash (%2F) in a segment.");
        }
        path.push('/');
        path.push_str(&decoded);
    }
    check_segments(&path)?;
    Ok(path)
}

fn check_segments(path: &str) -> Result<(), &'static str> {
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("The path has a control character or a backslash.");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("The path has a . or .. segment; ask for the page itself.");
    }
    Ok(())
}

/// Whether this is a host with an optional port as in RFC 3986 §3.2.2: a name or IPv4 address, or
/// an IPv6 address in brackets; no user name, nothing else. A valid `Host` may also be empty.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let fits = |byte: u8| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.';
                if address.is_empty() || !address.bytes().all(fits) {
                    return false;
                }
                ("v6", port)
            }
            None => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_fits = match port.strip_prefix(':') {
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
    !host.is_empty() && port_fits && host.bytes().all(name_byte)
}
