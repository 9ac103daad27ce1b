//! Lines `NAME=value` of a crontab: what they mean for the commands below them.

use super::Weight;
use super::words::{is_name, is_simple, quoted};
use crate::core::cron::zone;
use crate::core::plain;
use std::fmt::Write;

/// What runs commands where no line says otherwise, there and here.
const SHELL: &str = "/bin/sh";

/// What is in force for the next entry.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// In the order in which they were first set.
    variables: Vec<(String, String)>,
    zone: String,
}

impl Settings {
    /// Takes a line, and says what of it is not so here.
    pub fn set(&mut self, name: &str, value: &str) -> Option<(Weight, String)> {
        let told = |text: String| Some((Weight::Told, text));
        match name {
            // Nobody wants mail: nobody gets any.
            "MAILTO" if value.is_empty() => None,
            "MAILTO" => told(format!(
                "{name}: no mail is sent: output is kept for each run, and pages show it \
                 (was for {})",
                plain::shown(value)
            )),
            "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => {
                told(format!("{name}: no mail is sent: output is kept for each run"))
            }
            "LOGNAME" | "USER" => told(format!("{name}: cron lets nobody set it: it is left out")),
            "RANDOM_DELAY" => told(format!(
                "{name}: jobs start at their minute; where many start at once, give them minutes \
                 of their own"
            )),
            "START_HOURS_RANGE" => told(format!(
                "{name}: this is a setting of anacron; write the hours into the schedule"
            )),
            "CRON_TZ" => match zone(value) {
                Ok(_) => {
                    value.clone_into(&mut self.zone);
                    None
                }
                // The lines below would run at the wrong time.
                Err(why) => Some((Weight::Refused, format!("CRON_TZ: {why}"))),
            },
            _ if !is_name(name) => {
                let name = plain::shown(name);
                told(format!("`{name}` is left out: a shell has no variable of this name"))
            }
            _ => {
                match self.variables.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => value.clone_into(known),
                    None => self.variables.push((name.to_owned(), value.to_owned())),
                }
                (name == "TZ").then(|| {
                    let text = "TZ: the commands get it; schedules follow CRON_TZ alone";
                    (Weight::Told, text.to_owned())
                })
            }
        }
    }

    /// The zone of the schedules; empty = nobody says.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        let mut all = self.variables.iter();
        all.find(|(name, _)| name == wanted).map(|(_, value)| &**value)
    }

    /// The command as `/bin/sh -c` has to be given it: with what is set, and what it reads.
    pub fn command(&self, command: &str, input: Option<&str>) -> String {
        let mut text = String::new();
        if !self.variables.is_empty() {
            text.push_str("export");
            for (name, value) in &self.variables {
                let _ = write!(text, " {name}={}", quoted(value)); // a String takes every write
            }
            text.push_str("; ");
        }
        // cron runs commands there.
        if let Some(home) = self.value("HOME") {
            let _ = write!(text, "cd {}; ", quoted(home));
        }
        let shell = self.value("SHELL").filter(|shell| !shell.is_empty()).unwrap_or(SHELL);
        let lines = input.filter(|input| !input.is_empty());
        if let Some(lines) = lines {
            text.push_str("printf '%s\\n'");
            for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
                let _ = write!(text, " {}", quoted(line));
            }
            text.push_str(" | ");
        }
        match shell == SHELL && (lines.is_none() || is_simple(command)) {
            true => text.push_str(command),
            false => {
                let exec = if lines.is_none() { "exec " } else { "" };
                let _ = write!(text, "{exec}{} -c {}", quoted(shell), quoted(command));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(lines: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in lines {
            assert_eq!(settings.set(name, value), None, "{name}");
        }
        settings
    }

    #[test]
    fn a_command_has_what_is_set_above_it() {
        for (lines, command, input, text) in [
            (&[][..], "a && b", None, "a && b"),
            (&[("PATH", "/bin:/usr/bin")], "a && b", None, "export PATH=/bin:/usr/bin; a && b"),
            (&[("A", "$x 'y'")], "b", None, r"export A='$x '\''y'\'''; b"),
            (&[("A", "1"), ("A", "2"), ("B", "")], "c", None, "export A=2 B=''; c"),
            (&[("SHELL", "/bin/sh")], "a", None, "export SHELL=/bin/sh; a"),
            (
                &[("SHELL", "/bin/bash")],
                "a | b",
                None,
                "export SHELL=/bin/bash; exec /bin/bash -c 'a | b'",
            ),
            (&[("HOME", "/")], "a", None, "export HOME=/; cd /; a"),
            (&[], "mail root", Some("a b\nc\n"), r"printf '%s\n' 'a b' c | mail root"),
            (&[], "a; b", Some("x\n"), r"printf '%s\n' x | /bin/sh -c 'a; b'"),
            (&[], "a", Some(""), "a"),
            (&[], "a", Some("\nb\n"), r"printf '%s\n' '' b | a"),
            (&[("CRON_TZ", "Asia/Shanghai"), ("MAILTO", "")], "a", None, "a"),
        ] {
            assert_eq!(set(lines).command(command, input), text);
        }
    }

    #[test]
    fn what_is_not_so_here_is_told() {
        let mut settings = Settings::default();
        for (name, value, weight, text) in [
            ("MAILTO", "root", Weight::Told, "no mail is sent"),
            ("RANDOM_DELAY", "45", Weight::Told, "start at their minute"),
            ("START_HOURS_RANGE", "3-22", Weight::Told, "anacron"),
            ("LOGNAME", "x", Weight::Told, "left out"),
            ("a-b", "x", Weight::Told, "`a-b` is left out"),
            ("TZ", "UTC", Weight::Told, "CRON_TZ alone"),
            ("CRON_TZ", "Mars/Base", Weight::Refused, "CRON_TZ: "),
        ] {
            let told = settings.set(name, value);
            assert!(
                told.as_ref().is_some_and(|(is, why)| *is == weight && why.contains(text)),
                "{name}: {told:?}"
            );
        }
        assert_eq!((settings.zone(), settings.command("a", None)), ("", "export TZ=UTC; a".into()));
    }
}
