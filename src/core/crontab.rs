//! A crontab as jobs: the text in, jobs and what is to be said of its lines out.
//!
//! Read as crontab(5) of Debian's cron and of cronie (Red Hat) has it: user tables, and the form of
//! `/etc/crontab` and `/etc/cron.d` with a user in each line. What a job here can't say is told.

mod line;
mod naming;
mod settings;
mod words;

use crate::core::cron::{Cron, Dialect};
use crate::core::plain;
use line::Line;
use naming::Names;
use settings::Settings;
use std::fmt;

pub(in crate::core) use line::{HEADER, SAID, unsaid};
pub(in crate::core) use words::{is_simple, quoted};

/// Whether lines name a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `crontab -l`: the table of one user.
    User,
    /// `/etc/crontab`, `/etc/cron.d/*`: a user stands before each command.
    System,
}

/// A job that a line makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrontabJob {
    /// The line, from 1 on.
    pub line: usize,
    /// Made from the command; unlike that of any other job of this text.
    pub name: String,
    /// What `/bin/sh -c` is to run.
    pub command: String,
    /// When, as the line has it.
    pub cron: String,
    /// The zone of `CRON_TZ`; empty = that of the daemon.
    pub timezone: String,
    /// What comments above the line say.
    pub description: String,
    /// Who runs it there; empty in a user's table.
    pub user: String,
}

/// How grave a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The job is made, and is not quite what it was.
    Told,
    /// The line makes no job.
    Refused,
}

/// What is to be said of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The line, from 1 on.
    pub line: usize,
    /// How grave it is.
    pub weight: Weight,
    /// What is said, in one line.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Told => "",
            Weight::Refused => "refused: ",
        };
        write!(f, "line {}: {weight}{}", self.line, plain::line(&self.text))
    }
}

/// What a crontab says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crontab {
    /// The jobs, in the order of their lines.
    pub jobs: Vec<CrontabJob>,
    /// What is to be said, in the order of the lines.
    pub remarks: Vec<Remark>,
}

impl Crontab {
    /// What is said of lines that should make a job, and make none.
    pub fn refused(&self) -> impl Iterator<Item = &Remark> {
        self.remarks.iter().filter(|remark| remark.weight == Weight::Refused)
    }

    /// Whether there is such a line.
    pub fn has_refused(&self) -> bool {
        self.refused().next().is_some()
    }
}

/// Reads a crontab.
pub fn read(text: &str, form: Form) -> Crontab {
    let mut reader = Reader {
        form,
        is_export: false,
        settings: Settings::default(),
        comments: Vec::new(),
        names: Names::default(),
        done: Crontab::default(),
    };
    if let Some(at) = text.find("\r\n") {
        let line = 1 + text[..at].matches('\n').count();
        reader.tell(line, "lines end as on Windows: the CR at their ends is left out".to_owned());
    }
    for (number, line) in (1..).zip(text.split('\n')) {
        reader.take(number, line.strip_suffix('\r').unwrap_or(line));
    }
    reader.done.remarks.sort_by_key(|remark| remark.line);
    reader.done
}

struct Reader<'a> {
    form: Form,
    /// Its header was there.
    is_export: bool,
    settings: Settings,
    /// Those just above.
    comments: Vec<&'a str>,
    names: Names,
    done: Crontab,
}

impl<'a> Reader<'a> {
    fn tell(&mut self, line: usize, text: String) {
        self.done.remarks.push(Remark { line, weight: Weight::Told, text });
    }

    fn take(&mut self, number: usize, text: &'a str) {
        if text.contains('\0') {
            return self.refuse(number, "has a NUL byte in it".to_owned());
        }
        match Line::of(text) {
            Line::Blank => self.comments.clear(),
            Line::Comment(comment) => self.comment(number, comment),
            Line::Setting(name, value) => {
                self.comments.clear();
                let told = self.settings.set(&name, value);
                told.into_iter().for_each(|(weight, text)| {
                    self.done.remarks.push(Remark { line: number, weight, text });
                });
            }
            Line::Entry(entry) => self.entry(number, line::schedule(entry)),
        }
    }

    /// What an export alone writes has a job in it; all else describes what comes below.
    fn comment(&mut self, number: usize, comment: &'a str) {
        self.is_export |= comment == HEADER;
        let said = line::said(comment).filter(|_| self.is_export);
        let Some((cron, rest)) = said else { return self.comments.push(comment) };
        let comments = std::mem::take(&mut self.comments);
        match self.job((number, Form::User), (cron.to_owned(), rest), &comments) {
            Ok(job) => self.done.jobs.push(job),
            Err(why) => {
                self.tell(number, format!("it is taken for a comment: {why}"));
                self.comments = comments;
                self.comments.push(comment);
            }
        }
    }

    fn entry(&mut self, number: usize, said: Result<(String, &str), String>) {
        let comments = std::mem::take(&mut self.comments);
        match said.and_then(|said| self.job((number, self.form), said, &comments)) {
            Ok(job) => self.done.jobs.push(job),
            Err(why) => self.refuse(number, why),
        }
    }

    fn refuse(&mut self, line: usize, text: String) {
        self.done.remarks.push(Remark { line, weight: Weight::Refused, text });
    }

    fn job(
        &mut self,
        (line, form): (usize, Form),
        (cron, rest): (String, &str),
        comments: &[&str],
    ) -> Result<CrontabJob, String> {
        Cron::parse(&cron, Dialect::Crontab).map_err(|why| why.to_string())?;
        let (user, written) = match form {
            Form::User => ("", rest),
            Form::System => line::word(rest),
        };
        if written.is_empty() {
            return Err(self.no_command(rest));
        }
        if form == Form::User && rest.split_whitespace().next() == Some("root") {
            let why = "the command begins with `root`: is this a system table? say --system then";
            self.tell(line, why.to_owned());
        }
        if !user.is_empty() {
            let user = plain::shown(user);
            self.tell(line, format!("user `{user}` is left out: jobs run as the daemon's user"));
        }
        let (command, input) = line::input(written);
        if command.trim().is_empty() {
            return Err(self.no_command(rest));
        }
        let name = self.names.name(&command);
        let command = self.settings.command(&command, input.as_deref());
        let timezone = self.settings.zone().to_owned();
        let description = naming::description(comments);
        let user = user.to_owned();
        Ok(CrontabJob { line, name, command, cron, timezone, description, user })
    }

    fn no_command(&self, rest: &str) -> String {
        match (self.form, rest.is_empty()) {
            (Form::System, false) => {
                "there is no command after the user: is this a user's table? leave --system out"
            }
            (Form::System, true) => "there is no user and no command",
            (Form::User, _) => "there is no command",
        }
        .to_owned()
    }
}
