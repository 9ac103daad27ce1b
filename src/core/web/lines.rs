//! The lines of a text: which of them are the last, which are grave enough, which are whole.

use crate::core::files::Piece;

/// Bytes of an appended piece.
pub(super) const FOLLOW_BYTES: u64 = 16_384;

/// Lines of the log below this are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level(pub usize);

/// The levels of log lines, the gravest first.
const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];

impl Level {
    /// From its name in any case.
    pub(super) fn named(name: &str) -> Option<Level> {
        LEVELS.iter().position(|level| level.eq_ignore_ascii_case(name)).map(Level)
    }

    /// Whether a line `2026-11-22 13:42:07 [INFO] text` is at this level or graver. Lines of
    /// another form are kept: somebody wrote them for a reason.
    pub(super) fn takes(self, line: &str) -> bool {
        let word = line.get(21..).and_then(|rest| rest.split(']').next());
        let level = word.and_then(|word| LEVELS.iter().position(|level| *level == word));
        level.is_none_or(|level| level <= self.0)
    }
}

/// The last lines of a piece; the first line of a piece that was cut is left out.
pub(super) fn last_lines(piece: &Piece, lines: usize, level: Option<Level>) -> Vec<u8> {
    let bytes = &piece.bytes[beginning(piece, lines, level)..];
    level.map_or_else(|| bytes.to_vec(), |level| only(bytes, level))
}

/// Where in a piece its last lines begin, of those at a level or graver where one is given.
pub(super) fn beginning(piece: &Piece, lines: usize, level: Option<Level>) -> usize {
    let bytes = &piece.bytes[..];
    let cut = piece.start.offset > 0;
    let newline = || bytes.iter().position(|&byte| byte == b'\n').filter(|_| cut);
    let first = match hole(bytes) {
        0 => newline().map_or(0, |at| at + 1),
        hole => hole,
    };
    let mut from = bytes.len();
    let mut found = 0;
    for line in bytes[first..].split_inclusive(|&byte| byte == b'\n').rev() {
        let at = from - line.len();
        if level.is_none_or(|level| level.takes(&String::from_utf8_lossy(line))) {
            found += 1;
            if found > lines {
                break;
            }
        }
        from = at;
    }
    from
}

/// Bytes of the hole that is left where a file was emptied under a program that writes on where it
/// was. What follows is the beginning of a line.
pub(super) fn hole(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| byte == 0).count()
}

/// The lines of a log at a level or graver.
pub(super) fn only(bytes: &[u8], level: Level) -> Vec<u8> {
    let lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let takes = |line: &&[u8]| level.takes(&String::from_utf8_lossy(line));
    lines.filter(takes).flatten().copied().collect()
}

/// How much of a piece can be told: whole characters, or whole lines.
pub(super) fn whole_part(bytes: &[u8], lines: bool) -> usize {
    let full = bytes.len() as u64 >= FOLLOW_BYTES;
    if lines && let Some(at) = bytes.iter().rposition(|&byte| byte == b'\n') {
        return at + 1;
    }
    if lines && !full {
        return 0;
    }
    // A character that is cut has its first byte among the last three (RFC 3629 §3).
    let cut = (1..=bytes.len().min(3)).find(|back| bytes[bytes.len() - back] >= 0xC0);
    match cut.map(|back| (back, bytes[bytes.len() - back])) {
        Some((back, lead)) if back < 2 + usize::from(lead >= 0xE0) + usize::from(lead >= 0xF0) => {
            bytes.len() - back
        }
        _ => bytes.len(),
    }
}
