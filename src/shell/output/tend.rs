//! Looks after the files of outputs, for a helper: deletes those that are not kept, and leaves out
//! the middle of those that are too long (see [`limit`]).
//!
//! Only files that are ours by name are touched, `RUN.out` and `RUN.err` in the directory of their
//! job, and no link is followed: what a row names itself is none of them, wherever it is.

mod limit;
mod room;

use super::{Outputs, next_name, own_entries};
use crate::core::ids::{JobId, RunId};
use crate::core::protocol::{JobFiles, OutputsAsk, Tended};
use crate::shell::own::{self, told};
use crate::shell::sys;
use limit::{Cut, cut_ended, cut_live};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What the files of a run end in.
const ENDINGS: [&str; 2] = ["out", "err"];

/// A job whose directory has so many more files than are kept is looked at in parts, one each time.
const MORE_FILES: usize = 50_000;

/// Files that are deleted at a time, of a job.
const MAX_DELETED: usize = 500;

/// Of a file that grows it is looked again before it has taken so much of the limit: an eighth.
const PART: u64 = 8;

/// Files that did not grow are looked at again after this, ms: one may write nothing for an hour,
/// and then a gigabyte in some seconds.
const IDLE_MS: u64 = 3_000;

/// A file by its device and number.
type File = (u64, u64);

/// Remembers how long files were, so that it can tell when to look again.
#[derive(Debug, Default)]
pub struct Tender {
    sizes: BTreeMap<File, (u64, Instant)>,
}

impl Tender {
    /// Does what is asked for. What can't be done is told and is no reason to leave the rest.
    pub fn tend(&mut self, ask: &OutputsAsk) -> Tended {
        let mut tended = Tended::default();
        let outputs = Outputs::new(Path::new(&ask.state_dir));
        if let Some(live) = &ask.give_way {
            room::make(&outputs.root, live, ask.upto, &mut tended);
        }
        let sizes = std::mem::take(&mut self.sizes);
        for (job, run) in ask.live.iter().chain(&ask.written) {
            let dir = outputs.dir_of(*job);
            for ending in ENDINGS {
                let file = dir.join(format!("{run}.{ending}"));
                let looked = self.look_at_live(&file, ask.limit_bytes, &sizes, &mut tended);
                note(&mut tended, &file, looked);
            }
        }
        let goes_on = |(job, run): &&(JobId, RunId)| {
            let dir = own::enter_ours(&outputs.dir_of(*job), OFlags::PATH);
            dir.is_ok_and(|dir| is_written(dir.as_fd(), *run))
        };
        tended.written.extend(ask.written.iter().filter(goes_on));
        for files in &ask.jobs {
            let dir = outputs.dir_of(files.job);
            let done = tend_job(&dir, files, ask, &mut tended);
            note(&mut tended, &dir, done);
        }
        if !(ask.live.is_empty() && ask.written.is_empty()) && tended.within_ms == 0 {
            tended.within_ms = IDLE_MS;
        }
        tended
    }

    fn look_at_live(
        &mut self,
        path: &Path,
        limit: u64,
        sizes: &BTreeMap<File, (u64, Instant)>,
        tended: &mut Tended,
    ) -> io::Result<()> {
        let Some((dir, name)) = path.parent().zip(path.file_name()) else { return Ok(()) };
        let dir = own::enter_ours(dir, OFlags::PATH)?;
        let found = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if !is_plain(&found) {
            return Ok(());
        }
        let (now, size) = (Instant::now(), length(&found));
        let id: File = (found.st_dev, found.st_ino);
        self.sizes.insert(id, (size, now));
        let before = sizes.get(&id).copied();
        let within = within_ms(before.map(|(size, at)| (size, now - at)), size, limit);
        tended.within_ms = match tended.within_ms {
            0 => within,
            before => before.min(within),
        };
        if size <= limit {
            return Ok(());
        }
        let file = open(dir.as_fd(), name)?;
        match cut_live(&file, limit)? {
            Cut::Not => {}
            Cut::LeftOut(bytes) => tended.left_out_bytes += bytes,
            Cut::NoHoles => tended.no_holes = true,
        }
        Ok(())
    }
}

impl Outputs {
    fn dir_of(&self, job: JobId) -> PathBuf {
        self.root.join(job.to_string())
    }
}

/// When a file is to be looked at again, ms. It was so long at first, that long ago.
fn within_ms(before: Option<(u64, std::time::Duration)>, size: u64, limit: u64) -> u64 {
    let Some((before, ago)) = before else { return 1_000 };
    let (grown, ago_ms) = (size.saturating_sub(before), ago.as_millis().max(1));
    if grown == 0 {
        return IDLE_MS;
    }
    let room = if size < limit { limit - size } else { limit / PART };
    let ms = u128::from(room.max(limit / PART)) * ago_ms / u128::from(grown);
    u64::try_from(ms).unwrap_or(IDLE_MS).clamp(1, IDLE_MS)
}

