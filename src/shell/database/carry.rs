//! Carries records from the journal to the database, and sets aside those that it refuses for
//! themselves, so that one bad record blocks no other.
//!
//! How many are written in a transaction, and who is to blame where one is refused, is the core's
//! to say (`core::settle`). All of it can be done again: rows are found by their keys, and what is
//! set aside as well.

use super::Failure;
use super::mysql::Kept;
use super::records::Batch;
use super::writer::Writer;
use crate::core::cron::Zone;
use crate::core::database::{Database, ErrorKind};
use crate::core::homes::Homes;
use crate::core::journal::{Entry, Stand, Stretch};
use crate::core::limits::MAX_REFUSED_BYTES;
use crate::core::plain::counted;
use crate::core::protocol::{SetAside, Statement};
use crate::core::records::{news, record};
use crate::core::refused::{Change, Refused};
use crate::core::settle::{Desk, RANGE_BYTES, Refusal, Settling, Taken, owned};
use crate::shell::journal::read_range;
use crate::shell::own;
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// Bytes of the file of what is set aside: it is written again, and shorter, when it has more.
const MAX_FILE_BYTES: u64 = 4 * MAX_REFUSED_BYTES as u64;

/// What is to be carried, and where to.
pub struct Range<'a> {
    /// Directory of the segments.
    pub journal: &'a Path,
    /// Offsets of the log.
    pub from: u64,
    pub to: u64,
    pub server_id: u32,
    pub zone: Zone,
    /// The file of what is set aside; empty: nothing is.
    pub refused: &'a Path,
    /// Whether what is set aside is tried again.
    pub retry: bool,
    /// Whether a few are believed to be bad although none is taken.
    pub believe: bool,
    /// So many at a time were good before; 0: nobody knows.
    pub pace: u32,
    /// What was taken before of records that are still among these.
    pub taken: &'a [Statement],
    /// What the daemon knows to be set aside.
    pub known: &'a SetAside,
    /// Which are for the database.
    pub homes: &'a Homes,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Carried {
    /// Records that were written.
    pub count: u64,
    /// Everything before this offset is in the database, or set aside.
    pub through: u64,
    /// What was refused and the log does not know of yet.
    pub told: Vec<String>,
    /// All that is set aside.
    pub aside: SetAside,
    /// Why what was refused could not be set aside; empty if it could.
    pub unkept: String,
    /// So many at a time are good.
    pub pace: u32,
    /// Some of what was set aside was taken, and there was no time for the rest.
    pub again: bool,
    /// The statements that were taken.
    pub taken: Vec<Statement>,
    /// How many records each segment had before `through`.
    pub found: Vec<(u64, u64)>,
}

/// Carries what the range holds. `works` is called whenever the database has answered.
///
/// # Errors
/// The database can't be reached or is not fit to be written, and nothing came of it.
pub fn carry(
    kept: &mut Kept,
    database: &Database,
    range: &Range<'_>,
    works: &mut dyn FnMut(),
) -> Result<Carried, Failure> {
    let began = Instant::now();
    let mut counter = Counter { kept, database, range, writer: None, began, works };
    let (stretch, through) = read(range, range.from, range.to, RANGE_BYTES)?;
    let (found, others): (Vec<_>, Vec<_>) =
        news(&stretch.lines).into_iter().partition(|entry| range.homes.has(entry));
    let any = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let any = any.subsec_nanos() as usize;
    let settling = Settling::new(&found, any, range.pace);
    let others = others.iter().filter_map(owned).collect();
    let (bad, anew) = (String::new(), Vec::new());
    let mut work = Work { range, settling, others, fresh: 0, again: false, bad, anew };
    let settled = work.settle((&found, any), &mut counter);
    // What is locked there is not to wait for a disk.
    let Counter { kept, writer, .. } = counter;
    writer.into_iter().for_each(|writer| writer.end(kept));
    let kept = settled.and_then(|done| {
        let rest = &found[done..];
        let first = if rest.is_empty() { None } else { stretch.before(rest) };
        work.keep(first.unwrap_or(through))
    });
    kept.map(|it| Carried { found: stretch.found(it.through), ..it })
        .map_err(|failure| failure.beside(&work.bad))
}

/// Files of records that can't be read are kept up to so many.
const MAX_BAD: u32 = 9;

