//! `schedule pause` and `schedule resume`: slots of a job, of a tag, or of all jobs are skipped for
//! a while.

use super::control::api::{self, ApiArgs, Daemon, Failed, Question, parsed};
use super::job::named;
use super::paint;
use crate::core::plain;
use crate::core::time::instant;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value};
use std::process::ExitCode;

const PAUSED: &str = "\
Examples:
  schedule pause backup --until 2026-12-01T07:00:00+08:00
  schedule pause --tag reports --note 'the source is rebuilt'
  schedule pause --all --until 2026-12-01T07:00:00+08:00 --note 'new disks'
  schedule pause                                # what is paused

Slots meanwhile are skipped with the reason `paused`, and none is started later. Runs that are alive
go on, and `schedule job start` works as before. A pause of one job stands in its row; one of a tag,
or of all, works while the database is away.

Exit status: 0 done, 1 refused, 2 wrong arguments, 3 no daemon answers, 4 not permitted.";

const RESUMED: &str = "\
Examples:
  schedule resume backup
  schedule resume --tag reports
  schedule resume --all

Each ends the pause that was made in the same way: what is paused by its row, or by its tag, stays
so after `schedule resume --all`.

Exit status: 0 done, 1 refused, 2 wrong arguments, 3 no daemon answers, 4 not permitted.";

/// Whose slots.
#[derive(Clone, Debug, clap::Args)]
#[group(multiple = false)]
pub struct Whose {
    /// The job: its id or its exact name
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: Option<String>,
    /// The jobs with this tag: its id or its name
    #[arg(long, value_name = "TAG", value_parser = NonEmptyStringValueParser::new())]
    pub tag: Option<String>,
    /// All jobs: maintenance. Each page says so
    #[arg(long)]
    pub all: bool,
}

/// Skip the slots of a job, of a tag, or of all jobs for a while; without one, show what is paused
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = PAUSED)]
pub struct PauseArgs {
    /// Whose
    #[command(flatten)]
    pub whose: Whose,
    /// Until this instant, whose slots are launched again [default: until somebody resumes]
    #[arg(long, value_name = "RFC3339", value_parser = checked)]
    pub until: Option<String>,
    /// Why, for those who look: 200 characters at most
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Print the daemon's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// End a pause
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = RESUMED)]
pub struct ResumeArgs {
    /// Whose
    #[command(flatten)]
    pub whose: Whose,
    /// Why, for the record of who did what
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Print the daemon's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

/// An instant as it was written.
fn checked(text: &str) -> Result<String, String> {
    instant(text).map(|_| text.trim().to_owned())
}

/// Runs `schedule pause`.
pub fn pause(args: &PauseArgs) -> ExitCode {
    let Whose { job, tag, all } = &args.whose;
    if job.is_none() && tag.is_none() && !all {
        if args.until.is_some() || args.note.is_some() {
            let why = "say what is to be paused: JOB, --tag TAG, or --all";
            return api::ended("pause", Err(Failed::with(super::BAD_CONFIGURATION, why)));
        }
        return api::ended("pause", show(args));
    }
    let given = [("until", &args.until), ("note", &args.note)];
    api::ended("pause", order("pause", (&args.whose, &given), &args.daemon, args.json))
}

/// Runs `schedule resume`.
pub fn resume(args: &ResumeArgs) -> ExitCode {
    let given = [("note", &args.note)];
    api::ended("resume", order("resume", (&args.whose, &given), &args.daemon, args.json))
}

/// Has it done, and tells what is paused then.
fn order(
    verb: &str,
    (whose, given): (&Whose, &[(&str, &Option<String>)]),
    daemon: &ApiArgs,
    json: bool,
) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find(verb, daemon)?;
    let mut body = Map::new();
    if let Some(job) = &whose.job {
        body.insert("job".into(), named::job(&daemon, job)?.0.into());
    } else if let Some(tag) = &whose.tag {
        body.insert("tag".into(), tag.as_str().into());
    } else if whose.all {
        body.insert("all".into(), true.into());
    } else {
        let why = "say what is to be resumed: JOB, --tag TAG, or --all";
        return Err(Failed::with(super::BAD_CONFIGURATION, why));
    }
    for (name, text) in given {
        body.extend(text.as_ref().map(|text| ((*name).to_owned(), text.as_str().into())));
    }
    let path = format!("/api/v1/{verb}");
    let reply = daemon.ok(Question::post(&path).json(&Value::Object(body).to_string()))?;
    if json {
        return paint::print(&reply.body);
    }
    let answer: Value = parsed(&reply.body)?;
    let text = match whose.job {
        Some(_) => of_job(&answer),
        None => told(&answer["pauses"]),
    };
    let idle = if answer["changed"] == false { "nothing of it was paused\n" } else { "" };
    paint::print((idle.to_owned() + &text).as_bytes())
}

