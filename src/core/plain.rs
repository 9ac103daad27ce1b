//! Text of others, made plain before it is shown: a row, or a process of another user, may say
//! anything at all of itself.

use unicode_width::UnicodeWidthChar;

/// Whether a character does something to who reads it instead of being read: controls, and marks
/// that have no width or change the direction of writing.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Columns of a line that is told to a terminal: the text in it may be anybody's.
pub const LINE_COLUMNS: usize = 2_000;

/// The text with a `?` for each character that [`acts`], cut at so many columns.
pub fn clean(text: &str, columns: usize) -> String {
    let mut kept = String::new();
    let (mut taken, mut end) = (0, 0);
    for c in text.chars().map(|c| if acts(c) { '?' } else { c }) {
        taken += c.width().unwrap_or(0);
        if taken > columns {
            kept.truncate(end);
            kept.push('…');
            return kept;
        }
        kept.push(c);
        // Room for the mark.
        if taken < columns {
            end = kept.len();
        }
    }
    kept
}

/// `1 run`, `2 runs`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `1 run goes on`, `2 runs go on`.
pub fn runs_go_on(count: u64) -> String {
    format!("{} {} on", counted(count, "run"), if count == 1 { "goes" } else { "go" })
}

/// A line for a terminal or a log.
pub fn line(text: &str) -> String {
    clean(text, LINE_COLUMNS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_several() {
        assert_eq!(["0 runs", "1 run", "2 runs"], [0, 1, 2].map(|n| counted(n, "run")));
        assert_eq!(["0 runs go on", "1 run goes on"], [0, 1].map(runs_go_on));
    }

    #[test]
    fn what_acts_is_replaced_and_what_is_long_is_cut() {
        assert_eq!(clean("a\x1b[31m\u{202e}b\n中文", 80), "a?[31m?b?中文");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
        assert_eq!(clean("中文中", 5), "中文…");
        assert_eq!(clean("\u{9b}2J\u{61c}\u{2066}\r\n", 80), "?2J????");
        assert_eq!(clean(&"中".repeat(1_000_000), 9), "中中中中…");
    }
}
