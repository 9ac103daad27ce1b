//! What a run wrote last: one line for people, of bytes that may be anything.

use crate::core::plain::acts;

/// Bytes of the end of a file that are looked at.
pub const TAIL_BYTES: usize = 4_096;

/// Characters that are kept: the width of `scheduler_logs.last_line`.
pub const MAX_CHARS: usize = 200;

/// The last line of the end of a file that says something; empty if none does. Escape sequences of
/// terminals are taken out, and of a line that a program has written over (a carriage return) what
/// was to be seen last. `is_cut`: the file has more before that, so that the first line is a part.
pub fn of(tail: &[u8], is_cut: bool) -> Box<str> {
    let text = String::from_utf8_lossy(tail);
    let lines = text.split('\n').rev().flat_map(|line| line.rsplit('\r'));
    let mut said = lines.map(plain).filter(|line| !line.is_empty());
    let Some(line) = said.next() else { return "".into() };
    let is_part = is_cut && !text.contains(['\n', '\r']);
    let line = if is_part { format!("…{line}") } else { line };
    cut(&line)
}

/// The same of a line that another program has made: nothing in it acts, and it is short.
pub fn fitting(line: &str) -> Box<str> {
    cut(&plain(line))
}

/// Its beginning: there most programs say what is wrong.
fn cut(line: &str) -> Box<str> {
    match line.char_indices().nth(MAX_CHARS) {
        None => line.into(),
        Some(_) => {
            let kept: String = line.chars().take(MAX_CHARS - 1).collect();
            format!("{kept}…").into()
        }
    }
}

/// Without escape sequences (ECMA-48) and what else acts; white space is a blank each.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_sequence(&mut rest),
            '\u{9b}' => skip_control(&mut rest),
            c if c.is_whitespace() => plain.push(' '),
            c if acts(c) => {}
            c => plain.push(c),
        }
    }
    plain.trim().to_owned()
}

/// Goes behind what an escape begins.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => skip_control(rest),
        // A text for the terminal itself: its title, a link.
        Some(']' | 'P' | 'X' | '^' | '_') => skip_string(rest),
        // One more that says which set of characters is meant.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => _ = rest.next(),
        Some(_) | None => {}
    }
}

/// Goes behind parameters and the letter at their end.
fn skip_control(rest: &mut std::str::Chars<'_>) {
    _ = rest.find(|c| matches!(c, '\u{40}'..='\u{7e}'));
}

/// Goes behind a bell, or an escape and a backslash.
fn skip_string(rest: &mut std::str::Chars<'_>) {
    if rest.find(|c| matches!(c, '\x07' | '\x1b' | '\u{9c}')) == Some('\x1b') {
        _ = rest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(text: &str) -> Box<str> {
        of(text.as_bytes(), false)
    }

    #[test]
    fn it_is_the_last_line_that_says_something() {
        for (text, line) in [
            ("", ""),
            ("\n \n\t\n", ""),
            ("one", "one"),
            ("one\ntwo\n", "two"),
            ("one\r\ntwo\r\n\r\n", "two"),
            ("  File \"x\", line 1\nValueError: bad\n", "ValueError: bad"),
            ("10 %\r50 %\r100 %\r", "100 %"),
            ("a\tb  \n", "a b"),
            ("备份失败：磁盘已满\n", "备份失败：磁盘已满"),
        ] {
            assert_eq!(&*last(text), line, "{text:?}");
        }
    }

    #[test]
    fn nothing_in_it_acts() {
        for (text, line) in [
            ("\x1b[1;31mfatal:\x1b[0m no\n", "fatal: no"),
            ("\x1b]0;title\x07bad", "bad"),
            ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Bx\u{9b}2Jy\x1b", "xy"),
            ("a\0b\x07c\u{202e}d\u{200b}", "abcd"),
            ("\x1b[2K\n\x1b[0m\nreal\n\x1b[0m\n", "real"),
            ("\x1b[", ""),
        ] {
            assert_eq!(&*last(text), line, "{text:?}");
            assert!(!fitting(text).chars().any(acts), "{text:?}");
        }
        assert_eq!(&*of(b"a\xff\xfeb\n", false), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn it_fits_its_column() {
        let exact = "x".repeat(MAX_CHARS);
        assert_eq!(*last(&exact), exact);
        let long = last(&"中".repeat(5_000));
        assert_eq!((long.chars().count(), long.chars().last()), (MAX_CHARS, Some('…')));
        // What is before the tail belongs to its only line.
        assert_eq!(&*of(b"end of a line", true), "…end of a line");
        assert_eq!(&*of(b"rest\nwhole", true), "whole");
        assert_eq!(of(&[b'x'; TAIL_BYTES], true).chars().count(), MAX_CHARS);
        assert_eq!(fitting(&last(&"y".repeat(999))), last(&"y".repeat(999)));
    }
}
