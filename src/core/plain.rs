//! Text of others, made plain before it is shown: a row, or a process of another user, may say
//! anything at all of itself.

use unicode_width::UnicodeWidthStr;

/// Whether a character does something to who reads it instead of being read: controls, and marks
/// that have no width or change the direction of writing.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// The text with a `?` for each character that [`acts`], cut at so many columns.
pub fn clean(text: &str, columns: usize) -> String {
    let text: String = text.chars().map(|c| if acts(c) { '?' } else { c }).collect();
    if text.width() <= columns {
        return text;
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if kept.width() >= columns {
            kept.pop();
            break;
        }
    }
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_replaced_and_what_is_long_is_cut() {
        assert_eq!(clean("a\x1b[31m\u{202e}b\n中文", 80), "a?[31m?b?中文");
        assert_eq!(clean("abcdef", 4), "abc…");
    }
}
