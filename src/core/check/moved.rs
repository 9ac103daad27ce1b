//! What the PHP program did otherwise, for those who come from it: told where its tables or its
//! form of the configuration are found. `docs/migration.md` says more of each.

use super::{Finding, finding, jobs};
use crate::core::command_line::is_shell_word;
use crate::core::config::Severity;
use crate::core::cron::Zone;
use crate::core::protocol::Answer;

/// Its time zone, hard-coded.
const ZONE: &str = "Asia/Shanghai";

/// Shell words that are programs as well, so `exec` finds them.
const ALSO_PROGRAMS: [&str; 9] =
    ["echo", "false", "help", "kill", "login", "newgrp", "printf", "pwd", "test"];

/// What is otherwise here, for tables that the PHP program made.
pub fn moved_rows(answers: &[Answer]) -> Vec<Finding> {
    let mut found = Vec::new();
    for job in jobs(answers) {
        if cut_by_exec(&job.command) {
            found.push(finding(job, Severity::Warning, CUT.to_owned()));
        }
        if job.output.is_empty() || job.stderr.is_empty() {
            found.push(finding(job, Severity::Note, KEPT.to_owned()));
        }
    }
    found
}

const CUT: &str = "the PHP program ran `exec COMMAND`: what stands behind the first `;`, `&&`, \
    `||` or line end was not run, and shell words such as `cd`, `if` or `A=1` failed. Here all of \
    it is run: see whether that is meant";

const KEPT: &str = "output or stderr is empty: the PHP program discarded that, here it is kept for \
    the last 20 runs (statedir); write /dev/null to discard it";

/// What to say of a zone that was left out, where that is not the one of the PHP program.
pub fn moved_zone(system: &Zone) -> Option<Finding> {
    // Midwinter and midsummer: a zone that has the same offset then is the same for schedules.
    const INSTANTS_S: [i64; 2] = [1_768_000_000, 1_783_000_000];
    const SHANGHAI_S: i32 = 8 * 3600;
    let offset = |at: &i64| {
        let at = jiff::Timestamp::from_second(*at).ok()?;
        Some(system.to_offset(at).seconds())
    };
    if INSTANTS_S.iter().all(|at| offset(at) == Some(SHANGHAI_S)) {
        return None;
    }
    let text = format!(
        "[base] timezone is left out, so schedules are read in the system's zone ({}); the PHP \
         program's was {ZONE}: `timezone = {ZONE}` keeps its hours",
        system.iana_name().unwrap_or("without a name")
    );
    Some(Finding::general(Severity::Warning, text))
}

/// What to say of the unique key of the PHP program's tables.
pub fn unique_key() -> Finding {
    let text = "scheduler_jobs has the unique key (server_id, command_md5) of the PHP program: \
        fill `command_md5` of a new row with a text that no other row has, such as \
        REPLACE(UUID(), '-', ''), or the second one that leaves it empty is refused";
    Finding::general(Severity::Note, text.to_owned())
}

/// Whether `sh -c "exec COMMAND"` runs less of a command than `sh -c COMMAND`.
fn cut_by_exec(command: &str) -> bool {
    let command = command.trim();
    let blank = |c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>');
    let first = command.split(blank).next().unwrap_or_default();
    let assigns = first.split_once('=').is_some_and(|(name, _)| is_name(name));
    assigns
        || first.starts_with('(')
        || matches!(first, "{" | "!" | "[[")
        || (is_shell_word(first) && !ALSO_PROGRAMS.contains(&first))
        || is_list(command)
}

fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(fits) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// Whether a command goes on behind its first simple command. A pipeline and what is put into the
/// background have shells of their own, so `exec` ends none of them.
fn is_list(command: &str) -> bool {
    let mut depth = 0_u32;
    let mut quote = None;
    let mut chars = command.char_indices().peekable();
    let mut before = ' ';
    while let Some((at, c)) = chars.next() {
        let rest = &command[at + c.len_utf8()..];
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') | (Some('`'), '`') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(chars.next()),
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, _) if depth > 0 => {}
            (None, '#') if before.is_whitespace() => return goes_on_below(rest),
            (None, ';' | '\n') => return !rest.trim_matches([';', ' ', '\t', '\n']).is_empty(),
            (None, '&') if rest.starts_with('&') => return true,
            (None, '|') if rest.starts_with('|') => return true,
            // `2>&1` and `&>file` are no ends.
            (None, '&') if before == '>' || before == '<' || rest.starts_with('>') => {}
            (None, '|') if before == '>' => {}
            (None, '&' | '|') => return false,
            (None, _) => {}
        }
        before = c;
    }
    false
}

/// Whether something stands below a comment.
fn goes_on_below(comment: &str) -> bool {
    comment.split_once('\n').is_some_and(|(_, below)| !below.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::cut_by_exec;

    /// What dash and bash do with `sh -c "exec COMMAND"`.
    #[test]
    fn what_exec_cuts() {
        for command in [
            "a; b",
            "a;b",
            "a && b",
            "a || b",
            "a\nb",
            "a > f 2>&1; b",
            "a 'x;y' && b",
            "a # note\nb",
            "cd /data && php x.php",
            "cd /data",
            "A=1 php x.php",
            "(a; b)",
            "{ a; }",
            "! a",
            "if a; then b; fi",
            ". ./x",
            "a \\; && b",
            "a $(b) ; c",
        ] {
            assert!(cut_by_exec(command), "{command:?}");
        }
        for command in [
            "a",
            "a;",
            "a ;\n",
            "a | b",
            "a | b; c",
            "a & b",
            "a > f 2>&1",
            "a &> f",
            "a >| f",
            "a 'x; y' \"b && c\" `d; e` $(f; g)",
            "a \\; b",
            "a # b; c",
            "echo x",
            "[ -f x ]",
            "php x.php --a=1",
            "find . -exec rm {} \\;",
        ] {
            assert!(!cut_by_exec(command), "{command:?}");
        }
    }
}
