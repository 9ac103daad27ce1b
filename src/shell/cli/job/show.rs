//! `schedule job show`.

use super::list::colour;
use super::runs::{self, Run};
use super::{OneArgs, draining, named};
use crate::core::columns::Column;
use crate::core::list::Listed;
use crate::core::plain;
use crate::core::state_label::StateLabel;
use crate::shell::cli::control::api::{Daemon, Failed, parsed};
use crate::shell::cli::paint::{self, painted};
use serde_json::Value;
use std::process::ExitCode;

pub(super) fn show(args: &OneArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job show", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let body = daemon.get(&format!("/api/v1/jobs/{job}"))?;
    if args.json {
        return paint::print(&body);
    }
    let statistics = statistics(&daemon, &job.to_string());
    paint::print(told(&parsed(&body)?, &statistics, paint::in_colour())?.as_bytes())
}

/// What its runs came to: a line for each stretch of time. What is known of the job is shown
/// without that where the database is away.
fn statistics(daemon: &Daemon, job: &str) -> String {
    let found = daemon.get(&format!("/api/v1/jobs/{job}/statistics"));
    let body: Value = match found.and_then(|body| parsed(&body)) {
        Ok(body) => body,
        // A daemon of an earlier version does not know of it.
        Err(failed) if failed.status == Some(404) => return String::new(),
        Err(failed) => return failed.why,
    };
    let windows = body["windows"].as_array().into_iter().flatten();
    let windows = windows.filter(|it| it["runs"] != 0 || it["skipped"] != 0).map(window);
    let why = body["why"].as_str().map(str::to_owned);
    windows.chain(why).collect::<Vec<_>>().join("\n")
}

fn window(window: &Value) -> String {
    let count = |name: &str| window[name].as_u64().unwrap_or(0);
    let mut line = format!("{}: {}", text(&window["window"]), plain::counted(count("runs"), "run"));
    for name in ["failed", "stopped", "skipped"] {
        if count(name) > 0 {
            line += &format!(", {} {name}", count(name));
        }
    }
    for (name, what) in [("duration_ms", "took"), ("cpu_ms", "cpu"), ("max_rss_bytes", "memory")] {
        let told = if name == "max_rss_bytes" { plain::size } else { plain::took };
        if let [Some(p50), Some(p95), Some(max)] =
            ["p50", "p95", "max"].map(|part| window[name][part].as_u64().map(told))
        {
            line += &format!("; {what} {p50}, 95 % {p95}, most {max}");
        }
    }
    line
}

/// What is known of a job: a line for each of its columns and figures, then its live runs.
fn told(job: &Value, statistics: &str, in_colour: bool) -> Result<String, Failed> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut say = |name: &str, value: String| {
        let value = plain::without_controls(value);
        // Further lines of it stand below the first one.
        for (number, line) in value.lines().enumerate() {
            let name = if number == 0 { name } else { "" };
            rows.push(vec![name.to_owned(), plain::line(line)]);
        }
    };
    let state = state_of(job);
    let (waiting, alive) = (&job["waiting"], &*text(&job["running"]));
    for column in Column::ALL {
        let in_force = column_of(job, alive, *column);
        let waits = match waiting {
            Value::Object(_) => column_of(waiting, alive, *column),
            _ => Vec::new(),
        };
        let waits: Vec<_> = waits.into_iter().filter(|it| !in_force.contains(it)).collect();
        in_force.into_iter().for_each(|(name, value)| say(name, value));
        for (name, value) in waits {
            say(&format!("new {name}"), if value.is_empty() { "(empty)".into() } else { value });
        }
        if *column == Column::Name {
            say("state", state.clone());
        }
    }
    say("new error", text(&waiting["error"]));
    say("skipped", skipped(job));
    say("last_run", last_run(&job["last_run"], &job["last_run_time"])?);
    say("past", statistics.to_owned());
    let dues = job["next_dues"].as_array();
    let dues: Vec<String> = dues.into_iter().flatten().map(text).collect();
    // Whatever waits, its slots count.
    let due = if waiting.is_object() { "new next_due" } else { "next_due" };
    say(due, dues.join("\n"));
    let live: Vec<Run> = parsed(job["live"].to_string().as_bytes())?;
    let mut lines = String::new();
    for line in plain::table(&rows).lines() {
        lines += &match line.strip_prefix("state ") {
            Some(rest) if in_colour => format!("state {}", coloured(rest)),
            Some(_) | None => line.to_owned(),
        };
        lines.push('\n');
    }
    if !live.is_empty() {
        lines += &format!("\n{}", runs::table(&live, in_colour));
    }
    Ok(lines)
}

