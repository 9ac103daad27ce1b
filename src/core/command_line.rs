//! Whether a command needs a shell. Starting `/bin/sh` costs more than the rest of a launch, so a
//! command that is nothing but plain words is executed directly, as make does it.
//!
//! The promise is that nobody can tell the difference. make's list of characters that need a
//! shell (`sh_chars` in its `job.c`) is turned around here: what is not known to be plain goes to
//! the shell. Unlike make, builtins with a twin on disk (`echo`, `printf`, `kill`, `test`) are the
//! shell's too, because the twins differ: `echo 'a\nb'` prints two lines in dash.

/// How a command is to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine<'a> {
    /// These words, the first one searched for along `PATH` where it has no slash.
    Direct(Vec<&'a str>),
    /// Handed to `/bin/sh -c` as it is.
    Shell,
}

/// First words that mean something to a shell: POSIX special and regular builtins and reserved
/// words, and those dash, bash and busybox add. Sorted, for a binary search.
const SHELL_WORDS: &[&str] = &[
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "enable",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "fi",
    "for",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "jobs",
    "kill",
    "let",
    "local",
    "login",
    "logout",
    "mapfile",
    "newgrp",
    "popd",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "return",
    "select",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "until",
    "wait",
    "while",
];

/// Decides how to execute `command`.
pub fn parse(command: &str) -> CommandLine<'_> {
    if !command.bytes().all(is_plain) {
        return CommandLine::Shell;
    }
    let words: Vec<&str> = command.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    match words.first() {
        Some(first) if !is_shells(first, words.len()) => CommandLine::Direct(words),
        _ => CommandLine::Shell,
    }
}

/// The program that a command begins with, behind assignments (`A=1 ./x`), if that is named by a
/// path which leads to different files from different directories.
pub fn relative_program(command: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let assigns =
        |word: &&str| word.split_once('=').is_some_and(|(name, _)| name.chars().all(is_name));
    let program = command.split_whitespace().find(|word| !assigns(word))?;
    let path = program.trim_start_matches(['"', '\'']);
    // What is filled in, or expanded by the shell, may begin with a slash.
    let is_known = path.starts_with(|c: char| !"/~$`{(<>\\".contains(c));
    let is_path = path.trim_end_matches(['"', '\'']).contains('/');
    let stops = |c: char| ";&|<>()$`#".contains(c);
    (is_known && is_path && !path.contains(stops)).then_some(program)
}

/// Bytes that stand for themselves in every shell, and the two that part words. Bytes of UTF-8
/// sequences are plain: no character beyond ASCII means anything to a shell.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b" \t_-./:,+@%=".contains(&byte)
}

/// Whether the first word is the shell's own business: an assignment, a job (`%1`), an option of
/// `sh` itself, a builtin or a reserved word. `true` and `false` are builtins whose twins can't
/// differ as long as they get no argument (`true --help` does).
fn is_shells(first: &str, words: usize) -> bool {
    first.contains('=')
        || first.starts_with(['%', '-', '+'])
        || (words > 1 && matches!(first, "true" | "false"))
        || is_shell_word(first)
}

/// Whether a word means something to a shell where a command begins.
pub fn is_shell_word(word: &str) -> bool {
    SHELL_WORDS.binary_search(&word).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(SHELL_WORDS.is_sorted());
    }

    #[test]
    fn plain_words_are_executed_directly() {
        let direct = |command, words: &[&str]| {
            assert_eq!(parse(command), CommandLine::Direct(words.to_vec()), "{command:?}");
        };
        direct("true", &["true"]);
        direct("  /bin/ls\t-l  /tmp ", &["/bin/ls", "-l", "/tmp"]);
        direct(
            "php /data/工作.php --day=1 a:b x@y 5%",
            &["php", "/data/工作.php", "--day=1", "a:b", "x@y", "5%"],
        );
        direct("sleeper if", &["sleeper", "if"]);
        direct("./echo x", &["./echo", "x"]);
    }

    #[test]
    fn everything_else_is_the_shells() {
        for command in [
            "",
            "  ",
            "a; b",
            "a\nb",
            "a &",
            "a | b",
            "a > b",
            "a 'b'",
            "a \"b\"",
            "a \\b",
            "a *",
            "a ?",
            "a [b]",
            "ls ~",
            "echo x",
            "a $B",
            "a `b`",
            "(a)",
            "{ a",
            "! a",
            "A=1 b",
            "A=1",
            "# a",
            "a # b",
            "%1",
            "-x",
            "+x",
            ": x",
            ". ./x",
            "exit 3",
            "ulimit -n",
            "cd /tmp",
            "test -f x",
            "true --help",
            "false x",
            "a\0b",
            "a\rb",
            "a^b",
        ] {
            assert_eq!(parse(command), CommandLine::Shell, "{command:?}");
        }
    }
}