/// An exchange under way.
struct Work<'a> {
    range: &'a Range<'a>,
    settling: Settling<'a>,
    /// Those that are for another database.
    others: Vec<Entry<'static>>,
    /// So many of what is settled are from the journal, the others were set aside before.
    fresh: usize,
    again: bool,
    /// Why the file of what was set aside could not be read, and its name now.
    bad: String,
    /// What the file in its place begins with.
    anew: Vec<u8>,
}

/// The database as one that records are brought to, connected when the first one comes.
struct Counter<'a> {
    kept: &'a mut Kept,
    database: &'a Database,
    range: &'a Range<'a>,
    writer: Option<Writer<'a>>,
    began: Instant,
    /// Called whenever the database has answered.
    works: &'a mut dyn FnMut(),
}

impl Desk for Counter<'_> {
    type Failure = Failure;

    fn write(&mut self, entries: &[Entry<'_>], jobs: bool) -> Result<Taken, Failure> {
        let Range { server_id, zone, .. } = self.range;
        let records = entries.iter().filter_map(|entry| record(entry, *server_id, zone));
        let mut batch = Batch::new(records.collect());
        if batch.count == 0 {
            return Ok(Taken::new());
        }
        if !jobs {
            batch.last_runs.clear();
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::open(self.kept, self.database)?),
        };
        let written = writer.write(&batch);
        // Taken or refused.
        (self.works)();
        written
    }

    fn spent_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn room(&mut self) -> usize {
        // One that is not there, or can't be read and gets another name, has all of its room.
        let bytes = own::read(self.range.refused, MAX_FILE_BYTES).unwrap_or_default();
        Refused::read(&bytes).room()
    }
}

impl Refusal for Failure {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn statement(&self) -> Option<Statement> {
        self.statement
    }

