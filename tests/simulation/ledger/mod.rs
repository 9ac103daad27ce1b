//! The ledger: what should have happened, by an independent reading of the rules.
//!
//! It is told what the world did (answers of the database, ends of processes, clock readings) and
//! decides by itself which slots are launched and which are skipped for which reason, which jobs
//! are in force, which runs are alive, and what the journal must hold. Every difference is a
//! panic that says which rule was broken.
//!
//! - `table`: which definitions are in force
//! - `slots`: what is due, and what becomes of it
//! - `runs`: attempts, ends, stops
//! - `stops`: what becomes of a stop, whoever is killed
//! - `figures`: what is counted
//! - `pauses`: which slots somebody wants to be skipped
//! - `lines`: what the journal says, and what of it survives the daemon

mod figures;
mod lines;
mod pauses;
pub mod remarks;
mod runs;
mod slots;
mod stops;
mod table;

pub use lines::{LastWord, Piece, Told};
pub use runs::{End, Run, Settled, State};
pub use table::{Def, Job};

use super::cron::FakeZone;
use super::database::Rows;
use schedule::core::ids::RunId;
use schedule::core::journal::{SkipEntry, Stand};
use schedule::core::time::Now;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// A slot is launched when it is at most this late, ms. Also for how long a launch is retried.
pub const FRESH_MS: i64 = 30_000;

/// A clock that goes back further was wrong before, ms.
const MAX_BACK_MS: i64 = 3 * 3_600_000;

/// Decisions wait this long for the first answer of the database, ms.
const HOLD_MS: u64 = 2_000;

/// What a daemon that starts now can know: what was said in lines that are on the disk.
#[derive(Clone, Default)]
pub struct Durable {
    pub decided: Option<i64>,
    /// Last slot of each job.
    pub last: BTreeMap<u32, i64>,
    /// The table that was in force last.
    pub table: Option<Told>,
    pub boot: String,
    pauses: pauses::Pauses,
    /// How what is set aside stands.
    pub set_aside: Option<Stand>,
    /// How often the schedule began anew.
    epoch: u32,
    /// Runs up to this sequence are of the time before.
    anew: u64,
    /// Where the log tells of each, behind the line.
    at: Places,
}

/// Offsets of the log.
#[derive(Clone, Default)]
struct Places {
    decided: u64,
    pauses: u64,
    table: u64,
    boot: u64,
    anew: u64,
}

/// See the module's text.
pub struct Ledger {
    pub zones: Vec<FakeZone>,
    pub grace_ms: u64,
    pub jobs: BTreeMap<u32, Job>,
    /// Rows of the table in force that are disabled.
    pub disabled: BTreeSet<u32>,
    /// Every run there ever was, but for those of which nothing was left after a crash.
    pub runs: BTreeMap<RunId, Run>,
    /// Every id that was ever given out, whatever came of it.
    given: BTreeSet<RunId>,
    /// Those that have not ended.
    pub live: BTreeSet<RunId>,
    /// Slots that were launched: job, instant, epoch.
    slots: BTreeSet<(u32, i64, u32)>,
    /// Every slot up to this instant is decided.
    pub decided: i64,
    /// How often the schedule began anew.
    epoch: u32,
    /// Where it had come before it began anew in this turn.
    before_anew: Option<i64>,
    /// From which instant on it began anew.
    anew_ms: i64,
    pub durable: Durable,
    /// Pauses of tags and of all jobs; some may have ended.
    pauses: pauses::Pauses,
    /// Those that the journal was told of last, and those that it is yet to be told of.
    pauses_said: pauses::Pauses,
    pauses_unsaid: VecDeque<pauses::Pauses>,
    /// Last slots of jobs as earlier daemons decided them.
    beyond: BTreeMap<u32, i64>,
    held_until: Option<u64>,
    answered: bool,
    /// The database told its table, or that it is the same, since the daemon's start.
    synced: bool,
    /// That was the last answer.
    first: bool,
    /// When this daemon began to decide; what was due before was so without one.
    able: i64,
    /// Runs up to this sequence are of daemons before.
    inherited: u64,
    /// When each definition of a job was in the database for the first time.
    born: BTreeMap<u32, Vec<(Rc<Def>, i64)>>,
    staged: Option<Rows>,
    /// The digest of the table in force, if a whole one came.
    table: Option<String>,
    pub boot: String,
    /// Which database the configuration names.
    named: usize,
    first_of_boot: bool,
    pub draining: bool,
    /// It goes on in the place of another program: it was not down.
    goes_on: bool,
    /// Runs that the program before had told to end.
    stopping: BTreeMap<RunId, State>,
    /// Somebody is there to launch runs.
    has_keeper: bool,
    /// What the journal lacks no checkpoint had told anew when this turn began; in it one may.
    has_hole: bool,
    last_sequence: u64,
    /// Ranges of skipped slots as this daemon wrote them.
    ranges: BTreeMap<(u32, i64), SkipEntry>,
    /// Runs whose intent was not written yet.
    fresh: BTreeSet<RunId>,
    /// Jobs whose misfires are to be compared once they are counted.
    misfired: BTreeSet<u32>,
    /// Lines up to here were told, on the disk or in memory.
    pub told_to: u64,
    /// Where the log says that the schedule began anew, the last time.
    anew_from: u64,
    /// The sequence that this daemon told with it last.
    anew_known: Option<u64>,
    /// Every run that ever had a process.
    pub made: BTreeSet<RunId>,
    /// What the skips on the disk come to, and where they are. After the clock was set back another
    /// range may begin with the same slot: the longest counts, or one of those.
    pub kept_skips: BTreeMap<(u32, i64, u32), Vec<(SkipEntry, u64)>>,
    /// What was on the disk before the newest segment.
    before: Before,
    figures: figures::Figures,
    /// Skips that were on the disk: a longer range than is there now may be recorded.
    pub lost_skips: BTreeSet<(u32, i64, u32)>,
}

