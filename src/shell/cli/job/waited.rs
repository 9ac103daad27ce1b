//! A run whose end somebody waits for.

use super::patient::Patient;
use super::runs::Run;
use crate::core::ids::JobId;
use crate::shell::cli::control::api::Failed;
use serde_json::Value;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The first look comes after so long; each pause is half as long again as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Such a run.
pub(super) struct Waited {
    job: JobId,
    run: String,
    pause: Duration,
    next: Instant,
}

impl Waited {
    pub fn new(job: JobId, run: String) -> Waited {
        Waited { job, run, pause: FIRST_PAUSE, next: Instant::now() + FIRST_PAUSE }
    }

    /// How long nothing need be done.
    pub fn idle(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Looks for it, when it is time. It is told once it has ended.
    pub fn look(&mut self, daemon: &mut Patient<'_>) -> Result<Option<Value>, Failed> {
        if !self.idle().is_zero() {
            return Ok(None);
        }
        let path = format!("/api/v1/jobs/{}/runs", self.job);
        let asked = daemon.ask(|daemon| daemon.json(&path));
        self.pause = (self.pause * 3 / 2).min(LAST_PAUSE);
        self.next = Instant::now() + self.pause;
        let Some(view) = asked? else { return Ok(None) };
        let mut view: Value = view;
        let runs = view["runs"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let Some(run) = runs.into_iter().find(|run| run["run_id"] == *self.run) else {
            let why = format!("run {} has ended: how is in the records of the database", self.run);
            return Err(Failed::new(why));
        };
        Ok(Some(run).filter(|run| !run["ended_at"].is_null()))
    }
}

/// The exit status of a command that ends as a run did.
pub(super) fn status_of(run: &Run) -> Result<ExitCode, Failed> {
    match (run.exit_code, run.signal) {
        (Some(code), _) => Ok(code.into()),
        (None, Some(signal)) => Ok(128_u8.saturating_add(signal).into()),
        (None, None) => Err(Failed::new(format!("run {}: {}", run.run_id, run.outcome))),
    }
}
