//! Text of others, made plain before it is shown: a row, or a process of another user, may say
//! anything at all of itself.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character does something to who reads it instead of being read: controls, and marks
/// that have no width or change the direction of writing.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// Whether a text is an address of the web, that a page may make a link of: what else a browser
/// follows (`javascript:`, `data:`) could act in the name of who presses it.
///
/// # Errors
/// It is none: why, as a part of a sentence about it.
pub fn web_address(text: &str) -> Result<(), &'static str> {
    let rest = ["http://", "https://"].into_iter().find_map(|scheme| {
        let begins = text.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
        begins.then(|| &text[scheme.len()..])
    });
    match rest {
        None => Err("is no address that begins with http:// or https://"),
        Some("") => Err("names no host"),
        Some(_) if text.chars().any(char::is_whitespace) => {
            Err("has white space in it: write %20 for a blank")
        }
        Some(_) if text.chars().any(acts) => {
            Err("has a character in it that is not seen, or controls how text is shown")
        }
        Some(_) => Ok(()),
    }
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

/// The text with a `?` for each character that [`acts`], but for what separates words and lines.
pub fn without_marks(text: &str) -> String {
    let is_odd = |c: char| acts(c) && !matches!(c, '\t' | '\n' | '\r');
    text.chars().map(|c| if is_odd(c) { '?' } else { c }).collect()
}

/// The text with a `?` for each control character. What separates words and lines stays.
pub fn without_controls(text: String) -> String {
    let stays = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    // Most have none, and a page is long: bytes are looked at many at a time. 0xc2 and one of 0x80
    // to 0x9f are a control character beyond ASCII.
    let bytes = text.as_bytes();
    let has_any = bytes.chunks(1_024).any(|piece| {
        piece.iter().fold(false, |any, &byte| {
            let is_space = (byte == b'\t') | (byte == b'\n') | (byte == b'\r');
            any | ((byte < 0x20) & !is_space) | (byte == 0x7f)
        })
    });
    let has_any = has_any
        || memchr::memchr_iter(0xc2, bytes)
            .any(|at| bytes.get(at + 1).is_some_and(|next| next & 0xe0 == 0x80));
    match has_any {
        true => text.chars().map(|c| if stays(c) { c } else { '?' }).collect(),
        false => text,
    }
}

/// Begins a part that turns nothing around it, whichever way it is written itself.
const ISOLATE: char = '\u{2068}';

/// Ends the part that was begun last.
const END_ISOLATE: char = '\u{2069}';

/// Whether a character is written from right to left, or says how others are: what stands beside
/// it may be turned by it. `isolated` of `console.js` knows the same ones.
fn turns(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}')
        || matches!(c, '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}')
}

/// Whether each part that begins ends, and none ends that did not begin.
fn is_paired(text: &str) -> bool {
    let depth = text.chars().try_fold(0u32, |depth, c| match c {
        '\u{2066}'..='\u{2068}' => Some(depth + 1),
        END_ISOLATE => depth.checked_sub(1),
        _ => Some(depth),
    });
    depth == Some(0)
}

/// A text that stands inside a sentence: it can't turn the words around it. What is written from
/// left to right stays as it is. Other texts are put apart, with a `?` for each character that
/// could end that: what has values put apart already is paired, and keeps them.
pub fn isolated(text: &str) -> Cow<'_, str> {
    if !text.chars().any(turns) {
        return text.into();
    }
    let paired = is_paired(text);
    // Joiners and marks are a part of words, and reach no farther than their own text.
    let stays = |c| match c {
        '\u{200c}'..='\u{200f}' | '\u{61c}' => true,
        '\u{2066}'..='\u{2069}' => paired,
        c => !acts(c),
    };
    let kept = text.chars().map(|c| if stays(c) { c } else { '?' });
    std::iter::once(ISOLATE).chain(kept).chain([END_ISOLATE]).collect::<String>().into()
}

