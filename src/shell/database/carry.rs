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
use crate::core::limits::MAX_REFUSED_BYTES;
use crate::core::protocol::{Database, Driver, ErrorKind, Record, SetAside};
use crate::core::records::{news, record};
use crate::core::refused::{Change, Refused};
use crate::core::settle::{Refusal, Settling, Write, bytes_before};
use crate::shell::journal::read_range;
use crate::shell::own;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
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
    /// Whether a few are believed to be bad although none is taken.
    pub believe: bool,
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
}

/// Carries what the range holds.
///
/// # Errors
/// The database can't be reached or is not fit to be written.
pub fn carry(database: &Database, range: &Range<'_>) -> Result<Carried, Failure> {
    let until = Instant::now() + PATIENCE;
    let (lines, mut through) = read(range, range.from, range.to, RECORD_BYTES)?;
    let found = news(&lines);
    let any = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let any = any.subsec_nanos() as usize;
    let mut work = Work { range, settling: Settling::new(&found, any), fresh: 0 };
    if range.believe {
        let aside = Refused::read(&read_refused(range.refused)?).told().count;
        work.settling.believe(found.len() as u64, aside);
    }
    let mut writer = None;
    let write = &mut |entries: &[Entry<'_>], jobs| {
        write_entries(database, range, &mut writer, entries, jobs)
    };
    if !work.settling.whole(&found, write)? {
        through = work.in_pieces(through, until, write)?;
    }
    work.fresh = work.settling.settled.len();
    if range.retry {
        work.retry(until, any, write)?;
    }
    work.keep(through)
}

/// An exchange under way.
struct Work<'a> {
    range: &'a Range<'a>,
    settling: Settling<'a>,
    /// So many of what is settled are from the journal, the others were set aside before.
    fresh: usize,
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

/// Writes all of the entries or nothing; with `jobs` also when their jobs ran last.
fn write_entries<'a>(
    database: &'a Database,
    range: &Range<'_>,
    writer: &mut Option<Writer<'a>>,
    entries: &[Entry<'_>],
    jobs: bool,
) -> Result<(), Failure> {
    let Range { server_id, zone, .. } = range;
    let records = entries.iter().filter_map(|entry| record(entry, *server_id, zone));
    let mut batch = Batch::new(records.collect());
    if batch.count == 0 {
        return Ok(());
    }
    if !jobs {
        batch.last_runs.clear();
    }
    let writer = match writer {
        Some(writer) => writer,
        none => none.insert(Writer::open(database)?),
    };
    writer.write(&batch)
}

impl Refusal for Failure {
    fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn why(&self) -> &str {
        &self.message
    }
}

impl Work<'_> {
    /// Carries the range up to `to` in small pieces. Returns how far it came.
    fn in_pieces(
        &mut self,
        to: u64,
        until: Instant,
        write: Write<'_, Failure>,
    ) -> Result<u64, Failure> {
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
            self.settling.halve(&news(&lines), write)?;
            at = through;
        }
        Ok(at)
    }

    /// Tries again what is set aside, beginning anywhere: where not all can be tried in time, it
    /// is others each time.
    fn retry(
        &mut self,
        until: Instant,
        any: usize,
        write: Write<'_, Failure>,
    ) -> Result<(), Failure> {
        let bytes = read_refused(self.range.refused)?;
        let mut entries = Refused::read(&bytes).entries();
        let first = any % entries.len().max(1);
        entries.rotate_left(first);
        self.settling.only_again();
        for entries in entries.chunks(RETRIED_AT_A_TIME) {
            if Instant::now() >= until {
                break;
            }
            self.settling.halve(entries, write)?;
        }
        Ok(())
    }

    /// Notes in the file what was refused, and takes out what was written.
    fn keep(mut self, through: u64) -> Result<Carried, Failure> {
        let path = self.range.refused;
        let settled = &self.settling.settled;
        let count = settled.iter().filter(|(_, refused)| refused.is_none()).count();
        let any = count < settled.len();
        let mut carried = Carried { count: count as u64, through, ..Carried::default() };
        if any || path.exists() {
            // A helper of a daemon that was killed may be at the same point.
            let lock = File::open(self.range.journal).map_err(|err| unkept(path, &err))?;
            flock(&lock, FlockOperation::LockExclusive).map_err(|err| unkept(path, &err.into()))?;
            self.keep_in(path, &mut carried)?;
        }
        carried.told = self.settling.told;
        Ok(carried)
    }

    fn keep_in(&mut self, path: &Path, carried: &mut Carried) -> Result<(), Failure> {
        let bytes = read_refused(path)?;
        let before = Refused::read(&bytes);
        let mut refused = before.clone();
        let lost = self.settling.note(&mut refused, self.fresh);
        let Err(why) = change(path, refused.change()) else {
            carried.aside = refused.told();
            return Ok(());
        };
        // What is there stays, and what of it was accepted is found in the database the next time.
        carried.aside = before.told();
        if lost.is_empty() {
            eprintln!("{}: {why}: what was accepted is tried again", path.display());
            return Ok(());
        }
        // So is what comes behind the first that is not kept.
        let (lines, _) = read(self.range, self.range.from, carried.through, RECORD_BYTES)?;
        carried.through = self.range.from + bytes_before(&lines, &lost);
        carried.unkept = unkept(path, &why).message;
        Ok(())
    }
}

fn read_refused(path: &Path) -> Result<Vec<u8>, Failure> {
    match own::read(path, MAX_FILE_BYTES) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|why| unkept(path, &why)),
    }
}

fn unkept(path: &Path, why: &io::Error) -> Failure {
    let path = path.display();
    let hint = "the daemon's user must be able to write it, and there must be room";
    let text = format!("what the database refuses can't be kept in {path}: {why}: {hint}");
    Failure::new(ErrorKind::Other, text)
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
