//! Carries records from the journal to the database, and sets aside those that it refuses for
//! themselves, so that one bad record blocks no other.
//!
//! The whole range is tried in one transaction. Where that is refused for one of the records it is
//! carried in small pieces, and a piece that is refused in halves, down to the record that it is.
//! All of it can be done again: rows are found by their keys, and what is set aside as well.

use super::records::Batch;
use super::{Failure, sqlite};
use crate::core::cron::Zone;
use crate::core::journal::Entry;
use crate::core::limits::{MAX_REASON_CHARS, MAX_REFUSED_BYTES, cut};
use crate::core::protocol::{Database, Driver, ErrorKind, Record, SetAside};
use crate::core::records::{news, record};
use crate::core::refused::{Change, Refused, about};
use crate::shell::journal::read_range;
use crate::shell::own;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Bytes of the journal that are carried in one exchange: some 10,000 runs.
const RECORD_BYTES: usize = 4 << 20;

/// Bytes that are carried at a time once a record was refused: some 40 runs. Should all of them be
/// refused over a slow line, that still ends in time.
const PIECE_BYTES: usize = 16 << 10;

/// Records that were set aside and are tried again at a time.
const RETRIED_AT_A_TIME: usize = 40;

/// No further piece is begun after this: the daemon kills a helper that takes 30 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// Bytes of the file of what is set aside: it is written anew when it has grown too long.
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
}

/// Carries what the range holds.
///
/// # Errors
/// The database can't be reached or is not fit to be written; or what it refuses can't be kept.
pub fn carry(database: &Database, range: &Range<'_>) -> Result<Carried, Failure> {
    let until = Instant::now() + PATIENCE;
    let mut work =
        Work { database, range, writer: None, settled: Vec::new(), fresh: 0, told: Vec::new() };
    let (lines, mut through) = read(range, range.from, range.to, RECORD_BYTES)?;
    let found = news(&lines);
    match work.write(&found, true) {
        Ok(()) => work.accept(&found),
        Err(failure) if failure.kind == ErrorKind::Refused => {
            through = work.in_pieces(through, until)?;
        }
        Err(failure) => return Err(failure),
    }
    work.fresh = work.settled.len();
    if range.retry {
        work.retry(until)?;
    }
    let count = work.settled.iter().filter(|(_, refused)| refused.is_none()).count() as u64;
    let aside = work.keep()?;
    Ok(Carried { count, through, told: work.told, aside })
}

/// An exchange under way.
struct Work<'a> {
    database: &'a Database,
    range: &'a Range<'a>,
    writer: Option<Writer<'a>>,
    /// What was written, and what was refused and why, in order.
    settled: Vec<(Entry<'static>, Option<String>)>,
    /// So many of those are from the journal, the others were set aside before.
    fresh: usize,
    told: Vec<String>,
}