/// What somebody asked with, to be told again: its beginning, and nothing in it acts.
pub fn shown(text: &str) -> String {
    const MAX_SHOWN: usize = 40;
    text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// `1 run`, `2 runs`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `1 run goes on`, `2 runs go on`.
pub fn runs_go_on(count: u64) -> String {
    format!("{} {} on", counted(count, "run"), if count == 1 { "goes" } else { "go" })
}

/// What is said of records that a daemon which ends leaves in a journal that was taken away.
pub fn records_astray(count: u64) -> String {
    format!(
        "{} that the database does not have {} in the journal that was taken away, and lost unless \
         it is put back before the next start",
        counted(count, "record"),
        if count == 1 { "is" } else { "are" }
    )
}

/// A line for a terminal or a log.
pub fn line(text: &str) -> String {
    clean(text, LINE_COLUMNS)
}

/// Columns of a terminal that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Columns as wide as their widest entry, two blanks between them; none after the last.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths = vec![0; rows.first().map_or(0, Vec::len)];
    for row in rows {
        for (width, entry) in widths.iter_mut().zip(row) {
            *width = (*width).max(entry.width());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (width, entry) in widths.iter().zip(row) {
            line.push_str(entry);
            line.extend(std::iter::repeat_n(' ', width - entry.width() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A time span in its two largest units: `1d 2h`, `3m 4s`, `5s`.
pub fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// The same, and milliseconds where it is less than a second.
pub fn took(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        ms => span(i64::try_from(ms).unwrap_or(i64::MAX)),
    }
}

/// `1.5 MB`: powers of 1,024, as `ls -h` has them.
pub fn size(bytes: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 10.0);
    format!("{value:.digits$} {}", units[unit])
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
    fn controls_are_shown_and_lines_stay() {
        for (text, shown) in [
            ("a\0b\x1b[2J\u{9b}\u{7f}", "a?b?[2J??"),
            ("a\0b\x1b[\u{7f}", "a?b?[?"),
            ("é ·\u{a0}\u{85}\u{9f}备份", "é ·\u{a0}??备份"),
        ] {
            assert_eq!(without_controls(text.into()), shown);
        }
        for same in ["a\r\n\tb", "a\tb\r\nc", "é ·\u{a0}备份", "中文\u{2068}", ""] {
            assert_eq!(without_controls(same.into()), same);
        }
        let long = "x".repeat(5_000);
        assert_eq!(without_controls(format!("{long}\u{80}")), format!("{long}?"));
    }

    #[test]
    fn what_is_put_into_a_sentence_does_not_turn_it() {
        for same in ["Backup", "备份", "a\nb", "\u{1f468}\u{200d}\u{1f469}", ""] {
            assert_eq!(isolated(same), same);
        }
        let apart = |text: &str| format!("\u{2068}{text}\u{2069}");
        assert_eq!(isolated("evil\u{202e}"), apart("evil?"));
        assert_eq!(isolated("שלום 2"), apart("שלום 2"));
        for open in ["a\u{2069}b", "a\u{2067}b", "a\u{2029}b"] {
            assert_eq!(isolated(open), apart("a?b"), "{open:?}");
        }
        assert_eq!(isolated("\u{2069}\u{202e}\u{2067}"), apart("???"));
        let inner = format!("run of {}: 3", isolated("x\u{202e}"));
        assert_eq!(isolated(&inner), apart(&inner));
    }

    #[test]
    fn what_is_an_address_of_the_web() {
        for good in ["http://a", "HTTPS://a.example/x?y#z", "https://例え.jp/"] {
            assert_eq!(web_address(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "begins with"),
            ("javascript:alert(1)", "begins with"),
            ("http:/a", "begins with"),
            (" http://a", "begins with"),
            ("https://", "no host"),
            ("https://a/b c", "white space"),
            ("https://a\n", "white space"),
            ("https://a\0", "not seen"),
            ("https://a\u{202e}", "not seen"),
        ] {
            assert!(web_address(bad).is_err_and(|it| it.contains(why)), "{bad:?}");
        }
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