/// What is said of a column: by which name, and what. `alive` runs are there.
fn column_of(job: &Value, alive: &str, column: Column) -> Vec<(&'static str, String)> {
    let name = column.name();
    let value = || text(&job[name]);
    match column {
        Column::ServerId => Vec::new(),
        Column::Cron => vec![(name, schedule(&value(), &job["in_words"]))],
        Column::MaxConcurrence => vec![("runs", format!("{alive} of {} at most", value()))],
        Column::TagId => vec![("tag", text(&job["tag"]))],
        Column::Command if job["raw_command"] != job[name] => {
            vec![(name, value()), ("raw_command", text(&job["raw_command"]))]
        }
        Column::PausedUntil => vec![("paused", pauses(job))],
        Column::Id
        | Column::Name
        | Column::Command
        | Column::Output
        | Column::Stderr
        | Column::Timezone
        | Column::Description
        | Column::Owner
        | Column::Link => vec![(name, value())],
    }
}

/// A text as it is, another value as JSON; none is nothing.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What pauses it, and until when; a line each.
fn pauses(job: &Value) -> String {
    let told = |pause: &Value| {
        let by = match &*text(&pause["of"]) {
            "job" => String::new(),
            "tag" => format!(", by tag {}", text(&pause["tag_id"])),
            _ => ", as all jobs are".to_owned(),
        };
        let until = match &*text(&pause["until"]) {
            "" => "until somebody resumes it".to_owned(),
            until => format!("until {until}"),
        };
        let note = Some(text(&pause["note"])).filter(|note| !note.is_empty());
        until + &by + &note.map_or(String::new(), |note| format!(": {note}"))
    };
    let told: Vec<String> = job["pauses"].as_array().into_iter().flatten().map(told).collect();
    told.join("\n")
}

/// The state, and what keeps the job from being started.
fn state_of(job: &Value) -> String {
    let state = match &*text(&job["state"]) {
        "" => StateLabel::Never.label().to_owned(),
        state => state.to_owned(),
    };
    if let Some(what) = draining::told(job) {
        return format!("{state}: {what}");
    }
    match (&job["error"], &job["blocked"]) {
        (Value::String(why), _) => format!("{state}: {why}"),
        (_, Value::String(what)) => format!("{state}: {what}"),
        _ => state,
    }
}

fn coloured(rest: &str) -> String {
    let state = rest.trim_start();
    let end = state.find(':').unwrap_or(state.len());
    let painted = StateLabel::named(&state[..end]).map(|label| painted(state, colour(label)));
    let blanks = &rest[..rest.len() - state.len()];
    format!("{blanks}{}", painted.unwrap_or_else(|| state.to_owned()))
}

/// The schedule, and what it means to the daemon.
fn schedule(cron: &str, in_words: &Value) -> String {
    in_words.as_str().map_or_else(|| cron.to_owned(), |words| format!("{cron}  ({words})"))
}

/// How many slots were skipped, and why.
fn skipped(job: &Value) -> String {
    let counts = job["skipped"].as_object();
    let counted = counts.into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    let counted: Vec<String> = counted.map(|(why, count)| format!("{count} {why}")).collect();
    counted.join(", ")
}

/// What is known of the run that ended last: its row may say no more than when it was.
fn last_run(run: &Value, time: &Value) -> Result<String, Failed> {
    let run: Option<Run> = parsed(run.to_string().as_bytes())?;
    let told = |run: Run| format!("{} {}, {}", run.run_id, run.started_at, run.told());
    Ok(run.map_or(text(time), told))
}
