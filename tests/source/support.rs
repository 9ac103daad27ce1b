//! Just enough of Rust's grammar to tell code from comments and strings, to follow braces, and to
//! spell out grouped `use` paths.

/// An identifier, or a punctuation mark of one character (`::` is one word).
#[derive(Debug)]
pub struct Word {
    /// Line, from 1.
    pub line: usize,
    pub text: String,
}

/// What a piece of text is.
#[derive(PartialEq)]
enum PieceKind {
    Word,
    /// Comment, literal or blank.
    Other,
}

/// The words of a file, without comments and literals.
pub struct Source {
    pub words: Vec<Word>,
}

impl Source {
    pub fn read(text: &str) -> Source {
        let chars: Vec<char> = text.chars().collect();
        let mut words = Vec::new();
        let (mut at, mut line) = (0, 1);
        while at < chars.len() {
            let (kind, end) = piece(&chars, at);
            let piece: String = chars[at..end].iter().collect();
            if kind == PieceKind::Word {
                words.push(Word { line, text: piece.clone() });
            }
            line += piece.matches('\n').count();
            at = end;
        }
        Source { words }
    }

    /// Functions with a body: name, line of `fn`, line of the closing brace.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for (i, word) in self.words.iter().enumerate() {
            let Some(name) = self.words.get(i + 1).filter(|_| word.text == "fn") else { continue };
            if let Some(last) = self.body_end(i) {
                found.push((name.text.clone(), word.line, last));
            }
        }
        found
    }

    /// Line of the brace that closes the first one after word `from`; `None` if a `;` outside of
    /// brackets comes before it.
    fn body_end(&self, from: usize) -> Option<usize> {
        let (mut braces, mut brackets) = (0, 0);
        for word in &self.words[from..] {
            match word.text.as_str() {
                "(" | "[" => brackets += 1,
                ")" | "]" => brackets -= 1,
                "{" => braces += 1,
                "}" if braces == 1 => return Some(word.line),
                "}" => braces -= 1,
                ";" if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// All names with their line, paths joined by `::`, groups spelled out: `use std::{fs, io};`
    /// gives `std::fs` and `std::io`. A leading `::` is left out; `use mio;` gives `mio::`, which
    /// tells it from a function or variable of that name.
    pub fn names(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        // What stands before each open brace: a path that ends in `::`, or nothing.
        let mut open: Vec<String> = vec![String::new()];
        let mut path = String::new();
        for (i, word) in self.words.iter().enumerate() {
            let next = self.words.get(i + 1).map_or("", |w| w.text.as_str());
            match word.text.as_str() {
                "{" => open.push(std::mem::take(&mut path)),
                "}" => {
                    open.pop();
                }
                // `::core` is the language's, and must not look like ours.
                "::" if path.is_empty() => {}
                "::" => path.push_str("::"),
                text if text.starts_with(|c: char| c == '_' || c.is_alphabetic()) => {
                    if path.is_empty() {
                        path.clone_from(open.last().unwrap_or(&String::new()));
                    }
                    path.push_str(text);
                    if next != "::" {
                        if i > 0 && self.words[i - 1].text == "use" {
                            path.push_str("::");
                        }
                        found.push((word.line, std::mem::take(&mut path)));
                    }
                }
                _ => path.clear(),
            }
        }
        found
    }
}

/// What begins at `at`, and where it ends.
fn piece(chars: &[char], at: usize) -> (PieceKind, usize) {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let end = match (chars[at], next(1)) {
        ('/', '/') => find(chars, at, |rest| rest[0] == '\n'),
        ('/', '*') => end_of_comment(chars, at),
        ('"', _) => end_of_string(chars, at + 1, '"'),
        ('r' | 'b' | 'c', '"' | '#' | 'r') if raw_hashes(chars, at).is_some() => {
            end_of_raw(chars, at)
        }
        ('b' | 'c', '"') => end_of_string(chars, at + 2, '"'),
        ('b', '\'') => end_of_string(chars, at + 2, '\''),
        // A character, unless it is a lifetime: `'a'`, `'\n'`, not `'a`.
        ('\'', '\\') => end_of_string(chars, at + 1, '\''),
        ('\'', _) if next(2) == '\'' => at + 3,
        (':', ':') => return (PieceKind::Word, at + 2),
        (c, _) if c == '_' || c.is_alphanumeric() => {
            let end = find(chars, at, |rest| rest[0] != '_' && !rest[0].is_alphanumeric());
            return (PieceKind::Word, end);
        }
        (c, _) if c.is_ascii_punctuation() => return (PieceKind::Word, at + 1),
        _ => at + 1,
    };
    (PieceKind::Other, end)
}

/// The first position from `at` on where `here` holds, or the end.
fn find(chars: &[char], at: usize, here: impl Fn(&[char]) -> bool) -> usize {
    (at..chars.len()).find(|i| here(&chars[*i..])).unwrap_or(chars.len())
}

fn end_of_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], from: usize, quote: char) -> usize {
    let mut i = from;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            c if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// Position of the opening quote and number of `#` of the raw string that begins at `at`.
fn raw_hashes(chars: &[char], at: usize) -> Option<(usize, usize)> {
    let r = if chars[at] == 'r' { at } else { at + 1 };
    let quote = find(chars, r + 1, |rest| rest[0] != '#');
    let is_raw = chars.get(r) == Some(&'r') && chars.get(quote) == Some(&'"');
    is_raw.then_some((quote, quote - r - 1))
}

fn end_of_raw(chars: &[char], at: usize) -> usize {
    let (quote, hashes) = raw_hashes(chars, at).unwrap_or((at, 0));
    let close = |rest: &[char]| {
        rest[0] == '"' && rest.len() > hashes && rest[1..=hashes].iter().all(|c| *c == '#')
    };
    (find(chars, quote + 1, close) + hashes + 1).min(chars.len())
}
