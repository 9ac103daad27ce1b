//! Which of many records a database takes: found out by writing them, in halves where some are
//! refused, so that a bad one blocks no other.
//!
//! Some errors blame what was written. Others may just as well be the fault of all: a trigger of
//! the operator's that names what is gone says the same, be it reached by one record or by each.
//! Then others tell: once one was taken, those that are not are to blame. Where none is, nothing is
//! set aside, for it would be all there is; but for a few, when it has lasted long.

use crate::core::ids::JobId;
use crate::core::journal::{Entry, decode};
use crate::core::limits::{MAX_REASON_CHARS, cut};
use crate::core::protocol::ErrorKind;
use crate::core::records::key;
use crate::core::refused::{Refused, about};
use std::collections::{BTreeMap, BTreeSet};

/// So many records at most are set aside without one that was taken.
pub const MAX_UNPROVEN: u64 = 40;

/// So many records at most are tried for one that is taken: the newest of each job, and others.
const MAX_WITNESSES: usize = 32;

/// Why a write was refused.
pub trait Refusal {
    /// [`ErrorKind::Refused`] blames the record, [`ErrorKind::Unsure`] it or the database, all
    /// others the database or the moment.
    fn kind(&self) -> ErrorKind;
    /// In words.
    fn why(&self) -> &str;
}

