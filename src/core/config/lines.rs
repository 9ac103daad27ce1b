//! Text → sections and entries, each with its line.
//!
//! The crate `rust-ini` builds the sections, but is not let near the text of a user: it knows no
//! trailing comments (its feature cuts quoted values too), continues a line that ends in `\` even
//! with escapes turned off, takes `:` for `=` (an IPv6 address in a key), glues a line without
//! `=` to the next one, stops at the first mistake and tells no lines. So each line is first put
//! into a form in which none of that can happen, one line for one line: nothing, `[section]`, or
//! `key="value"` with everything escaped. Its properties then come in the order of our lines.
//!
//! The rules, also in `docs/configuration.md`:
//! - A line whose first character is `;` or `#` is a comment.
//! - A value ends before a `;` that has a blank in front of it, and is trimmed. `a;b` is whole; `#`
//!   is an ordinary character.
//! - A value that begins with `"` or `'` ends at the first such quote after which there are only
//!   blanks, or a blank and a `;` comment. What is between is taken as it stands: no escapes.

use super::problem::Problems;

/// `key = value`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Line, from 1.
    pub line: u32,
    /// The key; where a flat entry was moved to a section, its key there.
    pub key: String,
    /// The key as it is written, for messages: `name[index]` in the flat form.
    pub written: String,
    /// The value without quotes and comment.
    pub value: String,
}

/// A section and its entries.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// `None`: what stands before the first section.
    pub name: Option<String>,
    /// Line of its header, from 1; 0 without header.
    pub line: u32,
    /// In the order of the file.
    pub entries: Vec<Entry>,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Nothing,
    Section(&'a str),
    Pair { key: &'a str, value: &'a str },
}

/// Longest file: 1 MiB. A configuration has hundreds of lines at the most; what is larger is the
/// wrong file.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// The sections; `None` if the file as a whole is no text, which is then the only problem.
pub(super) fn read(text: &[u8], problems: &mut Problems) -> Option<Vec<Section>> {
    if let Some(why) = no_text(text) {
        problems.error(0, why);
        return None;
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut plain = String::with_capacity(text.len());
    let mut headers = Vec::new();
    let mut pairs = Vec::new();
    for (number, bytes) in (1..).zip(text.split(|b| *b == b'\n')) {
        let line = String::from_utf8_lossy(bytes);
        match classify(&line).and_then(|said| readable(said, bytes)) {
            Ok(Line::Nothing) => {}
            Ok(Line::Section(name)) => {
                headers.push(number);
                plain.push_str(&format!("[{}]", escaped(name)));
            }
            Ok(Line::Pair { key, value }) => {
                pairs.push(number);
                warn_of_value(number, &line, value, problems);
                plain.push_str(&format!("{}=\"{}\"", escaped(key), escaped(value)));
            }
            Err(why) => problems.error(number, why),
        }
        plain.push('\n');
    }
    Some(build(&plain, &headers, &pairs, problems))
}

/// Why the file as a whole is not the text of a configuration.
fn no_text(text: &[u8]) -> Option<String> {
    if text.len() > MAX_FILE_BYTES {
        return Some(format!("larger than {MAX_FILE_BYTES} bytes: is it the right file?"));
    }
    let utf16 = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff");
    utf16.then(|| "written in UTF-16: save it as UTF-8".to_string())
}

/// Reads our own plain form with `rust-ini` and gives each section and entry its line back.
fn build(plain: &str, headers: &[u32], pairs: &[u32], problems: &mut Problems) -> Vec<Section> {
    let ini = match ini::Ini::load_from_str(plain) {
        Ok(ini) => ini,
        Err(e) => {
            let line = u32::try_from(e.line).unwrap_or(0);
            problems.error(line, format!("cannot be read: {}", e.msg));
            return Vec::new();
        }
    };
    let (mut headers, mut pairs) = (headers.iter(), pairs.iter());
    let mut next = |name: Option<&str>| name.and_then(|_| headers.next()).copied().unwrap_or(0);
    ini.iter()
        .map(|(name, properties)| Section {
            name: name.map(str::to_string),
            line: next(name),
            entries: properties
                .iter()
                .map(|(key, value)| Entry {
                    line: pairs.next().copied().unwrap_or(0),
                    key: key.to_string(),
                    written: key.to_string(),
                    value: value.to_string(),
                })
                .collect(),
        })
        .collect()
}

/// Every character that means something to `rust-ini` gets a backslash. Letters don't: there a
/// backslash would make it an escape.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn classify(line: &str) -> Result<Line<'_>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with([';', '#']) {
        return Ok(Line::Nothing);
    }
    if let Some(rest) = line.strip_prefix('[') {
        return section(rest);
    }
    // The line is not repeated: it may be half of a password.
    let Some((key, value)) = line.split_once('=') else {
        return Err("neither `[section]` nor `key = value`: there is no `=`; \
                    a comment begins with `;`"
            .to_string());
    };
    let key = key.trim();
    if key.is_empty() {
        return Err("there is no key before the `=`".to_string());
    }
    Ok(Line::Pair { key, value: value_of(key, value)? })
}