    fn told_as(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    fn why(&self) -> &str {
        &self.message
    }
}

impl Failure {
    /// The same with what else has happened; empty: nothing has.
    fn beside(mut self, what: &str) -> Self {
        if !what.is_empty() {
            self.message = format!("{}; {what}", self.message);
        }
        self
    }
}

impl Work<'_> {
    /// Brings to the database what was found in the range, and what is tried again, both beginning
    /// anywhere. Returns how many of the former are settled.
    fn settle(
        &mut self,
        (found, any): (&[Entry<'_>], usize),
        counter: &mut Counter<'_>,
    ) -> Result<usize, Failure> {
        self.settling.known(self.range.taken);
        if self.range.believe {
            let bytes = self.read_refused()?;
            let aside = Refused::read(&bytes).entries();
            let aside = aside.iter().filter(|entry| self.range.homes.has(entry)).count() as u64;
            self.settling.believe(found.len() as u64, aside);
        }
        let done = self.settling.carry(counter)?;
        self.fresh = self.settling.settled.len();
        if self.range.retry {
            let retried = self.retry(any, counter);
            // What is new counts whatever becomes of it.
            if found.is_empty() {
                retried?;
            }
        }
        Ok(done)
    }

    /// Tries again what is set aside, beginning anywhere: where not all can be tried in time, it
    /// is others each time.
    fn retry(&mut self, any: usize, counter: &mut Counter<'_>) -> Result<(), Failure> {
        let bytes = self.read_refused()?;
        let mut entries = Refused::read(&bytes).entries();
        entries.retain(|entry| self.range.homes.has(entry));
        let first = any % entries.len().max(1);
        entries.rotate_left(first);
        let done = self.settling.again(&entries, counter)?;
        let taken =
            self.settling.settled[self.fresh..].iter().any(|(_, refused)| refused.is_none());
        self.again = taken && done < entries.len();
        Ok(())
    }

    /// What is set aside. A file that can't be read gets another name: it must not hold back the
    /// records of all other runs.
    fn read_refused(&mut self) -> Result<Vec<u8>, Failure> {
        let path = self.range.refused;
        match own::read(path, MAX_FILE_BYTES) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(self.anew.clone()),
            Err(why) if !is_scarce(&why) => {
                self.begin_anew(&why)?;
                Ok(self.anew.clone())
            }
            read => read.map_err(|why| unkept(path, &why)),
        }
    }

    /// Gives the file another name, and counts the records in it as dropped: in the one that takes
    /// its place, so that they are counted even if this exchange comes to nothing.
    fn begin_anew(&mut self, why: &io::Error) -> Result<(), Failure> {
        let (path, known) = (self.range.refused, self.range.known);
        let is_first = self.bad.is_empty();
        // Those that are tried again in this exchange were read before.
        let read = &self.settling.settled[self.fresh..];
        let read = read.iter().filter(|(entry, _)| entry.is_record()).count() as u64;
        let is_known = known.count > 0 || known.stand.records > 0;
        let count = if is_known { known.stand.records } else { least_records(path) };
        let count = count.saturating_sub(read);
        let count = if is_first { count } else { 0 };
        let told = put_aside(path, why, count)?;
        self.bad = if is_first { told } else { format!("{}; {told}", self.bad) };
        if is_first {
            self.anew = Refused::begun_anew(known.stand, count);
        }
        if !self.anew.is_empty() {
            // Where there is no room for it, this exchange tells what it says.
            let _ = change(path, Change::Replace(self.anew.clone()));
        }
        Ok(())
    }

    /// Notes in the file what was refused, and takes out what was written.
    fn keep(&mut self, through: u64) -> Result<Carried, Failure> {
        let path = self.range.refused;
        let settled = &self.settling.settled;
        let count = settled.iter().filter(|(_, refused)| refused.is_none()).count();
        let any = count < settled.len() || !self.others.is_empty();
        let pace = if settled.is_empty() { 0 } else { self.settling.pace as u32 };
        let (count, again) = (count as u64, self.again);
        let mut carried = Carried { count, through, pace, again, ..Carried::default() };
        let is_missed = self.range.known.stand.records > 0;
        if any || !self.anew.is_empty() || path.exists() || is_missed {
            // A helper of a daemon that was killed may be at the same point.
            let lock = File::open(self.range.journal).map_err(|err| unkept(path, &err))?;
            flock(&lock, FlockOperation::LockExclusive).map_err(|err| unkept(path, &err.into()))?;
            self.keep_in(path, &mut carried)?;
        }
        carried.taken = self.settling.taken.iter().copied().collect();
        carried.told = std::mem::take(&mut self.settling.told);
        let told = [carried.unkept.as_str(), &self.bad];
        carried.unkept =
            told.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
        Ok(carried)
    }

    fn keep_in(&mut self, path: &Path, carried: &mut Carried) -> Result<(), Failure> {
        let bytes = self.read_refused()?;
        let before = Refused::known_as(self.range.known.stand, &bytes);
        let mut refused = before.clone();
        let mut lost = self.settling.note(&mut refused, self.fresh);
        let others = refused.put_by(&self.others, self.range.homes);
        let changed = self.change(&before, &mut refused);
        // What is there stays where nothing can be changed, and what of it was accepted is found in
        // the database the next time.
        let now = if changed.is_ok() { &refused } else { &before };
        carried.aside = now.told(self.range.homes);
        let why = match (changed, others) {
            (Ok(()), Ok(told)) => {
                self.settling.told.extend(told);
                return Ok(());
            }
            (Ok(()), Err(why)) => {
                lost.clear();
                format!("{}: {why}", path.display())
            }
            (Err(why), _) if lost.is_empty() && self.others.is_empty() => {
                eprintln!("{}: {why}: what was accepted is tried again", path.display());
                return Ok(());
            }
            (Err(why), _) => unkept(path, &why).message,
        };
        lost.append(&mut self.others);
        // What comes behind the first that is not kept is tried again, too.
        let (stretch, _) = read(self.range, self.range.from, carried.through, RANGE_BYTES)?;
        carried.through = stretch.before(&lost).unwrap_or(self.range.from);
        carried.unkept = why;
        Ok(())
    }

    /// Changes the file. What of it can't be read is somewhere else before it is lost there.
    fn change(&mut self, before: &Refused<'_>, refused: &mut Refused<'_>) -> io::Result<()> {
        let path = self.range.refused;
        let damaged = before.damaged();
        if damaged.is_empty() {
            change(path, refused.change())?;
            self.bad = if before.gone() > 0 { gone(path, before) } else { self.bad.clone() };
            return Ok(());
        }
        let (bad, replaced) = name_of_bad(path);
        let written = put(path, &bad, &[&damaged.join(&b'\n'), &b"\n"[..]].concat());
        let kept = written.map_err(|why| {
            let bad = own::told(&bad, &why);
            io::Error::other(format!("lines that can't be read can't be kept in {bad}"))
        });
        let changed = kept.and_then(|()| change(path, refused.change()));
        match changed {
            Ok(()) => {
                let lines = counted(damaged.len() as u64, "line");
                let (path, bad) = (path.display(), bad.display());
                let told = format!("{lines} can't be read: in {bad} now{replaced}");
                self.bad = format!("what was set aside: {path}: {told}");
                if before.gone() > 0 {
                    self.bad = format!("{}; {}", self.bad, gone(self.range.refused, before));
                }
            }
            // It is all still there.
            Err(_) => drop(own::remove(&bad)),
        }
        changed
    }
}

/// What is told of records that somebody has taken away with the file, or a part of it.
fn gone(path: &Path, before: &Refused<'_>) -> String {
    let (records, path) = (counted(before.gone(), "record"), path.display());
    format!("what was set aside: {path}: somebody took {records} away")
}

/// Whether it says nothing of the file itself.
fn is_scarce(why: &io::Error) -> bool {
    let scarce = [Errno::AGAIN, Errno::INTR, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    why.kind() == io::ErrorKind::WouldBlock
        || Errno::from_io_error(why).is_some_and(|errno| scarce.contains(&errno))
}

/// Gives what can't be read another name. Returns what is to be told of it and of the records in
/// it, so many at least.
fn put_aside(path: &Path, why: &io::Error, count: u64) -> Result<String, Failure> {
    let (free, replaced) = name_of_bad(path);
    own::rename(path, &free).map_err(|err| {
        let (bad, kept) = (own::told(path, why), own::told(&free, &err));
        let text = format!("what was set aside: {bad}; it can't be renamed to {kept}");
        Failure::new(ErrorKind::Other, text)
    })?;
    let (bad, free) = (own::told(path, why), free.display());
    let with = match count {
        0 => String::new(),
        _ => format!(", with {} at least", counted(count, "record")),
    };
    Ok(format!("what was set aside: {bad}: it is {free} now{replaced}{with}"))
}

/// So many records are in a file at least that can't be read.
fn least_records(path: &Path) -> u64 {
    // What is no file is not ours.
    let found = fs::symlink_metadata(path);
    u64::from(found.is_ok_and(|found| found.is_file() && found.len() > 0))
}

/// Names for what can't be read, in the order in which they are taken.
fn names_of_bad(path: &Path) -> impl Iterator<Item = PathBuf> {
    (1..=MAX_BAD).map(|number| match number {
        1 => path.with_extension("bad"),
        _ => path.with_extension(format!("bad.{number}")),
    })
}

/// A name for what can't be read, and what is to be told of a file that has it.
fn name_of_bad(path: &Path) -> (PathBuf, &'static str) {
    let free = names_of_bad(path).find(|name| fs::symlink_metadata(name).is_err());
    let last = || names_of_bad(path).last().unwrap_or_else(|| path.to_owned());
    free.map_or_else(|| (last(), ", in place of an older one that is gone"), |free| (free, ""))
}

fn unkept(path: &Path, why: &io::Error) -> Failure {
    let text = format!("what is to be set aside can't be kept: {}", own::told(path, why));
    Failure::new(ErrorKind::Other, text)
}

/// Changes the file of what is set aside. It is on the disk before the daemon is told: the part of
/// the journal that it is from may be deleted then.
fn change(path: &Path, change: Change) -> io::Result<()> {
    match change {
        Change::None => Ok(()),
        Change::Add(lines) => {
            let mut file = own::open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)?;
            let before = file.metadata()?.len();
            let added = file.write_all(&lines).and_then(|()| file.sync_data());
            // All of it comes again, and a torn line would be told as damage.
            added.inspect_err(|_| drop(file.set_len(before)))
        }
        Change::Replace(lines) if lines.is_empty() => match own::remove(path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
        Change::Replace(lines) => put(path, path, &lines),
    }
}

/// Puts a file `at` this path, beside or in place of that of what is set aside: the whole of it, or
/// what was there stays.
fn put(path: &Path, at: &Path, lines: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = own::create(&temporary)?;
    let written = file.write_all(lines).and_then(|()| file.sync_data());
    let put = written.and_then(|()| own::rename(&temporary, at));
    put.inspect_err(|_| drop(own::remove(&temporary)))
}

fn read(range: &Range<'_>, from: u64, to: u64, bytes: usize) -> Result<(Stretch, u64), Failure> {
    read_range(range.journal, from, to, bytes).map_err(|err| {
        let hint = "the daemon's user must be able to read it";
        let path = range.journal.display();
        Failure::new(ErrorKind::Other, format!("journal {path}: {err}: {hint}"))
    })
}

/// What is set aside in the file at this path, for who only looks. `known`: how it stood.
pub fn read_set_aside(path: &Path, known: Stand, homes: &Homes) -> io::Result<SetAside> {
    let bytes = match own::read(path, MAX_FILE_BYTES) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    Ok(Refused::known_as(known, &bytes).told(homes))
}
