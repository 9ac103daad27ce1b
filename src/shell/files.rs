//! Reading and clearing the files that the web shows. Bounded, and never waiting: what is no
//! regular file (a FIFO, a device) is left alone, and no stranger's link is followed.

pub mod helper;
pub mod lanes;

use crate::core::files::{FileName, FileTrouble, Identity, MAX_READ_BYTES, Mark, Piece, ReadPlan};
use crate::shell::logging;
use crate::shell::output::Outputs;
use crate::shell::owner;
use crate::shell::remedy::LEASED;
use crate::shell::trusted::mounts::Mounts;
use crate::shell::trusted::{self, Refusal, hard_links, open_regular};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Why nothing was read or cleared.
#[derive(Debug)]
pub enum Unread {
    /// That is how it is.
    Trouble(FileTrouble),
    /// This file is on a file system that may not answer, which is mounted there: it is to be asked
    /// elsewhere.
    Elsewhere(PathBuf, PathBuf),
}

impl From<FileTrouble> for Unread {
    fn from(trouble: FileTrouble) -> Unread {
        Unread::Trouble(trouble)
    }
}

/// Where a file is.
fn path_of(name: &FileName, outputs: &Outputs) -> Result<PathBuf, FileTrouble> {
    match name {
        FileName::Path(path) => Ok(PathBuf::from(path)),
        FileName::Run(job, run, stream) => Ok(outputs.path(job.0, &run.to_string(), *stream)),
        FileName::Log => logging::path().ok_or_else(|| {
            let why = "the daemon logs to its standard error: look where that goes";
            FileTrouble::Unusable(why.into())
        }),
    }
}

/// Reads what is planned.
///
/// # Errors
/// See [`Unread`].
pub fn read(plan: &ReadPlan, outputs: &Outputs, mounts: &Mounts) -> Result<Piece, Unread> {
    let (path, file) = open_first(&plan.names, outputs, OFlags::RDONLY, mounts)?;
    let piece = read_piece(&file, plan.from, plan.max_bytes);
    Ok(piece.map_err(|why| trouble(&path, &why))?)
}

/// The same of a file with this name, for who may wait.
///
/// # Errors
/// See [`FileTrouble`].
pub fn read_path(path: &Path, from: Option<Mark>, max_bytes: u64) -> Result<Piece, FileTrouble> {
    let file = open_one(path, OFlags::RDONLY, true, &Mounts::none())
        .map_err(|why| refused(path, &why))??;
    read_piece(&file, from, max_bytes).map_err(|why| trouble(path, &why))
}

/// Makes a file empty, for who may wait; but not if it `is_late` by the time that it is open.
///
/// # Errors
/// See [`FileTrouble`].
pub fn clear_path(path: &Path, is_late: impl Fn() -> bool) -> Result<(), FileTrouble> {
    let file = open_one(path, OFlags::WRONLY, true, &Mounts::none())
        .map_err(|why| refused(path, &why))??;
    // Who asked was told that nobody answers. What is in it by now may be newer.
    if is_late() {
        return Err(FileTrouble::NoAnswer(format!("{}: opened too late", path.display())));
    }
    file.set_len(0).map_err(|why| trouble(path, &why))
}

/// Where there is something first. A file that is made empty under a program that writes on where
/// it was begins with a hole, which may be larger than the disk (lseek(2), `SEEK_DATA`).
fn first_data(file: &File, size: u64) -> u64 {
    match rustix::fs::seek(file, SeekFrom::Data(0)) {
        Ok(offset) => offset.min(size),
        Err(Errno::NXIO) => size,
        Err(_) => 0,
    }
}

fn identity_of(meta: &Metadata) -> Identity {
    let born = meta.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let born_ns = born.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    Identity { device: meta.dev(), inode: meta.ino(), born_ns }
}

/// Where there is data between two places: from where on, and up to where.
fn data_between(file: &File, from: u64, size: u64) -> Option<(u64, u64)> {
    let begin = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(offset) => offset,
        Err(Errno::NXIO) => return None,
        Err(_) => from,
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(begin)).unwrap_or(size);
    (begin < size).then_some((begin, end.min(size)))
}

/// Stretches with data from this place on: in a long output of a run there is a hole where its
/// middle was.
fn stretches(file: &File, from: u64, size: u64) -> impl Iterator<Item = (u64, u64)> {
    const MAX_STRETCHES: usize = 1_000;
    let first = data_between(file, from, size);
    let all = std::iter::successors(first, move |(_, end)| data_between(file, *end, size));
    all.take(MAX_STRETCHES)
}