fn section(rest: &str) -> Result<Line<'_>, String> {
    let Some((name, tail)) = rest.split_once(']') else {
        return Err("the section's name is not closed: write `[name]`".to_string());
    };
    let (name, tail) = (name.trim(), tail.trim_start());
    if name.is_empty() {
        return Err("a section without a name: write `[base]`, `[server_1]` or `[db1]`".into());
    }
    if !tail.is_empty() && !tail.starts_with([';', '#']) {
        return Err(format!("after `[{name}]` only a comment may follow, beginning with `;`"));
    }
    Ok(Line::Section(name))
}

/// The value in what follows the `=`.
fn value_of<'a>(key: &str, text: &'a str) -> Result<&'a str, String> {
    let value = text.trim();
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => quoted(key, &value[1..], quote),
        _ => Ok(without_comment(text).trim()),
    }
}

fn quoted<'a>(key: &str, text: &'a str, quote: char) -> Result<&'a str, String> {
    for (i, _) in text.match_indices(quote) {
        let tail = &text[i + 1..];
        let comment = tail.starts_with(char::is_whitespace) && tail.trim_start().starts_with(';');
        if tail.is_empty() || comment {
            return Ok(&text[..i]);
        }
    }
    let other = if quote == '"' { '\'' } else { '"' };
    Err(match text.contains(quote) {
        true => format!(
            "after the closing {quote} of `{key}` only a comment may follow: a blank and `;`"
        ),
        false => format!(
            "the value of `{key}` begins with {quote} and is not closed: add a {quote} at its \
             end, or put {other} around it if the {quote} belongs to it"
        ),
    })
}

fn without_comment(text: &str) -> &str {
    let end = text
        .match_indices(';')
        .map(|(i, _)| i)
        .find(|i| text[..*i].ends_with(char::is_whitespace))
        .unwrap_or(text.len());
    &text[..end]
}

/// Refuses what no key, name or value of a configuration can hold.
fn readable<'a>(line: Line<'a>, bytes: &[u8]) -> Result<Line<'a>, String> {
    let (key, value) = match line {
        Line::Nothing => return Ok(line),
        Line::Section(name) => (name, ""),
        Line::Pair { key, value } => (key, value),
    };
    let lossy = |text: &str| text.contains(char::REPLACEMENT_CHARACTER);
    // In a comment any bytes will do: many a file has its comments in GBK.
    if std::str::from_utf8(bytes).is_err() && (lossy(key) || lossy(value)) {
        return Err("not UTF-8: save the file as UTF-8".to_string());
    }
    let control = |c: char| c.is_control() && c != '\t';
    if key.contains(control) || value.contains(control) {
        return Err("a control character (NUL, a lone carriage return, …): remove it".to_string());
    }
    Ok(line)
}

/// Values that PHP, which read this file before, took for something else.
fn warn_of_value(number: u32, line: &str, value: &str, problems: &mut Problems) {
    let after = line.split_once('=').map_or("", |(_, after)| after.trim());
    if after.starts_with(';') && !value.is_empty() {
        problems.warning(
            number,
            "the `;` right after the `=` is taken as the value: put a blank before it if it \
             begins a comment, quotes around the value if not",
        );
    }
    if after.starts_with('"') && (value.contains("\\\"") || value.contains("\\\\")) {
        problems.warning(
            number,
            "a backslash in quotes is taken as it stands, not as an escape: if that is meant, \
             put single quotes around the value instead of double ones",
        );
    }
}