/// What is on the disk without the segment that begins at `start`.
#[derive(Default)]
struct Before {
    start: Option<u64>,
    durable: Durable,
    kept_skips: BTreeMap<(u32, i64, u32), Vec<(SkipEntry, u64)>>,
    /// Runs whose end is not: whether they are known, and their slots, and when they are killed.
    runs: BTreeMap<RunId, (bool, bool, Option<u64>)>,
    /// Runs of which nobody knows with the segment: it says nothing of them. Without it they are
    /// back.
    gone: BTreeMap<RunId, Run>,
}

impl Ledger {
    /// Whether this id was ever given to a run.
    pub fn was_given(&self, run: RunId) -> bool {
        self.given.contains(&run)
    }

    pub fn new(zones: Vec<FakeZone>, grace_ms: u64) -> Ledger {
        Ledger {
            zones,
            grace_ms,
            jobs: BTreeMap::new(),
            disabled: BTreeSet::new(),
            runs: BTreeMap::new(),
            given: BTreeSet::new(),
            live: BTreeSet::new(),
            slots: BTreeSet::new(),
            decided: 0,
            epoch: 0,
            before_anew: None,
            anew_ms: 0,
            durable: Durable::default(),
            pauses: pauses::Pauses::new(),
            pauses_said: pauses::Pauses::new(),
            pauses_unsaid: VecDeque::new(),
            beyond: BTreeMap::new(),
            held_until: None,
            answered: false,
            synced: false,
            first: false,
            able: i64::MIN,
            inherited: 0,
            born: BTreeMap::new(),
            staged: None,
            table: None,
            boot: String::new(),
            named: 0,
            first_of_boot: false,
            draining: false,
            goes_on: false,
            stopping: BTreeMap::new(),
            has_keeper: true,
            has_hole: false,
            last_sequence: 0,
            ranges: BTreeMap::new(),
            fresh: BTreeSet::new(),
            misfired: BTreeSet::new(),
            told_to: 0,
            anew_from: 0,
            anew_known: None,
            made: BTreeSet::new(),
            kept_skips: BTreeMap::new(),
            before: Before::default(),
            figures: figures::Figures::default(),
            lost_skips: BTreeSet::new(),
        }
    }

    /// Another program is to take the daemon's place. It is told which runs are to end, and after a
    /// panic it tells them once more.
    pub fn hands_over(&mut self, panicked: bool) {
        let stopping = |(id, run): (&RunId, &Run)| match run.state {
            State::Stopping { kill_ms, told } => {
                Some((*id, State::Stopping { kill_ms, told: told && !panicked }))
            }
            State::Killed if panicked => Some((*id, State::Stopping { kill_ms: 0, told: true })),
            State::Killed => Some((*id, State::Killed)),
            _ => None,
        };
        self.stopping = self.runs.iter().filter_map(stopping).collect();
    }

