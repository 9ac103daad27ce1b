//! What is to be changed in a group: shown, agreed to, and carried out as it was shown.

use super::consent::agree;
use super::control::api::{Daemon, Failed, Question, parsed};
use super::paint::{self, FAINT, GREEN, RED, YELLOW, painted};
use crate::core::plain;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

/// Bytes of a plan at the most. It tells all columns of each new job, and of another what each
/// changed column was and will be: some times what the file says.
const MAX_PLAN_BYTES: u64 = 256 << 20;

/// Warnings of a column that are told one by one.
const MAX_WARNINGS: usize = 20;

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
    warnings(&plan).iter().for_each(|line| eprintln!("schedule {verb}: {line}"));
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
        Ok(_) => paint::print(DONE),
        Err(Failed { status: Some(202), why, .. }) => {
            eprintln!("schedule {verb}: {}", plain::line(&why));
            Ok(ExitCode::SUCCESS)
        }
        Err(failed) => Err(failed),
    }
}

/// Lines about what is probably a mistake: the first of many of each column, and how many more.
fn warnings(plan: &Plan) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for Warning { job, column, why } in &plan.warnings {
        let count = counts.entry(column).or_default();
        *count += 1;
        if *count <= MAX_WARNINGS {
            lines.push(plain::line(&format!("warning: job {job}: {column}: {why}")));
        }
    }
    for (column, count) in counts.into_iter().filter(|(_, count)| *count > MAX_WARNINGS) {
        let more = count - MAX_WARNINGS;
        lines.push(format!("warning: {column}: and {more} more jobs"));
    }
    lines
}

fn ask(query: &str, file: &str) -> Question {
    let question = Question::post(&format!("/api/v1/apply{query}")).json(file);
    question.answered_within(MAX_PLAN_BYTES)
}

/// What is said of what was done.
const DONE: &[u8] = b"done, and in force; jobs with live runs as soon as these have ended\n";

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
        (count(&["edit", "enable", "disable", "pause", "resume"]), "changed"),
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
        Value::String(text) => plain::without_marks(text).replace(['\n', '\r'], "⏎"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_warnings_are_counted() {
        let warning = |column: &str, number: usize| Warning {
            job: number.to_string(),
            column: column.to_owned(),
            why: "is one too many?".to_owned(),
        };
        let mut warnings_: Vec<Warning> = (1..=3_000).map(|it| warning("command", it)).collect();
        warnings_.push(warning("cron", 7));
        let plan = Plan {
            version: String::new(),
            changes: Vec::new(),
            unchanged: 0,
            left: 0,
            warnings: warnings_,
        };
        let lines = warnings(&plan);
        assert_eq!(lines.len(), MAX_WARNINGS + 2, "{lines:?}");
        assert_eq!(lines[0], "warning: job 1: command: is one too many?");
        assert_eq!(lines[MAX_WARNINGS], "warning: job 7: cron: is one too many?");
        assert_eq!(lines[MAX_WARNINGS + 1], "warning: command: and 2980 more jobs");
    }
}
