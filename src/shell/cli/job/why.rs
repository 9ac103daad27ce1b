//! `schedule job why`: why a job ran, or did not.

use super::named;
use crate::core::http::percent_encode;
use crate::core::plain;
use crate::shell::cli::control::api::{ApiArgs, Daemon, Failed, parsed};
use crate::shell::cli::number::instant;
use crate::shell::cli::paint;
use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use std::process::ExitCode;

/// Arguments of `schedule job why`.
#[derive(Clone, Debug, clap::Args)]
pub struct WhyArgs {
    /// The job: its id or its exact name
    #[arg(value_name = "JOB", value_parser = NonEmptyStringValueParser::new())]
    pub job: String,
    /// The instant: `2026-11-22 03:00` in the job's zone, or RFC 3339
    /// [default: its last slot or start]
    #[arg(long, value_name = "T", value_parser = instant)]
    pub at: Option<String>,
    /// Print the daemon's answer as it is: GET /api/v1/jobs/ID/why
    #[arg(long)]
    pub json: bool,
    /// Which daemon
    #[command(flatten)]
    pub daemon: ApiArgs,
}

#[derive(Debug, Deserialize)]
struct Told {
    at: String,
    answer: String,
}

pub(super) fn why(args: &WhyArgs) -> Result<ExitCode, Failed> {
    let daemon = Daemon::find("job why", &args.daemon)?;
    let job = named::job(&daemon, &args.job)?;
    let at = args.at.as_deref().unwrap_or_default();
    let at = percent_encode(at);
    let body = daemon.get(&format!("/api/v1/jobs/{job}/why?at={at}"))?;
    if args.json {
        return paint::print(&body);
    }
    let Told { at, answer } = parsed(&body)?;
    paint::print(plain::line(&format!("{at}: {answer}")).as_bytes())?;
    paint::print(b"\n")
}
