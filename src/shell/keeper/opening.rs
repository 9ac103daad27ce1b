//! Runs whose files are on file systems that may not answer: opened by processes that may wait.
//!
//! Only that run waits. It is told when that takes long, and fails when its slot is not fresh any
//! more. A run that waits was not started: when it is given up here, the next daemon may start it.

use crate::core::ids::RunId;
use crate::core::launch::{LaunchError, LaunchPlan};
use crate::shell::files::helper::{Answer, Question, What};
use crate::shell::files::lanes::{Done, Lanes, Silence};
use crate::shell::output::Given;
use crate::shell::sys::Pid;
use mio::{Registry, Token};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Who waits for so long, in milliseconds, is told to wait.
const TELL_MS: u64 = 1_000;

/// See the module's text.
pub struct Opening {
    lanes: Lanes<(RunId, String)>,
    runs: BTreeMap<RunId, Waiting>,
}

struct Waiting {
    plan: Box<LaunchPlan>,
    asked_ms: u64,
    not_after_ms: u64,
    is_told: bool,
    /// Files that were not opened yet, the one that is waited for first.
    left: Vec<String>,
    given: Vec<(String, Given)>,
    error: Option<LaunchError>,
}

/// A run whose files are there.
pub struct Opened {
    /// Which.
    pub run: RunId,
    /// Of what it is made.
    pub plan: Box<LaunchPlan>,
    /// See [`Order::Launch`](crate::core::keeping::Order::Launch).
    pub not_after_ms: u64,
    /// The files; or why there are none.
    pub files: Result<Vec<(String, Given)>, LaunchError>,
}

impl Opening {
    /// None yet; sockets have this token.
    ///
    /// # Errors
    /// No descriptors.
    pub fn new(poll: &Registry, token: Token) -> io::Result<Opening> {
        // One that gave no answer is asked again for each run: it may have come back.
        Ok(Opening { lanes: Lanes::new(poll, token, 0)?, runs: BTreeMap::new() })
    }

    /// Has the files of a run opened; those, on the file systems that are mounted there.
    pub fn begin(
        &mut self,
        now_ms: u64,
        run: RunId,
        plan: Box<LaunchPlan>,
        not_after_ms: u64,
        files: Vec<(String, PathBuf)>,
    ) {
        for (path, mount) in &files {
            let question = Question { path: path.into(), what: What::Append, not_after_ms };
            self.lanes.ask(now_ms, mount, (run, path.clone()), question);
        }
        let left = files.into_iter().map(|(path, _)| path).collect();
        let (asked_ms, given) = (now_ms, Vec::new());
        let waiting =
            Waiting { plan, asked_ms, not_after_ms, is_told: false, left, given, error: None };
        self.runs.insert(run, waiting);
    }

    /// Goes on. Returns the runs whose files are there, and those that are to be told to wait.
    pub fn turn(&mut self, now_ms: u64) -> (Vec<Opened>, Vec<(RunId, String)>) {
        let mut opened = Vec::new();
        for Done { tag: (run, path), result } in self.lanes.turn(now_ms) {
            let Some(waiting) = self.runs.get_mut(&run) else { continue };
            waiting.left.retain(|left| *left != path);
            match result {
                Ok((Answer::Opened(Ok(())), Some(file))) => waiting.given.push((path, Ok(file))),
                Ok((Answer::Opened(Err(why)), _)) => waiting.given.push((path, Err(why))),
                Ok(_) => waiting.error = Some(failed(&path, "a strange answer", true)),
                Err(Silence::Trouble(why)) => waiting.error = Some(failed(&path, &why, true)),
                Err(Silence::NoAnswer(mount)) => {
                    let seconds = now_ms.saturating_sub(waiting.asked_ms) / 1_000;
                    let mount = mount.display();
                    let why = format!(
                        "no answer for {seconds} s from the file system at {mount}: see to its \
                         mount"
                    );
                    waiting.error = Some(failed(&path, &why, false));
                }
            }
            if waiting.left.is_empty()
                && let Some(Waiting { plan, not_after_ms, given, error, .. }) =
                    self.runs.remove(&run)
            {
                let files = error.map_or(Ok(given), Err);
                opened.push(Opened { run, plan, not_after_ms, files });
            }
        }
        let mut told = Vec::new();
        for (run, waiting) in &mut self.runs {
            if !waiting.is_told && now_ms >= waiting.asked_ms + TELL_MS {
                waiting.is_told = true;
                let path = waiting.left.first().map_or("", String::as_str);
                told.push((*run, format!("opening {path}")));
            }
        }
        (opened, told)
    }

    /// When [`Opening::turn`] has something to do by itself, by the monotonic clock.
    pub fn next_ms(&self) -> Option<u64> {
        let untold = self.runs.values().filter(|waiting| !waiting.is_told);
        let tell = untold.map(|waiting| waiting.asked_ms + TELL_MS).min();
        tell.into_iter().chain(self.lanes.next_ms()).min()
    }

    /// Gives up on a run. Returns whether it was waited for.
    pub fn forget(&mut self, run: RunId) -> bool {
        self.lanes.forget(|(of, _)| *of == run);
        self.runs.remove(&run).is_some()
    }

    /// Gives up on all: nobody wants them any more.
    pub fn forget_all(&mut self) {
        self.lanes.forget(|_| true);
        self.runs.clear();
    }

    /// A process of the keeper's was reaped.
    pub fn reaped(&mut self, pid: Pid) {
        self.lanes.reaped(pid);
    }
}

fn failed(path: &str, why: &str, retryable: bool) -> LaunchError {
    LaunchError { errno: 0, retryable, text: format!("opening {path}: {why}") }
}
