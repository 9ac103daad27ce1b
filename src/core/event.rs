//! What the shell tells the core, and what the core tells the shell to do.

use crate::core::files::{FileName, FileTrouble, Piece, ReadPlan};
use crate::core::http::{Request, Response};
use crate::core::ids::{AskId, ConnId, RunId};
use crate::core::journal::Segment;
use crate::core::launch::{LaunchError, LaunchPlan};
use crate::core::outcome::{Outcome, Usage};
use crate::core::protocol::Purpose;
use crate::core::refusal::Refusal;
use crate::core::time::Now;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// Time passed, perhaps. Always safe to say.
    Tick,
    /// What became of [`Action::Launch`]; said as soon as it is known.
    Launched(RunId, Result<Started, LaunchError>),
    /// What this run writes is not kept; the reason.
    NoOutput(RunId, String),
    /// The launch of this run waits for a file system; what it does meanwhile.
    Waits(RunId, String),
    /// What became of [`Action::Signal`], said at once: who does not take it. Said once more if
    /// that turns out later.
    Signalled(RunId, Option<Box<Refusal>>),
    /// Said instead where it can't be sent now and is later; why.
    NotSignalled(RunId, String),
    /// A run's process is gone.
    Ended(Box<Ended>),
    /// The keeper with this id launches from now on; what an earlier one still had to launch was
    /// settled before.
    KeeperIs(String),
    /// There is no keeper: nothing can be launched.
    NoKeeper,
    /// A line that the helper of this lane said, without its line end.
    AnswerLine(Purpose, &'a [u8]),
    /// The helper of this lane is gone: `Ok` after end of file and exit status 0, else why.
    HelperEnded(Purpose, Result<(), String>),
    /// The client of a stream, or of a request that is not answered yet, waits no more.
    Gone(ConnId),
    /// A client has taken what it was given of a body, and can take the next piece.
    PieceWanted(ConnId),
    /// A client asks; it is answered by [`Action::Respond`].
    Request(ConnId, Box<Request>),
    /// SIGTERM, SIGINT, SIGQUIT: end, the runs go on.
    Terminate {
        /// They end if what is around the daemon ends with it, which is not known.
        contained: bool,
    },
    /// The same signals where a container ends with this process, and all others in it.
    EndWithRuns,
    /// End when the last run has ended; start no more.
    Drain,
    /// The same, and stop the runs.
    StopRuns,
    /// The journal could not be written: the reason, and the lines that were to be.
    JournalFailed(String, Vec<u8>),
    /// What [`Action::JournalCount`] asked for: the segment, and how many records it has.
    JournalCounted(u64, u64),
    /// The segments that are on the disk now.
    JournalThere(Vec<Segment>),
    /// The file of the records that are set aside is not as it was left.
    SetAsideChanged,
    /// The last turn of the loop took this long, sleep left out, in microseconds.
    Turned(u64),
    /// The journal was written.
    JournalWritten,
    /// What became of [`Action::ReadFile`].
    FileRead(ConnId, Result<Piece, FileTrouble>),
    /// What became of [`Action::ClearFile`].
    FileCleared(u64, Result<(), FileTrouble>),
    /// [`Action::Push`] did not take place; said at once.
    PushFailed(ConnId, PushFailure),
    /// How the process and its server are, at most once a second.
    Vitals(Vitals),
    /// How much room there is in the state directory, at most once a second.
    Room {
        /// Why it takes no more; none = it does.
        full: Option<String>,
        /// What is kept there for the journal is being used up.
        is_short: bool,
    },
    /// What counts is not where helpers look for it, and can't be put there; why. Another directory
    /// has the name of the state directory, or the journal can't be written again. None = it is
    /// there.
    Astray(Option<String>),
    /// The PHP program's daemon that runs this group, too; none = there is none.
    Twin(Option<u32>),
}