    /// The daemon is gone, whichever way: what was not on the disk is as if it had never been
    /// decided. Returns the runs that nobody will know of.
    pub fn down(&mut self, word: Option<LastWord>) -> Vec<RunId> {
        let mut forgotten = Vec::new();
        for (&id, run) in &mut self.runs {
            let stopped_before = run.state == State::Gone && !run.intent_seen;
            if !run.slot_durable && (run.state == State::Queued || stopped_before) {
                // It was not launched, and may be.
                self.slots.remove(&(run.job, run.slot.unwrap_or(0), run.epoch));
            }
            if run.durable_end.is_some() {
                continue;
            }
            if !run.durable {
                forgotten.push(id);
            }
            run.state = State::Unsettled;
            run.waits = false;
            run.refused = false;
            run.killed_ms = None;
            run.end = None;
            run.end_seen = false;
        }
        for id in &forgotten {
            let was_durable = self.before.runs.get(id).is_some_and(|(durable, ..)| *durable);
            let run = self.runs.remove(id).filter(|_| was_durable);
            self.before.gone.extend(run.map(|run| (*id, run)));
        }
        self.jobs.clear();
        self.disabled.clear();
        self.live.clear();
        self.ranges.clear();
        self.fresh.clear();
        self.misfired.clear();
        self.staged = None;
        self.table = None;
        if let Some(word) = word {
            self.hear_last_word(word);
        }
        forgotten
    }

    /// A daemon starts; it knows what is on the disk. In the place of another one, which may have
    /// `panicked`, it knows what that had in memory.
    pub fn up(
        &mut self,
        now: Now,
        boot: &str,
        log_end: u64,
        (named, panicked): (usize, Option<bool>),
    ) {
        self.goes_on = panicked == Some(false);
        if panicked.is_none() {
            self.figures = figures::Figures::default();
            self.draining = false;
            self.stopping.clear();
        }
        self.named = named;
        self.told_to = log_end;
        self.anew_known = None;
        self.decided = self.durable.decided.unwrap_or(now.wall_ms);
        self.durable.epoch = self.epoch;
        self.beyond = self.durable.last.clone();
        self.pauses = self.durable.pauses.clone();
        self.pauses_said = self.pauses.clone();
        self.pauses_unsaid.clear();
        self.held_until = Some(now.mono_ms + HOLD_MS);
        self.answered = false;
        self.synced = false;
        self.able = i64::MIN;
        self.first_of_boot = self.durable.boot != boot;
        self.boot = boot.into();
        self.last_sequence = self.runs.last_key_value().map_or(0, |(id, _)| id.sequence);
        self.inherited = self.last_sequence;
        let runs = self.runs.iter().filter(|(_, run)| run.state != State::Gone);
        let runs: Vec<_> = runs.map(|(id, run)| (*id, run.job, run.def.clone())).collect();
        for (id, job, def) in runs {
            self.live.insert(id);
            let decided = self.decided;
            let new = || Job::adopted(def.clone(), decided);
            let job = self.jobs.entry(job).or_insert_with(new);
            // Where two definitions seem to be alive the end of the older could not be written.
            job.def = def.clone();
            job.live.insert(id);
        }
    }

    /// An exchange has ended; with rows if they are to count. `synced`: what was asked for is the
    /// table, and there is an answer.
    pub fn answered(&mut self, rows: Option<Rows>, synced: bool) {
        self.answered = true;
        self.first = synced && !self.synced;
        self.synced |= synced;
        self.table = rows.as_ref().map(Rows::digest).or(self.table.take());
        self.staged = rows.or(self.staged.take());
    }

    /// When the loop has to be awake at the latest: by the wall clock, by the monotonic one.
    pub fn next_wake(&self) -> (Option<i64>, Option<u64>) {
        let due = self.jobs.values().filter_map(|job| job.next).min();
        let timers = self.live.iter().filter_map(|id| match self.runs[id].state {
            State::Retry { at_ms } => Some(at_ms),
            State::Stopping { kill_ms, .. } => Some(kill_ms),
            _ => None,
        });
        let wall = if self.held_until.is_none() { due } else { None };
        (wall, timers.chain(self.held_until).min())
    }
}
