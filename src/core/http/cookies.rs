//! Cookies. A browser sends those of all programs on a host, whatever their ports, so there may be
//! many that are not ours: they are let in, and not kept.

use std::borrow::Cow;

/// The cookies of the console.
const OWN: [&str; 2] = ["lang", "theme"];

/// In a head up to this many bytes they do no harm.
const SMALL_BYTES: usize = 4_096;

const NAME: &[u8] = b"cookie:";

/// Whether this is a header line with cookies, or the beginning of one.
pub(super) fn is_line(line: &[u8]) -> bool {
    let known = line.len().min(NAME.len());
    line[..known].eq_ignore_ascii_case(&NAME[..known])
}

/// A head, complete and sound, without the cookies of others if it is large.
pub(super) fn without_foreign(head: &[u8]) -> Cow<'_, [u8]> {
    if head.len() <= SMALL_BYTES {
        return Cow::Borrowed(head);
    }
    let mut kept = Vec::with_capacity(SMALL_BYTES);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        match is_line(line) {
            true => {
                let own = line[NAME.len()..].trim_ascii().split(|&byte| byte == b';');
                let own = own.filter(|it| is_own(it));
                let own: Vec<&[u8]> = own.map(<[u8]>::trim_ascii).collect();
                kept.extend_from_slice(b"Cookie: ");
                kept.extend_from_slice(&own.join(&b"; "[..]));
                kept.extend_from_slice(b"\r\n");
            }
            false => kept.extend_from_slice(line),
        }
    }
    Cow::Owned(kept)
}

fn is_own(pair: &[u8]) -> bool {
    let name = pair.split(|&byte| byte == b'=').next().unwrap_or(pair).trim_ascii();
    OWN.iter().any(|own| own.as_bytes() == name)
}
