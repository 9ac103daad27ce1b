//! Which of many records a database takes: found out by writing them, fewer at a time where some
//! are refused, so that a bad one blocks no other.
//!
//! Some errors blame what was written. Others may just as well be the fault of all: a trigger of
//! the operator's that names what is gone says the same, be it reached by one record or by each.
//! Then others tell: once the same statement was taken for one, those that it is refused for are
//! to blame. An INSERT that is taken says nothing of an UPDATE: each has triggers and rights of its
//! own. Where none is taken nothing is set aside, for it would be all there is; but for a few, when
//! it has lasted long. The word of an error that blames the record counts by itself, as long as
//! nothing has to be dropped for it.
//!
//! What was taken is told with the answer. A helper that is killed before takes that word with it:
//! its rows are there, so they are not inserted again, and tell the next one nothing. This costs a
//! question, and no record: where all that could tell are there already, what is refused waits for
//! the next run of any job, or is believed when it has lasted. (The rows don't stand for the word:
//! they may be hours old, from before all was refused.)
//!
//! The records are settled in the order of the journal, and whatever ends an exchange early, its
//! time or the connection, what is settled by then counts: so each exchange makes progress.

mod witnesses;

use crate::core::database::ErrorKind;
use crate::core::journal::{Entry, RunEntry};
use crate::core::limits::{MAX_REASON_CHARS, cut};
use crate::core::protocol::Statement;
use crate::core::refused::{Refused, about, bytes_of};
use std::collections::BTreeSet;
use witnesses::witnesses;

/// So many records at most are set aside without one that was taken.
pub const MAX_UNPROVEN: u64 = 40;

/// No further write is begun after this, in milliseconds: the daemon kills a helper after 30 s.
pub const PATIENCE_MS: u64 = 15_000;

/// The same for what is only tried again: new records wait meanwhile.
const PATIENCE_AGAIN_MS: u64 = 8_000;

/// Bytes of the journal that are carried in one exchange at most: some 10,000 runs.
pub const RANGE_BYTES: usize = 4 << 20;

/// So many records are written at a time to begin with, and at most.
pub const PACE: usize = 512;
const MAX_PACE: usize = 8 * PACE;

/// After a write that took less, more are written at a time, in milliseconds: begun at the last
/// moment, twice as many are still written before the helper is killed.
const QUICK_MS: u64 = 4_000;

/// After a write that took more, fewer are.
const SLOW_MS: u64 = 8_000;

/// So few are slow by the way to the server and back, which each write takes several times: fewer
/// would take as long.
const FEW: usize = 16;

/// After a write that was refused it is so many times fewer.
const SHRINK_ON_REFUSAL: usize = 8;

/// The statements that changed something, and whether there was no table for one.
pub type Taken = BTreeSet<Statement>;

/// Why a write was refused.
pub trait Refusal {
    /// [`ErrorKind::Refused`] blames the record, [`ErrorKind::Unsure`] it or the database, all
    /// others the database or the moment.
    fn kind(&self) -> ErrorKind;
    /// What was refused; none: that became known when all was written.
    fn statement(&self) -> Option<Statement>;
    /// In words.
    fn why(&self) -> &str;
    /// The same with these words before.
    fn told_as(self, what: &str) -> Self;
}

/// Where records are written.
pub trait Desk {
    /// Why it does not take them.
    type Failure: Refusal;

