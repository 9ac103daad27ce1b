//! Words for a shell.

/// The text as one word, whatever is in it (POSIX, Shell Command Language 2.2.2).
pub(in crate::core) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./,:=+@-".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Whether a command is one program with arguments: what stands before it, or at its end, belongs
/// to the whole of it.
pub(in crate::core) fn is_simple(command: &str) -> bool {
    !command.contains(|c: char| ";&|()<>{}#!\n".contains(c))
}

/// Whether a shell can have a variable of this name.
pub(super) fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_it_has_to_be() {
        for (text, word) in [
            ("/usr/bin:/bin", "/usr/bin:/bin"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }
}
