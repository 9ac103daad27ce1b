//! What a change would come to, as people read it: of `--dry-run`, and before an earlier row is
//! brought back.

use crate::core::plain;
use crate::shell::cli::control::api::{Daemon, Failed, Question};
use crate::shell::cli::paint::{self, BOLD, FAINT, GREEN, RED, YELLOW};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Slots of a week that are named.
const NAMED: usize = 3;

/// The daemon's answer to what these columns would come to; with an `id` in them for that job.
pub(super) fn ask(
    daemon: &Daemon,
    columns: &Map<String, Value>,
    version: Option<&str>,
) -> Result<Vec<u8>, Failed> {
    let body = Value::Object(columns.clone()).to_string();
    let question = Question::post("/api/v1/jobs/preview").json(&body);
    Ok(daemon.ok(question.of_version(version))?.body)
}

/// The difference. `name` is what the job is called now.
pub(super) fn difference(preview: &Value, name: &str, colour: bool) -> String {
    let paint = |text: &str, look: &str| paint::painted(text, if colour { look } else { "" });
    let mut text = String::new();
    let name = plain::line(name);
    let (head, look) = match &preview["id"] {
        Value::Null => (format!("+ {name}"), GREEN),
        id => (format!("~ job {id} ({name})"), BOLD),
    };
    let mut line = |it: String| _ = writeln!(text, "{it}"); // a String takes every write
    line(paint(&head, look));
    let differs = list(preview, "diff");
    if differs.is_empty() {
        line(paint("  nothing is otherwise", FAINT));
    }
    for of in differs {
        let column = shown(&of["column"]);
        for (sign, field, look) in [('-', "from", RED), ('+', "to", GREEN)] {
            for value in lines_of(&of[field]) {
                line(paint(&format!("  {sign} {column:<15}  {value}"), look));
            }
        }
    }
    text
}

/// The difference, and what comes of it.
pub(super) fn told(preview: &Value, name: &str, colour: bool) -> String {
    let paint = |text: &str, look: &str| paint::painted(text, if colour { look } else { "" });
    let mut text = difference(preview, name, colour);
    let mut line = |it: String| _ = writeln!(text, "{it}"); // a String takes every write
    for (label, value) in facts(preview) {
        line(format!("    {}  {value}", paint(&format!("{label:<15}"), FAINT)));
    }
    for warning in list(preview, "warnings") {
        let told = format!("{}: {}", shown(&warning["column"]), shown(&warning["why"]));
        line(format!("  {} {told}", paint("!", YELLOW)));
    }
    text
}

/// What comes of it: labels and values.
fn facts(preview: &Value) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let zone = preview["timezone"].as_str().map_or(String::new(), |zone| format!("  ({zone})"));
    for value in lines_of(&preview["command"]) {
        facts.push(("runs", value));
    }
    facts.push(("when", format!("{}{zone}", shown(&preview["in_words"]))));
    let next = list(preview, "next");
    if next.is_empty() {
        let why = match preview["enabled"] == false {
            true => "never while it is disabled",
            false => "never by its schedule",
        };
        facts.push(("next", why.into()));
    }
    let labels = std::iter::once("next").chain(std::iter::repeat(""));
    facts.extend(labels.zip(next.iter().map(shown)));
    let week = &preview["week"];
    for (label, field) in [("slots that go", "gone"), ("slots that come", "come")] {
        let total = week[format!("{field}_total")].as_u64().unwrap_or_default();
        if total > 0 {
            let first: Vec<String> = list(week, field).iter().take(NAMED).map(shown).collect();
            let more = if total > first.len() as u64 { ", …" } else { "" };
            facts.push((label, format!("{total} in a week: {}{more}", first.join(", "))));
        }
    }
    for run in list(preview, "drains") {
        let told = format!("{} since {}", shown(&run["run_id"]), shown(&run["started_at"]));
        facts.push(("drains", format!("run {told} ends by the row of before")));
    }
    facts
}

fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of[field].as_array().map_or(&[], Vec::as_slice)
}

/// A value in a line.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => plain::line(text),
        other => other.to_string(),
    }
}

/// A value in as many lines as it has; none where there is nothing.
fn lines_of(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) if text.is_empty() => vec!["(empty)".into()],
        Value::String(text) => text.lines().map(plain::line).collect(),
        other => vec![other.to_string()],
    }
}
