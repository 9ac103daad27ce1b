//! How long things may be that come from the database, and how much of them is shown.
//!
//! What is longer costs the row or the variable that has it and nothing else. All limits are far
//! above what the original's columns hold (a command of 1,000 characters).

use std::borrow::Cow;

/// Bytes of a command, its placeholders filled in: one argument of a program can't have more
/// (`MAX_ARG_STRLEN` of `execve(2)`, its closing zero left out).
pub const MAX_COMMAND_BYTES: usize = 131_071;

/// Bytes of any other text: names, schedules, files, zones.
pub const MAX_TEXT_BYTES: usize = 4_096;

/// Bytes of a line that a helper writes; more is no answer. The longest job has less
/// ([`crate::core::columns`]).
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Characters of a command on a line of a list; a job's own page has all of it.
pub const LISTED_COMMAND_CHARS: usize = 300;

/// Characters of a command in the lists of the API: as many as the original's column holds.
pub const LISTED_JSON_COMMAND_CHARS: usize = 1_000;

/// Bytes of a command that are searched for the text a list is narrowed to.
pub const SEARCHED_COMMAND_BYTES: usize = 4_096;

/// Characters of a command that its record holds: as many as the original's column.
pub const RECORDED_COMMAND_CHARS: usize = 200;

/// Characters of what a database or a row is quoted with.
pub const MAX_QUOTED_CHARS: usize = 60;

/// Characters of a message about a failure.
pub const MAX_MESSAGE_CHARS: usize = 1_000;

/// Characters of the reason why a record was refused that are kept.
pub const MAX_REASON_CHARS: usize = 300;

/// The file of refused records may have this many bytes, some 40,000 records; beyond, the oldest
/// are dropped.
pub const MAX_REFUSED_BYTES: usize = 16 << 20;

/// The first `max_chars` characters of a text, and `…` where that is not all.
pub fn cut(text: &str, max_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(max_chars) {
        Some((at, _)) => Cow::Owned(format!("{}…", &text[..at])),
        None => Cow::Borrowed(text),
    }
}