enum Writer<'a> {
    Mysql(Box<super::mysql::Writer<'a>>),
    Sqlite(sqlite::Writer<'a>),
}

impl<'a> Writer<'a> {
    fn open(database: &'a Database) -> Result<Self, Failure> {
        Ok(match database.driver {
            Driver::Mysql => Self::Mysql(Box::new(super::mysql::Writer::open(database)?)),
            Driver::Sqlite => Self::Sqlite(sqlite::Writer::open(database)?),
        })
    }

    /// Writes all of the batch, in one transaction, or nothing.
    fn write(&mut self, batch: &Batch) -> Result<(), Failure> {
        match self {
            Self::Mysql(writer) => writer.write(batch),
            Self::Sqlite(writer) => writer.write(batch),
        }
    }
}

/// Writes records in one transaction, idempotent by their keys. Returns how many there were.
///
/// # Errors
/// The database can't be reached, or refuses: then none is written.
pub fn write_records(database: &Database, records: Vec<Record>) -> Result<u64, Failure> {
    let batch = Batch::new(records);
    if batch.count > 0 {
        Writer::open(database)?.write(&batch)?;
    }
    Ok(batch.count)
}

impl Work<'_> {
    /// Writes all of the entries or nothing; with `jobs` also when their jobs ran last.
    fn write(&mut self, entries: &[Entry<'_>], jobs: bool) -> Result<(), Failure> {
        let Range { server_id, zone, .. } = self.range;
        let records = entries.iter().filter_map(|entry| record(entry, *server_id, zone));
        let mut batch = Batch::new(records.collect());
        if batch.count == 0 {
            return Ok(());
        }
        if !jobs {
            batch.last_runs.clear();
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(Writer::open(self.database)?),
        };
        writer.write(&batch)
    }

    fn accept(&mut self, entries: &[Entry<'_>]) {
        self.settled.extend(entries.iter().filter_map(|entry| Some((owned(entry)?, None))));
    }

    /// Carries the range up to `to` in small pieces. Returns how far it came.
    fn in_pieces(&mut self, to: u64, until: Instant) -> Result<u64, Failure> {
        let mut at = self.range.from;
        while at < to && Instant::now() < until {
            let mut bytes = PIECE_BYTES;
            let (lines, through) = loop {
                let (lines, through) = read(self.range, at, to, bytes)?;
                if through > at || bytes >= RECORD_BYTES {
                    break (lines, through);
                }
                // A line that is longer than a piece.
                bytes *= 2;
            };
            self.halve(&news(&lines))?;
            at = through;
        }
        Ok(at)
    }

    /// Writes what can be written of the entries; the others are refused.
    fn halve(&mut self, entries: &[Entry<'_>]) -> Result<(), Failure> {
        match (self.write(entries, true), entries) {
            (Ok(()), _) => self.accept(entries),
            (Err(failure), _) if failure.kind != ErrorKind::Refused => return Err(failure),
            (Err(failure), [entry]) => self.one(entry, &failure)?,
            (Err(_), _) => {
                let (first, second) = entries.split_at(entries.len() / 2);
                self.halve(first)?;
                self.halve(second)?;
            }
        }
        Ok(())
    }

    /// A single record was refused. It may have been for its job's row, where a trigger watches
    /// that: the record itself is still taken. (It may also have been for a helper of an earlier
    /// daemon that was writing the same: then it is there by now.)
    fn one(&mut self, entry: &Entry<'_>, failure: &Failure) -> Result<(), Failure> {
        match self.write(std::slice::from_ref(entry), false) {
            Ok(()) => {
                self.accept(std::slice::from_ref(entry));
                if let Entry::Run(run) = entry {
                    let why = cut(&failure.message, MAX_REASON_CHARS);
                    let job = run.job;
                    self.told.push(format!("last_run_time of job={job} is not set: {why}"));
                }
            }
            Err(failure) if failure.kind == ErrorKind::Refused => {
                self.settled.extend(owned(entry).map(|entry| (entry, Some(failure.message))));
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Tries again what is set aside, beginning anywhere: where not all can be tried in time, it
    /// is others each time.
    fn retry(&mut self, until: Instant) -> Result<(), Failure> {
        let bytes = self.read_refused()?;
        let mut entries = Refused::read(&bytes).entries();
        let any = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let first = any.subsec_nanos() as usize % entries.len().max(1);
        entries.rotate_left(first);
        for entries in entries.chunks(RETRIED_AT_A_TIME) {
            if Instant::now() >= until {
                break;
            }
            self.halve(entries)?;
        }
        Ok(())
    }

    /// Notes in the file what was refused, and takes out what was written.
    fn keep(&mut self) -> Result<SetAside, Failure> {
        let path = self.range.refused;
        let any = self.settled.iter().any(|(_, refused)| refused.is_some());
        if !any && !path.exists() {
            return Ok(SetAside::default());
        }
        // A helper of a daemon that was killed may be at the same point.
        let lock = File::open(self.range.journal).map_err(|err| self.unkept(&err))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|err| self.unkept(&err.into()))?;
        let bytes = self.read_refused()?;
        let before = Refused::read(&bytes);
        let mut refused = before.clone();
        for (place, (entry, why)) in std::mem::take(&mut self.settled).into_iter().enumerate() {
            match why {
                None => refused.accept(&entry),
                Some(why) => {
                    let told = about(&entry, &why);
                    if refused.refuse(entry, &why) && place < self.fresh {
                        self.told.push(told);
                    }
                }
            }
        }
        match change(path, refused.change()) {
            Ok(()) => Ok(refused.told()),
            Err(why) if any => Err(self.unkept(&why)),
            Err(why) => {
                // They stay there and are found in the database the next time.
                eprintln!("{}: {why}: what was accepted is tried again", path.display());
                Ok(before.told())
            }
        }
    }

    fn read_refused(&self) -> Result<Vec<u8>, Failure> {
        match own::read(self.range.refused, MAX_FILE_BYTES) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|why| self.unkept(&why)),
        }
    }

    fn unkept(&self, why: &io::Error) -> Failure {
        let path = self.range.refused.display();
        let hint = "the daemon's user must be able to write it, and there must be room";
        let text = format!("what the database refuses can't be kept in {path}: {why}: {hint}");
        Failure::new(ErrorKind::Other, text)
    }
}

/// Changes the file of what is set aside. It is on the disk before the daemon is told: the part of
/// the journal that it is from may be deleted then.
fn change(path: &Path, change: Change) -> io::Result<()> {
    match change {
        Change::None => Ok(()),
        Change::Add(lines) => {
            let mut file = own::open(path, OpenOptions::new().create(true).append(true))?;
            file.write_all(&lines)?;
            file.sync_data()
        }
        Change::Replace(lines) if lines.is_empty() => fs::remove_file(path),
        Change::Replace(lines) => {
            let temporary = path.with_extension("tmp");
            let mut file = own::create(&temporary)?;
            file.write_all(&lines)?;
            file.sync_data()?;
            fs::rename(temporary, path)
        }
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

fn read(range: &Range<'_>, from: u64, to: u64, bytes: usize) -> Result<(Vec<u8>, u64), Failure> {
    read_range(range.journal, from, to, bytes).map_err(|err| {
        let hint = "the daemon's user must be able to read it";
        let path = range.journal.display();
        Failure::new(ErrorKind::Other, format!("journal {path}: {err}: {hint}"))
    })
}

/// What is set aside below a state directory, for who only looks.
pub fn read_set_aside(path: &Path) -> io::Result<SetAside> {
    match own::read(path, MAX_FILE_BYTES) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(SetAside::default()),
        read => Ok(Refused::read(&read?).told()),
    }
}