/// Writes all of the entries or nothing; the flag says whether it also notes that their jobs ran.
pub type Write<'w, F> = &'w mut dyn FnMut(&[Entry<'_>], bool) -> Result<(), F>;

/// What has become of the records.
#[derive(Debug)]
pub struct Settling<'a> {
    /// What is tried for one that is taken, when that is to be known.
    witnesses: Vec<Entry<'a>>,
    /// Whether one of a run was taken, so that the database is not to blame.
    taken: bool,
    /// Skips have a table of their own: that they are taken says nothing of that of the runs.
    runs: bool,
    /// Whether records are set aside without that.
    believes: bool,
    /// What was written, and what was refused and why, in order.
    pub settled: Vec<(Entry<'static>, Option<String>)>,
    /// What was refused, for the log.
    pub told: Vec<String>,
}

impl<'a> Settling<'a> {
    /// All that is to be written; `any` is any number, and lets others be tried each time.
    pub fn new(entries: &[Entry<'a>], any: usize) -> Settling<'a> {
        let witnesses = witnesses(entries, any);
        let runs = witnesses.iter().any(is_run);
        let (settled, told) = (Vec::new(), Vec::new());
        Settling { witnesses, taken: false, runs, believes: false, settled, told }
    }

    /// What is refused is believed to be bad, whatever the error, if there is little of it with
    /// what is set aside already.
    pub fn believe(&mut self, waiting: u64, aside: u64) {
        self.believes = waiting + aside <= MAX_UNPROVEN;
    }

    /// What is set aside is only tried again: it stays there, whoever is to blame.
    pub fn only_again(&mut self) {
        self.believes = true;
    }

    /// Tries all at once. Returns whether that went well: else it is to be done in pieces.
    ///
    /// # Errors
    /// The database is to blame.
    pub fn whole<F: Refusal>(
        &mut self,
        entries: &[Entry<'_>],
        write: Write<'_, F>,
    ) -> Result<bool, F> {
        match write(entries, true) {
            Ok(()) => {
                self.accept(entries);
                Ok(true)
            }
            Err(failure) => self.blame(failure, write).map(|_| false),
        }
    }

    /// Writes what can be written of the entries; the others are refused.
    ///
    /// # Errors
    /// The database is to blame.
    pub fn halve<F: Refusal>(
        &mut self,
        entries: &[Entry<'_>],
        write: Write<'_, F>,
    ) -> Result<(), F> {
        let Err(failure) = write(entries, true) else {
            self.accept(entries);
            return Ok(());
        };
        let failure = self.blame(failure, write)?;
        if let [entry] = entries {
            return self.one(entry, &failure, write);
        }
        let (first, second) = entries.split_at(entries.len() / 2);
        self.halve(first, write)?;
        self.halve(second, write)
    }

    /// A single record was refused. It may have been for its job's row, where a trigger watches
    /// that: the record itself is still taken. (It may also have been for a helper of an earlier
    /// daemon that was writing the same: then it is there by now.)
    fn one<F: Refusal>(
        &mut self,
        entry: &Entry<'_>,
        failure: &F,
        write: Write<'_, F>,
    ) -> Result<(), F> {
        match write(std::slice::from_ref(entry), false) {
            Ok(()) => {
                self.accept(std::slice::from_ref(entry));
                if let Entry::Run(run) = entry {
                    let (job, why) = (run.job, cut(failure.why(), MAX_REASON_CHARS));
                    self.told.push(format!("last_run_time of job={job} is not set: {why}"));
                }
            }
            Err(failure) => {
                let failure = self.blame(failure, write)?;
                let why = failure.why().to_owned();
                self.settled.extend(owned(entry).map(|entry| (entry, Some(why))));
            }
        }
        Ok(())
    }

    /// Gives the failure back if a record is to blame for it.
    fn blame<F: Refusal>(&mut self, failure: F, write: Write<'_, F>) -> Result<F, F> {
        match failure.kind() {
            ErrorKind::Refused => Ok(failure),
            ErrorKind::Unsure if self.believes || self.is_taken(write)? => Ok(failure),
            ErrorKind::Unsure
            | ErrorKind::Connect
            | ErrorKind::Auth
            | ErrorKind::Rights
            | ErrorKind::Full
            | ErrorKind::NoDatabase
            | ErrorKind::NoTable
            | ErrorKind::NoColumn
            | ErrorKind::Other => Err(failure),
        }
    }

    /// Whether the database takes any record. To write one twice does no harm.
    fn is_taken<F: Refusal>(&mut self, write: Write<'_, F>) -> Result<bool, F> {
        for witness in std::mem::take(&mut self.witnesses) {
            if self.taken {
                break;
            }
            match write(std::slice::from_ref(&witness), true) {
                Ok(()) => self.taken = true,
                Err(failure) => match failure.kind() {
                    ErrorKind::Refused | ErrorKind::Unsure => {}
                    _ => return Err(failure),
                },
            }
        }
        Ok(self.taken)
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

    fn accept(&mut self, entries: &[Entry<'_>]) {
        self.taken |= entries.iter().any(|entry| is_run(entry) || !self.runs);
        self.settled.extend(entries.iter().filter_map(|entry| Some((owned(entry)?, None))));
    }
}

fn witnesses<'a>(entries: &[Entry<'a>], any: usize) -> Vec<Entry<'a>> {
    let runs: Vec<_> = entries.iter().filter(|entry| is_run(entry)).collect();
    let all = if runs.is_empty() { entries.iter().collect() } else { runs };
    if all.len() <= MAX_WITNESSES {
        return all.into_iter().cloned().collect();
    }
    let newest: BTreeMap<JobId, &Entry<'a>> =
        all.iter().filter_map(|entry| Some((job(entry)?, *entry))).collect();
    let mut newest: Vec<_> = newest.into_values().collect();
    let first = any % newest.len().max(1);
    newest.rotate_left(first);
    newest.truncate(MAX_WITNESSES / 2);
    let step = all.len().div_ceil(MAX_WITNESSES / 2);
    let others = all.iter().skip(any % step).step_by(step).copied();
    newest.into_iter().chain(others).cloned().collect()
}

fn is_run(entry: &Entry<'_>) -> bool {
    matches!(entry, Entry::Run(_))
}

fn job(entry: &Entry<'_>) -> Option<JobId> {
    match entry {
        Entry::Run(run) => Some(run.job),
        Entry::Skip(skip) => Some(skip.job),
        _ => None,
    }
}

/// What of an entry is known to be news, as a value that outlives the journal's bytes.
fn owned(entry: &Entry<'_>) -> Option<Entry<'static>> {
    match entry {
        Entry::Run(run) => Some(Entry::Run(run.clone().into_owned())),
        Entry::Skip(skip) => Some(Entry::Skip(*skip)),
        _ => None,
    }
}

/// How many bytes of these lines of the journal there are before the first that tells of one of
/// the records.
pub fn bytes_before(lines: &[u8], records: &[Entry<'_>]) -> u64 {
    let keys: BTreeSet<_> = records.iter().filter_map(key).collect();
    let of = |line: &[u8]| key(&decode(line.strip_suffix(b"\n")?)?);
    let tells = |line: &&[u8]| of(line).is_some_and(|key| keys.contains(&key));
    let before = lines.split_inclusive(|byte| *byte == b'\n').take_while(|line| !tells(line));
    before.map(|line| line.len() as u64).sum()
}
