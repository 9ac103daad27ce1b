//! What a line of a crontab is, and its parts.

/// Fields of a schedule.
const FIELDS: usize = 5;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Blank,
    /// Without the marks before it.
    Comment(&'a str),
    /// `NAME = value`, without quotes around either.
    Setting(String, &'a str),
    /// A schedule and what follows.
    Entry(&'a str),
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

impl<'a> Line<'a> {
    pub fn of(text: &'a str) -> Line<'a> {
        let text = text.trim_start_matches(is_blank);
        if text.trim().is_empty() {
            return Line::Blank;
        }
        if let Some(comment) = text.strip_prefix('#') {
            return Line::Comment(comment.trim_start_matches('#').trim());
        }
        if let Some((name, value)) = setting(text) {
            return Line::Setting(name, value);
        }
        // cronie: of such a line nothing is written to the system's log.
        Line::Entry(text.strip_prefix('-').unwrap_or(text))
    }
}

/// `NAME = value`: one word, or one in quotes, and then `=`.
fn setting(text: &str) -> Option<(String, &str)> {
    let (name, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].split_once(quote)?,
        _ => {
            let end = text.find(|c| is_blank(c) || c == '=')?;
            text.split_at(end)
        }
    };
    let value = rest.trim_start_matches(is_blank).strip_prefix('=')?.trim_matches(is_blank);
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?;
        inner.strip_suffix(quote).filter(|inner| !inner.contains(quote))
    });
    (!name.is_empty()).then(|| (name.to_owned(), quoted.unwrap_or(value)))
}

/// The first word, and what follows the blanks after it.
pub(super) fn word(text: &str) -> (&str, &str) {
    let end = text.find(is_blank).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches(is_blank))
}

/// The schedule of an entry as an expression, and what follows.
pub(super) fn schedule(entry: &str) -> Result<(String, &str), String> {
    if entry.starts_with('@') {
        let (name, rest) = word(entry);
        return Ok((macro_of(&name.to_ascii_lowercase())?, rest));
    }
    let mut fields = Vec::new();
    let mut rest = entry;
    for _ in 0..FIELDS {
        let (field, after) = word(rest);
        if field.is_empty() {
            let why = "is no line of a crontab: five fields and a command are, @daily and a \
                       command, NAME=value, # comment";
            return Err(why.to_owned());
        }
        fields.push(field);
        rest = after;
    }
    Ok((fields.join(" "), rest))
}

/// The first line of an export, without its mark: where that was, comments may have jobs in them.
pub(in crate::core) const HEADER: &str = "Jobs of Schedule. A crontab knows no overlap limit.";

/// What a comment begins with that has a job in it that cron can't have.
pub(in crate::core) const SAID: &str = "schedule: (";

/// A comment that nobody takes for one with a job in it.
pub(in crate::core) fn unsaid(comment: &str) -> String {
    let marks = |c: char| c == '#' || c.is_whitespace();
    match comment.trim_start_matches(marks).starts_with(SAID) {
        true => comment.replacen(':', "", 1),
        false => comment.to_owned(),
    }
}

/// The schedule and the command of such a comment.
pub(super) fn said(comment: &str) -> Option<(&str, &str)> {
    comment.strip_prefix(SAID)?.split_once(") ")
}

/// What stands for a name of FreeBSD's cron, and others as they are.
fn macro_of(name: &str) -> Result<String, String> {
    Ok(match name {
        "@every_minute" => "* * * * *",
        "@every_second" => "* * * * * *",
        _ if name[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let why = "starts so many seconds after the last run has ended; the nearest here is \
                       @every with a period, counted by the clock";
            return Err(format!("{name} {why}"));
        }
        other => other,
    }
    .to_owned())
}

/// The command and, after the first `%`, what it reads from stdin. `\%` is a `%`, every further
/// `%` a line end.
///
/// As `child_process` of ISC cron 4.1 (`do_command.c`) takes them apart, backslashes before
/// backslashes included.
pub(super) fn input(written: &str) -> (String, Option<String>) {
    let mut command = String::new();
    let mut chars = written.chars();
    let mut is_escaped = false;
    for c in chars.by_ref() {
        if is_escaped {
            if c == '%' {
                command.pop();
            }
            is_escaped = false;
        } else if c == '%' {
            return (command, Some(unescaped(chars.as_str())));
        } else {
            is_escaped = c == '\\';
        }
        command.push(c);
    }
    (command, None)
}

fn unescaped(written: &str) -> String {
    let mut text = String::new();
    let mut is_escaped = false;
    for c in written.chars() {
        let c = match (is_escaped, c) {
            (true, '%') => '%',
            (true, c) => {
                text.push('\\');
                c
            }
            (false, '%') => '\n',
            (false, c) => c,
        };
        is_escaped = c == '\\';
        if !is_escaped {
            text.push(c);
        }
    }
    if is_escaped {
        text.push('\\');
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let setting = |name: &str, value| Line::Setting(name.to_owned(), value);
        for (text, line) in [
            ("", Line::Blank),
            (" \t ", Line::Blank),
            ("  ## a  # b ", Line::Comment("a  # b")),
            ("MAILTO=", setting("MAILTO", "")),
            (" MAILTO = \"a b\" ", setting("MAILTO", "a b")),
            ("'A B'='c'", setting("A B", "c")),
            ("A=\"b\" and \"c\"", setting("A", "\"b\" and \"c\"")),
            ("A= $HOME/bin:$PATH", setting("A", "$HOME/bin:$PATH")),
            ("* * * * * a=b", Line::Entry("* * * * * a=b")),
            ("-*/5 * * * * root a", Line::Entry("*/5 * * * * root a")),
            ("@daily X=1 a", Line::Entry("@daily X=1 a")),
        ] {
            assert_eq!(Line::of(text), line, "{text:?}");
        }
    }

    #[test]
    fn schedules_end_where_the_command_begins() {
        let good = |cron: &str, rest| Ok((cron.to_owned(), rest));
        assert_eq!(schedule("0\t 5 * *\tMON  a  b "), good("0 5 * * MON", "a  b "));
        assert_eq!(schedule("@Daily a"), good("@daily", "a"));
        assert_eq!(schedule("@every_minute\ta"), good("* * * * *", "a"));
        assert_eq!(schedule("0 5 * * *"), good("0 5 * * *", ""));
        assert!(schedule("0 5 * *").is_err_and(|why| why.contains("five fields")));
        assert!(schedule("@60 a").is_err_and(|why| why.contains("@every")));
    }

    #[test]
    fn percent_signs_begin_the_input() {
        let none = |command: &str| (command.to_owned(), None);
        let some = |command: &str, input: &str| (command.to_owned(), Some(input.to_owned()));
        for (text, meant) in [
            ("a b", none("a b")),
            (r"date +\%F", none("date +%F")),
            (r"a \x \\", none(r"a \x \\")),
            ("a%", some("a", "")),
            ("a%b%c", some("a", "b\nc\n")),
            ("a%b%", some("a", "b\n")),
            ("a%%b", some("a", "\nb\n")),
            (r"a%100\% \n", some("a", "100% \\n\n")),
            (r"a\\%b", some(r"a\\", "b\n")),
            (r"a%b\", some("a", "b\\\n")),
            (r"a%\\%", some("a", "\\%\n")),
        ] {
            assert_eq!(input(text), meant, "{text}");
        }
    }
}