/// What is not there costs nothing; the first trouble is told.
fn note(tended: &mut Tended, path: &Path, done: io::Result<()>) {
    if let Err(why) = done
        && why.kind() != io::ErrorKind::NotFound
        && tended.trouble.is_empty()
    {
        tended.trouble = told(path, &why);
    }
}

fn tend_job(dir: &Path, files: &JobFiles, ask: &OutputsAsk, tended: &mut Tended) -> io::Result<()> {
    let live: BTreeSet<RunId> = files.live.iter().copied().collect();
    let mut stay: BTreeSet<RunId> = files.last.iter().copied().collect();
    if let Some(others) = files.others {
        let mut entries = own_entries(dir)?;
        // With as many as are kept, there are some that need not be.
        let kept = ENDINGS.len() * (live.len() + stay.len() + others);
        let runs = runs_of(&mut entries, ask.upto, kept + MORE_FILES);
        let rest = runs.iter().rev().filter(|run| !live.contains(run) && !stay.contains(run));
        let rest: Vec<RunId> = rest.copied().collect();
        let (kept, gone) = rest.split_at(others.min(rest.len()));
        let before = tended.deleted;
        delete(dir, &entries, gone.iter().rev().take(MAX_DELETED), tended)?;
        // Where nothing can be deleted the next run to end is time enough.
        if gone.len() > MAX_DELETED && tended.deleted > before {
            tended.more.push(files.job);
        }
        stay.extend(kept);
    }
    if ask.limit_bytes == 0 {
        return Ok(());
    }
    let entered = own::enter_ours(dir, OFlags::PATH)?;
    for run in stay.difference(&live) {
        // Of older ones it is known, or they are short.
        if files.last.contains(run) && is_written(entered.as_fd(), *run) {
            tended.written.push((files.job, *run));
            continue;
        }
        for ending in ENDINGS {
            let name = format!("{run}.{ending}");
            match look_at_ended(entered.as_fd(), &name, ask.limit_bytes, tended) {
                Ok(true) => {}
                Ok(false) if !tended.again.contains(&files.job) => tended.again.push(files.job),
                Ok(false) => {}
                Err(why) => note(tended, &dir.join(&name), Err(why)),
            }
        }
    }
    Ok(())
}

/// The runs that have files here, up to a sequence; others are no business of ours.
fn runs_of(entries: &mut Dir, upto: u64, most: usize) -> BTreeSet<RunId> {
    let mut runs = BTreeSet::new();
    let mut seen = 0;
    while let Some(name) = next_name(entries)
        && seen < most
    {
        let run = name.to_str().and_then(run_of);
        if let Some(run) = run.filter(|run| run.sequence <= upto) {
            seen += 1;
            runs.insert(run);
        }
    }
    runs
}

/// The run that a file is of by its name.
fn run_of(name: &str) -> Option<RunId> {
    let (run, _) = name.split_once('.').filter(|(_, ending)| ENDINGS.contains(ending))?;
    run.parse().ok()
}

fn delete<'a>(
    dir: &Path,
    entries: &Dir,
    gone: impl Iterator<Item = &'a RunId>,
    tended: &mut Tended,
) -> io::Result<()> {
    for run in gone {
        for ending in ENDINGS {
            let name = format!("{run}.{ending}");
            match unlinkat(entries.fd()?, name.as_str(), AtFlags::empty()) {
                Ok(()) => tended.deleted += 1,
                Err(why) => note(tended, &dir.join(name), Err(why.into())),
            }
        }
    }
    Ok(())
}

/// Whether somebody has a file of a run open to write to it.
fn is_written(dir: BorrowedFd<'_>, run: RunId) -> bool {
    let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |ending| openat(dir, format!("{run}.{ending}"), how, Mode::empty());
    ENDINGS.into_iter().any(|ending| open(ending).is_ok_and(|file| sys::is_written(&file)))
}

/// Cuts a file whose run has ended. Returns whether that is done; not as long as somebody may
/// follow it: the end of what he has read would be somewhere else.
fn look_at_ended(
    dir: BorrowedFd<'_>,
    name: &str,
    limit: u64,
    tended: &mut Tended,
) -> io::Result<bool> {
    let found = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if !is_plain(&found) || length(&found) <= limit {
        return Ok(true);
    }
    let file = open(dir, name)?;
    let is_fresh = limit::age_s(&found) < limit::FRESH_S;
    let cut = if is_fresh { cut_live(&file, limit)? } else { cut_ended(&file, limit)? };
    if let Cut::LeftOut(bytes) = cut {
        tended.left_out_bytes += bytes;
    }
    Ok(!is_fresh)
}

/// A regular file that has no other name.
fn is_plain(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink == 1
}

fn length(found: &Stat) -> u64 {
    u64::try_from(found.st_size).unwrap_or(0)
}

/// Opens a file, if it is still a plain one.
fn open(dir: BorrowedFd<'_>, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let how = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(dir, name, how, Mode::empty())?;
    if !is_plain(&fstat(&file)?) {
        return Err(Errno::NOENT.into());
    }
    Ok(file)
}