/// What is paused.
fn show(args: &PauseArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("pause", &args.daemon)?;
    let status: Value = daemon.json("/api/v1/status")?;
    if args.json {
        return paint::print(format!("{}\n", status["pauses"]).as_bytes());
    }
    paint::print(told(&status["pauses"]).as_bytes())
}

fn of_job(job: &Value) -> String {
    let name = plain::line(job["name"].as_str().unwrap_or_default());
    let of = format!("job {} ({name})", job["id"]);
    let pauses = job["pauses"].as_array().cloned().unwrap_or_default();
    if pauses.is_empty() {
        return format!("{of} is not paused\n");
    }
    pauses.iter().map(|pause| line(&of, pause)).collect()
}

/// A line for each pause.
fn told(pauses: &Value) -> String {
    let pauses = pauses.as_array().cloned().unwrap_or_default();
    if pauses.is_empty() {
        return "no tag is paused, and not all jobs are\n".to_owned();
    }
    let of = |pause: &Value| match pause["of"].as_str() {
        Some("tag") => {
            let name = pause["tag"].as_str().map(|name| format!(" ({})", plain::line(name)));
            format!("tag {}{}", pause["tag_id"], name.unwrap_or_default())
        }
        _ => "all jobs".to_owned(),
    };
    pauses.iter().map(|pause| line(&of(pause), pause)).collect()
}

fn line(of: &str, pause: &Value) -> String {
    let text = |name: &str| plain::line(pause[name].as_str().unwrap_or_default());
    let by = match pause["of"].as_str() {
        Some("tag") if of.starts_with("job ") => ", by its tag",
        Some("all") if of.starts_with("job ") => ", as all jobs are",
        _ => "",
    };
    let until = match text("until") {
        until if until.is_empty() => "until somebody resumes it".to_owned(),
        until => format!("until {until}"),
    };
    let said = [text("who"), text("note")];
    let said: Vec<String> = said.into_iter().filter(|text| !text.is_empty()).collect();
    let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join(": ")) };
    format!("{of}: paused {until}{by}{said}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_pause_has_a_line() {
        let of = |pauses: Value| told(&pauses);
        assert_eq!(of(json!([])), "no tag is paused, and not all jobs are\n");
        let pauses = json!([
            {"of": "all", "until": null, "note": "", "who": ""},
            {"of": "tag", "tag_id": 3, "tag": "a\nb", "until": "2026-12-01T07:00:00Z",
             "note": "new disks", "who": "ann"},
        ]);
        assert_eq!(
            of(pauses),
            "all jobs: paused until somebody resumes it\n\
             tag 3 (a?b): paused until 2026-12-01T07:00:00Z (ann: new disks)\n"
        );
        let job = json!({"id": 7, "name": "x", "pauses": [
            {"of": "job", "until": "2026-12-01T07:00:00Z"}, {"of": "all", "until": null}]});
        assert_eq!(
            of_job(&job),
            "job 7 (x): paused until 2026-12-01T07:00:00Z\n\
             job 7 (x): paused until somebody resumes it, as all jobs are\n"
        );
        let job = json!({"id": 7, "name": "x", "pauses": []});
        assert_eq!(of_job(&job), "job 7 (x) is not paused\n");
    }
}
