//! Makes room on a full disk: the oldest outputs go, whichever job they are of, and whether or not
//! the daemon remembers their runs. An output is as old as its run.

use super::{ENDINGS, next_name, note, own_entries, run_of};
use crate::core::ids::{JobId, RunId};
use crate::core::protocol::Tended;
use rustix::fs::{AtFlags, Dir, statat, unlinkat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Runs whose files are deleted at a time.
const MAX_RUNS: usize = 5_000;

/// Room that is made at a time, bytes: what is kept for the journal, and some more.
const ENOUGH: u64 = 32 << 20;

/// A run that has files, and its job: when it began comes first.
type Old = (u64, RunId, JobId);

/// Deletes the oldest outputs below `root`, up to a run that has this sequence, but none of runs
/// that are alive.
pub fn make(root: &Path, live: &[RunId], upto: u64, tended: &mut Tended) {
    let live: BTreeSet<RunId> = live.iter().copied().collect();
    let is_old = |run: RunId| run.sequence <= upto && !live.contains(&run);
    let mut oldest = BTreeSet::new();
    match own_entries(root) {
        Ok(mut jobs) => {
            while let Some(name) = next_name(&mut jobs) {
                let Some(job) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
                let found = find(root, job, &is_old, &mut oldest);
                note(tended, &root.join(name), found);
            }
        }
        Err(why) => note(tended, root, Err(why)),
    }
    let mut freed = 0;
    // Runs that follow one another are often of one job.
    let mut opened: Option<(JobId, Dir)> = None;
    for (_, run, job) in oldest {
        if freed >= ENOUGH {
            break;
        }
        let dir = root.join(job.to_string());
        if opened.as_ref().is_none_or(|(of, _)| *of != job) {
            opened = own_entries(&dir).ok().map(|entries| (job, entries));
        }
        let Some((_, entries)) = &opened else { continue };
        match delete(entries, run) {
            Ok(bytes) => (freed, tended.gave_way) = (freed + bytes, tended.gave_way + 1),
            Err(why) => note(tended, &dir, Err(why)),
        }
    }
}

/// Adds the runs of a job that are among the oldest.
fn find(
    root: &Path,
    job: JobId,
    is_old: &impl Fn(RunId) -> bool,
    oldest: &mut BTreeSet<Old>,
) -> io::Result<()> {
    let mut entries = own_entries(&root.join(job.to_string()))?;
    while let Some(name) = next_name(&mut entries) {
        let run = name.to_str().and_then(run_of).filter(|run| is_old(*run));
        let Some(run) = run else { continue };
        let old = (run.sequence, run, job);
        if oldest.len() < MAX_RUNS || oldest.last().is_some_and(|newest| old < *newest) {
            oldest.insert(old);
        }
        if oldest.len() > MAX_RUNS {
            oldest.pop_last();
        }
    }
    Ok(())
}

/// Deletes the files of a run. Returns how many bytes they took.
fn delete(entries: &Dir, run: RunId) -> io::Result<u64> {
    let (mut bytes, mut done) = (0, Err(Errno::NOENT));
    for ending in ENDINGS {
        let name = format!("{run}.{ending}");
        let found = statat(entries.fd()?, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
        match unlinkat(entries.fd()?, name.as_str(), AtFlags::empty()) {
            Ok(()) => {
                bytes += found.map_or(0, |found| u64::try_from(found.st_blocks).unwrap_or(0) * 512);
                done = Ok(());
            }
            Err(Errno::NOENT) => {}
            // What went of it went.
            Err(why) => done = done.or(Err(why)),
        }
    }
    Ok(done.map(|()| bytes)?)
}
