//! What jobs of a crontab are called, and what comments say of them. A crontab has no names.

use crate::core::cron::{Cron, Dialect};
use std::collections::BTreeMap;

/// Characters of a name that is made, a number behind it included: as many as the original's column
/// holds.
const MAX_NAME_CHARS: usize = 50;

/// Characters of a description.
const MAX_DESCRIPTION_CHARS: usize = 1_000;

/// Programs that only begin another, each with how many of its arguments are its own.
const WRAPPERS: [(&str, usize); 17] = [
    ("exec", 0),
    ("env", 0),
    ("nohup", 0),
    ("setsid", 0),
    ("time", 0),
    ("sudo", 0),
    ("nice", 0),
    ("ionice", 0),
    ("chronic", 0),
    ("then", 0),
    ("if", 0),
    ("!", 0),
    ("timeout", 1),
    ("flock", 1),
    ("chroot", 1),
    ("chpst", 0),
    ("run-one", 0),
];

/// Options of those that take a value: it is no program.
const WITH_VALUE: [&str; 9] = ["-n", "-c", "-w", "-u", "-k", "-s", "-p", "-E", "-g"];

/// Programs whose first argument says more than they do.
const INTERPRETERS: [&str; 14] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "perl",
    "python",
    "python2",
    "python3",
    "php",
    "ruby",
    "node",
    "run-parts",
    "source",
];

/// What a part of a command that only looks, or goes somewhere, begins with.
const PRELUDES: [&str; 9] = ["[", "[[", "test", "cd", "command", "sleep", "umask", "export", ":"];

/// The names that were given.
#[derive(Debug, Default)]
pub(super) struct Names {
    given: BTreeMap<String, usize>,
}

impl Names {
    /// A name for a command, unlike all before.
    pub fn name(&mut self, command: &str) -> String {
        let name = name_of(command);
        let count = self.given.entry(name.clone()).or_default();
        *count += 1;
        match *count {
            1 => name,
            count => {
                let number = format!(" ({count})");
                let room = MAX_NAME_CHARS.saturating_sub(number.len());
                let name: String = name.chars().take(room).collect();
                format!("{name}{number}")
            }
        }
    }
}

/// The program that a command is about.
fn name_of(command: &str) -> String {
    let parts = command.split([';', '|', '&', '(', ')', '{', '}', '\n']);
    let mut names = parts.filter_map(program).peekable();
    let first = names.peek().map(|(name, _)| name.clone());
    // What only looks whether something is there comes first, and is not what it is about.
    let about = names.find(|(_, is_prelude)| !is_prelude).map(|(name, _)| name);
    let name = about.or(first).unwrap_or_else(|| "job".to_owned());
    name.chars().take(MAX_NAME_CHARS).collect()
}

/// The program of a part, and whether it is one that only prepares.
fn program(part: &str) -> Option<(String, bool)> {
    let mut words = part.split_whitespace().peekable();
    let mut word = words.next()?;
    loop {
        let is_set = word.split_once('=').is_some_and(|(name, _)| super::words::is_name(name));
        let wrapper = WRAPPERS.iter().find(|(name, _)| *name == base(word));
        let Some((_, own)) = wrapper.or(is_set.then_some(&("", 0))) else { break };
        let mut own = *own;
        word = words.next()?;
        while word.starts_with('-') || own > 0 {
            match word.starts_with('-') {
                true if WITH_VALUE.contains(&word) => drop(words.next()),
                true => {}
                false => own -= 1,
            }
            word = words.next()?;
        }
    }
    let name = base(word);
    let is_prelude = PRELUDES.contains(&name) || word.starts_with(['>', '<']);
    let argument = words.find(|word| !word.starts_with('-')).map(base);
    let name = match (INTERPRETERS.contains(&name), argument) {
        (true, Some(argument)) if !argument.is_empty() => argument,
        _ => name,
    };
    (!name.is_empty()).then(|| (name.to_owned(), is_prelude))
}

/// A program without its directory and quotes.
fn base(word: &str) -> &str {
    let word = word.trim_matches(['"', '\'', '`', '$']);
    let word = word.trim_end_matches('/');
    word.rsplit('/').next().unwrap_or(word)
}

/// What the comments right above a line say of it. What explains the form of a crontab, and a line
/// that was taken out by making it a comment, say nothing of the next one.
pub(super) fn description(comments: &[&str]) -> String {
    let own = comments.iter().rposition(|comment| is_legend(comment) || is_entry(comment));
    let own = &comments[own.map_or(0, |at| at + 1)..];
    let said = own.iter().filter(|comment| comment.contains(char::is_alphanumeric));
    let text = said.copied().collect::<Vec<_>>().join(" ");
    text.chars().take(MAX_DESCRIPTION_CHARS).collect()
}

/// `m h dom mon dow command`, and the drawing of the fields in Debian's and Red Hat's files.
fn is_legend(comment: &str) -> bool {
    let words: Vec<&str> = comment.split_whitespace().collect();
    let is_drawn = comment.starts_with(['|', '.', '┌', '│']);
    let names = |word: &&str| ["dom", "mon", "dow", "command", "user-name"].contains(word);
    is_drawn || words.iter().filter(|word| names(word)).count() >= 2
}

fn is_entry(comment: &str) -> bool {
    let Ok((cron, rest)) = super::line::schedule(comment) else { return false };
    !rest.is_empty() && Cron::parse(&cron, Dialect::Crontab).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_after_its_program() {
        for (command, name) in [
            ("/usr/local/bin/backup --all >/dev/null 2>&1", "backup"),
            ("cd / && run-parts --report /etc/cron.hourly", "cron.hourly"),
            ("test -x /usr/sbin/anacron || { cd / && run-parts /etc/cron.daily; }", "cron.daily"),
            ("[ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean", "sessionclean"),
            ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
            ("if [ -x /usr/bin/x ]; then /usr/bin/x -q; fi", "x"),
            ("nice -n 19 ionice -c 3 /opt/a/report.sh", "report.sh"),
            ("flock -n /run/lock/x /usr/bin/php /srv/www/cron.php", "cron.php"),
            ("A=1 B='2' timeout -k 5 60 perl -w \"/x/y.pl\"", "y.pl"),
            ("sleep 30; certbot -q renew", "certbot"),
            ("cd /tmp", "cd"),
            ("", "job"),
        ] {
            assert_eq!(name_of(command), name, "{command}");
        }
        let mut names = Names::default();
        let long = "x".repeat(80);
        let both = [names.name(&long), names.name(&long)];
        assert_eq!(both, ["x".repeat(50), format!("{} (2)", "x".repeat(46))]);
        assert_eq!(["a", "b", "a x", "/a"].map(|it| names.name(it)), ["a", "b", "a (2)", "a (3)"]);
    }

    #[test]
    fn comments_that_say_something_of_the_line_describe_it() {
        for (comments, text) in [
            (&["Back up the database", "every night"][..], "Back up the database every night"),
            (&["m h  dom mon dow   command"], ""),
            (&["m h dom mon dow user\tcommand", "Rotate logs"], "Rotate logs"),
            (&["|  |  .---- day", "*  *  *  *  * user-name command to be executed"], ""),
            (&["0 5 * * 1 tar -zcf /var/backups/home.tgz /home/", "new"], "new"),
            (&["-----", "Reports", "====="], "Reports"),
            (&[], ""),
        ] {
            assert_eq!(description(comments), text);
        }
    }
}
