//! Where a run writes to, and from where on: so that of one that failed the last line is found that
//! it wrote itself. A file that a row names may have what others wrote, and may have been moved
//! away, or made empty, since.
//!
//! Nothing is asked of a file system that may not answer: what was written there has no last line.

use super::{Opener, Outputs, Streams};
use crate::core::last_line::{self, TAIL_BYTES};
use crate::core::launch::{LaunchPlan, Stream};
use crate::shell::trusted::mounts::Mounts;
use crate::shell::trusted::open_regular;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::pread;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

/// See the module's text.
#[derive(Debug)]
pub struct Written {
    job_id: u32,
    stdout: File,
    stderr: File,
}

/// A file that a run writes to.
#[derive(Debug)]
enum File {
    /// One of the run's own.
    Own,
    /// One that its row names.
    Named(Box<Named>),
    /// Nothing can be said of it.
    Unknown,
}

#[derive(Debug)]
struct Named {
    path: Box<str>,
    device: u64,
    inode: u64,
    /// How long it was before, bytes.
    begin: u64,
}

impl File {
    fn of(path: &str, file: BorrowedFd<'_>) -> File {
        if path.is_empty() {
            return File::Own;
        }
        let found = fstat(file).ok();
        let regular = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
        match found.filter(|found| regular(found.st_mode)) {
            None => File::Unknown,
            Some(found) => File::Named(Box::new(Named {
                path: path.into(),
                device: found.st_dev,
                inode: found.st_ino,
                begin: u64::try_from(found.st_size).unwrap_or(0),
            })),
        }
    }

    fn last_line(&self, own: impl Fn() -> std::path::PathBuf, mounts: &Mounts) -> Box<str> {
        let read = match self {
            File::Own => open(&own(), false, mounts).and_then(|file| tail(&file, 0)),
            File::Named(named) => open(Path::new(&*named.path), true, mounts)
                .filter(|file| named.is_same(file))
                .and_then(|file| tail(&file, named.begin)),
            File::Unknown => None,
        };
        read.map_or_else(Box::default, |(bytes, is_cut)| last_line::of(&bytes, is_cut))
    }
}

impl Named {
    fn is_same(&self, file: &OwnedFd) -> bool {
        fstat(file).is_ok_and(|found| (found.st_dev, found.st_ino) == (self.device, self.inode))
    }
}

impl Opener {
    /// Where a run is about to write to: these are its streams.
    pub fn written(plan: &LaunchPlan, streams: &Streams) -> Written {
        Written {
            job_id: plan.job_id,
            stdout: File::of(&plan.output, streams.stdout()),
            stderr: File::of(&plan.stderr, streams.stderr()),
        }
    }

    /// What a run wrote last to its errors, else to its output; empty: nothing, or that can't be
    /// told.
    pub fn last_line(&self, run_id: &str, written: &Written) -> Box<str> {
        let of = |stream: Stream, file: &File| {
            let path = || Outputs::path(&self.outputs, written.job_id, run_id, stream);
            file.last_line(path, &self.mounts)
        };
        let errors = of(Stream::Stderr, &written.stderr);
        if errors.is_empty() { of(Stream::Stdout, &written.stdout) } else { errors }
    }
}

fn open(path: &Path, follow: bool, mounts: &Mounts) -> Option<OwnedFd> {
    open_regular(path, OFlags::RDONLY, follow, mounts).ok().flatten()
}

/// The end of what was written behind this offset, and whether there is more of it. What is
/// shorter was made empty meanwhile.
fn tail(file: &OwnedFd, begin: u64) -> Option<(Vec<u8>, bool)> {
    let size = u64::try_from(fstat(file).ok()?.st_size).ok()?;
    let begin = if size < begin { 0 } else { begin };
    let from = begin.max(size.saturating_sub(TAIL_BYTES as u64));
    let mut bytes = vec![0; TAIL_BYTES];
    let count = pread(file, &mut bytes[..], from).ok()?;
    bytes.truncate(count);
    Some((bytes, from > begin))
}