fn read_piece(file: &File, from: Option<Mark>, max_bytes: u64) -> io::Result<Piece> {
    let meta = file.metadata()?;
    let (identity, size) = (identity_of(&meta), meta.size());
    let max_bytes = max_bytes.min(MAX_READ_BYTES);
    let mut offset = match from {
        None => size.saturating_sub(max_bytes),
        Some(mark) if mark.identity == identity && mark.offset <= size => mark.offset,
        Some(_) => first_data(file, size),
    };
    let (mut end, mut holes) = (size, 0);
    // Few files have any.
    if meta.blocks().saturating_mul(512) < size {
        let data: Vec<(u64, u64)> = stretches(file, offset, size).collect();
        let wanted = if from.is_none() { data.last() } else { data.first() };
        let (begin, until) = wanted.copied().unwrap_or((size, size));
        // Where there was nothing before it, a line begins there: a byte of the hole says so.
        let is_begin = from.is_none() && begin > offset && begin == first_data(file, size);
        (offset, end) = (begin - u64::from(is_begin), until);
        let behind = data.iter().filter(|(begin, _)| *begin >= offset);
        holes = size - offset - behind.map(|(begin, end)| end - begin).sum::<u64>();
    }
    let mut bytes = vec![0; usize::try_from((end - offset).min(max_bytes)).unwrap_or(0)];
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    bytes.truncate(length);
    Ok(Piece { start: Mark { identity, offset }, size, holes, bytes })
}

/// Makes the first of the files that exists empty. Who writes to it for append goes on at its
/// beginning.
///
/// # Errors
/// See [`Unread`].
pub fn clear(names: &[FileName], outputs: &Outputs, mounts: &Mounts) -> Result<(), Unread> {
    let (path, file) = open_first(names, outputs, OFlags::WRONLY, mounts)?;
    Ok(file.set_len(0).map_err(|why| trouble(&path, &why))?)
}

fn open_first(
    names: &[FileName],
    outputs: &Outputs,
    how: OFlags,
    mounts: &Mounts,
) -> Result<(PathBuf, File), Unread> {
    let mut missing = FileTrouble::Missing("there is no such file".into());
    for name in names {
        let path = path_of(name, outputs)?;
        // In the state directory nobody but a job that wants to mislead makes links.
        let follow = !matches!(name, FileName::Run(..));
        match open_one(&path, how, follow, mounts) {
            Ok(file) => return Ok((path, file?)),
            Err(Refusal::MayHang(mount)) => return Err(Unread::Elsewhere(path, mount)),
            Err(why) => match refused(&path, &why) {
                FileTrouble::Missing(text) => missing = FileTrouble::Missing(text),
                other @ (FileTrouble::Unusable(_) | FileTrouble::NoAnswer(_)) => {
                    return Err(other.into());
                }
            },
        }
    }
    Err(missing.into())
}

fn open_one(
    path: &Path,
    how: OFlags,
    follow: bool,
    mounts: &Mounts,
) -> Result<Result<File, FileTrouble>, Refusal> {
    let nothing = || {
        let text = format!("{} is no regular file: nothing to show", path.display());
        FileTrouble::Unusable(text)
    };
    Ok(open_regular(path, how, follow, mounts)?.map(File::from).ok_or_else(nothing))
}

fn refused(path: &Path, why: &Refusal) -> FileTrouble {
    let shown = path.display();
    match why {
        why if *why == Errno::NOENT.into() => {
            FileTrouble::Missing(format!("{shown} does not exist (yet)"))
        }
        Refusal::System(errno) => trouble(path, &io::Error::from_raw_os_error(*errno)),
        Refusal::Stranger(link, owner) => {
            FileTrouble::Unusable(format!("{shown}: {}", trusted::told(link, *owner)))
        }
        Refusal::HardLink(path) => FileTrouble::Unusable(hard_links::told(path)),
        Refusal::MayHang(mount) => no_answer(path, mount),
    }
}

/// What is said of a file whose file system does not answer.
pub fn no_answer(path: &Path, mount: &Path) -> FileTrouble {
    let (path, mount) = (path.display(), mount.display());
    FileTrouble::NoAnswer(format!(
        "{path}: the file system mounted at {mount} does not answer: see to that mount"
    ))
}

fn trouble(path: &Path, why: &io::Error) -> FileTrouble {
    let user = owner::me();
    FileTrouble::Unusable(match why.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{}: {why}: let user {user} read and write it", path.display())
        }
        io::ErrorKind::WouldBlock => format!("{}: {}", path.display(), LEASED),
        _ => format!("{}: {why}", path.display()),
    })
}
