//! What is to be changed in a group: shown, agreed to, and carried out as it was shown.

use super::control::api::{Daemon, Failed, Question, parsed};
use super::paint::{self, FAINT, GREEN, RED, YELLOW, painted};
use crate::core::plain;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{self, BufRead, IsTerminal, Write as _};
use std::process::ExitCode;

/// Bytes of a plan at the most. It tells all columns of each new job, and of another what each
/// changed column was and will be: some times what the file says.
const MAX_PLAN_BYTES: u64 = 256 << 20;

/// Whether what was shown is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It is only shown.
    Never,
    /// It is done.
    Given,
    /// Somebody is asked where something is deleted.
    WhereLost,
    /// Somebody is asked.
    Asked,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// By which command.
    pub verb: &'a str,
    /// An export.
    pub file: &'a str,
    /// More parameters, each with its `&`.
    pub query: &'a str,
    /// The daemon's answer is to be printed as it is.
    pub json: bool,
}

/// The answer of a daemon, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Plan {
    version: String,
    changes: Vec<Change>,
    unchanged: u64,
    left: u64,
    warnings: Vec<Warning>,
}

#[derive(Debug, Deserialize)]
struct Change {
    kind: String,
    key: String,
    #[serde(default)]
    name: String,
    action: String,
    columns: BTreeMap<String, (Value, Value)>,
}

#[derive(Debug, Deserialize)]
struct Warning {
    job: String,
    column: String,
    why: String,
}

/// Shows what would be changed, asks where that is wanted, and has it changed.
pub fn carry_out(
    daemon: &Daemon,
    wanted: &Wanted<'_>,
    consent: Consent,
) -> Result<ExitCode, Failed> {
    let Wanted { verb, file, query, json } = *wanted;
    let body = daemon.ok(ask(&format!("?dry_run=true{query}"), file))?.body;
    let plan: Plan = parsed(&body)?;
    for Warning { job, column, why } in &plan.warnings {
        let line = format!("warning: job {job}: {column}: {why}");
        eprintln!("schedule {verb}: {}", plain::line(&line));
    }
    if !json {
        paint::print(told(&plan, paint::in_colour()).as_bytes())?;
    }
    let lost = plan.changes.iter().filter(|it| it.action == "delete").count() as u64;
    if consent == Consent::Never || plan.changes.is_empty() {
        return if json { paint::print(&body) } else { Ok(ExitCode::SUCCESS) };
    }
    match consent {
        Consent::WhereLost if lost > 0 => {
            agree(&format!("delete {}, and change the rest?", rows(lost)))?;
        }
        Consent::Asked => agree("do it?")?,
        Consent::Never | Consent::Given | Consent::WhereLost => {}
    }
    let query = query.strip_prefix('&').map(|query| format!("?{query}")).unwrap_or_default();
    // What was shown is what is done.
    let done = daemon.ok(ask(&query, file).of_version(Some(&plan.version)));
    match done {
        Ok(reply) if json => paint::print(&reply.body),
        Ok(_) => paint::print(b"done, and in force\n"),
        Err(Failed { status: Some(202), why, .. }) => {
            eprintln!("schedule {verb}: {}", plain::line(&why));
            Ok(ExitCode::SUCCESS)
        }
        Err(failed) => Err(failed),
    }
}

fn ask(query: &str, file: &str) -> Question {
    let question = Question::post(&format!("/api/v1/apply{query}")).json(file);
    question.answered_within(MAX_PLAN_BYTES)
}

/// Asks who sits there. Where nobody does, nothing is done.
fn agree(what: &str) -> Result<(), Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::new("nothing was changed: say --yes where nobody can be asked"));
    }
    match agreed(what)? {
        true => Ok(()),
        false => Err(Failed::new("nothing was changed")),
    }
}

/// Whether somebody who sits there says yes.
pub fn agreed(what: &str) -> Result<bool, Failed> {
    eprint!("{what} [y/N] ");
    let _ = io::stderr().flush(); // it is shown, or nobody is there
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.map_err(|why| Failed::new(why.to_string()))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn rows(count: u64) -> String {
    plain::counted(count, "row")
}

/// The plan for people.
fn told(plan: &Plan, colour: bool) -> String {
    let mut text = String::new();
    plan.changes.iter().for_each(|it| text.push_str(&change(it, colour)));
    let count = |actions: &[&str]| {
        plan.changes.iter().filter(|it| actions.contains(&&*it.action)).count() as u64
    };
    let parts = [
        (count(&["create"]), "new"),
        (count(&["edit", "enable", "disable"]), "changed"),
        (count(&["delete"]), "deleted"),
        (plan.unchanged, "as they are"),
        (plan.left, "not in the file, left as they are"),
    ];
    let parts: Vec<String> = (parts.into_iter().enumerate())
        .filter(|(place, (count, _))| *place < 3 || *count > 0)
        .map(|(_, (count, what))| format!("{count} {what}"))
        .collect();
    let _ = writeln!(text, "{}", parts.join(", ")); // a String takes every write
    text
}

/// A row with its columns below it.
fn change(change: &Change, colour: bool) -> String {
    let Change { kind, key, name, action, columns } = change;
    let (sign, its_colour) = match &**action {
        "create" => ("+", GREEN),
        "delete" => ("-", RED),
        _ => ("~", YELLOW),
    };
    let in_colour = |text: &str, its: &str| painted(text, if colour { its } else { "" });
    let mut head = format!("{sign} {kind}");
    for part in [key.clone(), if name.is_empty() { String::new() } else { format!("({name})") }] {
        if !part.is_empty() {
            let _ = write!(head, " {}", plain::line(&part)); // a String takes every write
        }
    }
    let mut text = in_colour(&head, its_colour) + "\n";
    if action == "delete" {
        return text;
    }
    let shown: Vec<(&String, String, String)> =
        columns.iter().map(|(column, (old, new))| (column, value(old), value(new))).collect();
    let width = |texts: &mut dyn Iterator<Item = &str>| texts.map(plain::width).max().unwrap_or(0);
    let of_names = width(&mut shown.iter().map(|(column, ..)| column.as_str()));
    let of_old = width(&mut shown.iter().map(|(_, old, _)| old.as_str())).min(MAX_OLD_WIDTH);
    for (column, old, new) in &shown {
        let pad = |text: &str, most: usize| " ".repeat(most.saturating_sub(plain::width(text)));
        let _ = match action == "create" {
            // A String takes every write.
            true => writeln!(text, "    {column}{}  {new}", pad(column, of_names)),
            false => writeln!(
                text,
                "    {column}{}  {}{} → {new}",
                pad(column, of_names),
                in_colour(old, FAINT),
                pad(old, of_old),
            ),
        };
    }
    text
}

/// Columns that an old value is padded to, at the most.
const MAX_OLD_WIDTH: usize = 40;

/// A value in one line.
fn value(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "(empty)".to_owned(),
        Value::String(text) => plain::without_controls(text.clone()).replace(['\n', '\r'], "⏎"),
        other => other.to_string(),
    }
}