/// Why a piece was not added to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushFailure {
    /// Its reader has too much to read already.
    Full,
    /// It has ended.
    Gone,
}

/// How the process and its server are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory.
    pub rss_bytes: u64,
    /// Process id of the daemon.
    pub pid: u32,
    /// Connections now.
    pub connections: u64,
    /// Streams among them.
    pub streams: u64,
    /// Connections since the start.
    pub accepted: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Connections that were told there is no place.
    pub refused: u64,
}

/// A process that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Process id, also of its process group.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat` (proc(5)): clock ticks since boot.
    pub kernel_start: u64,
    /// When it was started.
    pub at: Now,
}

/// The end of a run. It may be told long after: by a keeper to the next daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The run.
    pub run: RunId,
    /// When its process went, or when it turned out that there is none.
    pub at: Now,
    /// How.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// What it wrote last, as [`crate::core::last_line`] has it; empty: nothing, or nobody looked.
    pub last_line: Box<str>,
}

impl Ended {
    /// The end of a run, where nobody can tell what it used.
    pub fn unseen(run: RunId, at: Now, outcome: Outcome) -> Ended {
        Ended { run, at, outcome, usage: Usage::default(), last_line: "".into() }
    }
}

/// Something is to be done.
#[derive(Debug)]
pub enum Action {
    /// Write these lines at this offset of the journal before doing anything that follows.
    Journal(u64, Vec<u8>),
    /// Begin a new segment of the journal at this offset with these lines, atomically.
    JournalSegment(u64, Vec<u8>),
    /// Keep this where it needs no room, in place of what was kept there before: it tells the next
    /// daemon what the journal could not.
    LastWord(Vec<u8>),
    /// Count the records of the segment that begins at the first offset, those from the second on,
    /// and say [`Event::JournalCounted`].
    JournalCount(u64, u64),
    /// Delete the segment that begins at this offset.
    JournalForget(u64),
    /// Write the journal again where somebody took it away, and say [`Event::JournalThere`]: the
    /// last look before [`Action::Exit`].
    JournalLook,
    /// Start a process and say [`Event::Launched`]. No more than
    /// [`MAX_LAUNCHING`](crate::core::launch::MAX_LAUNCHING) are asked for before that is said.
    Launch {
        /// The run.
        run: RunId,
        /// Of what it is made.
        plan: Box<LaunchPlan>,
        /// After this reading of the monotonic clock, in ms, it is no longer to be started.
        not_after_ms: u64,
    },
    /// Send a signal to the process group of a run and say [`Event::Signalled`], or
    /// [`Event::NotSignalled`]; of one that is being started, have the keeper take note that it is
    /// to end.
    Signal(RunId, Signal),
    /// Write this line to the helper of this lane, and start one if there is none.
    Ask(Purpose, AskId, Vec<u8>),
    /// The helper of this lane is asked no more and is to end by itself; [`Event::HelperEnded`]
    /// follows.
    EndHelper(Purpose),
    /// Kill the helper of this lane; [`Event::HelperEnded`] follows.
    KillHelper(Purpose),
    /// The answer was taken: what the helper wrote as a snapshot is the last good one. If it could
    /// write none, why: then that of before counts no more.
    KeepSnapshot(Option<String>),
    /// Answer a client.
    Respond(ConnId, Box<Response>),
    /// Add a piece to a client's stream; [`Event::PushFailed`] if that is not possible.
    Push(ConnId, Rc<[u8]>),
    /// End a client's stream; break a body off that is not whole.
    Finish(ConnId),
    /// Read a piece of a file and say [`Event::FileRead`].
    ReadFile(ConnId, Box<ReadPlan>),
    /// Make the first of these files that exists empty and say [`Event::FileCleared`].
    ClearFile(u64, Vec<FileName>),
    /// End the daemon; nothing more is asked for.
    Exit,
}

/// A signal to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// SIGTERM: please end.
    Term,
    /// SIGKILL.
    Kill,
}