    /// Writes all of the entries or nothing; `jobs`: notes that their jobs ran as well.
    ///
    /// # Errors
    /// One of them is refused, or the database does not work.
    fn write(&mut self, entries: &[Entry<'_>], jobs: bool) -> Result<Taken, Self::Failure>;

    /// Milliseconds since the exchange began.
    fn spent_ms(&self) -> u64;

    /// So many bytes can be set aside without anything being dropped.
    fn room(&mut self) -> usize;
}

/// What has become of the records.
#[derive(Debug)]
pub struct Settling<'a> {
    /// All there is: among them one is looked for that is taken, when that is to be known.
    entries: &'a [Entry<'a>],
    any: usize,
    /// What was taken: for that the database is not to blame.
    pub taken: Taken,
    /// The same of an exchange before, of records that are still among these: an INSERT is not
    /// done again for one of them.
    known: Taken,
    /// What one was looked for already.
    sought: BTreeSet<Option<Statement>>,
    /// Whether records are set aside without that.
    believes: bool,
    /// A write was refused already.
    failed: bool,
    patience_ms: u64,
    /// So many records at most are written at a time, as the time allows.
    pub pace: usize,
    /// Bytes that can still be set aside without anything being dropped, once that was asked.
    room: Option<usize>,
    /// What was written, and what was refused and why, in order.
    pub settled: Vec<(Entry<'static>, Option<String>)>,
    /// What was refused, for the log.
    pub told: Vec<String>,
}

/// What a write came to.
enum Step {
    Taken,
    /// A single record was settled, but not as it is.
    Settled,
    /// Fewer are to be tried.
    Fewer,
}

impl<'a> Settling<'a> {
    /// All that is to be written, the oldest first; `any` is any number, and lets others be tried
    /// each time. `pace`: so many at a time were good before; 0: nobody knows.
    pub fn new(entries: &'a [Entry<'a>], any: usize, pace: u32) -> Settling<'a> {
        Settling {
            entries,
            any,
            taken: Taken::new(),
            known: Taken::new(),
            sought: BTreeSet::new(),
            believes: false,
            failed: false,
            patience_ms: PATIENCE_MS,
            pace: if pace == 0 { PACE } else { (pace as usize).min(MAX_PACE) },
            room: None,
            settled: Vec::new(),
            told: Vec::new(),
        }
    }

    /// These were taken in an exchange before, of records that are still among the entries.
    pub fn known(&mut self, taken: &[Statement]) {
        self.known.extend(taken);
    }

    /// What is refused is believed to be bad, whatever the error, if there is little of it with
    /// what is set aside already.
    pub fn believe(&mut self, waiting: u64, aside: u64) {
        self.believes = waiting + aside <= MAX_UNPROVEN;
    }

    /// Writes what can be written of all that is new, in order; the others are refused. Returns
    /// how many of them are settled: at least one, and not all if the time was up or the database
    /// did not work any more.
    ///
    /// # Errors
    /// The database is to blame, and none is settled.
    pub fn carry<D: Desk>(&mut self, desk: &mut D) -> Result<usize, D::Failure> {
        self.go_through(self.entries, self.pace, desk)
    }

    /// Tries again what is set aside: it stays there, no matter who is to blame. Returns how many
    /// are settled.
    ///
    /// # Errors
    /// The database is to blame, and none is settled.
    pub fn again<D: Desk>(
        &mut self,
        entries: &[Entry<'_>],
        desk: &mut D,
    ) -> Result<usize, D::Failure> {
        self.believes = true;
        self.patience_ms = PATIENCE_AGAIN_MS;
        if self.is_late(desk) {
            return Ok(0);
        }
        // Most are still refused: one by one that costs least.
        self.go_through(entries, 1, desk)
    }

    fn go_through<D: Desk>(
        &mut self,
        entries: &[Entry<'_>],
        first: usize,
        desk: &mut D,
    ) -> Result<usize, D::Failure> {
        let (mut done, mut size) = (0, first);
        while done < entries.len() {
            let late = self.is_late(desk);
            if late && done > 0 {
                break;
            }
            let rest = &entries[done..];
            let most = rest.len().min(self.pace);
            let some = &rest[..if late { 1 } else { size.clamp(1, most) }];
            match self.step(some, desk) {
                Ok(Step::Taken) => (done, size) = (done + some.len(), some.len() * 2),
                Ok(Step::Settled) => (done, size) = (done + 1, 1),
                Ok(Step::Fewer) => size = some.len() / SHRINK_ON_REFUSAL,
                // The next exchange tells, if it lasts.
                Err(_) if done > 0 => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(done)
    }

    fn is_late<D: Desk>(&self, desk: &D) -> bool {
        desk.spent_ms() >= self.patience_ms
    }

    fn step<D: Desk>(&mut self, entries: &[Entry<'_>], desk: &mut D) -> Result<Step, D::Failure> {
        let began_ms = desk.spent_ms();
        let written = desk.write(entries, true);
        let took_ms = desk.spent_ms() - began_ms;
        if took_ms > SLOW_MS && entries.len() > FEW {
            self.pace = entries.len().div_ceil(2);
        }
        let failure = match written {
            Ok(taken) => {
                if took_ms < QUICK_MS && entries.len() == self.pace {
                    self.pace = (self.pace * 2).min(MAX_PACE);
                }
                self.accept(entries, taken);
                return Ok(Step::Taken);
            }
            Err(failure) => self.blame(failure, desk)?,
        };
        let first = !std::mem::replace(&mut self.failed, true);
        match entries {
            [entry] => self.one(entry, failure, first, desk).map(|()| Step::Settled),
            _ => Ok(Step::Fewer),
        }
    }

    /// A single record was refused. It may have been for its job's row, where a trigger watches
    /// that: the record itself is still taken. (The first may also have been for a helper of an
    /// earlier daemon that was writing the same: then it is there by now.)
    fn one<D: Desk>(
        &mut self,
        entry: &Entry<'_>,
        failure: D::Failure,
        first: bool,
        desk: &mut D,
    ) -> Result<(), D::Failure> {
        let of_job = failure.statement() == Some(Statement::LastRun);
        if !of_job && !first {
            self.set_aside(entry, failure.why());
            return Ok(());
        }
        match desk.write(std::slice::from_ref(entry), false) {
            Ok(taken) => {
                self.accept(std::slice::from_ref(entry), taken);
                if let Entry::Run(run) = entry
                    && of_job
                {
                    let (job, why) = (run.job, cut(failure.why(), MAX_REASON_CHARS));
                    self.told.push(format!("last_run_time of job={job} is not set: {why}"));
                }
            }
            Err(failure) => {
                let failure = self.blame(failure, desk)?;
                self.set_aside(entry, failure.why());
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, entry: &Entry<'_>, why: &str) {
        let Some(entry) = owned(entry) else { return };
        if let Some(room) = &mut self.room {
            *room = room.saturating_sub(bytes_of(&entry, why));
        }
        self.settled.push((entry, Some(why.to_owned())));
    }

    /// Gives the failure back if a record is to blame for it.
    fn blame<D: Desk>(
        &mut self,
        failure: D::Failure,
        desk: &mut D,
    ) -> Result<D::Failure, D::Failure> {
        let statement = failure.statement();
        let of_record = match failure.kind() {
            ErrorKind::Refused => self.has_room(desk),
            ErrorKind::Unsure => match statement {
                // The record itself is taken without it.
                Some(Statement::LastRun) => true,
                // Slots that were skipped are to keep no run waiting, nor is what somebody did.
                Some(Statement::Skip | Statement::NoSkips | Statement::Act | Statement::NoActs) => {
                    self.has_room(desk)
                }
                Some(Statement::Insert | Statement::Update) | None => false,
            },
            ErrorKind::Connect
            | ErrorKind::Auth
            | ErrorKind::Rights
            | ErrorKind::Full
            | ErrorKind::NoDatabase
            | ErrorKind::NoTable
            | ErrorKind::NoColumn
            | ErrorKind::Other => return Err(failure),
        };
        if of_record || self.believes || self.is_taken(statement, desk)? {
            return Ok(failure);
        }
        let what = statement.map_or("record", Statement::what);
        Err(failure.told_as(&format!("no {what} is taken")))
    }

    fn has_room<D: Desk>(&mut self, desk: &mut D) -> bool {
        *self.room.get_or_insert_with(|| desk.room()) > 0
    }

    /// Whether the database takes this of any record. To write one twice does no harm.
    fn is_taken<D: Desk>(
        &mut self,
        statement: Option<Statement>,
        desk: &mut D,
    ) -> Result<bool, D::Failure> {
        if !self.has_taken(statement) && self.sought.insert(statement) {
            for witness in witnesses(self.entries, statement, self.any) {
                if self.has_taken(statement) || self.is_late(desk) {
                    break;
                }
                self.hear(&witness, desk)?;
            }
        }
        Ok(self.has_taken(statement))
    }

    /// Writes a run as it began and then as it ended, so that there is an end to be taken.
    fn hear<D: Desk>(&mut self, witness: &Entry<'_>, desk: &mut D) -> Result<(), D::Failure> {
        let as_it_began = match witness {
            // One without a process had no start: its end makes its row, and then fills it.
            Entry::Run(run) if run.end.is_some() && run.pid == 0 => Some(witness.clone()),
            Entry::Run(run) if run.end.is_some() => {
                Some(Entry::Run(RunEntry { end: None, ..run.clone() }))
            }
            _ => None,
        };
        for entry in as_it_began.iter().chain([witness]) {
            match desk.write(std::slice::from_ref(entry), false) {
                Ok(taken) => self.taken.extend(taken),
                Err(failure) => match failure.kind() {
                    ErrorKind::Refused | ErrorKind::Unsure => return Ok(()),
                    _ => return Err(failure),
                },
            }
        }
        Ok(())
    }

    fn has_taken(&self, statement: Option<Statement>) -> bool {
        let mut taken = self.taken.union(&self.known);
        match statement {
            Some(statement) => taken.any(|it| *it == statement),
            None => taken.any(|it| matches!(it, Statement::Insert | Statement::Update)),
        }
    }

    /// Notes what became of the records in what is set aside. Returns those of the first `fresh`
    /// that were refused: where that can't be kept they are to be carried again.
    pub fn note(&mut self, refused: &mut Refused<'_>, fresh: usize) -> Vec<Entry<'static>> {
        let mut lost = Vec::new();
        for (place, (entry, why)) in std::mem::take(&mut self.settled).into_iter().enumerate() {
            let Some(why) = why else {
                refused.accept(&entry);
                continue;
            };
            let told = about(&entry, &why);
            if place < fresh {
                lost.push(entry.clone());
            }
            if refused.refuse(entry, &why) && place < fresh {
                self.told.push(told);
            }
        }
        lost
    }

    fn accept(&mut self, entries: &[Entry<'_>], taken: Taken) {
        self.taken.extend(taken);
        self.settled.extend(entries.iter().filter_map(|entry| Some((owned(entry)?, None))));
    }
}

/// What of an entry is known to be news, as a value that outlives the journal's bytes.
pub fn owned(entry: &Entry<'_>) -> Option<Entry<'static>> {
    match entry {
        Entry::Run(run) => Some(Entry::Run(run.clone().into_owned())),
        Entry::Skip(skip) => Some(Entry::Skip(*skip)),
        Entry::Act(act) => Some(Entry::Act(act.clone())),
        _ => None,
    }
}
