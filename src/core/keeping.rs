//! What a daemon and the keeper of its runs say to each other: a line of JSON each.
//!
//! The keeper is the parent of every run. It outlives the daemon for as long as there is something
//! to keep, so the next daemon hears from the keeper what no one else can know: which launches took
//! place, and how the runs ended. It says everything it knows to each daemon that connects, and
//! forgets an end only when it is told that the journal has it.

use crate::core::event::{Signal, Started};
use crate::core::ids::RunId;
use crate::core::launch::{LaunchError, LaunchPlan};
use crate::core::outcome::{Exit, Usage};
use crate::core::refusal::Refusal;
use crate::core::time::Now;
use serde::{Deserialize, Serialize};

/// What the daemon wants of the keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// What jobs find around them; before the first launch of each connection.
    Surroundings {
        /// The environment, `NAME=value` each.
        environment: Vec<Vec<u8>>,
        /// Working directory.
        directory: Vec<u8>,
    },
    /// Whether runs get control groups; before the first launch of each connection.
    ControlGroups(bool),
    /// Start this, unless the monotonic clock has passed `not_after_ms` by now.
    Launch {
        /// The run.
        run: RunId,
        /// Of what it is made.
        plan: Box<LaunchPlan>,
        /// Monotonic ms.
        not_after_ms: u64,
    },
    /// This run is to end: nothing of it may be left. The daemon signals its process group itself
    /// right after this was said.
    Stop(RunId, Signal),
    /// This run does not take the signal: it goes on, as if it had not been told to end.
    GoOn(RunId),
    /// The end of this run is in the journal.
    Forget(RunId),
    /// Say something: is anybody there?
    Answer,
}

/// What the keeper tells the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Notice {
    /// The first line of each connection.
    Keeper {
        /// Names this process; no other ever has the same name.
        id: String,
        /// The keepers before it that ended in order, one after the other: what they started and
        /// did not tell is told by this one. The last few, oldest first.
        after: Vec<String>,
        /// Version of its program.
        version: String,
        /// Whether it knows [`Order::Answer`].
        #[serde(default)]
        answers: bool,
        /// Whether it knows the instance numbers in run ids.
        #[serde(default)]
        instances: bool,
    },
    /// A run has a process.
    Started(RunId, Started),
    /// A run was told to end at this reading of the monotonic clock, in ms; after its start, and
    /// only to a daemon that has just connected.
    Stopping(RunId, u64),
    /// There is no room for what a run writes, so nobody will read it; before its start.
    NoOutput(RunId, String),
    /// A file of this run is on a file system that has not answered yet: what is done meanwhile.
    /// It is started, or fails, later.
    Waits(RunId, String),
    /// Processes of a run that was told to end do not take the signal.
    Refused(RunId, Box<Refusal>),
    /// A run could not be started.
    Failed(RunId, LaunchError),
    /// A run's process is gone, at that time.
    Ended(KeptEnd),
    /// All that was there when the daemon connected has been told.
    Complete,
    /// What [`Order::Answer`] asks for.
    Here,
    /// It can't be set up, and why; the only line of a keeper that has just been started.
    CannotServe(String),
}

/// The end of a run as its keeper has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptEnd {
    /// The run.
    pub run: RunId,
    /// Its process.
    pub started: Started,
    /// When it ended.
    pub at: Now,
    /// How.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
    /// Of a run that was told to end: processes of it that live on, with their names.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub left: String,
    /// Of a run that was no success: what it wrote last, as [`crate::core::last_line`] has it.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub last_line: Box<str>,
}

/// What a keeper leaves for the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legacy {
    /// Its id, and before it those of the keepers whose legacy it had itself.
    pub keepers: Vec<String>,
    /// Ends that are not in the journal as far as a daemon has said.
    pub ends: Vec<KeptEnd>,
}

/// Appends `message` to `out` as a line.
pub fn encode<T: Serialize>(out: &mut Vec<u8>, message: &T) {
    let start = out.len();
    match serde_json::to_writer(&mut *out, message) {
        Ok(()) => out.push(b'\n'),
        // Can't happen: the types hold nothing that JSON can't, and a Vec takes every write.
        Err(_) => out.truncate(start),
    }
}

/// Takes the whole lines from the front of `input` and reads each; one that makes no sense is
/// given to `bad`.
pub fn decode<T: for<'a> Deserialize<'a>>(input: &mut Vec<u8>, bad: impl Fn(&[u8])) -> Vec<T> {
    let Some(end) = input.iter().rposition(|&byte| byte == b'\n') else { return Vec::new() };
    let read = |line: &[u8]| serde_json::from_slice(line).inspect_err(|_| bad(line)).ok();
    let messages = input[..end].split(|&byte| byte == b'\n').filter_map(read).collect();
    input.drain(..=end);
    messages
}
